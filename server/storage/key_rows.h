#pragma once

#include <string>

#include "server/core/records.h"
#include "server/storage/rows.h"

namespace keyferry::server {

struct KeyColumns {
  static constexpr const char* kList =
      "device_id, enrolment_id, account_id, login, display_name, state, simulator, sig_pub, "
      "record, next_seq, firmware, pin_set, epoch, recipient_pub, last_seq, receipt_ctr, "
      "receipt_hash, enrolled, last_seen, alarm, held, state_reason, wiped, restored, lost_until, "
      "note";

  std::string device, enrolment, account, login, display_name, state, sig_pub, record,
      recipient_pub, receipt_hash, alarm, state_reason, note;
  long long simulator = 0, next_seq = 0, firmware = 0, pin_set = 0, epoch = 0, last_seq = 0,
            receipt_ctr = 0, enrolled = 0, last_seen = 0, held = 0, wiped = 0, restored = 0,
            lost_until = 0;

  template <typename Prepared>
  void Into(Prepared& p) {
    p, soci::into(device), soci::into(enrolment), soci::into(account), soci::into(login),
        soci::into(display_name), soci::into(state), soci::into(simulator), soci::into(sig_pub),
        soci::into(record), soci::into(next_seq), soci::into(firmware), soci::into(pin_set),
        soci::into(epoch), soci::into(recipient_pub), soci::into(last_seq), soci::into(receipt_ctr),
        soci::into(receipt_hash), soci::into(enrolled), soci::into(last_seen), soci::into(alarm),
        soci::into(held), soci::into(state_reason), soci::into(wiped), soci::into(restored),
        soci::into(lost_until), soci::into(note);
  }
  KeyRecord Read() const;
};

inline std::string SelectKeys(const std::string& rest) {
  return std::string("SELECT ") + KeyColumns::kList + " FROM device_keys " + rest;
}

// Whose key it is; empty when it is nobody's.
std::string AccountOf(soci::session& sql, const std::string& device);

void InsertReceipt(soci::session& sql, const ReceiptUpdate& update);

}  // namespace keyferry::server

#pragma once

#include <string>

#include "server/core/store.h"
#include "server/storage/rows.h"

namespace keyferry::server {

struct AuditColumns {
  static constexpr const char* kList =
      "number, time, actor, action, target, outcome, detail, address, previous, hash";

  long long number = 0, time = 0;
  std::string actor, action, target, outcome, detail, address, previous, hash;

  template <typename Prepared>
  void Into(Prepared& p) {
    p, soci::into(number), soci::into(time), soci::into(actor), soci::into(action),
        soci::into(target), soci::into(outcome), soci::into(detail), soci::into(address),
        soci::into(previous), soci::into(hash);
  }
  AuditStore::Row Read() const {
    AuditStore::Row row;
    row.number = Unsigned(number);
    row.entry = {time, actor, action, target, outcome, detail, address};
    row.previous = ReadFixed<32>(previous);
    row.hash = ReadFixed<32>(hash);
    return row;
  }
};

}  // namespace keyferry::server

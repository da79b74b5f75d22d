#include "client-daemon/cli/inspect.h"

#include <algorithm>
#include <chrono>
#include <cstdio>

#include "client-daemon/core/sealed_file.h"
#include "device/key_record.h"
#include "protocol/certs.h"
#include "protocol/job.h"
#include "protocol/receipt.h"

namespace keyferry::daemon::cli {
namespace {

constexpr std::size_t kReceiptFileHead = 32;  // device and enrolment, before a spooled receipt

std::string Line(const char* name, const std::string& value) {
  std::string out = name;
  out.resize(16, ' ');
  return out + value + "\n";
}

const char* TypeName(protocol::JobType type) {
  switch (type) {
    case protocol::JobType::kSetPassword:
      return "SET_PASSWORD";
    case protocol::JobType::kCommit:
      return "COMMIT";
    case protocol::JobType::kDrop:
      return "DROP";
    case protocol::JobType::kPinUnblock:
      return "PIN_UNBLOCK";
    case protocol::JobType::kWipe:
      return "WIPE";
    case protocol::JobType::kHostRevoke:
      return "HOST_REVOKE";
    case protocol::JobType::kIssuerRotate:
      return "ISSUER_ROTATE";
    case protocol::JobType::kPolicy:
      return "POLICY";
  }
  return "unknown";
}

std::string Date(std::uint64_t seconds) {
  namespace chrono = std::chrono;
  if (seconds >> 38 != 0) return std::to_string(seconds);  // beyond the year 10000: no date
  const chrono::sys_seconds time{chrono::seconds(seconds)};
  const auto day = chrono::floor<chrono::days>(time);
  const chrono::year_month_day date(day);
  const chrono::hh_mm_ss clock(time - day);
  char text[64] = "";
  std::snprintf(text, sizeof text, "%04d-%02u-%02u %02d:%02d:%02d UTC", int{date.year()},
                unsigned{date.month()}, unsigned{date.day()},
                static_cast<int>(clock.hours().count()), static_cast<int>(clock.minutes().count()),
                static_cast<int>(clock.seconds().count()));
  return text;
}

// The payload of a spool file, or the file itself.
Bytes Unwrap(const Bytes& file) {
  auto payload = ParseChecked(file);
  return payload ? *std::move(payload) : file;
}

std::optional<protocol::P256Public> KeyFrom(const Bytes& file) {
  if (file.size() == device::kKeyRecordSize || file.size() == protocol::kStatementSize) {
    const auto bytes = protocol::ByteView(file).subspan(
        file.size() == protocol::kStatementSize ? 0 : protocol::kIssuerCertSize,
        protocol::kStatementSize);
    const auto statement = protocol::Statement::Parse(bytes);
    if (!statement) return std::nullopt;
    return statement->sig_pub;
  }
  protocol::P256Public key{};
  if (file.size() == key.size()) {
    std::copy(file.begin(), file.end(), key.begin());
    return key;
  }
  std::string hex(file.begin(), file.end());
  while (!hex.empty() && (hex.back() == '\n' || hex.back() == '\r')) hex.pop_back();
  if (hex.size() != 2 * key.size()) return std::nullopt;
  for (std::size_t i = 0; i < key.size(); ++i) {
    const std::string pair = hex.substr(2 * i, 2);
    if (pair.find_first_not_of("0123456789abcdefABCDEF") != std::string::npos) return std::nullopt;
    key[i] = static_cast<std::uint8_t>(std::stoi(pair, nullptr, 16));
  }
  return key;
}

}  // namespace

Result<std::string> DescribeJob(const Bytes& file) {
  const Bytes bytes = Unwrap(file);
  const auto job = protocol::ParsedJob::Parse(bytes);
  if (!job) {
    return Fail(ErrorCode::kProtocol, std::string("This is no sealed job: a key would answer ") +
                                          protocol::Name(job.error()) + ".");
  }
  const protocol::JobHeader& header = job->header;
  std::string flags;
  if ((header.flags & protocol::kFlagHold) != 0) flags += " HOLD";
  if ((header.flags & protocol::kFlagDropPrevious) != 0) flags += " DROP_PREVIOUS";
  return Line("type", TypeName(header.type)) +
         Line("flags", flags.empty() ? "none" : flags.substr(1)) + Line("job", Hex(header.job_id)) +
         Line("key", Hex(header.device_id)) + Line("account", Hex(header.account_id)) +
         Line("signer", Hex(header.issuer_kid)) + Line("seq", std::to_string(header.seq)) +
         Line("base seq", std::to_string(header.base_seq)) +
         Line("sealed to epoch", std::to_string(header.recipient_epoch)) +
         Line("created", Date(header.created)) +
         Line("sealed body", std::to_string(header.ct_len) + " bytes") +
         Line("job hash", Hex(protocol::JobHash(bytes)));
}

Result<ReceiptView> VerifyReceipt(const Bytes& file, const Bytes& key_file) {
  Bytes bytes = Unwrap(file);
  if (bytes.size() == kReceiptFileHead + protocol::kReceiptSize) {
    bytes.erase(bytes.begin(), bytes.begin() + kReceiptFileHead);
  }
  const auto receipt = protocol::Receipt::Parse(bytes);
  if (!receipt) return Fail(ErrorCode::kProtocol, "This is no receipt.");
  const auto key = KeyFrom(key_file);
  if (!key) {
    return Fail(ErrorCode::kInvalidArgument,
                "The key file must hold the key's signature key (65 bytes or 130 hex digits), its "
                "statement or its record.");
  }
  ReceiptView out;
  out.genuine = receipt->VerifySignature(*key);
  std::string flags;
  if ((receipt->flags & protocol::kReceiptGap) != 0) flags += " gap";
  if ((receipt->flags & protocol::kReceiptPinSet) != 0) flags += " PIN-set";
  if ((receipt->flags & protocol::kReceiptHeld) != 0) flags += " held";
  out.text = Line("signature", out.genuine ? "good" : "WRONG: not signed by this key") +
             Line("result", receipt->positive() ? "stored" : protocol::Name(receipt->result)) +
             Line("flags", flags.empty() ? "none" : flags.substr(1)) +
             Line("key", Hex(receipt->device_id)) + Line("account", Hex(receipt->account_id)) +
             Line("seq", std::to_string(receipt->seq)) +
             Line("previous seq", std::to_string(receipt->prev_seq)) +
             Line("receipt number", std::to_string(receipt->receipt_ctr)) +
             Line("next epoch", std::to_string(receipt->epoch)) +
             Line("job hash", Hex(receipt->job_hash)) + Line("chain", Hex(receipt->previous_hash)) +
             Line("boot", std::to_string(receipt->boot));
  return out;
}

}  // namespace keyferry::daemon::cli

#include "server/core/audit_entry.h"

#include "server/core/encoding.h"

namespace keyferry::server {
namespace {

constexpr std::size_t kMaxText = 1000;

AuditEntry Entry(const Clock& clock, std::string actor, std::string_view action,
                 std::string_view target, std::string_view outcome, std::string_view detail,
                 std::string_view address) {
  return {clock.UnixMillis(),
          Presentable(actor, kMaxText),
          std::string(action),
          Presentable(target, kMaxText),
          std::string(outcome),
          Presentable(detail, kMaxText),
          Presentable(address, kMaxText)};
}

}  // namespace

const char* OutcomeName(ErrorCode code) {
  switch (code) {
    case ErrorCode::kInvalidArgument:
      return "invalid";
    case ErrorCode::kNotFound:
      return "not_found";
    case ErrorCode::kConflict:
      return "conflict";
    case ErrorCode::kUnauthenticated:
      return "unauthenticated";
    case ErrorCode::kPermissionDenied:
      return "denied";
    case ErrorCode::kPolicyRefused:
      return "policy";
    case ErrorCode::kUnavailable:
      return "unavailable";
    case ErrorCode::kDeadline:
      return "deadline";
    case ErrorCode::kOutcomeUnknown:
      return "unknown";
    case ErrorCode::kRateLimited:
      return "rate_limited";
    case ErrorCode::kKeyRefused:
      return "key_refused";
    case ErrorCode::kProtocol:
      return "protocol";
    case ErrorCode::kUnsupported:
      return "unsupported";
    case ErrorCode::kIo:
      return "io";
    case ErrorCode::kInternal:
      return "internal";
  }
  return "internal";
}

AuditEntry AuditOf(const Clock& clock, const Actor& actor, std::string_view action,
                   std::string_view target, std::string_view outcome, std::string_view detail) {
  return Entry(clock, actor.login, action, target, outcome, detail, actor.address);
}

AuditEntry AuditBySystem(const Clock& clock, std::string_view action, std::string_view target,
                         std::string_view outcome, std::string_view detail) {
  return Entry(clock, "system", action, target, outcome, detail, {});
}

AuditEntry AuditByWorkstation(const Clock& clock, const WorkstationRecord& workstation,
                              std::string_view action, std::string_view target,
                              std::string_view outcome, std::string_view detail) {
  return Entry(clock, "workstation " + workstation.name, action, target, outcome, detail,
               workstation.address);
}

}  // namespace keyferry::server

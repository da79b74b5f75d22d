#include "client-daemon/ipc/messages.h"

#include <boost/json/array.hpp>
#include <boost/json/serialize.hpp>

#include "client-daemon/core/json.h"

namespace keyferry::daemon {
namespace {

namespace json = boost::json;

tl::unexpected<Error> Bad(const std::string& why) { return Fail(ErrorCode::kInvalidArgument, why); }

const char* CodeName(ErrorCode code) {
  switch (code) {
    case ErrorCode::kInvalidArgument:
      return "invalid_request";
    case ErrorCode::kNotFound:
      return "not_found";
    case ErrorCode::kConflict:
      return "conflict";
    case ErrorCode::kPermissionDenied:
      return "permission_denied";
    case ErrorCode::kRateLimited:
      return "busy";
    case ErrorCode::kDeadline:
      return "timeout";
    case ErrorCode::kUnavailable:
      return "unavailable";
    case ErrorCode::kProtocol:
      return "key_misbehaves";
    case ErrorCode::kPolicyRefused:
      return "alarm";
    default:
      return "internal";
  }
}

json::object KeyJson(const KeyReport& key) {
  json::object out;
  out["path"] = key.path;
  out["device_id"] = nullptr;
  if (key.seen) {
    out["device_id"] = Hex(key.seen->device);
    out["state"] = key.seen->state;
    out["state_name"] = KeyStateName(key.seen->state);
    out["transport"] = device::Name(key.seen->transport);
    out["firmware"] = FirmwareName(key.seen->firmware);
    out["simulator"] = key.seen->simulator;
  }
  out["known"] = key.known;
  out["login"] = key.login;
  out["last_delivery"] = key.last_delivery;
  out["jobs_waiting"] = key.jobs_waiting;
  out["standing"] = key.standing;
  out["touch"] = key.touch;
  out["trouble"] = key.trouble;
  return out;
}

}  // namespace

Result<IpcRequest> ParseRequest(std::string_view text) {
  const auto object = ParseObject(text);
  if (!object) return Bad("The request is not a JSON object.");
  const auto op = GetText(*object, "op", 16);
  if (!op) return Bad("The request needs `op`.");
  IpcRequest out;
  if (*op == "status") {
    if (!HasOnly(*object, {"op"})) return Bad("`status` takes nothing else.");
    return out;
  }
  if (*op == "agent") {
    const auto pub = GetArray<32>(*object, "login_noise_pub");
    out.challenge = GetArray<32>(*object, "challenge");
    out.proof = GetArray<32>(*object, "proof");
    const std::size_t members = out.challenge && out.proof ? 4 : 2;
    if (!pub || object->size() != members) {
      return Bad(
          "`agent` needs login_noise_pub, or login_noise_pub, challenge and proof, each 32 bytes "
          "in base64, and nothing else.");
    }
    out.op = IpcRequest::kAgent;
    out.login_noise_pub = *pub;
    return out;
  }
  if (*op == "relay") {
    out.op = IpcRequest::kRelay;
    out.device = GetId(*object, "device_id");
    out.login = GetText(*object, "login", 104).value_or("");
    if (out.device.has_value() == !out.login.empty() || object->size() != 2) {
      return Bad("`relay` needs either device_id or login, and nothing else.");
    }
    return out;
  }
  if (*op == "used") {
    const auto seq = GetNumber(*object, "seq");
    out.op = IpcRequest::kUsed;
    out.device = GetId(*object, "device_id");
    if (!out.device || !seq || *seq == 0 || *seq >> 63 != 0 ||
        !HasOnly(*object, {"op", "device_id", "seq"})) {
      return Bad("`used` needs device_id and seq, and nothing else.");
    }
    out.seq = *seq;
    return out;
  }
  if (*op == "caller") {
    out.op = IpcRequest::kCaller;
    out.login = GetText(*object, "login", 104).value_or("");
    if (out.login.empty() || object->size() != 2) {
      return Bad("`caller` needs login, and nothing else.");
    }
    return out;
  }
  if (*op == "answer") {
    const auto request = GetId(*object, "request_id");
    out.op = IpcRequest::kAnswer;
    out.assertion = GetArray<172>(*object, "assertion");
    if (!request || object->size() != 3 || (!out.assertion && !IsNull(*object, "assertion"))) {
      return Bad(
          "`answer` needs request_id and assertion, 172 bytes in base64 or null, and nothing "
          "else.");
    }
    out.request = *request;
    return out;
  }
  if (*op == "notices") {
    if (!HasOnly(*object, {"op"})) return Bad("`notices` takes nothing else.");
    out.op = IpcRequest::kNotices;
    return out;
  }
  if (*op == "asked") {
    if (!HasOnly(*object, {"op"})) return Bad("`asked` takes nothing else.");
    out.op = IpcRequest::kAsked;
    return out;
  }
  if (*op == "not_me") {
    const auto number = GetNumber(*object, "number");
    if (!number || !HasOnly(*object, {"op", "number"})) {
      return Bad("`not_me` needs number, and nothing else.");
    }
    out.op = IpcRequest::kNotMe;
    out.number = *number;
    return out;
  }
  return Bad("There is no such request; see docs/local-ipc.md.");
}

std::string FormatOk() { return R"({"ok":true})"; }

std::string FormatError(const Error& error) {
  json::object out;
  out["ok"] = false;
  out["code"] = CodeName(error.code);
  out["message"] = Printable(error.message, 500);
  return json::serialize(out);
}

std::string FormatNotices(const std::vector<NoticeEvent>& notices) {
  json::array list;
  for (const NoticeEvent& notice : notices) {
    list.push_back({{"number", notice.number},
                    {"login", notice.login},
                    {"kind", notice.kind},
                    {"by", notice.by},
                    {"address", notice.address},
                    {"reason", notice.reason},
                    {"time", notice.time}});
  }
  return json::serialize(json::object{{"ok", true}, {"notices", std::move(list)}});
}

std::string FormatStatus(const StatusReport& status) {
  json::object server;
  server["url"] = status.server_url;
  server["state"] = Name(status.uplink.state);
  server["since"] = status.uplink.since;
  server["last_error"] = status.uplink.last_error;
  json::object workstation;
  workstation["id"] = nullptr;
  if (status.workstation) workstation["id"] = Hex(*status.workstation);
  workstation["name"] = status.name;
  workstation["state"] = status.approved ? "approved" : status.workstation ? "pending" : "new";
  workstation["certified_until"] = status.certified_until;
  workstation["fingerprint"] = status.uplink.fingerprint;
  workstation["agent"] = status.agent;
  json::object alarm;
  alarm["stands"] = status.alarm;
  alarm["since"] = status.alarm_since;
  json::array transports;
  for (const TransportReport& transport : status.transports) {
    transports.push_back(
        {{"name", transport.name}, {"enabled", transport.enabled}, {"trouble", transport.trouble}});
  }
  json::array keys;
  for (const KeyReport& key : status.keys) keys.push_back(KeyJson(key));
  json::object spool;
  spool["jobs"] = status.spool.jobs;
  spool["receipts"] = status.spool.receipts;
  spool["damaged"] = status.spool.set_aside;
  json::object out;
  out["ok"] = true;
  out["version"] = KEYFERRY_VERSION;
  out["server"] = std::move(server);
  out["workstation"] = std::move(workstation);
  out["alarm"] = std::move(alarm);
  out["transports"] = std::move(transports);
  out["keys"] = std::move(keys);
  out["spool"] = std::move(spool);
  return json::serialize(out);
}

std::string FormatAgent(const AgentAnswer& answer) {
  json::object out;
  out["ok"] = true;
  out["workstation_id"] = Hex(answer.workstation);
  out["login_cert"] = nullptr;
  if (answer.login_cert) out["login_cert"] = Base64(*answer.login_cert);
  out["issuer_cert"] = Base64(answer.issuer_cert);
  out["root_pub"] = Base64(answer.root);
  out["challenge"] = nullptr;
  if (answer.challenge) out["challenge"] = Base64(*answer.challenge);
  return json::serialize(out);
}

std::string FormatRelay(const RelayGrant& grant) {
  json::object out;
  out["ok"] = true;
  out["device_id"] = Hex(grant.device);
  out["transport"] = static_cast<int>(grant.transport);
  out["info"] = Base64(grant.info);
  out["record"] = nullptr;
  if (grant.record) out["record"] = Base64(*grant.record);
  out["login"] = grant.login;
  out["account_id"] = nullptr;
  if (grant.account) out["account_id"] = Hex(*grant.account);
  return json::serialize(out);
}

std::string FormatCaller(const CallerEvent& question) {
  json::object out;
  out["ok"] = true;
  out["request_id"] = Hex(question.request);
  out["challenge"] = Base64(question.challenge);
  out["agent"] = question.agent;
  out["ticket"] = question.ticket;
  out["reason"] = question.reason;
  return json::serialize(out);
}

std::string FormatAsked(const std::vector<AskedCaller>& questions) {
  json::array list;
  for (const AskedCaller& question : questions) {
    list.push_back({{"number", question.number},
                    {"login", question.login},
                    {"agent", question.agent},
                    {"ticket", question.ticket},
                    {"reason", question.reason},
                    {"seconds", question.left.count()}});
  }
  return json::serialize(json::object{{"ok", true}, {"questions", std::move(list)}});
}

std::string FormatVerdict(const CallerVerdict& verdict) {
  json::object out;
  out["ok"] = true;
  out["passed"] = verdict.passed;
  out["reason"] = verdict.reason;
  return json::serialize(out);
}

const char* KeyStateName(int state) {
  static constexpr const char* kNames[] = {
      "not enrolled", "enrolled, no PIN yet", "ready", "PIN blocked", "locked",
      "wiped",        "tampered with"};
  return state >= 0 && state < 7 ? kNames[state] : "in an unknown state";
}

std::string FirmwareName(std::uint32_t firmware) {
  return std::to_string(firmware >> 24) + "." + std::to_string(firmware >> 16 & 0xFF) + "." +
         std::to_string(firmware & 0xFFFF);
}

}  // namespace keyferry::daemon

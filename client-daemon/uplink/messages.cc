#include "client-daemon/uplink/messages.h"

#include <sys/utsname.h>

#include <boost/json/array.hpp>
#include <boost/json/serialize.hpp>

#include "client-daemon/core/json.h"
#include "protocol/caller_proof.h"

namespace keyferry::daemon {
namespace {

namespace json = boost::json;

constexpr std::string_view kVersion = KEYFERRY_VERSION;
constexpr std::size_t kMaxSealed = 4096;
// Of docs/workstation-api.md: ours and the three before.
constexpr std::uint64_t kProtocol = 4;
constexpr std::uint64_t kOldestProtocol = 1;
constexpr std::uint64_t kMostCallerSeconds = 3600;

tl::unexpected<Error> Malformed(std::string_view what) {
  return Fail(ErrorCode::kProtocol,
              "The server sent a message that this version does not understand (" +
                  std::string(what) + "); is it the same version?");
}

std::string PathOf(const Id& id, const char* before, const char* after) {
  return "/workstation/v1/" + std::string(before) + Hex(id) + after;
}

std::string OsName() {
  utsname name{};
  if (uname(&name) != 0) return "Linux";
  return Printable(std::string(name.sysname) + " " + name.release, 64);
}

}  // namespace

std::string FormatRegistration(const std::string& name, const std::string& csr_pem,
                               const NoisePublic& deliver, const std::optional<NoisePublic>& login,
                               const std::optional<JoinedDomain>& domain) {
  json::object out;
  out["name"] = name;
  out["os"] = OsName();
  out["version"] = kVersion;
  out["csr"] = csr_pem;
  out["deliver_noise_pub"] = Base64(deliver);
  out["login_noise_pub"] = nullptr;
  if (login) out["login_noise_pub"] = Base64(*login);
  if (domain) {
    out["domain"] = domain->domain;
    out["computer"] = domain->computer;
  }
  return json::serialize(out);
}

PostRequest FormatRenewal(const std::string& csr_pem) {
  return {"/workstation/v1/certificate", json::serialize(json::object{{"csr", csr_pem}})};
}

Result<std::string> ParseRenewal(std::string_view body) {
  const auto object = ParseObject(body);
  const auto pem = object ? GetText(*object, "certificate", 16 * 1024) : std::nullopt;
  if (!pem) return Malformed("certificate");
  return *pem;
}

Result<RegistrationAnswer> ParseRegistrationAnswer(std::string_view body) {
  const auto object = ParseObject(body);
  if (!object) return Malformed("registration");
  const auto id = GetId(*object, "workstation_id");
  const auto token = GetText(*object, "poll_token", 256);
  const auto fingerprint = GetText(*object, "fingerprint", 128);
  if (!id || !token || token->empty() || !fingerprint) return Malformed("registration");
  if (token->find_first_not_of("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
                               "-._~+/=") != std::string::npos) {
    return Malformed("poll_token");
  }
  return RegistrationAnswer{*id, *token, *fingerprint};
}

Result<EnrolmentAnswer> ParseEnrolmentAnswer(std::string_view body) {
  const auto object = ParseObject(body);
  if (!object) return Malformed("enrolment");
  const auto state = GetText(*object, "state", 32);
  EnrolmentAnswer out;
  if (state == "pending") return out;
  if (state == "revoked") {
    out.state = EnrolmentAnswer::kRevoked;
    return out;
  }
  if (state != "approved") return Malformed("enrolment state");
  const auto certificate = GetText(*object, "certificate", 16 * 1024);
  const auto url = GetText(*object, "daemon_url", 1024);
  const auto deliver = GetArray<144>(*object, "deliver_cert");
  const auto login = GetArray<144>(*object, "login_cert");
  const auto issuer = GetArray<161>(*object, "issuer_cert");
  const auto root = GetArray<65>(*object, "root_pub");
  if (!certificate || !url || !deliver || !issuer || !root ||
      (!login && !IsNull(*object, "login_cert"))) {
    return Malformed("approval");
  }
  out.state = EnrolmentAnswer::kApproved;
  out.certificate_pem = *certificate;
  out.approval.daemon_url = *url;
  out.approval.root = *root;
  out.approval.certificates = {*deliver, login, *issuer};
  return out;
}

Result<Certificates> ParseHello(std::string_view data) {
  const auto object = ParseObject(data);
  if (!object) return Malformed("hello");
  const auto protocol = GetNumber(*object, "protocol");
  if (!protocol || *protocol < kOldestProtocol || *protocol > kProtocol) {
    return Fail(ErrorCode::kUnsupported,
                protocol && *protocol < kOldestProtocol
                    ? "The server is too old for this keyferryd; update keyferry-server."
                    : "The server speaks a version of the workstation's protocol that is too new "
                      "for this keyferryd; install the keyferry package of the server's version.");
  }
  const auto deliver = GetArray<144>(*object, "deliver_cert");
  const auto login = GetArray<144>(*object, "login_cert");
  const auto issuer = GetArray<161>(*object, "issuer_cert");
  if (!deliver || !issuer || (!login && !IsNull(*object, "login_cert"))) return Malformed("hello");
  return Certificates{*deliver, login, *issuer};
}

Result<KeyEvent> ParseKeyEvent(std::string_view data) {
  const auto object = ParseObject(data);
  if (!object) return Malformed("key");
  const auto device = GetId(*object, "device_id");
  const auto account = GetId(*object, "account_id");
  const auto state = GetText(*object, "state", 16);
  const auto login = GetText(*object, "login", 104);
  const auto record = GetArray<690>(*object, "record");
  if (!device || !account || !state || !login || !record) return Malformed("key");
  KeyEvent out{*device, KeyEvent::kActive, *login, *account, *record};
  if (*state == "suspended") {
    out.state = KeyEvent::kSuspended;
  } else if (*state == "revoked") {
    out.state = KeyEvent::kRevoked;
  } else if (*state != "active") {
    return Malformed("key state");
  }
  return out;
}

Result<JobEvent> ParseJobEvent(std::string_view data) {
  const auto object = ParseObject(data);
  if (!object) return Malformed("job");
  const auto job = GetId(*object, "job_id");
  const auto device = GetId(*object, "device_id");
  const auto seq = GetNumber(*object, "seq");
  auto sealed = GetBytes(*object, "sealed", kMaxSealed);
  if (!job || !device || !seq || !sealed) return Malformed("job");
  return JobEvent{*job, *device, *seq, *std::move(sealed)};
}

Result<Id> ParseVoidEvent(std::string_view data) {
  const auto object = ParseObject(data);
  if (!object) return Malformed("void");
  const auto job = GetId(*object, "job_id");
  if (!job) return Malformed("void");
  return *job;
}

Result<EnrolEvent> ParseEnrolEvent(std::string_view data) {
  const auto object = ParseObject(data);
  if (!object) return Malformed("enrol");
  const auto enrolment = GetId(*object, "enrolment_id");
  const auto device = GetId(*object, "device_id");
  const auto certificate = GetArray<144>(*object, "enrol_cert");
  const auto begin = GetArray<258>(*object, "begin");
  if (!enrolment || !device || !certificate || !begin) return Malformed("enrol");
  return EnrolEvent{*enrolment, *device, *certificate, *begin};
}

Result<AlarmEvent> ParseAlarmEvent(std::string_view data) {
  const auto object = ParseObject(data);
  if (!object) return Malformed("alarm");
  const auto number = GetNumber(*object, "number");
  const auto state = GetText(*object, "state", 16);
  const auto since = GetNumber(*object, "since");
  if (!number || !state || !since || *since > INT64_MAX || (*state != "on" && *state != "off")) {
    return Malformed("alarm");
  }
  return AlarmEvent{*number, *state == "on", static_cast<std::int64_t>(*since)};
}

Result<CallerEvent> ParseCallerEvent(std::string_view data) {
  const auto object = ParseObject(data);
  if (!object) return Malformed("caller");
  const auto request = GetId(*object, "request_id");
  const auto login = GetText(*object, "login", 104);
  const auto challenge = GetArray<32>(*object, "challenge");
  const auto agent = GetText(*object, "agent", protocol::kMaxCallerAgent);
  const auto ticket = GetText(*object, "ticket", protocol::kMaxCallerTicket);
  const auto reason = GetText(*object, "reason", protocol::kMaxCallerReason);
  const auto seconds = GetNumber(*object, "seconds");
  if (!request || !login || login->empty() || !challenge || !agent || !ticket || !reason ||
      !seconds || *seconds > kMostCallerSeconds ||
      !protocol::IsCallerQuestion({*agent, *ticket, *reason, {}})) {
    return Malformed("caller");
  }
  return CallerEvent{*request,
                     *login,
                     *challenge,
                     *agent,
                     *ticket,
                     *reason,
                     std::chrono::seconds(static_cast<std::int64_t>(*seconds))};
}

Result<Id> ParseCallerOver(std::string_view data) {
  const auto object = ParseObject(data);
  const auto request = object ? GetId(*object, "request_id") : std::nullopt;
  if (!request) return Malformed("caller-over");
  return *request;
}

Result<NoticeEvent> ParseNoticeEvent(std::string_view data) {
  const auto object = ParseObject(data);
  if (!object) return Malformed("notice");
  const auto number = GetNumber(*object, "number");
  const auto login = GetText(*object, "login", 256);
  const auto kind = GetText(*object, "kind", 32);
  const auto by = GetText(*object, "by", 256);
  const auto address = GetText(*object, "address", 64);
  const auto reason = GetText(*object, "reason", 2048);
  const auto time = GetNumber(*object, "time");
  if (!number || !login || !kind || !by || !address || !reason || !time || *time > INT64_MAX) {
    return Malformed("notice");
  }
  return NoticeEvent{*number,
                     Printable(*login),
                     Printable(*kind),
                     Printable(*by),
                     Printable(*address),
                     Printable(*reason, 600),
                     static_cast<std::int64_t>(*time)};
}

PostRequest FormatPost(const Post& post) {
  json::object body;
  switch (post.kind) {
    case Post::kKeys: {
      json::array keys;
      for (const SeenKey& key : post.keys) {
        keys.push_back(json::object{{"device_id", Hex(key.device)},
                                    {"state", key.state},
                                    {"transport", device::Name(key.transport)},
                                    {"firmware", key.firmware},
                                    {"simulator", key.simulator}});
      }
      body["keys"] = std::move(keys);
      return {"/workstation/v1/keys", json::serialize(body)};
    }
    case Post::kSpooled:
      return {PathOf(post.id, "jobs/", "/spooled"), ""};
    case Post::kJobProblem:
    case Post::kEnrolmentProblem:
      body["code"] = post.code;
      body["message"] = Printable(post.message, 500);
      return {PathOf(post.id, post.kind == Post::kJobProblem ? "jobs/" : "enrolments/", "/problem"),
              json::serialize(body)};
    case Post::kReceipt:
      body["device_id"] = Hex(post.device);
      body["receipt"] = Base64(post.bytes);
      return {"/workstation/v1/receipts", json::serialize(body)};
    case Post::kEnrolmentReceipt:
      body["receipt"] = Base64(post.bytes);
      return {PathOf(post.id, "enrolments/", "/receipt"), json::serialize(body)};
    case Post::kUsed:
      body["device_id"] = Hex(post.device);
      body["seq"] = post.seq;
      return {"/workstation/v1/used", json::serialize(body)};
  }
  return {};
}

Result<Verdict> ParseVerdict(std::string_view body) {
  const auto object = ParseObject(body);
  if (!object) return Malformed("verdict");
  const auto kind = GetText(*object, "verdict", 16);
  Verdict out;
  out.reason = GetText(*object, "reason", 1024).value_or("");
  if (kind == "stored") {
    out.kind = Verdict::kStored;
  } else if (kind == "duplicate") {
    out.kind = Verdict::kDuplicate;
  } else if (kind != "refused") {
    return Malformed("verdict");
  }
  return out;
}

PostRequest FormatStatement(const Id& enrolment, std::span<const std::uint8_t> statement,
                            std::span<const std::uint8_t> attestation) {
  json::object body;
  body["statement"] = Base64(statement);
  body["attestation"] = Base64(attestation);
  return {PathOf(enrolment, "enrolments/", "/statement"), json::serialize(body)};
}

Result<std::array<std::uint8_t, 204>> ParseGrant(std::string_view body) {
  const auto object = ParseObject(body);
  if (!object) return Malformed("grant");
  const auto grant = GetArray<204>(*object, "grant");
  if (!grant) return Malformed("grant");
  return *grant;
}

PostRequest FormatChallengeRequest(const NoisePublic& login_noise_pub) {
  json::object body;
  body["login_noise_pub"] = Base64(login_noise_pub);
  return {"/workstation/v1/login-key", json::serialize(body)};
}

Result<NoisePublic> ParseChallenge(std::string_view body) {
  const auto object = ParseObject(body);
  const auto challenge = object ? GetArray<32>(*object, "challenge") : std::nullopt;
  if (!challenge) return Malformed("challenge");
  return *challenge;
}

PostRequest FormatLoginProof(const NoisePublic& login_noise_pub, const NoisePublic& challenge,
                             const std::array<std::uint8_t, 32>& proof) {
  json::object body;
  body["login_noise_pub"] = Base64(login_noise_pub);
  body["challenge"] = Base64(challenge);
  body["proof"] = Base64(proof);
  return {"/workstation/v1/login-cert", json::serialize(body)};
}

Result<std::array<std::uint8_t, 144>> ParseLoginCert(std::string_view body) {
  const auto object = ParseObject(body);
  const auto certificate = object ? GetArray<144>(*object, "login_cert") : std::nullopt;
  if (!certificate) return Malformed("login_cert");
  return *certificate;
}

PostRequest FormatCallerAnswer(const Id& request,
                               const std::optional<std::array<std::uint8_t, 172>>& assertion) {
  json::object body;
  body["assertion"] = nullptr;
  if (assertion) body["assertion"] = Base64(*assertion);
  return {PathOf(request, "callers/", "/answer"), json::serialize(body)};
}

Result<CallerVerdict> ParseCallerVerdict(std::string_view body) {
  const auto object = ParseObject(body);
  const json::value* passed = object ? object->if_contains("passed") : nullptr;
  const auto reason = object ? GetText(*object, "reason", 1024) : std::nullopt;
  if (passed == nullptr || !passed->is_bool() || !reason) return Malformed("caller verdict");
  return CallerVerdict{passed->get_bool(), Printable(*reason, 300)};
}

Problem ParseProblem(int status, std::string_view body) {
  Problem out;
  if (const auto object = ParseObject(body)) {
    out.code = Printable(GetText(*object, "code", 64).value_or(""));
    out.detail = Printable(GetText(*object, "detail", 1024).value_or(""), 500);
  }
  if (out.detail.empty())
    out.detail = "The server answered with status " + std::to_string(status) + ".";
  return out;
}

}  // namespace keyferry::daemon

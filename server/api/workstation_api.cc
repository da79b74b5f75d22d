#include "server/api/workstation_api.h"

#include <algorithm>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>
#include <charconv>
#include <optional>
#include <vector>

#include "server/api/answers.h"
#include "server/api/guard.h"
#include "server/api/json_reader.h"
#include "server/api/paging.h"
#include "server/api/problem.h"
#include "server/core/encoding.h"
#include "server/core/help_desk.h"
#include "server/core/notices.h"

namespace keyferry::server {
namespace {

namespace json = boost::json;

Response Verdict(Services& services, const Request& request,
                 const Result<ReceiptVerdict>& verdict) {
  if (!verdict) return Answer(services, request, verdict.error());
  json::object body;
  body["verdict"] = verdict->kind == ReceiptVerdict::kStored      ? "stored"
                    : verdict->kind == ReceiptVerdict::kDuplicate ? "duplicate"
                                                                  : "refused";
  body["reason"] = verdict->reason;
  return Response::Json(json::serialize(body));
}

std::array<std::uint8_t, 32> Fixed32(const std::vector<std::uint8_t>& bytes) {
  std::array<std::uint8_t, 32> out{};
  std::copy(bytes.begin(), bytes.end(), out.begin());
  return out;
}

// What keyferryd says of itself in its requests' headers; nothing: it says no number.
std::optional<WorkstationGreeting> Greeting(const Request& request) {
  WorkstationGreeting greeting;
  greeting.version = std::string(request.Header("keyferry-version").substr(0, 64));
  const std::string_view text = request.Header("keyferry-protocol");
  if (text.empty()) return greeting;  // the first version said nothing
  const auto [end, failure] =
      std::from_chars(text.data(), text.data() + text.size(), greeting.protocol);
  if (failure != std::errc() || end != text.data() + text.size() || greeting.protocol < 0) {
    return std::nullopt;
  }
  return greeting;
}

// An answer for a workstation that this server cannot talk to.
std::optional<Response> RefuseVersion(Services& services, const Request& request,
                                      const std::optional<WorkstationGreeting>& greeting) {
  if (!greeting) {
    return Problem(request, Error{ErrorCode::kInvalidArgument,
                                  "The header Keyferry-Protocol must hold a number.",
                                  {},
                                  0});
  }
  if (greeting->protocol >= kOldestWorkstationProtocol) return std::nullopt;
  const std::string version = greeting->version.empty() ? "" : " " + greeting->version;
  const Error error{ErrorCode::kUnsupported,
                    "keyferryd" + version +
                        " on this workstation is too old for this server; install the keyferry "
                        "package of version " +
                        services.version + " there.",
                    "protocol " + std::to_string(greeting->protocol), 0};
  services.report(request, error);
  return Problem(request, 426, "workstation_too_old", error);
}

Response RegisterWorkstation(Services& services, Request& request) {
  if (auto refused = RefuseVersion(services, request, Greeting(request))) {
    return *std::move(refused);
  }
  JsonReader in(request.body.span());
  WorkstationRequest wanted;
  wanted.name = in.Text("name", 1, 64);
  wanted.os = in.Text("os", 1, 64);
  wanted.version = in.Text("version", 1, 64);
  wanted.csr_pem = in.Text("csr", 1, 4096, true);
  const auto deliver = in.Bytes("deliver_noise_pub", 32, 32);
  const auto login = in.NullableBytes("login_noise_pub", 32, 32);
  const std::string domain = in.OptionalText("domain", 255);
  const std::string computer = in.OptionalText("computer", 63);
  if (const auto bad = in.Finish(); !bad) return Problem(request, bad.error());
  wanted.deliver_noise_pub = Fixed32(deliver);
  if (login) wanted.login_noise_pub = Fixed32(*login);
  wanted.domain = domain;
  wanted.computer = computer;
  wanted.address = request.address;
  const auto made = services.workstations.Register(wanted);
  if (!made) return Answer(services, request, made.error());
  json::object body;
  body["workstation_id"] = made->id.Hex();
  body["poll_token"] = made->poll_token;
  body["fingerprint"] = made->fingerprint;
  return Response::Json(json::serialize(body), 201);
}

Response ShowEnrolment(Services& services, Request& request) {
  const auto id = WorkstationId::Parse(request.captures[0]);
  const std::string_view token = BearerToken(request);
  if (!id || token.empty()) {
    return Problem(request,
                   Error{ErrorCode::kUnauthenticated, "The poll token is missing.", {}, 0});
  }
  const auto enrolment = services.workstations.Enrolment(*id, token);
  if (!enrolment) return Answer(services, request, enrolment.error());
  json::object body;
  body["state"] = Name(enrolment->state);
  if (enrolment->state == WorkstationState::kApproved && enrolment->certificates) {
    const WorkstationCertificates& certificates = *enrolment->certificates;
    body["certificate"] = certificates.certificate_pem;
    body["deliver_cert"] = ToBase64(certificates.deliver_cert);
    if (certificates.login_cert.empty()) {
      body["login_cert"] = nullptr;
    } else {
      body["login_cert"] = ToBase64(certificates.login_cert);
    }
    body["issuer_cert"] = ToBase64(certificates.issuer_cert);
    body["root_pub"] = ToBase64(certificates.root_pub);
    body["daemon_url"] = services.daemon_url;
  }
  return Response::Json(json::serialize(body));
}

// Passes bus events on to a stream, but only after what Connected() said: `hello` comes first.
class Relay {
 public:
  explicit Relay(std::shared_ptr<EventStream> stream) : stream_(std::move(stream)) {}

  void OnEvent(const BusEvent& event) {
    if (event.name == "revoked") {  // wherever that was decided; outside the lock: it calls back
      stream_->Close();
      return;
    }
    const std::lock_guard lock(mutex_);
    if (open_) {
      stream_->Send(event.name, event.data);
      // Whichever server it was revoked on, its stream ends.
      if (event.name == "revoked") stream_->Close();
    } else {
      early_.push_back(event);
    }
  }

  void Open(const std::vector<WorkstationEvent>& first) {
    const std::lock_guard lock(mutex_);
    for (const WorkstationEvent& event : first) stream_->Send(event.name, event.data);
    for (const BusEvent& event : early_) stream_->Send(event.name, event.data);
    early_.clear();
    open_ = true;
  }

 private:
  std::mutex mutex_;
  std::shared_ptr<EventStream> stream_;
  std::vector<BusEvent> early_;
  bool open_ = false;
};

Response OpenEvents(Services& services, Request& request,
                    const std::shared_ptr<WorkstationStreams>& streams) {
  const WorkstationId id = *request.workstation;
  const auto greeting = Greeting(request);
  if (auto refused = RefuseVersion(services, request, greeting)) return *std::move(refused);
  return Response::Events([&services, streams, id,
                           greeting = *greeting](std::shared_ptr<EventStream> stream) {
    auto relay = std::make_shared<Relay>(stream);
    auto subscription =
        std::make_shared<std::unique_ptr<EventBus::Subscription>>(services.bus.Subscribe(
            "workstation/" + id.Hex(), [relay](const BusEvent& event) { relay->OnEvent(event); }));
    streams->Begin(id, stream);
    const auto first = services.workstations.Connected(id, greeting);
    const EventStream* const identity = stream.get();
    stream->OnClosed([&services, streams, id, identity, subscription, counted = first.has_value()] {
      subscription->reset();
      streams->End(id, identity);
      if (counted) services.workstations.Disconnected(id);
    });
    if (!first) {
      stream->Close();  // the daemon comes back and asks again
      return;
    }
    relay->Open(*first);
  });
}

Response ReportKeys(Services& services, Request& request) {
  JsonReader in(request.body.span());
  std::vector<JsonReader> elements = in.Objects("keys", 16);
  std::vector<SeenKey> keys;
  for (JsonReader& element : elements) {
    SeenKey key;
    key.device = element.Identifier<DeviceId>("device_id");
    key.state = static_cast<int>(element.Integer("state", 0, 255));
    key.transport = element.Text("transport", 1, 8);
    key.firmware = static_cast<std::uint32_t>(element.Integer("firmware", 0, 0xFFFFFFFF));
    key.simulator = element.Bool("simulator");
    if (const auto bad = element.Finish(); !bad) return Problem(request, bad.error());
    if (key.transport != "hid" && key.transport != "ble" && key.transport != "socket") {
      return Problem(
          request,
          Error{ErrorCode::kInvalidArgument, "transport must be hid, ble or socket.", {}, 0});
    }
    keys.push_back(std::move(key));
  }
  if (const auto bad = in.Finish(); !bad) return Problem(request, bad.error());
  return Done(services, request, services.workstations.SeenKeys(*request.workstation, keys));
}

Response RenewCertificate(Services& services, Request& request) {
  JsonReader in(request.body.span());
  const std::string csr = in.Text("csr", 1, 4096, true);
  if (const auto bad = in.Finish(); !bad) return Problem(request, bad.error());
  const auto made = services.workstations.RenewCertificate(*request.workstation, csr);
  if (!made) return Answer(services, request, made.error());
  return Response::Json(json::serialize(json::object{{"certificate", *made}}));
}

Response ChallengeLogin(Services& services, Request& request) {
  JsonReader in(request.body.span());
  const auto pub = in.Bytes("login_noise_pub", 32, 32);
  if (const auto bad = in.Finish(); !bad) return Problem(request, bad.error());
  const auto challenge = services.workstations.LoginChallenge(*request.workstation, Fixed32(pub));
  if (!challenge) return Answer(services, request, challenge.error());
  return Response::Json(json::serialize(json::object{{"challenge", ToBase64(*challenge)}}));
}

Response CertifyLogin(Services& services, Request& request) {
  JsonReader in(request.body.span());
  const auto pub = in.Bytes("login_noise_pub", 32, 32);
  const auto challenge = in.Bytes("challenge", 32, 32);
  const auto proof = in.Bytes("proof", 32, 32);
  if (const auto bad = in.Finish(); !bad) return Problem(request, bad.error());
  const auto certificate = services.workstations.CertifyLogin(*request.workstation, Fixed32(pub),
                                                              Fixed32(challenge), Fixed32(proof));
  if (!certificate) return Answer(services, request, certificate.error());
  return Response::Json(json::serialize(json::object{{"login_cert", ToBase64(*certificate)}}));
}

struct ProblemReport {
  std::string code, message;
};

Result<ProblemReport> ReadProblem(const Request& request) {
  JsonReader in(request.body.span());
  ProblemReport report;
  report.code = in.Text("code", 1, 64);
  report.message = in.Text("message", 0, 500);
  if (const auto bad = in.Finish(); !bad) return tl::unexpected(bad.error());
  return report;
}

}  // namespace

void WorkstationStreams::Begin(const WorkstationId& id, std::shared_ptr<EventStream> stream) {
  std::shared_ptr<EventStream> former;
  {
    const std::lock_guard lock(mutex_);
    former = std::exchange(streams_[id], std::move(stream));
  }
  if (former) former->Close();
}

void WorkstationStreams::End(const WorkstationId& id, const EventStream* stream) {
  const std::lock_guard lock(mutex_);
  const auto found = streams_.find(id);
  if (found != streams_.end() && found->second.get() == stream) streams_.erase(found);
}

void WorkstationStreams::Close(const WorkstationId& id) {
  std::shared_ptr<EventStream> stream;
  {
    const std::lock_guard lock(mutex_);
    const auto found = streams_.find(id);
    if (found != streams_.end()) stream = found->second;
  }
  if (stream) stream->Close();
}

void AddEnrolmentRoutes(Router& router, Services& services) {
  router.Add({Method::kPost,
              "/api/v1/workstations",
              Access::kPublic,
              [&services](Request& request) { return RegisterWorkstation(services, request); },
              {},
              Body::kJson});
  router.Add({Method::kGet, "/api/v1/workstations/{id}/enrolment", Access::kPublic,
              [&services](Request& request) { return ShowEnrolment(services, request); }});
}

void AddWorkstationRoutes(Router& router, Services& services,
                          std::shared_ptr<WorkstationStreams> streams) {
  const auto post = [&router](std::string pattern, Body body, Handler handler) {
    router.Add(
        {Method::kPost, std::move(pattern), Access::kWorkstation, std::move(handler), {}, body});
  };
  router.Add(
      {Method::kGet, "/workstation/v1/events", Access::kWorkstation,
       [&services, streams](Request& request) { return OpenEvents(services, request, streams); }});
  post("/workstation/v1/keys", Body::kJson,
       [&services](Request& request) { return ReportKeys(services, request); });
  post("/workstation/v1/certificate", Body::kJson,
       [&services](Request& request) { return RenewCertificate(services, request); });
  post("/workstation/v1/login-key", Body::kJson,
       [&services](Request& request) { return ChallengeLogin(services, request); });
  post("/workstation/v1/login-cert", Body::kJson,
       [&services](Request& request) { return CertifyLogin(services, request); });
  post("/workstation/v1/jobs/{id}/spooled", Body::kNone, [&services](Request& request) {
    const auto job = JobId::Parse(request.captures[0]);
    if (!job) return NoSuchThing(request);
    return Done(services, request, services.workstations.Spooled(*request.workstation, *job));
  });
  post("/workstation/v1/jobs/{id}/problem", Body::kJson, [&services](Request& request) {
    const auto job = JobId::Parse(request.captures[0]);
    if (!job) return NoSuchThing(request);
    const auto report = ReadProblem(request);
    if (!report) return Problem(request, report.error());
    return Done(services, request,
                services.workstations.JobProblem(*request.workstation, *job, report->code,
                                                 report->message));
  });
  post("/workstation/v1/receipts", Body::kJson, [&services](Request& request) {
    JsonReader in(request.body.span());
    const auto device = in.Identifier<DeviceId>("device_id");
    const auto receipt = in.Bytes("receipt", 236, 236);
    if (const auto bad = in.Finish(); !bad) return Problem(request, bad.error());
    return Verdict(services, request,
                   services.keys.AcceptReceipt(*request.workstation, device, receipt));
  });
  post("/workstation/v1/enrolments/{id}/statement", Body::kJson, [&services](Request& request) {
    const auto id = EnrolmentId::Parse(request.captures[0]);
    if (!id) return NoSuchThing(request);
    JsonReader in(request.body.span());
    const auto statement = in.Bytes("statement", 325, 325);
    const auto attestation = in.Bytes("attestation", 1, 4096);
    if (const auto bad = in.Finish(); !bad) return Problem(request, bad.error());
    const auto grant =
        services.keys.AcceptStatement(*request.workstation, *id, statement, attestation);
    if (!grant) return Answer(services, request, grant.error());
    json::object body;
    body["grant"] = ToBase64(*grant);
    return Response::Json(json::serialize(body));
  });
  post("/workstation/v1/enrolments/{id}/receipt", Body::kJson, [&services](Request& request) {
    const auto id = EnrolmentId::Parse(request.captures[0]);
    if (!id) return NoSuchThing(request);
    JsonReader in(request.body.span());
    const auto receipt = in.Bytes("receipt", 236, 236);
    if (const auto bad = in.Finish(); !bad) return Problem(request, bad.error());
    return Verdict(services, request,
                   services.keys.FinishEnrolment(*request.workstation, *id, receipt));
  });
  post("/workstation/v1/enrolments/{id}/problem", Body::kJson, [&services](Request& request) {
    const auto id = EnrolmentId::Parse(request.captures[0]);
    if (!id) return NoSuchThing(request);
    const auto report = ReadProblem(request);
    if (!report) return Problem(request, report.error());
    return Done(
        services, request,
        services.keys.EnrolmentProblem(*request.workstation, *id, report->code, report->message));
  });
  post("/workstation/v1/callers/{id}/answer", Body::kJson, [&services](Request& request) {
    const auto id = HelpDeskId::Parse(request.captures[0]);
    if (!id || services.help_desk == nullptr) return NoSuchThing(request);
    JsonReader in(request.body.span());
    const auto assertion =
        in.NullableBytes("assertion", protocol::kAssertionSize, protocol::kAssertionSize);
    if (const auto bad = in.Finish(); !bad) return Problem(request, bad.error());
    const auto verdict = services.help_desk->AnswerTouch(*request.workstation, *id, assertion);
    if (!verdict) return Answer(services, request, verdict.error());
    json::object body;
    body["passed"] = verdict->passed;
    body["reason"] = verdict->reason;
    return Response::Json(json::serialize(body));
  });
  if (services.notices != nullptr) {
    post("/workstation/v1/notices/{number}/not-me", Body::kNone, [&services](Request& request) {
      const auto number = ReadNumber(request.captures[0], "number");
      if (!number) return NoSuchThing(request);
      return Done(services, request, services.notices->ObjectAt(*request.workstation, *number));
    });
  }
  post("/workstation/v1/used", Body::kJson, [&services](Request& request) {
    JsonReader in(request.body.span());
    const auto device = in.Identifier<DeviceId>("device_id");
    const auto seq = in.Integer("seq", 1, INT64_MAX);
    if (const auto bad = in.Finish(); !bad) return Problem(request, bad.error());
    return Done(services, request,
                services.keys.Used(*request.workstation, device, static_cast<std::uint64_t>(seq)));
  });
}

}  // namespace keyferry::server

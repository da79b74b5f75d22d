#include "client-daemon/uplink/uplink.h"

#include <ctime>
#include <utility>

#include "client-daemon/core/approval.h"
#include "client-daemon/core/log.h"
#include "client-daemon/uplink/messages.h"
#include "client-daemon/uplink/sse_parser.h"
#include "client-daemon/uplink/tls_identity.h"

namespace keyferry::daemon {
namespace {

constexpr std::chrono::milliseconds kRequestTimeout{15000};
constexpr std::chrono::milliseconds kGrantTimeout{30000};
constexpr std::chrono::milliseconds kLoginTimeout{2000};

std::string WithDetail(const Error& error) {
  return error.detail.empty() ? error.message : error.message + " [" + error.detail + "]";
}

}  // namespace

Uplink::Uplink(UplinkSettings settings, IdentityStore& identity, Outbox& outbox,
               ServerEvents& events)
    : settings_(std::move(settings)), identity_(identity), outbox_(outbox), events_(events) {}

Uplink::~Uplink() { Stop(); }

Result<void> Uplink::Start() {
  if (auto finished = FinishRenewal(identity_.TlsKeyFile(), identity_.TlsCertificateFile());
      !finished) {
    return finished;
  }
  auto tls = LoadOrMakeTlsKey(identity_.TlsKeyFile(), settings_.name);
  if (!tls) return tl::unexpected(tls.error());
  csr_ = std::move(tls->csr_pem);
  {
    const std::scoped_lock lock(mutex_);
    status_.fingerprint = std::move(tls->fingerprint);
    status_.since = std::time(nullptr);
  }
  event_thread_ = std::thread([this] { EventLoop(); });
  post_thread_ = std::thread([this] { PostLoop(); });
  renew_thread_ = std::thread([this] { RenewLoop(); });
  return {};
}

void Uplink::Stop() {
  {
    const std::scoped_lock lock(mutex_);
    stopped_ = true;
    changed_.notify_all();
  }
  event_client_.Stop();
  post_client_.Stop();
  grant_client_.Stop();
  login_client_.Stop();
  notice_client_.Stop();
  renew_client_.Stop();
  caller_client_.Stop();
  outbox_.Stop();
  if (event_thread_.joinable()) event_thread_.join();
  if (post_thread_.joinable()) post_thread_.join();
  if (renew_thread_.joinable()) renew_thread_.join();
}

void Uplink::AgentKeyChanged() {
  const std::scoped_lock lock(mutex_);
  nudged_ = true;
  changed_.notify_all();
}

UplinkStatus Uplink::Status() const {
  const std::scoped_lock lock(mutex_);
  return status_;
}

void Uplink::SetState(UplinkState state, const std::string& error) {
  UplinkState before;
  std::string error_before;
  {
    const std::scoped_lock lock(mutex_);
    before = std::exchange(status_.state, state);
    error_before = std::exchange(status_.last_error, error);
    if (before != state) status_.since = std::time(nullptr);
    changed_.notify_all();
  }
  if (before == state && error_before == error) return;
  Log(error.empty() ? LogLevel::kInfo : LogLevel::kWarning,
      "server: " + std::string(Name(state)) + (error.empty() ? "" : ": " + error));
}

bool Uplink::stopped() const {
  const std::scoped_lock lock(mutex_);
  return stopped_;
}

bool Uplink::Sleep(std::chrono::milliseconds time) {
  std::unique_lock lock(mutex_);
  changed_.wait_for(lock, time, [this] { return stopped_ || nudged_; });
  nudged_ = false;
  return !stopped_;
}

void Uplink::EventLoop() {
  if (!identity_.GetApproval()) WaitForAgent();
  while (!stopped()) {
    if (identity_.GetApproval()) {
      StreamOnce();
    } else if (RegisterIfNeeded()) {
      PollOnce();
    }
  }
}

// The login agent starts beside us; one request with both hop keys spares the administrator a
// second approval.
void Uplink::WaitForAgent() {
  const auto until = std::chrono::steady_clock::now() + settings_.agent_wait;
  std::unique_lock lock(mutex_);
  changed_.wait_until(lock, until,
                      [this] { return stopped_ || identity_.LoginPublic().has_value(); });
}

// True when there is a request that the server knows. Waits before it returns false.
bool Uplink::RegisterIfNeeded() {
  const auto login = identity_.LoginPublic();
  const auto known = identity_.GetRegistration();
  if (known && known->login_noise_pub == login && known->server_url == settings_.server_url) {
    return true;
  }
  event_client_.SetTls({settings_.server_ca, "", ""});
  HttpRequest request;
  request.method = "POST";
  request.url = settings_.server_url + "/api/v1/workstations";
  request.body =
      FormatRegistration(settings_.name, csr_, identity_.HopPublic(), login, settings_.domain);
  auto response = event_client_.Send(request, kRequestTimeout);
  if (response && response->status == 400 && settings_.domain) {  // a server of the version before
    request.body =
        FormatRegistration(settings_.name, csr_, identity_.HopPublic(), login, std::nullopt);
    response = event_client_.Send(request, kRequestTimeout);
  }
  if (!response) {
    if (!stopped()) SetState(UplinkState::kOffline, WithDetail(response.error()));
  } else if (response->status != 201) {
    SetState(UplinkState::kOffline, ParseProblem(response->status, response->body).detail);
  } else if (const auto answer = ParseRegistrationAnswer(response->body); !answer) {
    SetState(UplinkState::kOffline, answer.error().message);
  } else {
    const auto saved = identity_.SetRegistration(
        {answer->workstation, answer->poll_token, login, settings_.server_url});
    if (saved) {
      stream_backoff_.Reset();
      SetState(UplinkState::kPending);
      Log(LogLevel::kInfo, "workstation " + Hex(answer->workstation) +
                               " waits for approval; fingerprint " + Status().fingerprint);
      return true;
    }
    SetState(UplinkState::kOffline, WithDetail(saved.error()));
  }
  Sleep(stream_backoff_.Next());
  return false;
}

void Uplink::PollOnce() {
  const auto registration = identity_.GetRegistration();
  if (!registration) return;
  event_client_.SetTls({settings_.server_ca, "", ""});
  HttpRequest request;
  request.url = settings_.server_url + "/api/v1/workstations/" + Hex(registration->workstation) +
                "/enrolment";
  request.bearer = registration->poll_token;
  const auto response = event_client_.Send(request, kRequestTimeout);
  if (!response) {
    if (!stopped()) SetState(UplinkState::kOffline, WithDetail(response.error()));
    Sleep(stream_backoff_.Next());
    return;
  }
  stream_backoff_.Reset();
  auto wait = settings_.poll;
  if (response->retry_after >= 0) wait = std::chrono::seconds(response->retry_after);
  if (response->status == 200) {
    auto taken = TakeApproval(*registration, response->body);
    if (taken && identity_.GetApproval()) return;
    if (!taken) SetState(UplinkState::kPending, WithDetail(taken.error()));
    if (Status().state == UplinkState::kRevoked) wait = settings_.revoked;
  } else if (response->status == 404 || response->status == 401) {
    Log(LogLevel::kWarning, "the server no longer knows our request; asking again");
    if (auto gone = identity_.ForgetRegistration(); !gone) {
      SetState(UplinkState::kOffline, WithDetail(gone.error()));
    }
  } else {
    SetState(UplinkState::kOffline, ParseProblem(response->status, response->body).detail);
    wait = std::max(wait, settings_.poll);
  }
  Sleep(wait);
}

Result<void> Uplink::TakeApproval(const Registration& registration, std::string_view body) {
  auto answer = ParseEnrolmentAnswer(body);
  if (!answer) return tl::unexpected(answer.error());
  if (answer->state == EnrolmentAnswer::kPending) {
    SetState(UplinkState::kPending);
    return {};
  }
  if (answer->state == EnrolmentAnswer::kRevoked) {
    SetState(UplinkState::kRevoked,
             "An administrator refused or revoked this workstation; ask for a new approval.");
    return {};
  }
  Approval& approval = answer->approval;
  approval.workstation = registration.workstation;
  const auto checked = CheckCertificates(approval.certificates, approval.root, approval.workstation,
                                         identity_.HopPublic(), registration.login_noise_pub);
  if (!checked) return checked;
  if (auto own = CheckCertificate(answer->certificate_pem, identity_.TlsKeyFile()); !own) {
    return own;
  }
  if (approval.daemon_url.substr(0, 8) != "https://") {
    return Fail(ErrorCode::kProtocol, "The server named a daemon address that is not https.");
  }
  if (auto saved = identity_.SetApproval(approval, answer->certificate_pem); !saved) return saved;
  Log(LogLevel::kInfo, "approved as workstation " + Hex(approval.workstation));
  return identity_.ForgetRegistration();
}

void Uplink::StreamOnce() {
  const auto approval = identity_.GetApproval();
  SetState(UplinkState::kConnecting, Status().last_error);
  event_client_.SetTls(OwnTls());
  bool said_hello = false;
  std::optional<Error> failure;
  SseParser parser([&](ServerEvent event) {
    if (failure) return;
    if (event.name == "hello") {
      if (auto hello = OnHello(event.data); !hello) {
        failure = hello.error();
      } else {
        said_hello = true;
        stream_backoff_.Reset();
      }
    } else if (said_hello) {
      if (auto taken = Dispatch(event.name, event.data); !taken) {
        Log(LogLevel::kError, "event `" + event.name + "`: " + WithDetail(taken.error()));
      }
    }
  });
  HttpRequest request;
  request.url = approval->daemon_url + "/workstation/v1/events";
  const auto response =
      event_client_.Stream(request, settings_.silence, [&](std::string_view data) {
        if (auto fed = parser.Feed(data); !fed) failure = fed.error();
        return !failure;
      });
  if (stopped()) return;
  auto wait = stream_backoff_.Next();
  if (failure) {
    SetState(UplinkState::kOffline, WithDetail(*failure));
  } else if (!response) {
    SetState(UplinkState::kOffline, WithDetail(response.error()));
  } else if (response->status == 200) {
    SetState(UplinkState::kOffline, "The server ended the connection.");
  } else {
    const Problem problem = ParseProblem(response->status, response->body);
    if (problem.code == "workstation_revoked") {
      SetState(UplinkState::kRevoked, problem.detail);
      wait = settings_.revoked;
    } else {
      SetState(UplinkState::kOffline, problem.detail);
      if (problem.code == "workstation_too_old") wait = settings_.revoked;
    }
  }
  Sleep(wait);
}

Result<void> Uplink::OnHello(const std::string& data) {
  const auto certificates = ParseHello(data);
  if (!certificates) return tl::unexpected(certificates.error());
  const auto approval = identity_.GetApproval();
  // The login key may have changed since; its certificate is for the agent to judge.
  if (auto checked = CheckCertificates(*certificates, approval->root, approval->workstation,
                                       identity_.HopPublic(), std::nullopt);
      !checked) {
    return checked;
  }
  if (auto saved = identity_.SetCertificates(*certificates); !saved) return saved;
  SetState(UplinkState::kConnected);
  events_.OnConnected(*certificates);
  return {};
}

Result<void> Uplink::Dispatch(const std::string& name, const std::string& data) {
  if (name == "key") {
    const auto event = ParseKeyEvent(data);
    if (!event) return tl::unexpected(event.error());
    events_.OnKey(*event);
  } else if (name == "job") {
    const auto event = ParseJobEvent(data);
    if (!event) return tl::unexpected(event.error());
    events_.OnJob(*event);
  } else if (name == "void") {
    const auto event = ParseVoidEvent(data);
    if (!event) return tl::unexpected(event.error());
    events_.OnVoid(*event);
  } else if (name == "enrol") {
    const auto event = ParseEnrolEvent(data);
    if (!event) return tl::unexpected(event.error());
    events_.OnEnrol(*event);
  } else if (name == "alarm") {
    const auto event = ParseAlarmEvent(data);
    if (!event) return tl::unexpected(event.error());
    events_.OnAlarm(*event);
  } else if (name == "caller") {
    const auto event = ParseCallerEvent(data);
    if (!event) return tl::unexpected(event.error());
    events_.OnCaller(*event);
  } else if (name == "caller-over") {
    const auto request = ParseCallerOver(data);
    if (!request) return tl::unexpected(request.error());
    events_.OnCallerOver(*request);
  } else if (name == "notice") {
    const auto event = ParseNoticeEvent(data);
    if (!event) return tl::unexpected(event.error());
    events_.OnNotice(*event);
  }  // `ping`, and what a newer server may add
  return {};
}

TlsSettings Uplink::OwnTls() const {
  return {settings_.server_ca, identity_.TlsCertificateFile(), identity_.TlsKeyFile(),
          generation_.load()};
}

void Uplink::RenewLoop() {
  while (true) {
    {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [this] { return stopped_ || status_.state == UplinkState::kConnected; });
      if (stopped_) return;
    }
    auto pause = settings_.look_at_certificate;
    if (CertificateDue(identity_.TlsCertificateFile(), std::time(nullptr))) {
      if (const auto renewed = Renew(); !renewed) {
        if (stopped()) return;
        Log(LogLevel::kWarning,
            "this workstation's certificate was not renewed: " + WithDetail(renewed.error()));
        pause = settings_.renew_again;
      } else {
        Log(LogLevel::kInfo, "this workstation's key and certificate were renewed");
      }
    }
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, pause, [this] { return stopped_; });
    if (stopped_) return;
  }
}

Result<void> Uplink::Renew() {
  const auto approval = identity_.GetApproval();
  if (!approval) return Fail(ErrorCode::kConflict, "This workstation is not approved yet.");
  const auto request = PrepareRenewal(identity_.TlsKeyFile(), settings_.name);
  if (!request) return tl::unexpected(request.error());
  const PostRequest question = FormatRenewal(request->csr_pem);
  renew_client_.SetTls(OwnTls());
  const auto response = renew_client_.Send(
      {"POST", approval->daemon_url + question.path, question.body, ""}, kRequestTimeout);
  if (!response) return tl::unexpected(response.error());
  if (response->status != 200) {
    return Fail(ErrorCode::kPermissionDenied,
                ParseProblem(response->status, response->body).detail);
  }
  const auto pem = ParseRenewal(response->body);
  if (!pem) return tl::unexpected(pem.error());
  if (auto done = CompleteRenewal(*pem, identity_.TlsKeyFile(), identity_.TlsCertificateFile());
      !done) {
    return done;
  }
  ++generation_;
  const std::scoped_lock lock(mutex_);
  status_.fingerprint = request->fingerprint;
  return {};
}

void Uplink::PostLoop() {
  Backoff backoff;
  while (const auto post = outbox_.Wait()) {
    {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [this] { return stopped_ || status_.state == UplinkState::kConnected; });
      if (stopped_) return;
    }
    if (TryPost(*post) == PostOutcome::kDone) {
      outbox_.Done(*post);
      backoff.Reset();
    } else {
      std::unique_lock lock(mutex_);
      changed_.wait_for(lock, backoff.Next(), [this] { return stopped_; });
    }
  }
}

Uplink::PostOutcome Uplink::TryPost(const Post& post) {
  const auto approval = identity_.GetApproval();
  if (!approval) return PostOutcome::kAgain;
  post_client_.SetTls(OwnTls());
  const PostRequest formatted = FormatPost(post);
  const auto response = post_client_.Send(
      {"POST", approval->daemon_url + formatted.path, formatted.body, ""}, kRequestTimeout);
  if (!response) {
    Log(LogLevel::kWarning, "POST " + formatted.path + ": " + WithDetail(response.error()));
    return PostOutcome::kAgain;
  }
  const int status = response->status;
  if (status == 401 || status == 403 || status == 408 || status == 425 || status == 429 ||
      status >= 500) {
    Log(LogLevel::kWarning,
        "POST " + formatted.path + ": " + ParseProblem(status, response->body).detail);
    return PostOutcome::kAgain;
  }
  PostResult result;
  if (status < 200 || status >= 300) {
    result.refused = ParseProblem(status, response->body).detail;
  } else if (post.kind == Post::kReceipt || post.kind == Post::kEnrolmentReceipt) {
    const auto verdict = ParseVerdict(response->body);
    if (!verdict) {
      Log(LogLevel::kWarning, "POST " + formatted.path + ": " + verdict.error().message);
      return PostOutcome::kAgain;
    }
    if (verdict->kind == Verdict::kRefused) {
      result.refused = verdict->reason.empty() ? "The server gave no reason." : verdict->reason;
    }
  }
  events_.OnPosted(post, result);
  return PostOutcome::kDone;
}

Result<std::array<std::uint8_t, 204>> Uplink::AskForGrant(
    const Id& enrolment, std::span<const std::uint8_t> statement,
    std::span<const std::uint8_t> attestation) {
  const auto approval = identity_.GetApproval();
  if (!approval) return Fail(ErrorCode::kConflict, "This workstation is not approved yet.");
  const PostRequest formatted = FormatStatement(enrolment, statement, attestation);
  const std::scoped_lock lock(grant_mutex_);
  grant_client_.SetTls(OwnTls());
  const auto response = grant_client_.Send(
      {"POST", approval->daemon_url + formatted.path, formatted.body, ""}, kGrantTimeout);
  if (!response) return tl::unexpected(response.error());
  if (response->status != 200) {
    return Fail(ErrorCode::kPermissionDenied,
                "The server refused the key's enrolment: " +
                    ParseProblem(response->status, response->body).detail);
  }
  return ParseGrant(response->body);
}

Result<HttpResponse> Uplink::AskAboutLogin(const NoisePublic& login_noise_pub,
                                           const PostRequest& question) {
  const auto approval = identity_.GetApproval();
  if (!approval || Status().state != UplinkState::kConnected) {
    return Fail(ErrorCode::kUnavailable, "The server cannot be asked now.");
  }
  const std::scoped_lock lock(login_mutex_);
  const auto now = std::chrono::steady_clock::now();
  if (login_refused_ == login_noise_pub && now < login_again_) {
    return Fail(ErrorCode::kUnavailable, "The server refused this key a moment ago.");
  }
  login_client_.SetTls(OwnTls());
  auto response = login_client_.Send(
      {"POST", approval->daemon_url + question.path, question.body, ""}, kLoginTimeout);
  if (!response) return response;
  if (response->status == 200) return response;
  login_refused_ = login_noise_pub;
  login_again_ = now + settings_.login_refused;
  const std::string words = ParseProblem(response->status, response->body).detail;
  Log(LogLevel::kWarning, "the login agent's key is not certified: " + words);
  return Fail(ErrorCode::kUnavailable, words);
}

Result<void> Uplink::SayNotMe(std::uint64_t number) {
  const auto approval = identity_.GetApproval();
  if (!approval || Status().state != UplinkState::kConnected) {
    return Fail(
        ErrorCode::kUnavailable,
        "The server cannot be asked now; use the link of the mail, or call your help desk.");
  }
  const std::scoped_lock lock(notice_mutex_);
  notice_client_.SetTls(OwnTls());
  const auto response = notice_client_.Send(
      {"POST",
       approval->daemon_url + "/workstation/v1/notices/" + std::to_string(number) + "/not-me", "",
       ""},
      kRequestTimeout);
  if (!response) return tl::unexpected(response.error());
  if (response->status == 204) return {};
  return Fail(response->status == 404 ? ErrorCode::kNotFound : ErrorCode::kUnavailable,
              ParseProblem(response->status, response->body).detail);
}

Result<NoisePublic> Uplink::AskForChallenge(const NoisePublic& login_noise_pub) {
  const auto response = AskAboutLogin(login_noise_pub, FormatChallengeRequest(login_noise_pub));
  if (!response) return tl::unexpected(response.error());
  return ParseChallenge(response->body);
}

Result<std::array<std::uint8_t, 144>> Uplink::AskForLoginCert(
    const NoisePublic& login_noise_pub, const NoisePublic& challenge,
    const std::array<std::uint8_t, 32>& proof) {
  const auto response =
      AskAboutLogin(login_noise_pub, FormatLoginProof(login_noise_pub, challenge, proof));
  if (!response) return tl::unexpected(response.error());
  return ParseLoginCert(response->body);
}

Result<CallerVerdict> Uplink::AnswerCaller(
    const Id& request, const std::optional<std::array<std::uint8_t, 172>>& assertion) {
  const auto approval = identity_.GetApproval();
  if (!approval || Status().state != UplinkState::kConnected) {
    return Fail(ErrorCode::kUnavailable, "The server cannot be asked now; try again.");
  }
  const PostRequest answer = FormatCallerAnswer(request, assertion);
  const std::scoped_lock lock(caller_mutex_);
  caller_client_.SetTls(OwnTls());
  const auto response = caller_client_.Send(
      {"POST", approval->daemon_url + answer.path, answer.body, ""}, kLoginTimeout);
  if (!response) return tl::unexpected(response.error());
  if (response->status == 200) return ParseCallerVerdict(response->body);
  const std::string words = ParseProblem(response->status, response->body).detail;
  if (response->status == 429 || response->status >= 500) {
    return Fail(ErrorCode::kUnavailable, words);
  }
  return CallerVerdict{false, words};
}

}  // namespace keyferry::daemon

#include "client-daemon/core/key_broker.h"

#include <algorithm>
#include <ctime>
#include <utility>

#include "client-daemon/core/log.h"

namespace keyferry::daemon {

using SteadyClock = std::chrono::steady_clock;

namespace {

constexpr auto kNever = SteadyClock::time_point::max();
constexpr std::chrono::seconds kChannelPatience{1};
constexpr Id kProofItself{};  // among the attempts
// Statuses up to this one speak of the job's form, later ones of the key's condition.
constexpr auto kUnreadable = protocol::Status::kUnsupportedSuite;

}  // namespace

// A relay's channel. When it closes, the state of the key may have changed (a PIN was set, say).
class KeyBroker::RelayLink final : public device::MessageLink {
 public:
  RelayLink(std::unique_ptr<device::MessageLink> link, std::shared_ptr<Signals> signals,
            std::string who, std::shared_ptr<const Alarm> alarm)
      : link_(std::move(link)),
        signals_(std::move(signals)),
        who_(std::move(who)),
        alarm_(std::move(alarm)) {}
  ~RelayLink() override {
    link_.reset();
    const std::scoped_lock lock(signals_->mutex);
    signals_->refresh = true;
    ++signals_->relays_ended;
    signals_->changed.notify_all();
  }

  Result<device::Message> Transact(std::uint8_t command, std::span<const std::uint8_t> payload,
                                   const device::Patience& patience,
                                   const device::KeepaliveHandler& on_keepalive) override {
    if (alarm_->Stands()) return Fail(ErrorCode::kUnavailable, kAlarmSentence);
    bool asked = false;
    auto answer = link_->Transact(command, payload, patience, [&](device::Keepalive keepalive) {
      if (keepalive == device::Keepalive::kTouchNeeded && !std::exchange(asked, true)) {
        const std::scoped_lock lock(signals_->mutex);
        signals_->touch = who_;
      }
      if (on_keepalive) on_keepalive(keepalive);
    });
    if (asked) {  // one command is under way on a key at a time, so this was ours
      const std::scoped_lock lock(signals_->mutex);
      signals_->touch.clear();
    }
    // What came while it was raised is not handed on: it may be a password.
    if (alarm_->Stands()) return Fail(ErrorCode::kUnavailable, kAlarmSentence);
    return answer;
  }
  Result<void> Post(std::uint8_t command, std::span<const std::uint8_t> payload) override {
    return link_->Post(command, payload);
  }
  device::TransportKind Kind() const override { return link_->Kind(); }

 private:
  std::unique_ptr<device::MessageLink> link_;
  const std::shared_ptr<Signals> signals_;
  const std::string who_;
  const std::shared_ptr<const Alarm> alarm_;
};

KeyBroker::KeyBroker(device::KeyPlace place, device::OpenPort open, BrokerHost& host,
                     BrokerPauses pauses)
    : place_(std::move(place)), open_(std::move(open)), host_(host), pauses_(pauses) {}

KeyBroker::~KeyBroker() {
  {
    const std::scoped_lock lock(signals_->mutex);
    signals_->stopping = true;
    signals_->changed.notify_all();
  }
  std::shared_ptr<device::KeyPort> port;
  {
    const std::scoped_lock lock(mutex_);
    port = port_;
  }
  if (port) port->Close();  // ends a transaction that is waiting
  if (thread_.joinable()) thread_.join();
}

void KeyBroker::Start() {
  thread_ = std::thread([this] { Run(); });
}

void KeyBroker::Wake() {
  const std::scoped_lock lock(signals_->mutex);
  signals_->woken = true;
  signals_->changed.notify_all();
}

void KeyBroker::Reconsider() {
  const std::scoped_lock lock(signals_->mutex);
  signals_->reconsider = true;
  signals_->changed.notify_all();
}

KeyReport KeyBroker::Report() const {
  KeyReport out;
  {
    const std::scoped_lock lock(signals_->mutex);
    out.touch = signals_->touch;
  }
  const std::scoped_lock lock(mutex_);
  out.path = place_.path;
  out.seen = seen_;
  out.last_delivery = last_delivery_;
  out.standing = shown_standing_;
  out.trouble = trouble_;
  return out;
}

std::optional<SeenKey> KeyBroker::Seen() const {
  const std::scoped_lock lock(mutex_);
  return seen_;
}

Result<RelayGrant> KeyBroker::OpenRelay(const std::string& who) {
  std::shared_ptr<device::KeyPort> port;
  RelayGrant grant;
  {
    const std::scoped_lock lock(mutex_);
    if (!port_ || !seen_) return Fail(ErrorCode::kNotFound, "The security key is not plugged in.");
    port = port_;
    grant.device = seen_->device;
    grant.transport = seen_->transport;
    grant.path = place_.path;
    grant.info = info_;
  }
  const auto until = SteadyClock::now() + kChannelPatience;
  Result<std::unique_ptr<device::MessageLink>> link;
  while (true) {
    std::size_t ended = 0;
    {
      const std::scoped_lock lock(signals_->mutex);
      ended = signals_->relays_ended;
    }
    link = port->OpenLink({});
    if (link || link.error().code != ErrorCode::kRateLimited) break;
    std::unique_lock lock(signals_->mutex);
    const bool freed = signals_->changed.wait_until(
        lock, until, [&] { return signals_->stopping || signals_->relays_ended != ended; });
    if (!freed || signals_->stopping) break;
  }
  if (!link) return tl::unexpected(link.error());
  grant.link = std::make_unique<RelayLink>(*std::move(link), signals_, who, host_.alarm());
  return grant;
}

bool KeyBroker::stopping() const {
  const std::scoped_lock lock(signals_->mutex);
  return signals_->stopping;
}

bool KeyBroker::Pause(SteadyClock::time_point next) {
  std::unique_lock lock(signals_->mutex);
  const auto ready = [this] {
    return signals_->stopping || signals_->woken || signals_->refresh || signals_->reconsider ||
           signals_->gone;
  };
  if (next == kNever) {
    signals_->changed.wait(lock, ready);
  } else {
    signals_->changed.wait_until(lock, next, ready);
  }
  return !signals_->stopping && !signals_->gone;
}

void KeyBroker::SetTrouble(const std::string& trouble) {
  {
    const std::scoped_lock lock(mutex_);
    if (trouble_ == trouble) return;
    trouble_ = trouble;
  }
  if (!trouble.empty()) Log(LogLevel::kWarning, "key at " + place_.path + ": " + trouble);
}

// As long as the path is there the key may come: a simulator that restarts, a device that is still
// setting itself up. One that leaves again at once, or misbehaves, is met with growing pauses.
void KeyBroker::Run() {
  auto pause = pauses_.attach_first;
  while (!stopping()) {
    {
      const std::scoped_lock lock(signals_->mutex);
      signals_->gone.reset();
    }
    const auto began = SteadyClock::now();
    const auto attached = Attach();
    if (attached) {
      Serve();
    } else if (attached.error().code != ErrorCode::kUnavailable) {
      SetTrouble(attached.error().message);
    }
    Detach();
    bool misbehaved = false;
    {
      const std::scoped_lock lock(signals_->mutex);
      misbehaved = signals_->gone && signals_->gone->code == ErrorCode::kProtocol;
      if (misbehaved) SetTrouble(signals_->gone->message);
      signals_->gone.reset();
      signals_->woken = signals_->refresh = signals_->reconsider = false;
    }
    if (!misbehaved && SteadyClock::now() - began > pauses_.attach_longest) {
      pause = pauses_.attach_first;
    }
    Pause(SteadyClock::now() + pause);
    pause = std::min(pause * 2, misbehaved ? pauses_.longest : pauses_.attach_longest);
  }
}

Result<void> KeyBroker::Attach() {
  auto opened = open_(place_, [signals = signals_](const Error& why) {
    const std::scoped_lock lock(signals->mutex);
    signals->gone = why;
    signals->changed.notify_all();
  });
  if (!opened) return tl::unexpected(opened.error());
  const auto port = *std::move(opened);
  {
    const std::scoped_lock lock(mutex_);
    port_ = port;
  }
  if (stopping()) return Fail(ErrorCode::kUnavailable, "Stopped.");
  auto link = port->OpenLink({});
  if (!link) return tl::unexpected(link.error());
  client_ = std::make_unique<device::KeyClient>(*std::move(link));
  const auto info = client_->ReadInfo();
  if (!info) return tl::unexpected(info.error());
  {
    const std::scoped_lock lock(mutex_);
    seen_ = SeenKey{info->device_id, 0, place_.transport, info->firmware, info->simulator};
  }
  TakeInfo(*info);
  Log(LogLevel::kInfo, "key " + Hex(info->device_id) + " attached at " + place_.path);
  // Already now, so that who asks for the key waits for its proof.
  Stand(host_.Claim(info->device_id, place_, proof_));
  return {};
}

void KeyBroker::TakeInfo(const protocol::Info& info) {
  const std::scoped_lock lock(mutex_);
  seen_->state = static_cast<int>(info.state);
  seen_->firmware = info.firmware;
  info_ = client_->info_bytes();
}

void KeyBroker::Detach() {
  client_.reset();
  session_identity_.reset();
  attempts_.clear();
  proof_ = Proof::kPending;
  compared_.reset();
  standing_.reset();
  std::optional<SeenKey> was;
  std::shared_ptr<device::KeyPort> port;
  {
    const std::scoped_lock lock(mutex_);
    was = std::exchange(seen_, std::nullopt);
    shown_standing_.clear();
    port = std::exchange(port_, nullptr);
  }
  if (port) port->Close();
  if (was) {
    Log(LogLevel::kInfo, "key " + Hex(was->device) + " gone from " + place_.path);
    host_.Release(place_.path);
    host_.KeysChanged();
  }
}

void KeyBroker::Serve() {
  while (true) {
    bool refresh = false;
    {
      const std::scoped_lock lock(signals_->mutex);
      if (signals_->stopping || signals_->gone) return;
      refresh = std::exchange(signals_->refresh, false);
      signals_->reconsider = false;
      if (std::exchange(signals_->woken, false)) {
        for (auto& [id, attempts] : attempts_) {
          attempts.parked = false;
          attempts.next = {};
        }
      }
    }
    if (refresh) RefreshInfo();
    const auto next = Step();
    if (next > SteadyClock::now() && !Pause(next)) return;
  }
}

void KeyBroker::RefreshInfo() {
  const auto before = client_->info();
  const auto info = client_->ReadInfo();
  if (!info) return;  // a key that is gone says so elsewhere
  if (info->device_id != before->device_id) {
    SetTrouble("The security key changed its number; it is not used any more.");
    const std::scoped_lock lock(signals_->mutex);
    signals_->gone = Error{ErrorCode::kProtocol, "The security key changed its number.", {}, 0};
    return;
  }
  TakeInfo(*info);
  if (info->state != before->state || info->firmware != before->firmware) host_.KeysChanged();
}

bool KeyBroker::Due(const Id& work, SteadyClock::time_point& next) const {
  const auto known = attempts_.find(work);
  if (known == attempts_.end()) return true;
  if (known->second.next <= SteadyClock::now()) return true;
  next = std::min(next, known->second.next);
  return false;
}

void KeyBroker::Stand(Standing standing) {
  if (standing_ == standing) return;
  const auto before = std::exchange(standing_, standing);
  {
    const std::scoped_lock lock(mutex_);
    shown_standing_ = Name(standing);
  }
  switch (standing) {
    case Standing::kFrozen:
      SetTrouble(
          "Two security keys with the same number are plugged in; one is a copy. Unplug both and "
          "tell the administrator.");
      break;
    case Standing::kDoubted:
      SetTrouble(
          "Two security keys with the same number are plugged in; the other one proved to be the "
          "organisation's, this one is a copy or a fake. Unplug this one and tell the "
          "administrator.");
      break;
    default:
      if (before == Standing::kFrozen || before == Standing::kDoubted) SetTrouble("");
  }
  host_.KeysChanged();
}

SteadyClock::time_point KeyBroker::Step() {
  const Id device = Seen()->device;
  const auto next = Prove(device);
  Stand(host_.Claim(device, place_, proof_));
  if (standing_ == Standing::kActive) return std::min(next, WorkOnce());
  client_->Close();
  session_identity_.reset();
  if (standing_ == Standing::kFrozen) TellFrozen(device);
  return next;
}

SteadyClock::time_point KeyBroker::WorkOnce() {
  const Id device = Seen()->device;
  auto next = kNever;
  if (host_.alarm()->Stands()) return next;
  if (const auto enrolment = host_.Enrolment(device)) {
    auto& attempts = attempts_[enrolment->enrolment];
    if (!attempts.parked) {
      if (!Due(enrolment->enrolment, next)) return next;
      const auto done = Enrol(*enrolment);
      client_->Close();
      session_identity_.reset();
      if (done) {
        attempts_.erase(enrolment->enrolment);
        host_.EnrolmentDone(*enrolment);
        SetTrouble("");
      } else {
        Failed(attempts, done.error(), Post::kEnrolmentProblem, enrolment->enrolment);
      }
      RefreshInfo();
      return SteadyClock::now();
    }
  }
  const auto known = host_.Known(device);
  if (!known) return next;  // what may be in the spool waits for the proof of who this key is
  for (const SpooledJob& job : host_.spool().JobsOf(device)) {
    auto& attempts = attempts_[job.job];
    if (attempts.parked) continue;         // the key cannot even read it
    if (!Due(job.job, next)) return next;  // later jobs keep their place behind it
    if (const auto done = Deliver(job, *known); !done) {
      Failed(attempts, done.error(), Post::kJobProblem, job.job);
    } else {
      attempts_.erase(job.job);
      SetTrouble("");
      RefreshInfo();
    }
    return SteadyClock::now();
  }
  return next;
}

// Three quick tries, then pauses that double. A job that the key cannot read steps aside for those
// behind it, any other keeps its place; the server learns each new reason once.
void KeyBroker::Failed(Attempts& attempts, const Error& error, Post::Kind kind, const Id& id) {
  ++attempts.failures;
  const auto status = static_cast<protocol::Status>(error.key_status);
  auto pause = std::chrono::milliseconds(0);
  if (attempts.failures > 3) {
    const int doublings = std::min(attempts.failures - 4, 16);
    pause = std::min(pauses_.longest, pauses_.first * (1 << doublings));
  }
  std::string code = "key_unreachable";
  bool tell = attempts.failures > 3;
  switch (error.code) {
    case ErrorCode::kKeyRefused:
      code = "key_" + std::string(protocol::Name(status));
      std::transform(code.begin(), code.end(), code.begin(),
                     [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
      tell = true;
      if (status == protocol::Status::kTouchTimeout || status == protocol::Status::kCancelled) {
        pause = std::max(pause, pauses_.first * 5);
      } else {
        pause = pauses_.longest;
        attempts.parked = kind == Post::kEnrolmentProblem || status <= kUnreadable;
      }
      break;
    case ErrorCode::kPermissionDenied:
      code = "certificate_refused";
      tell = true;
      pause = pauses_.longest;
      attempts.parked = kind == Post::kEnrolmentProblem;
      break;
    case ErrorCode::kInvalidArgument:
    case ErrorCode::kConflict:
      code = "not_possible";
      break;
    case ErrorCode::kProtocol:
      code = "key_misbehaves";
      tell = true;
      pause = std::max(pause, pauses_.first);
      break;
    case ErrorCode::kIo:
      code = "disk";
      tell = true;
      pause = std::max(pause, pauses_.first);
      break;
    default:
      break;
  }
  attempts.next = SteadyClock::now() + pause;
  if (error.code != ErrorCode::kUnavailable) SetTrouble(error.message);
  Log(LogLevel::kDebug, "key at " + place_.path + ": " + code + ": " + error.message +
                            (error.detail.empty() ? "" : " [" + error.detail + "]"));
  if (tell) Tell(attempts, code, error.message, kind, id);
}

// To the server, each new reason once.
void KeyBroker::Tell(Attempts& attempts, const std::string& code, const std::string& message,
                     Post::Kind kind, const Id& id) {
  if (attempts.told == code || id == kProofItself) return;
  attempts.told = code;
  Post post;
  post.kind = kind;
  post.id = id;
  post.code = code;
  post.message = message;
  host_.outbox().Put(std::move(post));
}

}  // namespace keyferry::daemon

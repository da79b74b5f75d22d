#include "client-daemon/agent/login_attempt.h"

#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "client-daemon/core/log.h"

namespace keyferry::daemon::login {
namespace {

using protocol::KeyState;
using protocol::Status;

std::string TriesLeft(std::uint8_t tries) {
  return std::to_string(tries) + (tries == 1 ? " try left" : " tries left");
}

const char* Name(Purpose purpose) {
  switch (purpose) {
    case Purpose::kLogin:
      return "login";
    case Purpose::kUnlock:
      return "unlock";
    case Purpose::kPinSet:
      return "pin set";
    case Purpose::kPinChange:
      return "pin change";
    case Purpose::kCaller:
      return "answer to the help desk";
    case Purpose::kConfirm:
      break;
  }
  return "confirm";
}

constexpr const char* kLockedSentence =
    "The security key is locked after too many wrong PINs; ask your administrator to unlock it.";
constexpr const char* kCodeLockedSentence =
    "Too many wrong activation codes; ask your administrator for a new one.";
constexpr const char* kBlockedSentence =
    "Three wrong PINs in a row: pull the security key out, plug it in and try again";
constexpr const char* kUntrustedSentence =
    "This security key could not prove that your organisation enrolled it; nothing was sent to it.";
constexpr const char* kPinLengthSentence = "A PIN has 4 to 63 characters.";

}  // namespace

bool SameLogin(std::string_view a, std::string_view b) {
  const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; };
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [&](char x, char y) { return lower(x) == lower(y); });
}

LoginAttempt::LoginAttempt(int fd, uid_t uid, const Services& services, const AttemptLimits& limits)
    : fd_(fd),
      uid_(uid),
      services_(services),
      limits_(limits),
      budget_(limits.work),
      buffer_(kMaxMessage) {}

LoginAttempt::~LoginAttempt() = default;

std::string LoginAttempt::KeyName(const Id& device) { return "key " + Hex(device).substr(24); }

std::size_t LoginAttempt::Receive(std::chrono::milliseconds wait) {
  Wipe(buffer_.data(), buffer_.size());
  const auto end = Budget::Clock::now() + wait;
  while (true) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(end - Budget::Clock::now());
    pollfd fds[2] = {{fd_, POLLIN, 0}, {cancel_fd_, POLLIN, 0}};
    const int ready = left.count() <= 0 ? 0 : poll(fds, 2, static_cast<int>(left.count()));
    if (ready < 0 && errno == EINTR) continue;
    if (ready <= 0 || fds[1].revents != 0) return 0;
    const ssize_t got = recv(fd_, buffer_.data(), buffer_.size(), MSG_TRUNC | MSG_DONTWAIT);
    if (got < 0 && (errno == EINTR || errno == EAGAIN)) continue;
    if (got <= 0) return 0;
    // An over-long one is passed on as what it is not: a message. Its type does not parse.
    if (static_cast<std::size_t>(got) > buffer_.size()) {
      Wipe(buffer_.data(), buffer_.size());
      return 1;
    }
    return static_cast<std::size_t>(got);
  }
}

bool LoginAttempt::Send(std::size_t size) {
  const bool sent = size != 0 && send(fd_, buffer_.data(), size, MSG_NOSIGNAL | MSG_DONTWAIT) ==
                                     static_cast<ssize_t>(size);
  Wipe(buffer_.data(), buffer_.size());
  return sent;
}

void LoginAttempt::Refuse(const Refused& refused) {
  // People without a key log in every day, and people change their mind: no events.
  const bool usual = refused.problem == Problem::kNoKey || refused.problem == Problem::kCancelled ||
                     refused.problem == Problem::kNoQuestion;
  Log(usual ? LogLevel::kDebug : LogLevel::kWarning,
      std::string(Name(purpose_)) + " of " + (user_.empty() ? "?" : user_) + " for user id " +
          std::to_string(uid_) + " refused: " + refused.sentence +
          (refused.detail.empty() ? "" : " (" + refused.detail + ")"));
  Wipe(buffer_.data(), buffer_.size());
  Send(Write(Refusal{refused.problem, refused.tries, refused.sentence}, buffer_.span()));
}

void LoginAttempt::Run(int cancel_fd) {
  cancel_fd_ = cancel_fd;
  const auto done =
      Greet().and_then([&] { return purpose_ == Purpose::kCaller ? ServeCaller() : Serve(); });
  if (!done) Refuse(done.error());
}

// HELLO … READY; of a caller's answer HELLO alone.
LoginAttempt::Outcome<void> LoginAttempt::Greet() {
  const std::size_t size = Receive(limits_.greeting);
  if (size == 0)
    return tl::unexpected(Refused{Problem::kCancelled, "Cancelled.", kTriesUnknown, ""});
  const auto hello = ParseHello(buffer_.span().first(size));
  if (!hello) {
    return tl::unexpected(
        Refused{Problem::kFailed,
                "The login agent does not understand this program; do their versions differ?",
                kTriesUnknown, "no HELLO"});
  }
  purpose_ = hello->purpose;
  user_ = hello->user;
  Log(LogLevel::kDebug, std::string(Name(purpose_)) + " of " + user_ + " asked by user id " +
                            std::to_string(uid_) + " through " + std::string(hello->service) +
                            " on " + std::string(hello->tty));
  if (purpose_ == Purpose::kCaller) return Authorise();
  return Authorise().and_then([&] { return Connect(); }).and_then([&] { return CheckState(); });
}

LoginAttempt::Outcome<void> LoginAttempt::Authorise() const {
  if (uid_ == 0) return {};
  if (purpose_ == Purpose::kLogin || purpose_ == Purpose::kConfirm) {
    return tl::unexpected(Refused{Problem::kDenied,
                                  "Only programs that run as root are given a password.",
                                  kTriesUnknown, ""});
  }
  const auto name = services_.name_of(uid_);
  if (!name || !SameLogin(*name, user_)) {
    return tl::unexpected(Refused{Problem::kDenied, "You may use your own security key only.",
                                  kTriesUnknown, name.value_or("no such user")});
  }
  return {};
}

// A key of this login that has proved, from the pinned root down, that it is the enrolled one.
LoginAttempt::Outcome<void> LoginAttempt::Connect() {
  key_.reset();
  const auto unavailable = [](const Error& error) {
    const Problem problem = error.code == ErrorCode::kRateLimited     ? Problem::kBusy
                            : error.code == ErrorCode::kPolicyRefused ? Problem::kAlarm
                                                                      : Problem::kUnavailable;
    return tl::unexpected(Refused{problem, error.message, kTriesUnknown, error.detail});
  };
  const auto untrusted = [](const std::string& detail) {
    return tl::unexpected(Refused{Problem::kUntrusted, kUntrustedSentence, kTriesUnknown, detail});
  };

  const auto credentials = services_.daemon.Register(services_.state.LoginPublic(), budget_);
  if (!credentials) return unavailable(credentials.error());
  if (auto same = services_.state.CheckRoot(credentials->root); !same) {
    return tl::unexpected(
        Refused{Problem::kUntrusted, same.error().message, kTriesUnknown, same.error().detail});
  }
  auto at_hand = services_.daemon.OpenRelay(user_, budget_);
  if (!at_hand && at_hand.error().code == ErrorCode::kNotFound) {
    return tl::unexpected(Refused{Problem::kNoKey,
                                  "No security key of " + user_ + " is plugged in here.",
                                  kTriesUnknown, at_hand.error().message});
  }
  if (!at_hand) return unavailable(at_hand.error());
  if (!SameLogin(at_hand->login, user_))
    return untrusted("the daemon opened a key of " + at_hand->login);
  if (!credentials->login_cert) {
    return tl::unexpected(
        Refused{Problem::kUnavailable,
                "This computer may not use security keys yet: its login agent has not been "
                "certified. Ask your administrator to approve it.",
                kTriesUnknown, ""});
  }
  if (!at_hand->record) {
    return tl::unexpected(
        Refused{Problem::kUnavailable,
                "The server has not yet sent the proof of this security key; try again when "
                "the computer has a connection.",
                kTriesUnknown, ""});
  }
  const auto identity = device::VerifyKeyRecord(credentials->root, *at_hand->record);
  if (!identity) return untrusted(identity.error().message + " " + identity.error().detail);
  if (identity->device_id != at_hand->device) return untrusted("a record of another key");
  const auto certificate = protocol::HostCert::Parse(*credentials->login_cert);
  if (!certificate || certificate->role != protocol::kRoleLogin ||
      certificate->host_noise_pub != services_.state.LoginPublic()) {
    return untrusted("a LOGIN certificate that is not ours");
  }

  auto key = std::make_unique<device::KeyClient>(std::move(at_hand->link));
  const auto info = key->ReadInfo();
  if (!info) return FromKey(info.error());
  if (info->device_id != identity->device_id) return untrusted("another key than announced");
  const auto status =
      key->Handshake({services_.state.LoginKey(), *credentials->login_cert}, identity->noise_pub);
  if (!status && status.error().code == ErrorCode::kProtocol) {
    return untrusted(status.error().message + " " + status.error().detail);
  }
  if (!status) return FromKey(status.error());
  identity_ = *identity;
  workstation_ = certificate->host_id;
  status_ = *status;
  key_ = std::move(key);
  return {};
}

// What can be said without a PIN is said before it is asked for.
LoginAttempt::Outcome<void> LoginAttempt::CheckState() const {
  const auto refuse = [this](Problem problem, std::string sentence) {
    return tl::unexpected(Refused{problem, std::move(sentence), status_.tries, ""});
  };
  const bool pin_is_set = status_.state != KeyState::kEnrolledNoPin;
  switch (status_.state) {
    case KeyState::kEnrolledNoPin:
    case KeyState::kReady:
      break;
    case KeyState::kPinBlocked:
      if (purpose_ == Purpose::kConfirm) return {};
      return refuse(Problem::kBlocked,
                    std::string(kBlockedSentence) + "; " + TriesLeft(status_.tries) + ".");
    case KeyState::kLocked:
      if (purpose_ == Purpose::kConfirm) return {};
      return refuse(Problem::kLocked, kLockedSentence);
    case KeyState::kTampered:
      return refuse(Problem::kFailed,
                    "The security key found that it was tampered with; it has to be replaced.");
    case KeyState::kProvisioned:
    case KeyState::kWiped:
      return refuse(Problem::kFailed, "The security key is empty; it has to be enrolled again.");
  }
  switch (purpose_) {
    case Purpose::kPinSet:
      if (pin_is_set) {
        return refuse(Problem::kPinIsSet,
                      "This security key has a PIN already; change it with: keyferry pin change");
      }
      return {};
    case Purpose::kConfirm:
      return {};
    case Purpose::kLogin:
    case Purpose::kUnlock:
    case Purpose::kPinChange:
    case Purpose::kCaller:
      break;
  }
  if (!pin_is_set) {
    return refuse(Problem::kNoPin,
                  "The security key has no PIN yet; set one with: keyferry pin set");
  }
  if (purpose_ == Purpose::kLogin && (status_.slots & 1) == 0) {
    return refuse(Problem::kNoPassword,
                  "The security key holds no password yet; ask your administrator to set one.");
  }
  if (purpose_ == Purpose::kUnlock) {
    // Whose the account is only the server knows, and the password that it sealed says so. The
    // daemon's word is not enough: it could lend this screen somebody else's key.
    const auto known = services_.state.LoginOf(identity_.account_id);
    if (!known || !SameLogin(*known, user_)) {
      return refuse(Problem::kWrongAccount,
                    "Log in with this security key once; after that it unlocks the screen too.");
    }
  }
  return {};
}

// READY … the end.
LoginAttempt::Outcome<void> LoginAttempt::Serve() {
  const std::string name = KeyName(identity_.device_id);
  Wipe(buffer_.data(), buffer_.size());
  Send(
      Write(Ready{status_.tries, status_.state != KeyState::kEnrolledNoPin, name}, buffer_.span()));
  const std::size_t size =
      Receive(purpose_ == Purpose::kConfirm ? limits_.greeting : limits_.typing);
  if (size == 0)
    return tl::unexpected(Refused{Problem::kCancelled, "Cancelled.", kTriesUnknown, ""});
  const auto datagram = buffer_.span().first(size);
  const auto type = TypeOf(datagram);
  if (type == Type::kCancel)
    return tl::unexpected(Refused{Problem::kCancelled, "Cancelled.", kTriesUnknown, ""});

  // The person took time to type; the key may have been pulled and plugged, and then has to prove
  // itself again.
  if (auto status = key_->GetStatus(); !status) {
    if (auto again = Connect().and_then([&] { return CheckState(); }); !again) return again;
  }
  switch (purpose_) {
    case Purpose::kLogin:
      if (const auto pin = ParsePin(datagram)) return Login(*pin);
      break;
    case Purpose::kUnlock:
      if (const auto pin = ParsePin(datagram)) return Unlock(*pin);
      break;
    case Purpose::kPinSet:
      if (const auto request = ParsePinSet(datagram)) return SetPin(*request);
      break;
    case Purpose::kPinChange:
      if (const auto request = ParsePinChange(datagram)) return ChangePin(*request);
      break;
    case Purpose::kConfirm:
      if (const auto seq = ParseConfirm(datagram)) return Confirm(*seq);
      break;
    case Purpose::kCaller:
      break;  // ServeCaller
  }
  return tl::unexpected(
      Refused{Problem::kFailed,
              "The login agent does not understand this program; do their versions differ?",
              kTriesUnknown, "wrong message for the purpose"});
}

LoginAttempt::Outcome<void> LoginAttempt::VerifyPin(std::string_view pin) {
  if (pin.size() < kMinPin) {
    return tl::unexpected(Refused{Problem::kPinRules, kPinLengthSentence, kTriesUnknown, ""});
  }
  const SecureBytes secret = SecureBytes::CopyOf(pin);
  Wipe(buffer_.data(), buffer_.size());
  const auto answer = key_->PinVerify(secret);
  if (!answer) return FromKey(answer.error());
  if (!answer->accepted()) return FromPin(*answer, false);
  return {};
}

LoginAttempt::Outcome<void> LoginAttempt::Login(std::string_view pin) {
  if (auto verified = VerifyPin(pin); !verified) return verified;
  auto released = key_->Release(identity_.account_id, 0, TouchWatch());
  if (!released) return FromKey(released.error());
  if (!SameLogin(released->login, user_)) {
    return tl::unexpected(Refused{Problem::kWrongAccount,
                                  "The password on this security key is not for " + user_ + ".",
                                  kTriesUnknown, "it is for " + Printable(released->login)});
  }
  if (auto kept = services_.state.Remember(identity_.account_id, released->login); !kept) {
    Log(LogLevel::kWarning, "the login of this key was not kept: " + kept.error().message);
  }
  Wipe(buffer_.data(), buffer_.size());
  const std::size_t size =
      Write(Released{released->seq, released->password.view()}, buffer_.span());
  if (size == 0) {
    return tl::unexpected(Refused{Problem::kFailed,
                                  "The password on this security key cannot be typed anywhere; set "
                                  "another one.",
                                  kTriesUnknown, "NUL or empty"});
  }
  // Logged before the client knows, so that no release goes unlogged.
  Log(LogLevel::kInfo, "password " + std::to_string(released->seq) + " of " + user_ +
                           " released by " + KeyName(identity_.device_id));
  Send(size);
  return {};
}

LoginAttempt::Outcome<void> LoginAttempt::SetPin(const PinSet& request) {
  const bool printable = std::all_of(request.code.begin(), request.code.end(),
                                     [](char c) { return c >= 0x21 && c <= 0x7E; });
  if (request.code.size() < protocol::kMinCode || !printable) {
    return tl::unexpected(Refused{Problem::kPinRules,
                                  "An activation code has 8 to 31 characters and no spaces.",
                                  kTriesUnknown, ""});
  }
  if (request.pin.size() < identity_.policy.pin_min) {
    return tl::unexpected(Refused{Problem::kPinRules,
                                  "The new PIN is too short: your organisation asks for at least " +
                                      std::to_string(identity_.policy.pin_min) + " characters.",
                                  kTriesUnknown, ""});
  }
  const SecureBytes code = SecureBytes::CopyOf(request.code);
  const SecureBytes pin = SecureBytes::CopyOf(request.pin);
  Wipe(buffer_.data(), buffer_.size());
  const auto answer = key_->PinSet(code, pin);
  if (!answer) return FromKey(answer.error());
  if (!answer->accepted()) return FromPin(*answer, true);
  Log(LogLevel::kInfo, "PIN of " + KeyName(identity_.device_id) + " set for " + user_);
  Send(WriteBare(Type::kDone, buffer_.span()));
  return {};
}

LoginAttempt::Outcome<void> LoginAttempt::ChangePin(const PinChange& request) {
  if (request.old_pin.size() < kMinPin || request.new_pin.size() < identity_.policy.pin_min) {
    return tl::unexpected(Refused{Problem::kPinRules,
                                  "The new PIN is too short: your organisation asks for at least " +
                                      std::to_string(identity_.policy.pin_min) + " characters.",
                                  kTriesUnknown, ""});
  }
  const SecureBytes old_pin = SecureBytes::CopyOf(request.old_pin);
  const SecureBytes new_pin = SecureBytes::CopyOf(request.new_pin);
  Wipe(buffer_.data(), buffer_.size());
  const auto answer = key_->PinChange(old_pin, new_pin);
  if (!answer) return FromKey(answer.error());
  if (!answer->accepted()) return FromPin(*answer, false);
  Log(LogLevel::kInfo, "PIN of " + KeyName(identity_.device_id) + " changed by " + user_);
  Send(WriteBare(Type::kDone, buffer_.span()));
  return {};
}

LoginAttempt::Outcome<void> LoginAttempt::Confirm(std::uint64_t seq) {
  if (auto confirmed = key_->ConfirmLogin(identity_.account_id, seq); !confirmed) {
    return FromKey(confirmed.error());
  }
  Log(LogLevel::kInfo, "login of " + user_ + " with password " + std::to_string(seq) +
                           " confirmed to " + KeyName(identity_.device_id));
  // The key knows; that the server should know too must not fail a login.
  if (auto used = services_.daemon.Used(identity_.device_id, seq, budget_); !used) {
    Log(LogLevel::kWarning, "the daemon was not told of the login: " + used.error().message);
  }
  Send(WriteBare(Type::kDone, buffer_.span()));
  return {};
}

// Tells the client once that the key waits for touch, and the key when the client has had enough.
device::KeepaliveHandler LoginAttempt::TouchWatch() {
  return [this](device::Keepalive state) {
    if (state == device::Keepalive::kTouchNeeded && !std::exchange(touch_told_, true)) {
      Log(LogLevel::kDebug, KeyName(identity_.device_id) + " waits for a touch");
      Wipe(buffer_.data(), buffer_.size());
      Send(WriteBare(Type::kTouch, buffer_.span()));
    }
    // Whatever comes now is CANCEL, or the end of the client, or one that breaks the rules.
    pollfd fds[2] = {{fd_, POLLIN, 0}, {cancel_fd_, POLLIN, 0}};
    if (poll(fds, 2, 0) > 0) key_->Cancel();
  };
}

tl::unexpected<LoginAttempt::Refused> LoginAttempt::FromPin(const device::PinAnswer& answer,
                                                            bool code) {
  const std::string left = TriesLeft(answer.tries);
  switch (answer.status) {
    case Status::kPinBlocked:
      return tl::unexpected(Refused{
          Problem::kBlocked, std::string(kBlockedSentence) + "; " + left + ".", answer.tries, ""});
    case Status::kPinLocked:
      return tl::unexpected(Refused{Problem::kLocked, code ? kCodeLockedSentence : kLockedSentence,
                                    answer.tries, ""});
    default:
      return tl::unexpected(Refused{Problem::kWrongPin,
                                    (code ? "Wrong activation code, " : "Wrong PIN, ") + left + ".",
                                    answer.tries, ""});
  }
}

tl::unexpected<LoginAttempt::Refused> LoginAttempt::FromKey(const Error& error) {
  Problem problem = Problem::kFailed;
  switch (error.code) {
    case ErrorCode::kUnavailable:
    case ErrorCode::kDeadline:
    case ErrorCode::kConflict:
      problem = Problem::kUnavailable;
      break;
    case ErrorCode::kKeyRefused:
      switch (static_cast<Status>(error.key_status)) {
        case Status::kBadFormat:
          return tl::unexpected(Refused{Problem::kPinRules,
                                        "The security key does not take a PIN of this length.",
                                        kTriesUnknown, error.detail});
        case Status::kPinWrong:
          problem = Problem::kWrongPin;
          break;
        case Status::kPinBlocked:
          problem = Problem::kBlocked;
          break;
        case Status::kPinLocked:
          problem = Problem::kLocked;
          break;
        case Status::kTouchTimeout:
          problem = Problem::kTouchTimeout;
          break;
        case Status::kCancelled:
          problem = Problem::kCancelled;
          break;
        case Status::kNoPassword:
          problem = Problem::kNoPassword;
          break;
        default:
          break;
      }
      break;
    default:
      break;
  }
  return tl::unexpected(Refused{problem, error.message, kTriesUnknown, error.detail});
}

}  // namespace keyferry::daemon::login

// What the key signs with PIN and touch: that a screen may be unlocked, and the answer to the help
// desk's question, of which what is shown is what is signed (docs/login.md).
#include <string>
#include <utility>

#include "client-daemon/agent/login_attempt.h"
#include "client-daemon/core/log.h"
#include "protocol/caller_proof.h"
#include "protocol/secure/system_random.h"

namespace keyferry::daemon::login {

LoginAttempt::Outcome<protocol::Assertion> LoginAttempt::Assert(
    const protocol::AssertRequest& request) {
  const auto assertion = key_->Assert(request, TouchWatch());
  if (!assertion) return FromKey(assertion.error());
  constexpr std::uint8_t kAll =
      protocol::kAssertTouched | protocol::kAssertPin | protocol::kAssertByLogin;
  if (assertion->flags != kAll || assertion->device_id != identity_.device_id ||
      assertion->account_id != identity_.account_id || assertion->challenge != request.challenge ||
      assertion->context_hash != request.context_hash ||
      !assertion->VerifySignature(identity_.sig_pub)) {
    return tl::unexpected(Refused{Problem::kUntrusted, "The security key's proof does not hold.",
                                  kTriesUnknown, "assertion"});
  }
  return *assertion;
}

LoginAttempt::Outcome<void> LoginAttempt::Unlock(std::string_view pin) {
  if (auto verified = VerifyPin(pin); !verified) return verified;
  protocol::AssertRequest request;
  Id request_id{};
  if (!OsRandom().Fill(request.challenge) || !OsRandom().Fill(request_id)) {
    return tl::unexpected(
        Refused{Problem::kFailed, "The system has no random bytes.", kTriesUnknown, ""});
  }
  request.want = protocol::kAssertTouched | protocol::kAssertPin;
  request.context_hash = protocol::ContextHash(protocol::Purpose::kOfflineLogon, workstation_,
                                               request_id, protocol::AsBytes("unlock " + user_));
  if (const auto assertion = Assert(request); !assertion) {
    return tl::unexpected(assertion.error());
  }
  Log(LogLevel::kInfo, "screen of " + user_ + " unlocked with " + KeyName(identity_.device_id));
  Send(WriteBare(Type::kYes, buffer_.span()));
  return {};
}

LoginAttempt::Outcome<void> LoginAttempt::ServeCaller() {
  const auto question = services_.daemon.Question(user_, budget_);
  if (!question) {
    const bool none = question.error().code == ErrorCode::kNotFound;
    return tl::unexpected(Refused{none ? Problem::kNoQuestion : Problem::kUnavailable,
                                  question.error().message, kTriesUnknown,
                                  question.error().detail});
  }
  Wipe(buffer_.data(), buffer_.size());
  const std::size_t shown =
      Write(Question{question->agent, question->ticket, question->reason}, buffer_.span());
  if (shown == 0) {
    return tl::unexpected(Refused{Problem::kFailed, "What the help desk asks cannot be shown.",
                                  kTriesUnknown, "question"});
  }
  Send(shown);
  const std::size_t size = Receive(limits_.typing);
  const auto datagram = buffer_.span().first(size);
  if (size == 0 || TypeOf(datagram) == Type::kCancel) {
    return tl::unexpected(Refused{Problem::kCancelled, "Cancelled.", kTriesUnknown, ""});
  }
  if (TypeOf(datagram) == Type::kDeny) {
    // The server is waited for anew: the person took time to read.
    Budget answering(limits_.work);
    if (const auto told = services_.daemon.Answer(question->request, {}, answering); !told) {
      const bool over = told.error().code == ErrorCode::kConflict;
      return tl::unexpected(Refused{over ? Problem::kNotTaken : Problem::kUnavailable,
                                    told.error().message, kTriesUnknown, told.error().detail});
    }
    Log(LogLevel::kWarning, user_ + " told the help desk: this is not me");
    Send(WriteBare(Type::kDone, buffer_.span()));
    return {};
  }
  if (const auto request = ParseProve(datagram)) return ProveCaller(*question, *request);
  return tl::unexpected(
      Refused{Problem::kFailed,
              "The login agent does not understand this program; do their versions differ?",
              kTriesUnknown, "wrong message for the purpose"});
}

LoginAttempt::Outcome<void> LoginAttempt::ProveCaller(const QuestionAtHand& question,
                                                      const Prove& request) {
  const std::string number(request.number);
  if (auto ready = Connect().and_then([&] { return CheckState(); }); !ready) return ready;
  if (auto verified = VerifyPin(request.pin); !verified) return verified;  // wipes what was sent
  // What is signed is what is asked now.
  const auto now = services_.daemon.Question(user_, budget_);
  if (!now || now->request != question.request || now->challenge != question.challenge) {
    return tl::unexpected(Refused{
        Problem::kNoQuestion, "The help desk asked anew, or asks nothing any more; begin again.",
        kTriesUnknown, "another challenge"});
  }
  protocol::AssertRequest wanted;
  wanted.challenge = question.challenge;
  wanted.want = protocol::kAssertTouched | protocol::kAssertPin;
  wanted.context_hash = protocol::CallerContext(
      workstation_, question.request, {question.agent, question.ticket, question.reason, number});
  const auto assertion = Assert(wanted);
  if (!assertion) return tl::unexpected(assertion.error());
  Budget answering(limits_.work);
  if (const auto told = services_.daemon.Answer(question.request, assertion->Encode(), answering);
      !told) {
    const bool refused = told.error().code == ErrorCode::kConflict;
    return tl::unexpected(Refused{refused ? Problem::kNotTaken : Problem::kUnavailable,
                                  told.error().message, kTriesUnknown, told.error().detail});
  }
  Log(LogLevel::kInfo, user_ + " proved to the help desk who they are (ticket " + question.ticket +
                           ", asked by " + question.agent + ")");
  Send(WriteBare(Type::kDone, buffer_.span()));
  return {};
}

}  // namespace keyferry::daemon::login

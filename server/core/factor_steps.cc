#include "server/core/factor_steps.h"

#include <algorithm>
#include <array>

#include "server/core/audit_entry.h"
#include "server/core/encoding.h"

namespace keyferry::server {

tl::unexpected<Error> FactorSteps::NoRandom() {
  return Fail(ErrorCode::kInternal, "The system gave no random numbers.");
}

SessionSwap FactorSteps::SwapOf(std::string_view token, const SignedIn& renewed) {
  return {Sha256(token), {Sha256(renewed.token), renewed.session}};
}

AuditEntry FactorSteps::WithNotice(NoticeKind kind, const Actor& actor, const AccountId& account,
                                   const std::string& login, AuditEntry entry) {
  entry.notice = NoticeDraft{kind, account, login, actor.id, actor.login, actor.address, {}, {}};
  return entry;
}

Result<SignedIn> FactorSteps::Renew(const Session& session) {
  std::array<std::uint8_t, 32> token{}, csrf{};
  if (!ports_.random.Fill(token) || !ports_.random.Fill(csrf)) return NoRandom();
  SignedIn renewed;
  renewed.token = ToBase64Url(token);
  renewed.session = session;
  Session& fresh = renewed.session;
  fresh.csrf = ToBase64Url(csrf);
  fresh.proven = ports_.clock.UnixSeconds();
  if (fresh.stage != SessionStage::kComplete) {
    fresh.stage = SessionStage::kComplete;
    fresh.expires = fresh.proven + config_.absolute_seconds;
  }
  fresh.idle_until = std::min(fresh.proven + config_.idle_seconds, fresh.expires);
  return renewed;
}

tl::unexpected<Error> FactorSteps::Refuse(const Session& session, const char* action,
                                          const char* outcome, const std::string& why,
                                          const char* message) {
  const SessionStore::FailureRule rule = {CounterOf(session.actor.id), config_.failures_per_account,
                                          config_.failure_window_seconds * 1000,
                                          config_.block_seconds * 1000};
  const auto counted = ports_.store.AddFailure(
      {rule}, ports_.clock.UnixMillis(),
      AuditOf(ports_.clock, session.actor, action, session.actor.login, outcome, why));
  if (!counted) return tl::unexpected<Error>(counted.error());
  return Fail(ErrorCode::kUnauthenticated, message, why);
}

Result<void> FactorSteps::CheckLimit(const AccountId& account) {
  const auto count = ports_.store.FindFailures(CounterOf(account));
  if (!count) return tl::unexpected(count.error());
  const std::int64_t left = count->blocked_until - ports_.clock.UnixMillis();
  if (left <= 0) return {};
  const std::int64_t minutes = (left + 59'999) / 60'000;
  return Fail(ErrorCode::kRateLimited, "Too many wrong codes; try again in " +
                                           std::to_string(minutes) +
                                           (minutes == 1 ? " minute." : " minutes."));
}

}  // namespace keyferry::server

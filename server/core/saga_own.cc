// Who may ask for a change at all: of others, those who reach them; of their own, employees, so
// many times a day.
#include "server/core/four_eyes.h"
#include "server/core/preflight.h"
#include "server/core/saga.h"

namespace keyferry::server {

Result<void> Saga::Authorise(const Actor& actor, const AccountId& account) {
  if (actor.id != account) {
    // Who may not at all is told so by Clear.
    if (!May(actor.roles, Right::kChangesWrite)) return {};
    return CheckReach(ports_, actor, Right::kChangesWrite, account);
  }
  if (!May(actor.roles, Right::kOwnPassword)) return {};
  if (config_.own_per_day == 0) {
    return Fail(ErrorCode::kPermissionDenied,
                "Employees do not change their own passwords here; call your help desk.");
  }
  const auto so_far = ports_.store.CountResets(account, OwnQuota(account).since);
  if (!so_far) return tl::unexpected(so_far.error());
  if (*so_far >= config_.own_per_day) return tl::unexpected(OwnLimit());
  return {};
}

AgentQuota Saga::OwnQuota(const AccountId& account) const {
  constexpr std::int64_t kRollingDay = 24 * 3'600'000;
  return {account, config_.own_per_day, ports_.clock.UnixMillis() - kRollingDay};
}

Error Saga::OwnLimit() const {
  return {ErrorCode::kRateLimited,
          "Within 24 hours you may change your own password " +
              std::to_string(config_.own_per_day) +
              " times, and you have. Call your help desk if you need another one.",
          {},
          0};
}

}  // namespace keyferry::server

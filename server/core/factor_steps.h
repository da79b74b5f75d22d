#pragma once

#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "server/core/beat.h"
#include "server/core/services.h"

namespace keyferry::server {

// What proofs of the second factor have in common, whether by code (second_factor.h) or by FIDO2
// key (fido_keys.h). Thread-safe; blocks.
class FactorSteps {
 public:
  FactorSteps(const CorePorts& ports, SessionConfig config)
      : ports_(ports), config_(std::move(config)) {}

  static tl::unexpected<Error> NoRandom();
  // The name under which wrong proofs of one person count in the database.
  static std::string CounterOf(const AccountId& account) { return "factor/" + account.Hex(); }
  static SessionSwap SwapOf(std::string_view token, const SignedIn& renewed);

  // The entry, and the person with this account is told what `actor` did.
  static AuditEntry WithNotice(NoticeKind kind, const Actor& actor, const AccountId& account,
                               const std::string& login, AuditEntry entry);

  // The same session, complete and proven now, under a new cookie.
  Result<SignedIn> Renew(const Session& session);
  // Writes the failure down and counts it; `message` is what the person reads, `why` is for the
  // audit log and the server's log alone.
  tl::unexpected<Error> Refuse(const Session& session, const char* action, const char* outcome,
                               const std::string& why, const char* message);
  Result<void> CheckLimit(const AccountId& account);

  // Every refusal comes at a whole multiple of SessionConfig::answer_floor.
  template <typename Work>
  std::invoke_result_t<Work> OnBeat(Work work) {
    const auto asked = ports_.clock.Now();
    auto done = work();
    if (!done) WaitForBeat(ports_.clock, ports_.waiter, asked, config_.answer_floor);
    return done;
  }

 private:
  CorePorts ports_;
  SessionConfig config_;
};

}  // namespace keyferry::server

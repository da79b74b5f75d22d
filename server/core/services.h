#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "protocol/crypto.h"
#include "server/core/audit.h"
#include "server/core/ca.h"
#include "server/core/changes.h"
#include "server/core/clock.h"
#include "server/core/directory.h"
#include "server/core/event_bus.h"
#include "server/core/issuer.h"
#include "server/core/keys.h"
#include "server/core/people.h"
#include "server/core/presence.h"
#include "server/core/second_factor.h"
#include "server/core/session.h"
#include "server/core/sources.h"
#include "server/core/store.h"
#include "server/core/tokens.h"
#include "server/core/waiter.h"
#include "server/core/workstations.h"

namespace keyferry::server {

class FidoKeys;
class FidoVerifier;
class FourEyes;
class TicketReader;

// Everything that the services stand on. All of it outlives them. `log` gets one line for the log
// of what nobody else is told (background work, raw diagnostics); may be empty; thread-safe.
struct CorePorts {
  Store& store;
  Directory& directory;
  const Clock& clock;
  protocol::RandomSource& random;  // thread-safe
  EventBus& bus;
  const Issuer& issuer;
  CertificateAuthority& ca;
  AttestationVerifier& attestation;
  Waiter& waiter;
  Presence& presence;
  std::function<void(std::string_view)> log;
  std::vector<LinkedSource> sources{};  // 0…4
  // Asked before anything is done to a person. Null (tests): nobody has a scope.
  PeopleService* people = nullptr;
  // Asked before a password, a key or an account is changed. Null (tests): nobody else is needed.
  FourEyes* four_eyes = nullptr;
};

// Whether people who may sign in here need a second factor. Of employees without a role it is
// never required.
enum class FactorPolicy {
  kRequired,  // everybody; who has none sets it up at the next sign-in
  kOptional,  // who has set one up is asked for it
  kOff,       // nobody is asked
};

// PeopleService::Check, where there is one.
inline Result<void> CheckReach(const CorePorts& ports, const Actor& actor, Right right,
                               const AccountId& account) {
  return ports.people == nullptr ? Result<void>() : ports.people->Check(actor, right, account);
}

struct SessionConfig {
  std::vector<std::string> administrator_groups;  // DNs; membership may be nested
  std::vector<std::string> help_desk_groups;
  std::vector<std::string> key_officer_groups;
  std::vector<std::string> auditor_groups;
  std::int64_t idle_seconds = 15 * 60;
  std::int64_t absolute_seconds = 8 * 3600;
  std::uint32_t failures_per_account = 10;  // of one run, then the counter blocks
  std::uint32_t failures_per_address = 50;
  std::int64_t failure_window_seconds = 15 * 60;
  std::int64_t block_seconds = 15 * 60;
  // Every answer that is not a success comes at a whole multiple of this after the question.
  std::chrono::milliseconds answer_floor{500};
  FactorPolicy second_factor = FactorPolicy::kRequired;
  std::int64_t step_up_seconds = 10 * 60;  // how long a proof of the second factor is fresh
  bool employees = false;  // whether who is in none of the groups may sign in, as kEmployee
  std::int64_t grace_seconds = 15 * 60;  // sessions outlive an absent directory by that much
};
// Whether who has no second factor has to set one up.
inline bool IsRequired(const SessionConfig& config, Roles roles) {
  return config.second_factor == FactorPolicy::kRequired && roles != Role::kEmployee;
}
// `tickets` outlives it; null: nobody signs in by a ticket.
std::unique_ptr<SessionService> MakeSessionService(const CorePorts& ports, SessionConfig config,
                                                   TicketReader* tickets = nullptr);

std::unique_ptr<SecondFactor> MakeSecondFactor(const CorePorts& ports, SessionConfig config);

// How FIDO2 keys are asked for.
struct FidoConfig {
  std::string relying_party;                    // a DNS name: of the pages' host, or above it
  std::vector<std::string> origins;             // of the pages: "https://keyferry.example:8443"
  std::string user_verification = "preferred";  // as Web Authentication has it; or required,
                                                // discouraged
  std::int64_t challenge_seconds = 5 * 60;      // how long the person may take
  std::size_t keys_per_person = 10;
};
// `verifier` outlives it. Not for SessionConfig with FactorPolicy::kOff.
std::unique_ptr<FidoKeys> MakeFidoKeys(const CorePorts& ports, SessionConfig sessions,
                                       FidoConfig config, FidoVerifier& verifier);

struct TokenConfig {
  std::int64_t max_days = 366;
  std::uint32_t requests_per_minute = 600;  // of one token, on this server
};
// What tokens alone stand on.
struct TokenPorts {
  Store& store;
  Directory& directory;
  const Clock& clock;
  protocol::RandomSource& random;
};
std::unique_ptr<TokenService> MakeTokenService(const TokenPorts& ports, TokenConfig config,
                                               SessionConfig roles);

struct ChangeConfig {
  std::size_t password_length = 24;  // of generated ones, 12…128
  bool allow_typing = false;
  std::size_t history = 24;      // former typed passwords that may not come again, 0 = none
  bool respect_min_age = false;  // refuse within the policy's minimum age; else only tell
  // What employees may set for themselves in a rolling day, refused by the directory or not; 0 =
  // nothing. One that a second person has to approve counts once it is carried out.
  std::uint32_t own_per_day = 0;
  // An unknown outcome is final only this long after the attempt: by then the request that may
  // still be on its way has died with its connection.
  std::int64_t settle_seconds = 60;
  // At delivery: how long a change waits for its key, and how long the password that was sealed for
  // the key's pending slot is kept in memory meanwhile. Afterwards a fresh one is made.
  std::int64_t wait_seconds = 30 * 86400;
  std::int64_t hold_seconds = 10 * 60;
  // Whether other processes work on the same database. One of them may have a password in memory
  // that this one misses; it is left that long after the key's receipt to go on.
  bool shared_store = false;
  std::int64_t handover_seconds = 30;
  std::size_t max_held = 256;  // such passwords at a time: each takes a page of locked memory
};
std::unique_ptr<ChangeService> MakeChangeService(const CorePorts& ports, ChangeConfig config);

struct KeyConfig {
  std::uint8_t pin_min = 6;    // 6…63
  std::uint8_t pin_tries = 8;  // 1…8
  bool touch_to_store = false;
  bool keep_previous = true;
  std::uint16_t max_offline_days = 0;
  std::int64_t enrolment_seconds = 10 * 60;  // life of the ENROLL certificate
  std::size_t per_person = 3;                // keys in use of one person, 1…8
};
std::unique_ptr<KeyService> MakeKeyService(const CorePorts& ports, KeyConfig config);

struct WorkstationConfig {
  std::string server_version;
  std::int64_t certificate_days = 365;  // TLS client certificate and HostCerts
  std::size_t max_pending = 200;
  std::size_t max_per_address_hour = 20;
};
std::unique_ptr<WorkstationService> MakeWorkstationService(const CorePorts& ports,
                                                           WorkstationConfig config);

std::unique_ptr<AuditService> MakeAuditService(Store& store);

}  // namespace keyferry::server

#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "protocol/result.h"
#include "server/core/ids.h"
#include "server/core/session.h"

namespace keyferry::server {

// What a token of the API may be allowed: the rights that name it (rights.h), as far as the token's
// maker has them.
struct TokenScope {
  const char* name;
  const char* what;  // a sentence
};
inline constexpr TokenScope kTokenScopes[] = {
    {"people:read", "Search employees and read their accounts."},
    {"changes:read", "Read password changes and where they are on their way."},
    {"changes:write", "Set new passwords."},
    {"keys:read", "Read keys and where they are seen."},
    {"keys:write", "Suspend, resume, enrol keys and take them out of use."},
    {"workstations:read", "Read workstations."},
    {"workstations:write", "Approve and revoke workstations."},
    {"policies:read", "Read rotation policies and whom they would reach."},
    {"policies:write", "Change rotation policies, which set passwords."},
    {"audit:read", "Read, export and verify the audit log."},
    {"check_up:read", "Read what the check-up found."},
    {"check_up:write", "Let the check-up look again."},
    {"alarm:read", "See whether the alarm stands."},
    {"alarm:raise", "Raise the alarm, which stops all deliveries and releases."},
};
const TokenScope* FindScope(std::string_view name);  // null = there is none

struct TokenView {
  TokenId id;
  std::string name;
  std::vector<std::string> scopes;
  std::string creator;       // login, or "console"
  std::int64_t created = 0;  // Unix milliseconds, as all here
  std::int64_t expires = 0;
  std::int64_t last_used = 0;  // to the minute; 0 = never
  std::string last_address;
  std::int64_t revoked = 0;  // 0 = not
  std::string revoked_by;
};

struct TokenRequest {
  std::string name;  // 1…40 printable ASCII bytes, unlike any other that is not revoked
  std::vector<std::string> scopes;  // at least one
  std::int64_t days = 0;            // of life, from 1 on
};

struct TokenIssued {
  TokenView token;
  std::string secret;  // "kft_" and 256 bits in base64url; told this once, stored as its hash only
};

// What came of a token that was shown.
struct TokenVerdict {
  enum Kind {
    kAllowed,
    kUnknown,
    kExpired,
    kRevoked,
    kOwnerGone,     // who made it has no role any more
    kMissingScope,  // has not the scope that was asked for
    kRateLimited,
  };
  Kind kind = kUnknown;
  TokenView token;  // but for kUnknown
  // kAllowed. `login` is "token NAME"; `id` its maker's, so that nobody changes their own account
  // through a token; `roles` what its maker is now.
  Actor actor;
  std::int64_t retry_seconds = 0;  // kRateLimited
};

// Tokens of programs for the API. Thread-safe; blocks (database, directory).
class TokenService {
 public:
  virtual ~TokenService() = default;
  virtual Result<std::vector<TokenView>> List() = 0;  // newest first
  virtual Result<TokenView> Get(const TokenId& id) = 0;
  // Administrators only. kInvalidArgument; kConflict: the name is taken; kPermissionDenied.
  virtual Result<TokenIssued> Create(const Actor& actor, const TokenRequest& request) = 0;
  // Good from the next request on. kNotFound; kConflict: it is revoked already.
  virtual Result<TokenView> Revoke(const Actor& actor, const TokenId& id) = 0;
  // Judges a shown token for one request. `scope` is empty where none is needed; `what` names the
  // request in the audit log: there is a row for each token, `what` and address in each five
  // minutes, and one for each refusal of a known token in each minute.
  virtual Result<TokenVerdict> Judge(std::string_view secret, std::string_view scope,
                                     std::string_view what, std::string_view address) = 0;
};

}  // namespace keyferry::server

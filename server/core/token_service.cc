#include <algorithm>
#include <cmath>
#include <map>
#include <mutex>
#include <tuple>
#include <utility>

#include "server/core/audit_entry.h"
#include "server/core/encoding.h"
#include "server/core/roles.h"
#include "server/core/services.h"
#include "server/core/tokens.h"

namespace keyferry::server {
namespace {

using std::chrono::steady_clock;

constexpr std::string_view kTokenPrefix = "kft_";
constexpr std::size_t kTokenTextSize = 4 + 43;
constexpr std::size_t kMaxTokenName = 40;
constexpr std::int64_t kTokenDay = 24LL * 3600 * 1000;
constexpr std::chrono::minutes kUseEvery{5};      // between two audit rows of one kind of use
constexpr std::chrono::minutes kRefusalEvery{1};  // … of one kind of refusal
constexpr std::chrono::seconds kRoleFresh{60};    // a role is asked for again after this
constexpr std::chrono::minutes kRoleGood{15};     // … and good for so long while nobody answers
constexpr std::size_t kMaxTokenMemory = 10'000;   // entries of each memory below

std::string JoinScopes(const std::vector<std::string>& scopes) {
  std::string out;
  for (const std::string& scope : scopes) out += (out.empty() ? "" : " ") + scope;
  return out;
}

std::vector<std::string> SplitScopes(std::string_view text) {
  std::vector<std::string> out;
  while (!text.empty()) {
    const std::size_t blank = text.find(' ');
    out.emplace_back(text.substr(0, blank));
    text = blank == std::string_view::npos ? std::string_view() : text.substr(blank + 1);
  }
  return out;
}

TokenView ViewOfToken(const TokenRecord& record) {
  return {record.id,      record.name,      SplitScopes(record.scopes), record.creator,
          record.created, record.expires,   record.last_used,           record.last_address,
          record.revoked, record.revoked_by};
}

Result<void> CheckTokenRequest(const TokenRequest& request, std::int64_t max_days) {
  const auto good = [](char c) { return c > 0x20 && c < 0x7F; };
  if (request.name.empty() || request.name.size() > kMaxTokenName ||
      !std::all_of(request.name.begin(), request.name.end(), good)) {
    return Fail(ErrorCode::kInvalidArgument,
                "The token's name must be 1 to 40 letters, digits and signs without blanks.");
  }
  if (request.days < 1 || request.days > max_days) {
    return Fail(ErrorCode::kInvalidArgument,
                "The token's life must be 1 to " + std::to_string(max_days) + " days.");
  }
  if (request.scopes.empty()) {
    return Fail(ErrorCode::kInvalidArgument, "The token needs at least one scope.");
  }
  for (std::size_t i = 0; i < request.scopes.size(); ++i) {
    if (FindScope(request.scopes[i]) == nullptr) {
      return Fail(ErrorCode::kInvalidArgument,
                  "There is no scope \"" + Presentable(request.scopes[i], 40) + "\".");
    }
    if (std::find(request.scopes.begin(), request.scopes.begin() + static_cast<long>(i),
                  request.scopes[i]) != request.scopes.begin() + static_cast<long>(i)) {
      return Fail(ErrorCode::kInvalidArgument, "A scope is given twice.");
    }
  }
  return {};
}

// Requests of each token: so many at once, then as they come back.
class Allowance {
 public:
  // 0 = go on; else the seconds until the next may come.
  std::int64_t Take(const TokenId& id, double per_minute, steady_clock::time_point now) {
    const std::lock_guard lock(mutex_);
    if (buckets_.size() > kMaxTokenMemory) buckets_.clear();
    const auto [place, fresh] = buckets_.try_emplace(id, Bucket{per_minute, now});
    Bucket& bucket = place->second;
    const double seconds = std::chrono::duration<double>(now - bucket.at).count();
    bucket.left = std::min(per_minute, bucket.left + seconds * per_minute / 60);
    bucket.at = now;
    if (bucket.left >= 1) {
      bucket.left -= 1;
      return 0;
    }
    return static_cast<std::int64_t>(std::ceil((1 - bucket.left) * 60 / per_minute));
  }

 private:
  struct Bucket {
    double left = 0;
    steady_clock::time_point at;
  };
  std::mutex mutex_;
  std::map<TokenId, Bucket> buckets_;
};

class DefaultTokenService final : public TokenService {
 public:
  DefaultTokenService(const TokenPorts& ports, TokenConfig config, SessionConfig roles)
      : ports_(ports), config_(config), config_roles_(std::move(roles)) {}

  Result<std::vector<TokenView>> List() override {
    const auto records = ports_.store.Tokens();
    if (!records) return tl::unexpected(records.error());
    std::vector<TokenView> views;
    for (const TokenRecord& record : *records) views.push_back(ViewOfToken(record));
    return views;
  }

  Result<TokenView> Get(const TokenId& id) override {
    const auto record = ports_.store.FindToken(id);
    if (!record) return tl::unexpected(record.error());
    if (!*record) return Fail(ErrorCode::kNotFound, "There is no such token.");
    return ViewOfToken(**record);
  }

  Result<TokenIssued> Create(const Actor& actor, const TokenRequest& request) override {
    if (!May(actor.roles, Right::kTokensWrite)) {
      return Fail(ErrorCode::kPermissionDenied, "Only administrators may make tokens.");
    }
    if (auto checked = CheckTokenRequest(request, config_.max_days); !checked) {
      return tl::unexpected(std::move(checked.error()));
    }
    TokenRecord record;
    std::array<std::uint8_t, 32> random{};
    if (!ports_.random.Fill(record.id.bytes) || !ports_.random.Fill(random)) {
      return Fail(ErrorCode::kInternal, "The system gave no random numbers.");
    }
    TokenIssued issued;
    issued.secret = std::string(kTokenPrefix) + ToBase64Url(random);
    record.name = request.name;
    record.hash = Sha256(issued.secret);
    record.scopes = JoinScopes(request.scopes);
    record.owner = actor.id;
    record.creator = actor.login;
    record.created = ports_.clock.UnixMillis();
    record.expires = record.created + request.days * kTokenDay;
    const auto added = ports_.store.AddToken(
        record, AuditOf(ports_.clock, actor, "token.create", record.name, "ok",
                        "For " + std::to_string(request.days) + " days: " + record.scopes + "."));
    if (!added) return tl::unexpected(added.error());
    issued.token = ViewOfToken(record);
    return issued;
  }

  Result<TokenView> Revoke(const Actor& actor, const TokenId& id) override {
    if (!May(actor.roles, Right::kTokensWrite)) {
      return Fail(ErrorCode::kPermissionDenied, "Only administrators may revoke tokens.");
    }
    const auto view = Get(id);
    if (!view) return view;
    const auto revoked = ports_.store.RevokeToken(
        id, actor.login, ports_.clock.UnixMillis(),
        AuditOf(ports_.clock, actor, "token.revoke", view->name, "ok", {}));
    if (!revoked) return tl::unexpected(revoked.error());
    return Get(id);
  }

  Result<TokenVerdict> Judge(std::string_view secret, std::string_view scope, std::string_view what,
                             std::string_view address) override {
    TokenVerdict verdict;
    if (secret.size() != kTokenTextSize || secret.substr(0, kTokenPrefix.size()) != kTokenPrefix)
      return verdict;
    const auto record = ports_.store.FindTokenByHash(Sha256(secret));
    if (!record) return tl::unexpected(record.error());
    if (!*record) return verdict;
    const TokenRecord& token = **record;
    verdict.token = ViewOfToken(token);
    auto roles = Weigh(token, scope, verdict);
    if (!roles) return tl::unexpected(roles.error());
    verdict.actor.id = token.owner;
    verdict.actor.login = "token " + token.name;
    verdict.actor.display_name = token.name;
    verdict.actor.roles = *roles;
    verdict.actor.address = std::string(address);
    if (auto noted = Note(token, verdict, scope, what, address); !noted) {
      return tl::unexpected(noted.error());
    }
    return verdict;
  }

 private:
  // Sets verdict.kind; the role where it is allowed.
  Result<Roles> Weigh(const TokenRecord& token, std::string_view scope, TokenVerdict& verdict) {
    verdict.kind = TokenVerdict::kRevoked;
    if (token.revoked != 0) return Roles();
    verdict.kind = TokenVerdict::kExpired;
    if (ports_.clock.UnixMillis() >= token.expires) return Roles();
    verdict.kind = TokenVerdict::kRateLimited;
    verdict.retry_seconds =
        allowance_.Take(token.id, config_.requests_per_minute, ports_.clock.Now());
    if (verdict.retry_seconds != 0) return Roles();
    verdict.kind = TokenVerdict::kMissingScope;
    const std::vector<std::string>& scopes = verdict.token.scopes;
    if (!scope.empty() && std::find(scopes.begin(), scopes.end(), scope) == scopes.end()) {
      return Roles();
    }
    verdict.kind = TokenVerdict::kOwnerGone;
    auto roles = RolesNow(token);
    if (!roles || roles->empty()) return roles;
    verdict.kind = TokenVerdict::kAllowed;
    return roles;
  }

  // What the token's maker may now. Made on the console: by who has the server itself.
  Result<Roles> RolesNow(const TokenRecord& token) {
    if (token.owner == AccountId{}) return Roles(Role::kAdministrator);
    const auto now = ports_.clock.Now();
    std::optional<Known> known;
    {
      const std::lock_guard lock(mutex_);
      const auto found = known_.find(token.owner);
      if (found != known_.end()) known = found->second;
    }
    if (known && now - known->at < kRoleFresh) return known->roles;
    const auto groups = ports_.directory.GroupsOf(token.owner);
    if (!groups && groups.error().code != ErrorCode::kNotFound) {
      if (known && now - known->at < kRoleGood) return known->roles;
      return tl::unexpected(groups.error());
    }
    const Roles roles = groups ? RolesOf(*groups, config_roles_) : Roles();
    const std::lock_guard lock(mutex_);
    if (known_.size() > kMaxTokenMemory) known_.clear();
    known_[token.owner] = {roles, now};
    return roles;
  }

  Result<void> Note(const TokenRecord& token, const TokenVerdict& verdict, std::string_view scope,
                    std::string_view what, std::string_view address) {
    const bool allowed = verdict.kind == TokenVerdict::kAllowed;
    const auto now = ports_.clock.Now();
    {
      const std::lock_guard lock(mutex_);
      if (noted_.size() > kMaxTokenMemory) noted_.clear();
      const auto [place, fresh] =
          noted_.try_emplace(std::tuple(token.id, static_cast<int>(verdict.kind), std::string(what),
                                        std::string(address)),
                             now);
      if (!fresh && now - place->second < (allowed ? kUseEvery : kRefusalEvery)) return {};
      place->second = now;
    }
    std::string detail;
    if (verdict.kind == TokenVerdict::kMissingScope) {
      detail = "It has not the scope " + std::string(scope) + ".";
    }
    const AuditEntry entry =
        AuditOf(ports_.clock, verdict.actor, "token.use", what, OutcomeOf(verdict.kind), detail);
    return allowed ? ports_.store.NoteTokenUse(token.id, entry.time, entry.address, entry)
                   : ports_.store.AppendAudit(entry);
  }

  static const char* OutcomeOf(TokenVerdict::Kind kind) {
    switch (kind) {
      case TokenVerdict::kAllowed:
        return "ok";
      case TokenVerdict::kUnknown:
        return "unauthenticated";
      case TokenVerdict::kExpired:
        return "expired";
      case TokenVerdict::kRevoked:
        return "revoked";
      case TokenVerdict::kOwnerGone:
      case TokenVerdict::kMissingScope:
        return "denied";
      case TokenVerdict::kRateLimited:
        return "rate_limited";
    }
    return "denied";
  }

  const TokenPorts ports_;
  const TokenConfig config_;
  const SessionConfig config_roles_;
  Allowance allowance_;
  struct Known {
    Roles roles;
    steady_clock::time_point at;
  };
  std::mutex mutex_;
  std::map<AccountId, Known> known_;
  std::map<std::tuple<TokenId, int, std::string, std::string>, steady_clock::time_point> noted_;
};

}  // namespace

const TokenScope* FindScope(std::string_view name) {
  for (const TokenScope& scope : kTokenScopes) {
    if (name == scope.name) return &scope;
  }
  return nullptr;
}

std::unique_ptr<TokenService> MakeTokenService(const TokenPorts& ports, TokenConfig config,
                                               SessionConfig roles) {
  return std::make_unique<DefaultTokenService>(ports, config, std::move(roles));
}

}  // namespace keyferry::server

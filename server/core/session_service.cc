#include <algorithm>
#include <string>
#include <utility>

#include "server/core/audit_entry.h"
#include "server/core/encoding.h"
#include "server/core/roles.h"
#include "server/core/services.h"

namespace keyferry::server {
namespace {

constexpr const char* kWrong = "The name or the password is wrong.";
constexpr const char* kEnded = "Your session has ended; sign in again.";
constexpr std::size_t kMaxName = 256;
constexpr std::size_t kMaxTypedPassword = 1024;

std::string Lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return out;
}

// "  CORP\Alice ", "alice@corp.example" and "ALICE" are one name to the limits. Where the directory
// knows the account its identifier counts as well, whatever the spelling.
std::string Normalised(std::string_view name) {
  const auto slash = name.rfind('\\');
  if (slash != std::string_view::npos) name.remove_prefix(slash + 1);
  name = name.substr(0, name.find('@'));
  while (!name.empty() && (name.front() == ' ' || name.front() == '\t')) name.remove_prefix(1);
  while (!name.empty() && (name.back() == ' ' || name.back() == '\t' || name.back() == '.')) {
    name.remove_suffix(1);
  }
  return Lower(name);
}

const char* OutcomeOf(BindOutcome outcome) {
  switch (outcome) {
    case BindOutcome::kAccepted:
      return "ok";
    case BindOutcome::kWrong:
      return "wrong";
    case BindOutcome::kLocked:
      return "locked";
    case BindOutcome::kDisabled:
      return "disabled";
    case BindOutcome::kExpired:
      return "expired";
    case BindOutcome::kMustChange:
      return "must_change";
  }
  return "wrong";
}

class DefaultSessionService final : public SessionService {
 public:
  DefaultSessionService(const CorePorts& ports, SessionConfig config)
      : ports_(ports), config_(std::move(config)) {}

  Result<SignedIn> SignIn(std::string_view name, const SecureBytes& password,
                          std::string_view address) override {
    const auto asked = ports_.clock.Now();
    auto signed_in = Try(name, password, address);
    if (!signed_in) {
      // Whatever took its time inside, the answer comes on a beat.
      const auto floor = std::max(config_.answer_floor, std::chrono::milliseconds(1));
      const auto spent = ports_.clock.Now() - asked;
      ports_.waiter.Until(asked + (spent / floor + 1) * floor);
    }
    return signed_in;
  }

  Result<Session> Find(std::string_view token, std::string_view address) override {
    if (token.size() != kTokenSize) return Fail(ErrorCode::kUnauthenticated, kEnded);
    const Hash32 hash = Sha256(token);
    auto found = ports_.store.FindSession(hash);
    if (!found) return tl::unexpected(std::move(found.error()));
    const std::int64_t now = ports_.clock.UnixSeconds();
    if (!*found || now >= (*found)->expires || now >= (*found)->idle_until) {
      return Fail(ErrorCode::kUnauthenticated, kEnded);
    }
    Session session = **std::move(found);
    session.actor.address = std::string(address);
    // Renewed in steps, so that reading pages does not write to the disk each time.
    const std::int64_t idle_until = std::min(now + config_.idle_seconds, session.expires);
    if (idle_until - session.idle_until >= std::max<std::int64_t>(config_.idle_seconds / 15, 1)) {
      const auto renewed = ports_.store.RenewSession(hash, idle_until);
      if (!renewed) return tl::unexpected(renewed.error());
      session.idle_until = idle_until;
    }
    return session;
  }

  void SignOut(std::string_view token) override {
    const Hash32 hash = Sha256(token);
    const auto found = ports_.store.FindSession(hash);
    if (!found || !*found) return;
    const auto ended = ports_.store.EndSession(
        hash, AuditOf(ports_.clock, (*found)->actor, "signout", (*found)->actor.login, "ok", {}));
    if (!ended && ports_.log) ports_.log("sign-out: " + ended.error().message);
  }

 private:
  static constexpr std::size_t kTokenSize = 43;  // 32 bytes in base64url

  Result<SignedIn> Try(std::string_view name, const SecureBytes& password,
                       std::string_view address) {
    if (name.empty() || name.size() > kMaxName || !IsPrintableUtf8(name) ||
        password.size() > kMaxTypedPassword) {
      return Fail(ErrorCode::kUnauthenticated, kWrong);
    }
    // Only a digest of the name is kept: people do type their password into the wrong field.
    const std::string name_counter = "name/" + ToHex(Sha256(Normalised(name)));
    const std::string address_counter = "address/" + Presentable(address, 64);
    for (const std::string& counter : {name_counter, address_counter}) {
      if (auto open = CheckLimit(counter); !open) return tl::unexpected(std::move(open.error()));
    }
    auto facts = ports_.directory.SignIn(name, password);
    if (!facts) return tl::unexpected(std::move(facts.error()));
    std::string account_counter;
    if (facts->account) {
      account_counter = "account/" + facts->account->Hex();
      if (auto open = CheckLimit(account_counter); !open) {
        return tl::unexpected(std::move(open.error()));
      }
    }
    if (facts->outcome != BindOutcome::kAccepted || !facts->person) {
      std::vector<SessionStore::FailureRule> rules = {
          Rule(name_counter, config_.failures_per_account),
          Rule(address_counter, config_.failures_per_address)};
      if (!account_counter.empty()) {
        rules.push_back(Rule(account_counter, config_.failures_per_account));
      }
      Actor nobody;
      nobody.address = std::string(address);
      const std::string target = facts->account ? Normalised(name) : "unknown name";
      const auto counted = ports_.store.AddFailure(
          rules, ports_.clock.UnixMillis(),
          AuditOf(ports_.clock, nobody, "signin", target, OutcomeOf(facts->outcome), {}));
      if (!counted) return tl::unexpected(counted.error());
      return Fail(ErrorCode::kUnauthenticated, kWrong);
    }
    return Admit(*facts, address, {name_counter, account_counter});
  }

  Result<SignedIn> Admit(const SignInFacts& facts, std::string_view address,
                         const std::vector<std::string>& counters) {
    Actor actor;
    actor.id = facts.person->id;
    actor.login = facts.person->login;
    actor.display_name = facts.person->display_name;
    actor.address = std::string(address);
    actor.roles = RolesOf(facts.group_dns, config_);
    const auto noticed = ports_.store.Notice(
        "roles/" + actor.id.Hex(), actor.roles.empty() ? std::string() : Names(actor.roles),
        [&](std::string_view before) {
          return AuditOf(ports_.clock, actor, "roles.change", actor.login, "ok",
                         "By groups of the directory, from " +
                             (before.empty() ? std::string("none") : std::string(before)) + " to " +
                             Names(actor.roles) + ".");
        });
    if (!noticed) return tl::unexpected(noticed.error());
    if (actor.roles.empty()) {
      const auto audited = ports_.store.AppendAudit(
          AuditOf(ports_.clock, actor, "signin", actor.login, "denied", "In no permitted group."));
      if (!audited) return tl::unexpected(audited.error());
      return Fail(ErrorCode::kPermissionDenied,
                  "You are not in a group that may use this server; ask an administrator.");
    }
    std::array<std::uint8_t, 32> token{}, csrf{};
    if (!ports_.random.Fill(token) || !ports_.random.Fill(csrf)) {
      return Fail(ErrorCode::kInternal, "The system gave no random numbers.");
    }
    SignedIn signed_in;
    signed_in.token = ToBase64Url(token);
    Session& session = signed_in.session;
    session.actor = actor;
    session.csrf = ToBase64Url(csrf);
    session.created = ports_.clock.UnixSeconds();
    session.expires = session.created + config_.absolute_seconds;
    session.idle_until = std::min(session.created + config_.idle_seconds, session.expires);
    const auto added =
        ports_.store.AddSession({Sha256(signed_in.token), session}, session.created, counters,
                                AuditOf(ports_.clock, actor, "signin", actor.login, "ok", {}));
    if (!added) return tl::unexpected(added.error());
    return signed_in;
  }

  Result<void> CheckLimit(const std::string& counter) {
    const auto count = ports_.store.FindFailures(counter);
    if (!count) return tl::unexpected(count.error());
    const std::int64_t left = count->blocked_until - ports_.clock.UnixMillis();
    if (left <= 0) return {};
    const std::int64_t minutes = (left + 59'999) / 60'000;
    return Fail(ErrorCode::kRateLimited, "Too many failed sign-ins; try again in " +
                                             std::to_string(minutes) +
                                             (minutes == 1 ? " minute." : " minutes."));
  }

  SessionStore::FailureRule Rule(const std::string& counter, std::uint32_t limit) const {
    return {counter, limit, config_.failure_window_seconds * 1000, config_.block_seconds * 1000};
  }

  CorePorts ports_;
  SessionConfig config_;
};

}  // namespace

std::unique_ptr<SessionService> MakeSessionService(const CorePorts& ports, SessionConfig config) {
  return std::make_unique<DefaultSessionService>(ports, std::move(config));
}

}  // namespace keyferry::server

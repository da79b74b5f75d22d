#include <algorithm>
#include <string>
#include <utility>

#include "server/core/audit_entry.h"
#include "server/core/beat.h"
#include "server/core/encoding.h"
#include "server/core/roles.h"
#include "server/core/services.h"
#include "server/core/tickets.h"

namespace keyferry::server {
namespace {

constexpr const char* kWrong = "The name or the password is wrong.";
constexpr const char* kNoTickets =
    "Your Windows account may not sign in just now: it is locked, disabled, expired or unknown "
    "here. "
    "Ask an administrator.";
constexpr const char* kWrongAgain = "This is not your password.";
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
  DefaultSessionService(const CorePorts& ports, SessionConfig config, TicketReader* tickets)
      : ports_(ports), config_(std::move(config)), tickets_(tickets) {}

  Result<SignedIn> SignIn(std::string_view name, const SecureBytes& password,
                          std::string_view address, std::string_view browser) override {
    const auto asked = ports_.clock.Now();
    auto signed_in = Try(name, password, address, browser);
    if (!signed_in) WaitForBeat(ports_.clock, ports_.waiter, asked, config_.answer_floor);
    return signed_in;
  }

  bool TakesTickets() const override { return tickets_ != nullptr; }

  Result<SignedInByTicket> SignInByTicket(std::span<const std::uint8_t> token,
                                          std::string_view address,
                                          std::string_view browser) override {
    const auto asked = ports_.clock.Now();
    auto signed_in = TryTicket(token, address, browser);
    if (!signed_in) WaitForBeat(ports_.clock, ports_.waiter, asked, config_.answer_floor);
    return signed_in;
  }

  Result<Session> FindIncomplete(std::string_view token, std::string_view address) override {
    auto session = Look(token, address);
    if (session && session->stage == SessionStage::kComplete) {
      return Fail(ErrorCode::kUnauthenticated, kEnded);
    }
    return session;
  }

  Result<Session> Find(std::string_view token, std::string_view address) override {
    auto looked = Look(token, address);
    if (!looked) return looked;
    if (looked->stage != SessionStage::kComplete) {
      return Fail(ErrorCode::kUnauthenticated, "Please finish signing in first.");
    }
    const Hash32 hash = Sha256(token);
    Session session = *std::move(looked);
    if (auto may = CheckPerson(hash, session); !may) return tl::unexpected(std::move(may.error()));
    const std::int64_t now = ports_.clock.UnixSeconds();
    // Renewed in steps, so that reading pages does not write to the disk each time.
    const std::int64_t idle_until = std::min(now + config_.idle_seconds, session.expires);
    if (idle_until - session.idle_until >= std::max<std::int64_t>(config_.idle_seconds / 15, 1)) {
      const auto renewed = ports_.store.RenewSession(hash, idle_until);
      if (!renewed) return tl::unexpected(renewed.error());
      session.idle_until = idle_until;
    }
    return session;
  }

  Result<void> ProvePassword(const Session& session, const SecureBytes& password) override {
    const auto asked = ports_.clock.Now();
    auto proven = TryPassword(session, password);
    if (!proven) WaitForBeat(ports_.clock, ports_.waiter, asked, config_.answer_floor);
    return proven;
  }

  void SignOut(std::string_view token) override {
    const Hash32 hash = Sha256(token);
    const auto found = ports_.store.FindSession(hash);
    if (!found || !*found) return;
    const auto ended = ports_.store.EndSession(
        hash, AuditOf(ports_.clock, (*found)->actor, "signout", (*found)->actor.login, "ok", {}));
    if (!ended && ports_.log) ports_.log("sign-out: " + ended.error().message);
  }

  Result<std::vector<Session>> List() override {
    return ports_.store.Sessions(ports_.clock.UnixSeconds());
  }

  Result<std::vector<Session>> Of(const AccountId& account) override {
    return ports_.store.SessionsOf(account, ports_.clock.UnixSeconds());
  }

  Result<void> End(const Actor& actor, const SessionId& id) override {
    const auto all = List();
    if (!all) return tl::unexpected(all.error());
    const auto found = std::find_if(all->begin(), all->end(),
                                    [&id](const Session& session) { return session.id == id; });
    // To who may not end it a session of somebody else is none.
    if (found == all->end() ||
        (found->actor.id != actor.id && !May(actor.roles, Right::kSignInsWrite))) {
      return Fail(ErrorCode::kNotFound, kNone);
    }
    if (found->actor.id != actor.id) {
      auto reach = CheckReach(ports_, actor, Right::kSignInsWrite, found->actor.id);
      if (!reach && reach.error().code == ErrorCode::kNotFound) {
        return Fail(ErrorCode::kNotFound, kNone);
      }
      if (!reach) return reach;
    }
    const auto ended = ports_.store.EndSessions(
        found->actor.id, id, std::nullopt,
        AuditOf(ports_.clock, actor, "session.end", found->actor.login, "ok", {}));
    if (!ended) return tl::unexpected(ended.error());
    return {};
  }

  Result<std::size_t> EndAll(const Actor& actor, const AccountId& account) override {
    if (!May(actor.roles, Right::kSignInsWrite)) {
      return Fail(ErrorCode::kPermissionDenied,
                  "You are not allowed to do this; ask an administrator.");
    }
    if (auto reach = CheckReach(ports_, actor, Right::kSignInsWrite, account); !reach) {
      return tl::unexpected(std::move(reach.error()));
    }
    const auto all = List();
    if (!all) return tl::unexpected(all.error());
    const auto found = std::find_if(all->begin(), all->end(), [&account](const Session& session) {
      return session.actor.id == account;
    });
    if (found == all->end()) return std::size_t{0};
    return ports_.store.EndSessions(
        account, std::nullopt, std::nullopt,
        AuditOf(ports_.clock, actor, "session.end", found->actor.login, "ok", "All of them."));
  }

  Result<std::size_t> EndOthers(const Actor& actor, const SessionId& kept) override {
    return ports_.store.EndSessions(actor.id, std::nullopt, kept,
                                    AuditOf(ports_.clock, actor, "session.end", actor.login, "ok",
                                            "All but the one that asked."));
  }

 private:
  static constexpr const char* kNone = "This session has ended already.";
  static constexpr std::size_t kTokenSize = 43;  // 32 bytes in base64url
  static constexpr std::int64_t kIncompleteSeconds = 10 * 60;
  static constexpr std::int64_t kCheckSeconds = 60;
  static constexpr std::size_t kBrowserBytes = 200;
  static constexpr std::size_t kTicketWords = 200;  // bytes of Kerberos' own words in the audit log

  static const char* ActionOf(bool complete, bool by_ticket) {
    if (complete) return "signin";
    return by_ticket ? "signin.ticket" : "signin.password";
  }

  Result<Session> Look(std::string_view token, std::string_view address) {
    if (token.size() != kTokenSize) return Fail(ErrorCode::kUnauthenticated, kEnded);
    auto found = ports_.store.FindSession(Sha256(token));
    if (!found) return tl::unexpected(std::move(found.error()));
    const std::int64_t now = ports_.clock.UnixSeconds();
    if (!*found || now >= (*found)->expires || now >= (*found)->idle_until) {
      return Fail(ErrorCode::kUnauthenticated, kEnded);
    }
    // Employees were let in by a configuration that was changed since.
    if ((*found)->actor.roles == Role::kEmployee && !config_.employees) {
      return Fail(ErrorCode::kUnauthenticated, kEnded);
    }
    Session session = **std::move(found);
    session.actor.address = std::string(address);
    return session;
  }

  // Whether the session's person still has its role, by what the directory said within the last
  // minute. One request asks; those beside it go on meanwhile with what is known, unless that is
  // older than the grace.
  Result<void> CheckPerson(const Hash32& hash, const Session& session) {
    const std::int64_t now = ports_.clock.UnixSeconds();
    const bool stale = now - session.checked >= config_.grace_seconds;
    // A clock that was put back asks too.
    const bool due = now - session.asked >= kCheckSeconds || now < session.asked;
    if (!due && !stale) return {};
    if (due) {
      const auto mine = ports_.store.ClaimSessionCheck(hash, session.asked, now);
      if (!mine) return tl::unexpected(mine.error());
      if (!*mine && !stale) return {};
    }
    const auto groups = ports_.directory.GroupsOf(session.actor.id);
    if (!groups && groups.error().code != ErrorCode::kNotFound) {
      if (ports_.log) ports_.log("session check: " + groups.error().message);
      if (!stale) return {};
      return Fail(ErrorCode::kUnavailable,
                  "The directory has not answered for a while, so it cannot be told whether you "
                  "may still use this server; try again in a moment.");
    }
    if (groups && SessionRolesOf(*groups, config_) == session.actor.roles) {
      return ports_.store.NoteSessionCheck(hash, now);
    }
    const auto ended = ports_.store.EndSession(
        hash, AuditBySystem(ports_.clock, "session.end", session.actor.login, "ok",
                            groups ? "The person's role has changed."
                                   : "The account is gone, disabled or past its end."));
    if (!ended) return tl::unexpected(ended.error());
    return Fail(ErrorCode::kUnauthenticated, kEnded);
  }

  Result<SignedIn> Try(std::string_view name, const SecureBytes& password, std::string_view address,
                       std::string_view browser) {
    if (name.empty() || name.size() > kMaxName || !IsPrintableUtf8(name) ||
        password.size() > kMaxTypedPassword) {
      return Fail(ErrorCode::kUnauthenticated, kWrong);
    }
    // Only a digest of the name is kept: people do type their password into the wrong field.
    const std::string name_counter = "name/" + ToHex(Sha256(Normalised(name)));
    const std::string address_counter = AddressCounter(address);
    for (const std::string& counter : {name_counter, address_counter}) {
      if (auto open = CheckLimit(counter); !open) return tl::unexpected(std::move(open.error()));
    }
    auto facts = ports_.directory.SignIn(name, password);
    if (!facts) return tl::unexpected(std::move(facts.error()));
    std::string account_counter;
    if (facts->account) {
      account_counter = AccountCounter(*facts->account);
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
      return Wrong(rules,
                   AuditOf(ports_.clock, nobody, "signin", target, OutcomeOf(facts->outcome), {}));
    }
    return Admit(*facts, address, browser, {name_counter, account_counter});
  }

  Result<SignedInByTicket> TryTicket(std::span<const std::uint8_t> token, std::string_view address,
                                     std::string_view browser) {
    if (tickets_ == nullptr) return SessionService::SignInByTicket(token, address, browser);
    const std::string counter = AddressCounter(address);
    if (auto open = CheckLimit(counter); !open) return tl::unexpected(std::move(open.error()));
    const auto refuse = [&](const Error& error, const std::string& target, const char* outcome,
                            const std::string& detail) -> tl::unexpected<Error> {
      Actor nobody;
      nobody.address = std::string(address);
      const auto counted = ports_.store.AddFailure(
          {Rule(counter, config_.failures_per_address)}, ports_.clock.UnixMillis(),
          AuditOf(ports_.clock, nobody, "signin.ticket", target, outcome, detail));
      return tl::unexpected(counted ? error : counted.error());
    };
    auto holder = tickets_->Read(token);
    if (!holder && holder.error().code != ErrorCode::kUnauthenticated) {
      return tl::unexpected(std::move(holder.error()));
    }
    if (!holder) {
      return refuse(holder.error(), "unknown name", "wrong",
                    Presentable(holder.error().detail, kTicketWords));
    }
    auto facts = ports_.directory.Recognise(holder->sid);
    if (!facts) return tl::unexpected(std::move(facts.error()));
    if (facts->outcome != BindOutcome::kAccepted || !facts->person) {
      return refuse(Error{ErrorCode::kUnauthenticated, kNoTickets, holder->principal, 0},
                    holder->principal, OutcomeOf(facts->outcome), "By its Kerberos ticket.");
    }
    // Guesses of the password that have blocked the account block this way too.
    if (auto open = CheckLimit(AccountCounter(facts->person->id)); !open) {
      return tl::unexpected(std::move(open.error()));
    }
    auto admitted = Admit(*facts, address, browser, {}, holder->principal);
    if (!admitted) return tl::unexpected(std::move(admitted.error()));
    return SignedInByTicket{*std::move(admitted), std::move(holder->answer)};
  }

  // Of the same counters as Try, so that neither is a way round the other's limit.
  Result<void> TryPassword(const Session& session, const SecureBytes& password) {
    const Actor& actor = session.actor;
    const std::string account_counter = AccountCounter(actor.id),
                      address_counter = AddressCounter(actor.address);
    for (const std::string& counter : {account_counter, address_counter}) {
      if (auto open = CheckLimit(counter); !open) return open;
    }
    if (password.size() > kMaxTypedPassword) return Fail(ErrorCode::kUnauthenticated, kWrongAgain);
    const auto facts = ports_.directory.SignIn(actor.login, password);
    if (!facts) return tl::unexpected(facts.error());
    // A login may have become somebody else's.
    if (facts->outcome == BindOutcome::kAccepted && facts->person &&
        facts->person->id == actor.id) {
      return {};
    }
    auto wrong = Wrong({Rule(account_counter, config_.failures_per_account),
                        Rule(address_counter, config_.failures_per_address)},
                       AuditOf(ports_.clock, actor, "session.password", actor.login,
                               OutcomeOf(facts->outcome), {}));
    if (wrong.value().code == ErrorCode::kUnauthenticated) wrong.value().message = kWrongAgain;
    return wrong;
  }

  tl::unexpected<Error> Wrong(const std::vector<SessionStore::FailureRule>& rules,
                              const AuditEntry& audit) {
    const auto counted = ports_.store.AddFailure(rules, ports_.clock.UnixMillis(), audit);
    if (!counted) return tl::unexpected(counted.error());
    return Fail(ErrorCode::kUnauthenticated, kWrong);
  }

  static std::string AccountCounter(const AccountId& account) { return "account/" + account.Hex(); }
  static std::string AddressCounter(std::string_view address) {
    return "address/" + Presentable(address, 64);
  }

  // What the person owes after the password.
  Result<SessionStage> StageOf(const Actor& actor) {
    if (config_.second_factor == FactorPolicy::kOff) return SessionStage::kComplete;
    const auto factor = ports_.store.FindFactor(actor.id);
    if (!factor) return tl::unexpected(factor.error());
    if (*factor && (*factor)->confirmed != 0) return SessionStage::kCodeOwed;
    return IsRequired(config_, actor.roles) ? SessionStage::kSetUpOwed : SessionStage::kComplete;
  }

  Result<SignedIn> Admit(const SignInFacts& facts, std::string_view address,
                         std::string_view browser, const std::vector<std::string>& counters,
                         const std::string& ticket = {}) {
    Actor actor;
    actor.id = facts.person->id;
    actor.login = facts.person->login;
    actor.display_name = facts.person->display_name;
    actor.address = std::string(address);
    actor.roles = SessionRolesOf(facts.group_dns, config_);
    const Roles given = RolesOf(facts.group_dns, config_);
    const auto noticed = ports_.store.Notice(
        "roles/" + actor.id.Hex(), given.empty() ? std::string() : Names(given),
        [&](std::string_view before) {
          return AuditOf(ports_.clock, actor, "roles.change", actor.login, "ok",
                         "By groups of the directory, from " +
                             (before.empty() ? std::string("none") : std::string(before)) + " to " +
                             Names(given) + ".");
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
    if (!ports_.random.Fill(session.id.bytes)) {
      return Fail(ErrorCode::kInternal, "The system gave no random numbers.");
    }
    const auto stage = StageOf(actor);
    if (!stage) return tl::unexpected(stage.error());
    session.stage = *stage;
    session.actor = actor;
    session.csrf = ToBase64Url(csrf);
    session.created = session.checked = session.asked = ports_.clock.UnixSeconds();
    session.address = Presentable(address, 64);
    session.browser = Presentable(browser, kBrowserBytes);
    const bool complete = session.stage == SessionStage::kComplete;
    session.expires = session.created + (complete ? config_.absolute_seconds : kIncompleteSeconds);
    session.idle_until = complete
                             ? std::min(session.created + config_.idle_seconds, session.expires)
                             : session.expires;
    const auto added = ports_.store.AddSession(
        {Sha256(signed_in.token), session}, session.created, counters,
        AuditOf(ports_.clock, actor, ActionOf(complete, !ticket.empty()), actor.login, "ok",
                ticket.empty() ? (complete ? "" : "The second factor is asked for.")
                               : "By the Kerberos ticket of " + ticket +
                                     (complete ? "." : "; the second factor is asked for.")));
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
  TicketReader* const tickets_;
};

}  // namespace

std::unique_ptr<SessionService> MakeSessionService(const CorePorts& ports, SessionConfig config,
                                                   TicketReader* tickets) {
  return std::make_unique<DefaultSessionService>(ports, std::move(config), tickets);
}

}  // namespace keyferry::server

#include "server/directory/ldap_directory.h"

#include <ldap.h>

#include <algorithm>
#include <mutex>
#include <new>
#include <utility>
#include <vector>

#include "server/directory/account_reader.h"
#include "server/directory/checked.h"
#include "server/directory/computers.h"
#include "server/directory/group_sids.h"
#include "server/directory/people_search.h"
#include "server/directory/person.h"
#include "server/directory/server_group.h"
#include "server/directory/sign_in.h"
#include "server/directory/text.h"

namespace keyferry::server {
namespace {

// A lock-out that has run out leaves lockoutTime as it is, so the computed flags decide.
std::string StateFilter(PeopleState state) {
  switch (state) {
    case PeopleState::kLocked:
      return "(lockoutTime>=1)";
    case PeopleState::kExpired:
      return "(!(pwdLastSet=0))";
    case PeopleState::kMustChange:
      return "(pwdLastSet=0)";
    case PeopleState::kAny:
      break;
  }
  return {};
}

bool IsInState(const LdapEntry& entry, PeopleState wanted) {
  const AccountState state = ReadState(entry, FileTimeNow());
  switch (wanted) {
    case PeopleState::kLocked:
      return state.locked;
    case PeopleState::kExpired:
      return state.password_expired || state.account_expired;
    case PeopleState::kMustChange:
      return state.must_change;
    case PeopleState::kAny:
      break;
  }
  return true;
}

PeopleSchema Schema() {
  PeopleSchema schema;
  schema.filter = kUserFilter;
  schema.prefixes = {"displayName", "sAMAccountName", "mail", "employeeID", "sn", "givenName"};
  schema.addresses = {"mail", "userPrincipalName"};
  schema.keys = {"sAMAccountName", "mail", "employeeID"};
  schema.listing = {"objectGUID", "displayName", "cn", "sAMAccountName"};
  schema.person = PersonAttributes;
  schema.read = ReadPerson;
  schema.id_filter = GuidFilter;
  schema.state_filter = StateFilter;
  schema.state_attributes = {"userAccountControl", "pwdLastSet", "accountExpires",
                             "msDS-User-Account-Control-Computed"};
  schema.in_state = IsInState;
  return schema;
}

class LdapDirectory final : public Directory {
 public:
  explicit LdapDirectory(LdapConfig config)
      : config_(std::move(config)),
        servers_(config_),
        accounts_(config_),
        group_sids_(config_),
        checked_(config_.check_life),
        people_(config_, Schema()) {}

  Result<PersonPage> Search(std::string_view query, std::size_t limit,
                            std::string_view cursor) override;
  Result<PersonDetail> Get(const AccountId& id) override;
  Result<std::vector<Person>> FindBy(PersonKey key, std::string_view value) override {
    return people_.Find(servers_, key, value);
  }
  Result<SignInFacts> SignIn(std::string_view name, const SecureBytes& password) override;
  Result<SignInFacts> Recognise(std::string_view sid) override;
  Result<Candidate> Consider(const AccountId& id, const AccountId& actor,
                             const std::function<void()>& meanwhile) override;
  Result<std::vector<std::string>> GroupsOf(const AccountId& id) override;
  Result<std::optional<bool>> TokenHolds(const PersonDetail& person,
                                         const std::vector<std::string>& groups) override;
  Result<std::vector<DirectoryAttribute>> Attributes(const AccountId& id) override {
    return people_.Attributes(servers_, id);
  }
  Result<std::optional<Person>> ManagerOf(const AccountId& id) override {
    return people_.Manager(servers_, id);
  }
  Result<std::vector<std::string>> MobileNumbers(const AccountId& id) override {
    return people_.Mobile(servers_, id);
  }
  Result<PersonPage> List(const PeopleQuery& query) override {
    return people_.Page(servers_, query);
  }
  std::string CursorAfter(const Person& person, PeopleOrder order) override {
    return PeopleSearch::CursorAfter(person, order);
  }
  Result<ChangeTarget> Pin(const AccountId& id, const AccountId& actor) override;
  Result<void> SetPassword(const ChangeTarget& target, const AccountId& id,
                           const SecureBytes& password, SetOptions options) override;
  Result<void> MayWrite(const ChangeTarget& target, const AccountId& id,
                        const SetOptions& options) override;
  Result<PasswordStamp> Stamp(const ChangeTarget& target, const AccountId& id) override;
  Result<BindOutcome> TryPassword(const ChangeTarget& target, const AccountId& id,
                                  const SecureBytes& password) override;
  Result<void> Unlock(const AccountId& id, const AccountId& actor) override;
  Result<void> RequireChange(const AccountId& id, const AccountId& actor, bool on) override;
  Result<std::vector<Computer>> FindComputers(std::span<const std::string> names) override {
    return servers_.Read(Turn::kPage, [&](const Session& session) {
      return server::FindComputers(session, config_.base_dn, names);
    });
  }
  Result<void> Ping() override;

 private:
  Result<std::optional<LdapEntry>> FindSignIn(const Session& session, std::string_view name);
  // DNs, nested ones too.
  Result<std::vector<std::string>> GroupDns(const Session& session, const LdapEntry& user) const;
  void PreferPdc();
  // Refuses what must not be written, before it is.
  Result<void> Check(const Session& session, const AccountId& id, const AccountId& actor,
                     WriteKind kind);
  Result<void> Write(ServerPool& pool, const AccountId& id, const AccountId& actor, WriteKind kind,
                     const std::vector<LdapReplace>& replacements, const AroundSend& around = {});
  Result<void> WriteAnywhere(const AccountId& id, const AccountId& actor, WriteKind kind,
                             const std::vector<LdapReplace>& replacements);
  std::string MissingRight(const Session& session, const AccountId& id, WriteKind kind,
                           const std::vector<LdapReplace>& replacements);

  const LdapConfig config_;
  ServerGroup servers_;
  AccountReader accounts_;
  GroupSids group_sids_;
  Checked checked_;
  PeopleSearch people_;
  std::mutex order_mutex_;
  Deadline order_until_{};  // until then the PDC emulator's place is known
};

Result<PersonDetail> LdapDirectory::Get(const AccountId& id) {
  return servers_.Read(Turn::kPage,
                       [&](const Session& session) { return accounts_.Detail(session, id); });
}

Result<PersonPage> LdapDirectory::Search(std::string_view query, std::size_t limit,
                                         std::string_view cursor) {
  return List({query, PeopleState::kAny, PeopleOrder::kName, limit, cursor});
}

Result<std::optional<LdapEntry>> LdapDirectory::FindSignIn(const Session& session,
                                                           std::string_view name) {
  if (const std::size_t slash = name.find('\\'); slash != std::string_view::npos) {
    name.remove_prefix(slash + 1);
    if (name.empty()) name = "?";
  }
  std::string any = "(sAMAccountName=" + EscapeFilter(name) + ")";
  if (const std::size_t at = name.rfind('@'); at != std::string_view::npos) {
    any = "(userPrincipalName=" + EscapeFilter(name) + ")";
    // login@domain works for everybody, whatever the userPrincipalName says.
    if (EqualNoCase(name.substr(at + 1), DnsName(config_.base_dn))) {
      any += "(sAMAccountName=" + EscapeFilter(name.substr(0, at)) + ")";
    }
  }
  LdapSearch search;
  search.base = config_.base_dn;
  search.filter = "(&" + std::string(kUserFilter) + "(|" + any + "))";
  search.attributes = PersonAttributes();
  search.attributes.emplace_back("primaryGroupID");
  auto entries = Entries(session, search);
  if (!entries) return tl::unexpected<Error>(entries.error());
  if (entries->size() > 1) {
    // The explicit name wins over the implied one, as in Windows.
    std::erase_if(*entries, [&](const LdapEntry& entry) {
      return !EqualNoCase(entry.Get("userprincipalname"), name);
    });
  }
  if (entries->size() != 1) return std::optional<LdapEntry>();
  return std::optional<LdapEntry>(std::move(entries->front()));
}

Result<std::vector<std::string>> LdapDirectory::GroupDns(const Session& session,
                                                         const LdapEntry& user) const {
  auto groups = accounts_.Groups(session, user, {"cn"});
  if (!groups) return tl::unexpected<Error>(groups.error());
  std::vector<std::string> dns;
  for (LdapEntry& group : *groups) dns.push_back(std::move(group.dn));
  return dns;
}

Result<SignInFacts> LdapDirectory::Recognise(std::string_view sid) {
  const std::string binary = SidBinary(sid);
  if (binary.empty()) return SignInFacts();
  LdapSearch search;
  search.base = config_.base_dn;
  search.filter = "(&" + std::string(kUserFilter) + "(objectSid=" + EscapeFilter(binary) + "))";
  search.attributes = PersonAttributes();
  for (const char* name : {"primaryGroupID", "userAccountControl", "pwdLastSet", "accountExpires",
                           "msDS-User-Account-Control-Computed"}) {
    search.attributes.emplace_back(name);
  }
  return servers_.Read(Turn::kPage, [&](const Session& session) -> Result<SignInFacts> {
    auto entries = Entries(session, search);
    if (!entries) return tl::unexpected<Error>(entries.error());
    SignInFacts facts;
    if (entries->size() != 1) return facts;
    auto person = ReadPerson(entries->front());
    if (!person) return facts;
    facts.account = person->id;
    const AccountState state = ReadState(entries->front(), FileTimeNow());
    facts.outcome = state.disabled                                ? BindOutcome::kDisabled
                    : state.locked                                ? BindOutcome::kLocked
                    : state.account_expired                       ? BindOutcome::kExpired
                    : state.must_change || state.password_expired ? BindOutcome::kMustChange
                                                                  : BindOutcome::kAccepted;
    if (facts.outcome != BindOutcome::kAccepted) return facts;
    facts.person = std::move(person);
    auto groups = GroupDns(session, entries->front());
    if (!groups) return tl::unexpected<Error>(groups.error());
    facts.group_dns = std::move(*groups);
    return facts;
  });
}

Result<SignInFacts> LdapDirectory::SignIn(std::string_view name, const SecureBytes& password) {
  const SignInSteps steps{
      [this](const Session& session, std::string_view text) { return FindSignIn(session, text); },
      ReadPerson,
      [this](const Session& session, const LdapEntry& user) { return GroupDns(session, user); },
      "CN=nobody,CN=Users," + config_.base_dn, "objectGUID"};
  return servers_.Read(Turn::kPage, [&](const Session& session) {
    return SignInOn(session, config_, steps, name, password);
  });
}

Result<Directory::Candidate> LdapDirectory::Consider(const AccountId& id, const AccountId& actor,
                                                     const std::function<void()>& meanwhile) {
  PreferPdc();
  bool over = !meanwhile;
  const auto once = [&] {  // a step may be repeated, on another connection or controller
    if (!std::exchange(over, true)) meanwhile();
  };
  return servers_.Read(Turn::kChange, [&](const Session& session) -> Result<Candidate> {
    const auto asked = std::chrono::steady_clock::now();
    std::optional<Error> refused;
    auto look = accounts_.Look(session, id, actor, &refused, once);
    if (!look) return tl::unexpected<Error>(look.error());
    if (refused) {
      checked_.Forget(session.endpoint.uri, id, actor);
      return Candidate{std::move(look->detail), tl::unexpected<Error>(*refused)};
    }
    checked_.Note(session.endpoint.uri, id, actor, asked);
    return Candidate{std::move(look->detail), ChangeTarget{session.endpoint.uri, look->stamp}};
  });
}

Result<std::vector<std::string>> LdapDirectory::GroupsOf(const AccountId& id) {
  return servers_.Read(
      Turn::kPage, [&](const Session& session) -> Result<std::vector<std::string>> {
        LdapSearch search;
        search.base = config_.base_dn;
        search.filter = "(&" + std::string(kUserFilter) + GuidFilter(id) + ")";
        search.attributes = {"objectSid", "primaryGroupID", "userAccountControl", "accountExpires"};
        const auto entries = Entries(session, search);
        if (!entries) return tl::unexpected<Error>(entries.error());
        AccountState state;
        if (entries->size() == 1) state = ReadState(entries->front(), FileTimeNow());
        if (entries->size() != 1 || state.disabled || state.account_expired) {
          return Fail(ErrorCode::kNotFound, "Active Directory has no such account in use.");
        }
        return GroupDns(session, entries->front());
      });
}

Result<std::optional<bool>> LdapDirectory::TokenHolds(const PersonDetail& person,
                                                      const std::vector<std::string>& groups) {
  const std::vector<std::string>& token = person.state.token;
  if (groups.empty()) return false;
  // The primary group is in every token that could be read.
  if (token.empty()) return std::nullopt;
  const auto sids = group_sids_.Of(servers_, groups);
  if (!sids) return tl::unexpected<Error>(sids.error());
  if (!*sids) return std::nullopt;
  return std::find_first_of(token.begin(), token.end(), (*sids)->begin(), (*sids)->end()) !=
         token.end();
}

Result<ChangeTarget> LdapDirectory::Pin(const AccountId& id, const AccountId& actor) {
  auto candidate = Consider(id, actor, {});
  if (!candidate) return tl::unexpected<Error>(candidate.error());
  return std::move(candidate->target);
}

Result<PasswordStamp> LdapDirectory::Stamp(const ChangeTarget& target, const AccountId& id) {
  auto pool = servers_.PoolOf(target.server);
  if (!pool) return tl::unexpected<Error>(pool.error());
  return servers_.RunOn(**pool, servers_.NewDeadline(), Turn::kChange,
                        [&](const Session& session) { return accounts_.Stamp(session, id); });
}

Result<BindOutcome> LdapDirectory::TryPassword(const ChangeTarget& target, const AccountId& id,
                                               const SecureBytes& password) {
  auto pool = servers_.PoolOf(target.server);
  if (!pool) return tl::unexpected<Error>(pool.error());
  if (password.empty()) return BindOutcome::kWrong;
  std::optional<BindOutcome> tried;  // a step may be repeated; the bind is not
  return servers_.RunOn(**pool, servers_.NewDeadline(), Turn::kChange,
                        [&](const Session& session) -> Result<BindOutcome> {
                          if (tried) return *tried;
                          const auto entry = accounts_.FindInScope(session, id, {});
                          if (!entry) return tl::unexpected<Error>(entry.error());
                          auto outcome = BindAs(session, config_, entry->dn, password);
                          if (outcome) tried = *outcome;
                          return outcome;
                        });
}

// Asks the controllers, where that is configured and not known, which of them is the PDC emulator,
// and puts it first.
void LdapDirectory::PreferPdc() {
  const auto& pools = servers_.pools();
  if (!config_.prefer_pdc || pools.size() < 2) return;
  const auto now = std::chrono::steady_clock::now();
  {
    const std::lock_guard lock(order_mutex_);
    if (now < order_until_) return;
    order_until_ = now + config_.context_life;
  }
  for (std::size_t i = 0; i < pools.size(); ++i) {
    if (pools[i]->Paused()) continue;
    const auto facts =
        servers_.RunOn(*pools[i], now + config_.connect_timeout, Turn::kChange,
                       [&](const Session& session) { return accounts_.Facts(session); });
    if (!facts || !facts->pdc) continue;
    return servers_.Prefer(i);
  }
}

// AD says only "insufficient rights" for a modify of several attributes; which of them this account
// may write at all, it tells when asked.
std::string LdapDirectory::MissingRight(const Session& session, const AccountId& id, WriteKind kind,
                                        const std::vector<LdapReplace>& replacements) {
  LdapSearch search;
  search.base = GuidDn(id);
  search.scope = LdapSearch::Scope::kBase;
  search.attributes = {"allowedAttributesEffective"};
  const auto entries = Entries(session, search);
  if (!entries || entries->empty()) return {};
  const auto& writable = entries->front().All("allowedattributeseffective");
  for (const LdapReplace& replace : replacements) {
    if (EqualNoCase(replace.attribute, "unicodePwd")) continue;  // governed by "Reset password"
    const bool listed = std::any_of(writable.begin(), writable.end(), [&](const std::string& name) {
      return EqualNoCase(name, replace.attribute);
    });
    if (!listed) return "\"Write " + std::string(replace.attribute) + "\"";
  }
  return kind == WriteKind::kSetPassword ? "\"Reset password\"" : "";
}

// Ends with a read on the connection that the write will use, if it has been silent for a while:
// one that died while it was idle is found, and replaced, before anything that cannot be repeated
// is sent.
Result<void> LdapDirectory::Check(const Session& session, const AccountId& id,
                                  const AccountId& actor, WriteKind kind) {
  const auto now = std::chrono::steady_clock::now();
  const bool found =
      kind == WriteKind::kSetPassword && checked_.Take(session.endpoint.uri, id, actor, now);
  if (!found) return accounts_.Changeable(session, id, actor);
  if (now - session.connection.heard() <= config_.check_life) return {};
  return Probe(session);
}

Result<void> LdapDirectory::Write(ServerPool& pool, const AccountId& id, const AccountId& actor,
                                  WriteKind kind, const std::vector<LdapReplace>& replacements,
                                  const AroundSend& around) {
  return servers_.RunOn(
      pool, servers_.NewDeadline(), Turn::kWrite, [&](const Session& session) -> Result<void> {
        if (auto fit = Check(session, id, actor, kind); !fit) return fit;
        const auto facts = accounts_.Facts(session);
        if (!facts) return tl::unexpected<Error>(facts.error());
        if (config_.on_write) config_.on_write(id);
        const LdapAnswer answer = session.connection.Modify(
            GuidDn(id), replacements, session.deadline,
            kind == WriteKind::kSetPassword ? facts->policy_hints : std::string(), around);
        if (answer.ok()) return {};
        const bool rights = answer.delivery == LdapAnswer::Delivery::kAnswered &&
                            answer.rc == LDAP_INSUFFICIENT_ACCESS;
        return tl::unexpected<Error>(ExplainWrite(
            answer, kind, pool.uri(), rights ? MissingRight(session, id, kind, replacements) : ""));
      });
}

Result<void> LdapDirectory::SetPassword(const ChangeTarget& target, const AccountId& id,
                                        const SecureBytes& password, SetOptions options) {
  try {
    auto pool = servers_.PoolOf(target.server);
    if (!pool) return tl::unexpected<Error>(pool.error());
    const auto quoted = QuotedUtf16(password);
    if (!quoted) return tl::unexpected<Error>(quoted.error());
    std::vector<LdapReplace> replacements{{"unicodePwd", quoted->view()}};
    if (options.must_change) replacements.push_back({"pwdLastSet", "0"});
    if (options.unlock) replacements.push_back({"lockoutTime", "0"});
    return Write(**pool, id, options.actor, WriteKind::kSetPassword, replacements,
                 {options.may_send, options.sent});
  } catch (const std::bad_alloc&) {
    return Fail(ErrorCode::kUnavailable,
                "The server has no locked memory left for the password. Nothing was changed; raise "
                "LimitMEMLOCK and try again.");
  }
}

Result<void> LdapDirectory::MayWrite(const ChangeTarget& target, const AccountId& id,
                                     const SetOptions& options) {
  auto pool = servers_.PoolOf(target.server);
  if (!pool) return tl::unexpected<Error>(pool.error());
  return servers_.RunOn(
      **pool, servers_.NewDeadline(), Turn::kChange, [&](const Session& session) -> Result<void> {
        const auto missing = accounts_.MissingRight(session, id, options);
        if (!missing) return tl::unexpected<Error>(missing.error());
        if (missing->empty()) return {};
        LdapAnswer refusal;
        refusal.delivery = LdapAnswer::Delivery::kAnswered;
        refusal.rc = LDAP_INSUFFICIENT_ACCESS;
        return tl::unexpected<Error>(
            ExplainWrite(refusal, WriteKind::kSetPassword, (*pool)->uri(), *missing));
      });
}

Result<void> LdapDirectory::WriteAnywhere(const AccountId& id, const AccountId& actor,
                                          WriteKind kind,
                                          const std::vector<LdapReplace>& replacements) {
  auto pool = servers_.AnyPool();
  if (!pool) return tl::unexpected<Error>(pool.error());
  return Write(**pool, id, actor, kind, replacements);
}

Result<void> LdapDirectory::Unlock(const AccountId& id, const AccountId& actor) {
  return WriteAnywhere(id, actor, WriteKind::kUnlock, {{"lockoutTime", "0"}});
}

Result<void> LdapDirectory::RequireChange(const AccountId& id, const AccountId& actor, bool on) {
  return WriteAnywhere(id, actor, WriteKind::kRequireChange, {{"pwdLastSet", on ? "0" : "-1"}});
}

Result<void> LdapDirectory::Ping() { return servers_.Read(Turn::kPage, Probe); }

}  // namespace

Result<std::unique_ptr<Directory>> MakeLdapDirectory(LdapConfig config) {
  config.kind = DirectoryKind::kActiveDirectory;
  if (auto good = CheckLdapConfig(&config); !good) return tl::unexpected<Error>(good.error());
  return std::unique_ptr<Directory>(std::make_unique<LdapDirectory>(std::move(config)));
}

}  // namespace keyferry::server

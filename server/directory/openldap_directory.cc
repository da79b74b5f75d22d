#include "server/directory/openldap_directory.h"

#include <ldap.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <ctime>
#include <new>
#include <thread>
#include <utility>
#include <vector>

#include "server/directory/openldap_answers.h"
#include "server/directory/openldap_reader.h"
#include "server/directory/people_search.h"
#include "server/directory/sign_in.h"
#include "server/directory/text.h"

namespace keyferry::server {
namespace {

using std::chrono::steady_clock;

constexpr int kTriesOnCollision = 3;
// A change that is this young by our clock may be of the server's present second.
constexpr std::int64_t kYoung = 3;  // seconds
constexpr std::chrono::milliseconds kOneSecond{1050};
// For asking whether a password could be set; it never is.
constexpr const char* kNeverSet = "Never-Set-7h2Kq-9wXz-4mTb-6Rj";

// When a password runs out is known by each person's policy alone, which a listing does not read.
std::string OpenLdapStateFilter(PeopleState state) {
  if (state == PeopleState::kLocked) return "(pwdAccountLockedTime=*)";
  if (state == PeopleState::kMustChange) return "(pwdReset=TRUE)";
  return {};
}

PeopleSchema OpenLdapSchema() {
  PeopleSchema schema;
  schema.filter = kOpenLdapPeople;
  schema.prefixes = {"displayName", "cn", "uid", "mail", "employeeNumber", "sn", "givenName"};
  schema.addresses = {"mail"};
  schema.keys = {"uid", "mail", "employeeNumber"};
  schema.listing = {"entryUUID", "displayName", "cn", "uid"};
  schema.person = OpenLdapPersonAttributes;
  schema.read = ReadOpenLdapPerson;
  schema.id_filter = UuidFilter;
  schema.state_filter = OpenLdapStateFilter;
  schema.in_state = [](const LdapEntry&, PeopleState) { return true; };
  return schema;
}

class OpenLdapDirectory final : public Directory {
 public:
  explicit OpenLdapDirectory(LdapConfig config)
      : config_(std::move(config)),
        servers_(config_),
        accounts_(config_),
        people_(config_, OpenLdapSchema()) {}

  Result<PersonPage> Search(std::string_view query, std::size_t limit,
                            std::string_view cursor) override;
  Result<PersonDetail> Get(const AccountId& id) override;
  Result<std::vector<Person>> FindBy(PersonKey key, std::string_view value) override {
    return people_.Find(servers_, key, value);
  }
  Result<SignInFacts> SignIn(std::string_view name, const SecureBytes& password) override;
  Result<std::vector<std::string>> GroupsOf(const AccountId& id) override;
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
  Result<void> Ping() override;

 private:
  Result<std::optional<LdapEntry>> FindSignIn(const Session& session, std::string_view name);
  Result<void> SetOn(const Session& session, const AccountId& id, const SecureBytes& password,
                     const SetOptions& options);
  // Whether must-change could be set; asked before the password is touched.
  Result<void> CheckMustChange(const Session& session, const OpenLdapAccount& account);
  Result<void> WriteAnywhere(const AccountId& id, const AccountId& actor, WriteKind kind,
                             const LdapReplace& replacement);
  Error Refusal(const LdapAnswer& answer, WriteKind kind, const Session& session,
                const OpenLdapAccount& account) const {
    return ExplainOpenLdapWrite(answer, kind, session.endpoint, config_.bind_name,
                                account.policy.shown);
  }

  const LdapConfig config_;
  ServerGroup servers_;
  OpenLdapReader accounts_;
  PeopleSearch people_;
};

Result<PersonPage> OpenLdapDirectory::Search(std::string_view query, std::size_t limit,
                                             std::string_view cursor) {
  return List({query, PeopleState::kAny, PeopleOrder::kName, limit, cursor});
}

Result<PersonDetail> OpenLdapDirectory::Get(const AccountId& id) {
  return servers_.Read(Turn::kPage, [&](const Session& session) -> Result<PersonDetail> {
    auto account = accounts_.Account(session, id);
    if (!account) return tl::unexpected<Error>(account.error());
    return std::move(account->detail);
  });
}

Result<std::optional<LdapEntry>> OpenLdapDirectory::FindSignIn(const Session& session,
                                                               std::string_view name) {
  const std::string value = EscapeFilter(name);
  std::string any = "(uid=" + value + ")";
  if (name.find('@') != std::string_view::npos) any += "(mail=" + value + ")";
  LdapSearch search;
  search.base = config_.base_dn;
  search.filter = "(&" + std::string(kOpenLdapPeople) + "(|" + any + "))";
  search.attributes = OpenLdapPersonAttributes();
  auto entries = Entries(session, search);
  if (!entries) return tl::unexpected<Error>(entries.error());
  if (entries->size() != 1) return std::optional<LdapEntry>();  // nobody, or nobody in particular
  return std::optional<LdapEntry>(std::move(entries->front()));
}

Result<SignInFacts> OpenLdapDirectory::SignIn(std::string_view name, const SecureBytes& password) {
  const SignInSteps steps{
      [this](const Session& session, std::string_view text) { return FindSignIn(session, text); },
      ReadOpenLdapPerson,
      // posixGroups name people by login only, which is not enough to give rights by.
      [this](const Session& session, const LdapEntry& user) {
        return accounts_.Groups(session, user.dn, {});
      },
      "uid=nobody," + config_.people_dn, "entryUUID"};
  return servers_.Read(Turn::kPage, [&](const Session& session) {
    return SignInOn(session, config_, steps, name, password);
  });
}

Result<std::vector<std::string>> OpenLdapDirectory::GroupsOf(const AccountId& id) {
  return servers_.Read(
      Turn::kPage, [&](const Session& session) -> Result<std::vector<std::string>> {
        LdapSearch search;
        search.base = config_.base_dn;
        search.filter = "(&" + std::string(kOpenLdapPeople) + UuidFilter(id) + ")";
        search.attributes = OpenLdapStateAttributes();
        const auto entries = Entries(session, search);
        if (!entries) return tl::unexpected<Error>(entries.error());
        const bool one = entries->size() == 1;
        if (!one || ReadOpenLdapState(entries->front(), {}, std::time(nullptr)).disabled) {
          return Fail(ErrorCode::kNotFound, "The directory has no such account in use.");
        }
        return accounts_.Groups(session, entries->front().dn, {});
      });
}

Result<ChangeTarget> OpenLdapDirectory::Pin(const AccountId& id, const AccountId& actor) {
  return servers_.Read(Turn::kChange, [&](const Session& session) -> Result<ChangeTarget> {
    const auto account = accounts_.Changeable(session, id, actor);
    if (!account) return tl::unexpected<Error>(account.error());
    return ChangeTarget{session.endpoint.uri, account->stamp};
  });
}

Result<PasswordStamp> OpenLdapDirectory::Stamp(const ChangeTarget& target, const AccountId& id) {
  auto pool = servers_.PoolOf(target.server);
  if (!pool) return tl::unexpected<Error>(pool.error());
  return servers_.RunOn(**pool, servers_.NewDeadline(), Turn::kChange,
                        [&](const Session& session) -> Result<PasswordStamp> {
                          const auto account = accounts_.Account(session, id);
                          if (!account) return tl::unexpected<Error>(account.error());
                          return account->stamp;
                        });
}

Result<BindOutcome> OpenLdapDirectory::TryPassword(const ChangeTarget& target, const AccountId& id,
                                                   const SecureBytes& password) {
  auto pool = servers_.PoolOf(target.server);
  if (!pool) return tl::unexpected<Error>(pool.error());
  if (password.empty()) return BindOutcome::kWrong;
  std::optional<BindOutcome> tried;  // a step may be repeated; the bind is not
  return servers_.RunOn(**pool, servers_.NewDeadline(), Turn::kChange,
                        [&](const Session& session) -> Result<BindOutcome> {
                          if (!tried) {
                            const auto account = accounts_.Account(session, id);
                            if (!account) return tl::unexpected<Error>(account.error());
                            const auto outcome =
                                BindAs(session, config_, account->detail.person.dn, password);
                            if (!outcome) return outcome;
                            tried = *outcome;
                          }
                          if (*tried != BindOutcome::kWrong) return *tried;
                          // A server without ppolicy_use_lockout does not say that it was the lock.
                          const auto now = accounts_.Account(session, id);
                          return now && now->detail.state.locked ? BindOutcome::kLocked : *tried;
                        });
}

Result<void> OpenLdapDirectory::CheckMustChange(const Session& session,
                                                const OpenLdapAccount& account) {
  if (account.policy.shown.known && !account.policy.must_change) {
    return Fail(ErrorCode::kPolicyRefused,
                "The directory would not ask this person for a new password: " +
                    account.policy.shown.source +
                    " has pwdMustChange off. Nothing was changed; turn it on, or set the password "
                    "without that.");
  }
  const LdapAnswer answer = session.connection.TryModify(account.detail.person.dn,
                                                         {{"pwdReset", "TRUE"}}, session.deadline);
  if (answer.delivery != LdapAnswer::Delivery::kAnswered) {
    return tl::unexpected<Error>(ExplainRead(answer, session.endpoint));
  }
  if (answer.rc == LDAP_INSUFFICIENT_ACCESS || answer.rc == LDAP_UNDEFINED_TYPE) {
    return tl::unexpected<Error>(Refusal(answer, WriteKind::kRequireChange, session, account));
  }
  return {};  // a server without the control is told later
}

Result<void> OpenLdapDirectory::SetOn(const Session& session, const AccountId& id,
                                      const SecureBytes& password, const SetOptions& options) {
  // The check is a read on the connection that the write will use: a connection that died while it
  // was idle is found, and replaced, before anything that cannot be repeated is sent.
  auto account = accounts_.Changeable(session, id, options.actor);
  if (!account) return tl::unexpected<Error>(account.error());
  const std::string& dn = account->detail.person.dn;
  if (options.must_change) {
    if (auto possible = CheckMustChange(session, *account); !possible) return possible;
  }
  const std::int64_t now = std::chrono::duration_cast<std::chrono::seconds>(
                               std::chrono::system_clock::now().time_since_epoch())
                               .count();
  if (std::llabs(now - account->stamp.written) <= kYoung) std::this_thread::sleep_for(kOneSecond);
  if (config_.on_write) config_.on_write(id);
  LdapAnswer answer;
  for (int i = 0; i < kTriesOnCollision; ++i) {
    answer = session.connection.SetPassword(dn, password, session.deadline,
                                            {options.may_send, options.sent});
    // slapd replaces the old value by name; where another change was quicker, nothing has happened.
    if (answer.delivery != LdapAnswer::Delivery::kAnswered || answer.rc != LDAP_NO_SUCH_ATTRIBUTE)
      break;
  }
  if (!answer.ok()) {
    return tl::unexpected<Error>(Refusal(answer, WriteKind::kSetPassword, session, *account));
  }
  if (!options.must_change) return {};
  answer = session.connection.Modify(dn, {{"pwdReset", "TRUE"}}, session.deadline);
  if (answer.ok()) return {};
  return Fail(ErrorCode::kOutcomeUnknown,
              "The password was set, but the directory did not confirm that the person must change "
              "it. Keyferry is checking; do not repeat it by hand.",
              AnswerDetail(answer, session.endpoint.uri));
}

Result<void> OpenLdapDirectory::SetPassword(const ChangeTarget& target, const AccountId& id,
                                            const SecureBytes& password, SetOptions options) {
  try {
    auto pool = servers_.PoolOf(target.server);
    if (!pool) return tl::unexpected<Error>(pool.error());
    // The same rules for a password as in Active Directory.
    if (const auto good = QuotedUtf16(password); !good) {
      return tl::unexpected<Error>(good.error());
    }
    return servers_.RunOn(
        **pool, servers_.NewDeadline(), Turn::kWrite,
        [&](const Session& session) { return SetOn(session, id, password, options); });
  } catch (const std::bad_alloc&) {
    return Fail(ErrorCode::kUnavailable,
                "The server has no locked memory left for the password. Nothing was changed; raise "
                "LimitMEMLOCK and try again.");
  }
}

Result<void> OpenLdapDirectory::MayWrite(const ChangeTarget& target, const AccountId& id,
                                         const SetOptions& options) {
  auto pool = servers_.PoolOf(target.server);
  if (!pool) return tl::unexpected<Error>(pool.error());
  return servers_.RunOn(
      **pool, servers_.NewDeadline(), Turn::kChange, [&](const Session& session) -> Result<void> {
        const auto account = accounts_.Account(session, id);
        if (!account) return tl::unexpected<Error>(account.error());
        if (options.must_change) {
          if (auto possible = CheckMustChange(session, *account); !possible) return possible;
        }
        const LdapAnswer answer = session.connection.TryModify(
            account->detail.person.dn, {{"userPassword", kNeverSet}}, session.deadline);
        if (answer.delivery != LdapAnswer::Delivery::kAnswered) {
          return tl::unexpected<Error>(ExplainRead(answer, session.endpoint));
        }
        if (answer.rc != LDAP_INSUFFICIENT_ACCESS) return {};
        return tl::unexpected<Error>(Refusal(answer, WriteKind::kSetPassword, session, *account));
      });
}

Result<void> OpenLdapDirectory::WriteAnywhere(const AccountId& id, const AccountId& actor,
                                              WriteKind kind, const LdapReplace& replacement) {
  auto pool = servers_.AnyPool();
  if (!pool) return tl::unexpected<Error>(pool.error());
  return servers_.RunOn(
      **pool, servers_.NewDeadline(), Turn::kWrite, [&](const Session& session) -> Result<void> {
        const auto account = accounts_.Changeable(session, id, actor);
        if (!account) return tl::unexpected<Error>(account.error());
        if (kind == WriteKind::kRequireChange && !replacement.remove) {
          if (auto possible = CheckMustChange(session, *account); !possible) return possible;
        }
        if (config_.on_write) config_.on_write(id);
        const LdapAnswer answer =
            session.connection.Modify(account->detail.person.dn, {replacement}, session.deadline);
        const bool was_so = replacement.remove &&
                            answer.delivery == LdapAnswer::Delivery::kAnswered &&
                            answer.rc == LDAP_NO_SUCH_ATTRIBUTE;
        if (answer.ok() || was_so) return {};
        return tl::unexpected<Error>(Refusal(answer, kind, session, *account));
      });
}

Result<void> OpenLdapDirectory::Unlock(const AccountId& id, const AccountId& actor) {
  // Deleted, not replaced: only then the overlay forgets the failures too.
  return WriteAnywhere(id, actor, WriteKind::kUnlock, {"pwdAccountLockedTime", {}, true});
}

Result<void> OpenLdapDirectory::RequireChange(const AccountId& id, const AccountId& actor,
                                              bool on) {
  return WriteAnywhere(id, actor, WriteKind::kRequireChange, {"pwdReset", "TRUE", !on});
}

Result<void> OpenLdapDirectory::Ping() { return servers_.Read(Turn::kPage, Probe); }

}  // namespace

Result<std::unique_ptr<Directory>> MakeOpenLdapDirectory(LdapConfig config) {
  config.kind = DirectoryKind::kOpenLdap;
  if (auto good = CheckLdapConfig(&config); !good) return tl::unexpected<Error>(good.error());
  return std::unique_ptr<Directory>(std::make_unique<OpenLdapDirectory>(std::move(config)));
}

}  // namespace keyferry::server

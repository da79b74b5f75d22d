#include "server/directory/ldap_directory.h"

#include <ldap.h>

#include <algorithm>
#include <map>
#include <mutex>
#include <new>
#include <utility>
#include <vector>

#include "server/directory/account_reader.h"
#include "server/directory/connection.h"
#include "server/directory/listing.h"
#include "server/directory/person.h"
#include "server/directory/pool.h"
#include "server/directory/text.h"

namespace keyferry::server {
namespace {

constexpr std::size_t kMaxQuery = 256;       // bytes
constexpr std::size_t kMaxSignInName = 256;  // bytes
constexpr std::size_t kMaxPassword = 1024;   // bytes of a sign-in password
constexpr std::size_t kMaxPeople = 200'000;  // one listing
constexpr std::size_t kDetailsAtOnce = 50;   // identifiers in one filter

bool HasControl(std::string_view text) {
  return std::any_of(text.begin(), text.end(),
                     [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7F; });
}

std::string_view Trim(std::string_view text) {
  const auto blank = [](char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; };
  while (!text.empty() && blank(text.front())) text.remove_prefix(1);
  while (!text.empty() && blank(text.back())) text.remove_suffix(1);
  return text;
}

class LdapDirectory final : public Directory {
 public:
  explicit LdapDirectory(LdapConfig config)
      : config_(std::move(config)), accounts_(config_), listings_(config_.listing_life) {
    for (const std::string& uri : config_.uris) {
      pools_.push_back(std::make_unique<ServerPool>(uri, config_));
    }
  }

  Result<PersonPage> Search(std::string_view query, std::size_t limit,
                            std::string_view cursor) override;
  Result<PersonDetail> Get(const AccountId& id) override;
  Result<SignInFacts> SignIn(std::string_view name, const SecureBytes& password) override;
  Result<ChangeTarget> Pin(const AccountId& id, const AccountId& actor) override;
  Result<void> SetPassword(const ChangeTarget& target, const AccountId& id,
                           const SecureBytes& password, SetOptions options) override;
  Result<PasswordStamp> Stamp(const ChangeTarget& target, const AccountId& id) override;
  Result<BindOutcome> TryPassword(const ChangeTarget& target, const AccountId& id,
                                  const SecureBytes& password) override;
  Result<void> Unlock(const AccountId& id, const AccountId& actor) override;
  Result<void> RequireChange(const AccountId& id, const AccountId& actor, bool on) override;
  Result<void> Ping() override;

 private:
  Deadline NewDeadline() const { return std::chrono::steady_clock::now() + config_.timeout; }

  // Runs a step on one controller. A connection that died while it was idle is replaced once, but
  // never after a write that may have been heard.
  template <typename Step>
  auto RunOn(ServerPool& pool, Deadline deadline, const Step& step)
      -> decltype(step(std::declval<const Session&>())) {
    while (true) {
      auto lease = pool.Take(deadline);
      if (!lease) return tl::unexpected<Error>(lease.error());
      auto result = step(Session{**lease, pool.endpoint(), deadline});
      if (result || !(*lease)->broken()) return result;
      if (result.error().code == ErrorCode::kDeadline) {
        pool.MarkSilent(result.error());
        return result;
      }
      pool.DropIdle();
      if (!lease->kept() || result.error().code == ErrorCode::kOutcomeUnknown) return result;
    }
  }

  // Runs a read on the first controller that answers, those with a recent failure last.
  template <typename Step>
  auto Read(const Step& step) -> decltype(step(std::declval<const Session&>())) {
    const Deadline deadline = NewDeadline();
    std::vector<ServerPool*> order;
    for (const auto& pool : pools_) order.push_back(pool.get());
    {
      const std::lock_guard lock(order_mutex_);
      std::rotate(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(first_),
                  order.begin() + static_cast<std::ptrdiff_t>(first_) + 1);
    }
    std::stable_partition(order.begin(), order.end(),
                          [](ServerPool* pool) { return !pool->Paused(); });
    for (std::size_t i = 0;; ++i) {
      // While there is another one to ask, the first may use up only half of what is left.
      const auto now = std::chrono::steady_clock::now();
      const bool last = i + 1 == order.size();
      auto result = RunOn(*order[i], last ? deadline : now + (deadline - now) / 2, step);
      if (result || last) return result;
      const ErrorCode code = result.error().code;
      if (code != ErrorCode::kUnavailable && code != ErrorCode::kDeadline) return result;
    }
  }

  Result<ServerPool*> PoolOf(const std::string& uri);
  Result<Listing> Sweep(const Session& session, std::string_view query);
  Result<Listing> SweepOnce(const Session& session, const LdapSearch& search);
  Result<std::optional<LdapEntry>> FindSignIn(const Session& session, std::string_view name);
  Result<SignInFacts> SignInOn(const Session& session, std::string_view name,
                               const SecureBytes& password);
  Result<BindOutcome> BindAs(const Session& session, const std::string& dn,
                             const SecureBytes& password);
  void PreferPdc();
  Result<void> Write(ServerPool& pool, const AccountId& id, const AccountId& actor, WriteKind kind,
                     const std::vector<LdapReplace>& replacements);
  Result<void> WriteAnywhere(const AccountId& id, const AccountId& actor, WriteKind kind,
                             const std::vector<LdapReplace>& replacements);
  std::string MissingRight(const Session& session, const AccountId& id, WriteKind kind,
                           const std::vector<LdapReplace>& replacements);

  const LdapConfig config_;
  std::vector<std::unique_ptr<ServerPool>> pools_;
  AccountReader accounts_;
  std::mutex order_mutex_;
  std::size_t first_ = 0;  // the controller that is asked first
  Deadline order_until_{};
  ListingCache listings_;
};

Result<ServerPool*> LdapDirectory::PoolOf(const std::string& uri) {
  for (const auto& pool : pools_) {
    if (pool->uri() == uri) return pool.get();
  }
  return Fail(ErrorCode::kUnavailable,
              "The domain controller that this change was bound to is no longer configured "
              "(directory.uris).",
              uri);
}

Result<PersonDetail> LdapDirectory::Get(const AccountId& id) {
  return Read([&](const Session& session) { return accounts_.Detail(session, id); });
}

Result<Listing> LdapDirectory::Sweep(const Session& session, std::string_view query) {
  LdapSearch search;
  search.base = config_.people_dn;
  search.attributes = {"objectGUID", "displayName", "cn", "sAMAccountName"};
  search.limit = kMaxPeople;
  search.filter = kUserFilter;
  if (!query.empty()) {
    const std::string value = EscapeFilter(query);
    std::string any;
    for (const char* name :
         {"displayName", "sAMAccountName", "mail", "employeeID", "sn", "givenName"}) {
      any += "(" + std::string(name) + "=" + value + "*)";
    }
    // A whole address is looked up in the indexes; beginnings may cost a walk over everybody.
    if (query.find('@') != std::string_view::npos) {
      LdapSearch exact = search;
      exact.filter =
          "(&" + search.filter + "(|(mail=" + value + ")(userPrincipalName=" + value + ")))";
      auto found = SweepOnce(session, exact);
      if (!found || !found->empty()) return found;
    }
    search.filter = "(&" + search.filter + "(|" + any + "))";
  }
  return SweepOnce(session, search);
}

Result<Listing> LdapDirectory::SweepOnce(const Session& session, const LdapSearch& search) {
  Listing listing;
  const LdapAnswer answer =
      session.connection.Search(search, session.deadline, [&](LdapEntry&& entry) {
        if (auto person = ReadPerson(entry)) {
          listing.push_back({SortKey(person->display_name), person->id});
        }
      });
  // More people than one listing holds: the first ones that the server named are shown.
  if (!answer.ok() && answer.rc != LDAP_SIZELIMIT_EXCEEDED) {
    return tl::unexpected<Error>(ExplainRead(answer, session.endpoint));
  }
  return listing;
}

Result<PersonPage> LdapDirectory::Search(std::string_view query, std::size_t limit,
                                         std::string_view cursor) {
  query = Trim(query);
  if (limit < 1 || limit > 200) {
    return Fail(ErrorCode::kInvalidArgument, "A page holds 1 to 200 people.");
  }
  if (query.size() > kMaxQuery) {
    return Fail(ErrorCode::kInvalidArgument,
                "The search text is too long; 256 bytes are the limit.");
  }
  std::optional<ListingPlace> after;
  if (!cursor.empty()) {
    after = ListingPlace::Parse(cursor);
    if (!after)
      return Fail(ErrorCode::kInvalidArgument,
                  "This page link is not valid. Start the search again.");
  }
  if (HasControl(query)) return PersonPage{};  // no name holds one; Samba would end the value there
  return Read([&](const Session& session) -> Result<PersonPage> {
    auto listing = listings_.Find(query);
    if (listing == nullptr) {
      auto swept = Sweep(session, query);
      if (!swept) return tl::unexpected<Error>(swept.error());
      listing = listings_.Keep(query, std::move(*swept));
    }
    const auto first =
        after ? std::upper_bound(listing->begin(), listing->end(), *after) : listing->begin();
    const auto last = first + std::min<std::ptrdiff_t>(static_cast<std::ptrdiff_t>(limit),
                                                       listing->end() - first);
    PersonPage page;
    if (last != listing->end()) page.next = (last - 1)->Cursor();
    std::map<AccountId, Person> found;
    for (auto at = first; at != last;) {
      LdapSearch search;
      search.base = config_.people_dn;
      search.attributes = PersonAttributes();
      std::string any;
      for (std::size_t i = 0; i < kDetailsAtOnce && at != last; ++i, ++at)
        any += GuidFilter(at->id);
      search.filter = "(&" + std::string(kUserFilter) + "(|" + any + "))";
      auto entries = Entries(session, search);
      if (!entries) return tl::unexpected<Error>(entries.error());
      for (const LdapEntry& entry : *entries) {
        if (auto person = ReadPerson(entry)) found.emplace(person->id, std::move(*person));
      }
    }
    for (auto at = first; at != last; ++at) {
      const auto person = found.find(at->id);
      if (person != found.end()) page.people.push_back(std::move(person->second));
    }
    return page;
  });
}

Result<std::optional<LdapEntry>> LdapDirectory::FindSignIn(const Session& session,
                                                           std::string_view name) {
  if (const std::size_t slash = name.find('\\'); slash != std::string_view::npos) {
    name.remove_prefix(slash + 1);
  }
  // What cannot be a name is asked for as one that does not exist, so that it takes the same road.
  // (Samba ends a value at a NUL, so a control character could otherwise hide a tail.)
  if (name.size() > kMaxSignInName || HasControl(name)) name = "?";
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

Result<SignInFacts> LdapDirectory::SignInOn(const Session& session, std::string_view name,
                                            const SecureBytes& password) {
  auto entry = FindSignIn(session, name);
  if (!entry) return tl::unexpected<Error>(entry.error());
  SignInFacts facts;
  if (password.empty() || password.size() > kMaxPassword) return facts;
  // An unknown name binds too, as an entry that is not there: the same steps, the same answer.
  const std::string dn = *entry ? (*entry)->dn : "CN=nobody,CN=Users," + config_.base_dn;
  const auto outcome = BindAs(session, dn, password);
  if (!outcome) return tl::unexpected<Error>(outcome.error());
  facts.outcome = *outcome;
  if (facts.outcome != BindOutcome::kAccepted) return facts;
  if (!*entry) {
    return Fail(ErrorCode::kProtocol,
                "The domain controller accepted an account that does not exist.",
                session.endpoint.uri);
  }
  facts.person = ReadPerson(**entry);
  if (!facts.person) {
    return Fail(ErrorCode::kProtocol,
                "The domain controller gave an account without an identifier.",
                session.endpoint.uri);
  }
  auto groups = accounts_.Groups(session, **entry, {"cn"});
  if (!groups) return tl::unexpected<Error>(groups.error());
  for (LdapEntry& group : *groups) facts.group_dns.push_back(std::move(group.dn));
  return facts;
}

Result<SignInFacts> LdapDirectory::SignIn(std::string_view name, const SecureBytes& password) {
  return Read([&](const Session& session) { return SignInOn(session, name, password); });
}

Result<ChangeTarget> LdapDirectory::Pin(const AccountId& id, const AccountId& actor) {
  PreferPdc();
  return Read([&](const Session& session) -> Result<ChangeTarget> {
    if (auto detail = accounts_.Changeable(session, id, actor); !detail) {
      return tl::unexpected<Error>(detail.error());
    }
    auto stamp = accounts_.Stamp(session, id);
    if (!stamp) return tl::unexpected<Error>(stamp.error());
    return ChangeTarget{session.endpoint.uri, *stamp};
  });
}

Result<PasswordStamp> LdapDirectory::Stamp(const ChangeTarget& target, const AccountId& id) {
  auto pool = PoolOf(target.server);
  if (!pool) return tl::unexpected<Error>(pool.error());
  return RunOn(**pool, NewDeadline(),
               [&](const Session& session) { return accounts_.Stamp(session, id); });
}

Result<BindOutcome> LdapDirectory::TryPassword(const ChangeTarget& target, const AccountId& id,
                                               const SecureBytes& password) {
  auto pool = PoolOf(target.server);
  if (!pool) return tl::unexpected<Error>(pool.error());
  if (password.empty()) return BindOutcome::kWrong;
  std::optional<BindOutcome> tried;  // a step may be repeated; the bind is not
  return RunOn(**pool, NewDeadline(), [&](const Session& session) -> Result<BindOutcome> {
    if (tried) return *tried;
    const auto entry = accounts_.FindInScope(session, id, {});
    if (!entry) return tl::unexpected<Error>(entry.error());
    auto outcome = BindAs(session, entry->dn, password);
    if (outcome) tried = *outcome;
    return outcome;
  });
}

// The account's own bind, on a connection of its own.
Result<BindOutcome> LdapDirectory::BindAs(const Session& session, const std::string& dn,
                                          const SecureBytes& password) {
  const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
      session.deadline - std::chrono::steady_clock::now());
  auto own = LdapConnection::Open(session.endpoint, std::min(config_.connect_timeout, left));
  if (!own) return tl::unexpected<Error>(own.error());
  const LdapAnswer answer = (*own)->Bind(dn, password, session.deadline);
  const bool about_credentials =
      answer.rc == LDAP_SUCCESS || answer.rc == LDAP_INVALID_CREDENTIALS ||
      answer.rc == LDAP_INAPPROPRIATE_AUTH || answer.rc == LDAP_NO_SUCH_OBJECT;
  if (answer.delivery != LdapAnswer::Delivery::kAnswered || !about_credentials) {
    return tl::unexpected<Error>(ExplainRead(answer, session.endpoint));
  }
  return BindOutcomeOf(answer.rc, answer.diagnostic);
}

// Asks the controllers, where that is configured and not known, which of them is the PDC emulator,
// and puts it first.
void LdapDirectory::PreferPdc() {
  if (!config_.prefer_pdc || pools_.size() < 2) return;
  const auto now = std::chrono::steady_clock::now();
  {
    const std::lock_guard lock(order_mutex_);
    if (now < order_until_) return;
    order_until_ = now + config_.context_life;
  }
  for (std::size_t i = 0; i < pools_.size(); ++i) {
    if (pools_[i]->Paused()) continue;
    const auto facts = RunOn(*pools_[i], now + config_.connect_timeout,
                             [&](const Session& session) { return accounts_.Facts(session); });
    if (!facts || !facts->pdc) continue;
    const std::lock_guard lock(order_mutex_);
    first_ = i;
    return;
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

Result<void> LdapDirectory::Write(ServerPool& pool, const AccountId& id, const AccountId& actor,
                                  WriteKind kind, const std::vector<LdapReplace>& replacements) {
  // The check is a read on the connection that the write will use: a connection that died while it
  // was idle is found, and replaced, before anything that cannot be repeated is sent.
  return RunOn(pool, NewDeadline(), [&](const Session& session) -> Result<void> {
    if (auto detail = accounts_.Changeable(session, id, actor); !detail) {
      return tl::unexpected<Error>(detail.error());
    }
    const auto facts = accounts_.Facts(session);
    if (!facts) return tl::unexpected<Error>(facts.error());
    if (config_.on_write) config_.on_write(id);
    const LdapAnswer answer = session.connection.Modify(
        GuidDn(id), replacements, session.deadline,
        kind == WriteKind::kSetPassword ? facts->policy_hints : std::string());
    if (answer.ok()) return {};
    const bool rights =
        answer.delivery == LdapAnswer::Delivery::kAnswered && answer.rc == LDAP_INSUFFICIENT_ACCESS;
    return tl::unexpected<Error>(ExplainWrite(
        answer, kind, pool.uri(), rights ? MissingRight(session, id, kind, replacements) : ""));
  });
}

Result<void> LdapDirectory::SetPassword(const ChangeTarget& target, const AccountId& id,
                                        const SecureBytes& password, SetOptions options) {
  try {
    auto pool = PoolOf(target.server);
    if (!pool) return tl::unexpected<Error>(pool.error());
    const auto quoted = QuotedUtf16(password);
    if (!quoted) return tl::unexpected<Error>(quoted.error());
    std::vector<LdapReplace> replacements{{"unicodePwd", quoted->view()}};
    if (options.must_change) replacements.push_back({"pwdLastSet", "0"});
    if (options.unlock) replacements.push_back({"lockoutTime", "0"});
    return Write(**pool, id, options.actor, WriteKind::kSetPassword, replacements);
  } catch (const std::bad_alloc&) {
    return Fail(ErrorCode::kUnavailable,
                "The server has no locked memory left for the password. Nothing was changed; raise "
                "LimitMEMLOCK and try again.");
  }
}

Result<void> LdapDirectory::WriteAnywhere(const AccountId& id, const AccountId& actor,
                                          WriteKind kind,
                                          const std::vector<LdapReplace>& replacements) {
  auto server =
      Read([](const Session& session) -> Result<std::string> { return session.endpoint.uri; });
  if (!server) return tl::unexpected<Error>(server.error());
  auto pool = PoolOf(*server);
  if (!pool) return tl::unexpected<Error>(pool.error());
  return Write(**pool, id, actor, kind, replacements);
}

Result<void> LdapDirectory::Unlock(const AccountId& id, const AccountId& actor) {
  return WriteAnywhere(id, actor, WriteKind::kUnlock, {{"lockoutTime", "0"}});
}

Result<void> LdapDirectory::RequireChange(const AccountId& id, const AccountId& actor, bool on) {
  return WriteAnywhere(id, actor, WriteKind::kRequireChange, {{"pwdLastSet", on ? "0" : "-1"}});
}

Result<void> LdapDirectory::Ping() {
  return Read([&](const Session& session) -> Result<void> {
    LdapSearch search;
    search.scope = LdapSearch::Scope::kBase;
    search.attributes = {"defaultNamingContext"};
    auto entries = Entries(session, search);
    if (!entries) return tl::unexpected<Error>(entries.error());
    return {};
  });
}

}  // namespace

Result<std::unique_ptr<Directory>> MakeLdapDirectory(LdapConfig config) {
  config.kind = DirectoryKind::kActiveDirectory;
  if (auto good = CheckLdapConfig(&config); !good) return tl::unexpected<Error>(good.error());
  return std::unique_ptr<Directory>(std::make_unique<LdapDirectory>(std::move(config)));
}

}  // namespace keyferry::server

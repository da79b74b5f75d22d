#include "server/directory/account_reader.h"

#include <ldap.h>

#include <algorithm>
#include <utility>

#include "server/directory/person.h"
#include "server/directory/text.h"

namespace keyferry::server {
namespace {

constexpr std::size_t kMaxGroups = 5'000;                            // of one person
constexpr std::string_view kInChain = ":1.2.840.113556.1.4.1941:=";  // nested membership
constexpr std::int64_t kSecurityGroup = -2147483648;                 // groupType's highest bit

Error NotFound() {
  return Error{ErrorCode::kNotFound,
               "Active Directory has no such employee in the configured part of the tree.",
               {},
               0};
}

std::string AnyOf(const std::vector<std::string>& filters) {
  std::string out = "(|";
  for (const std::string& filter : filters) out += filter;
  return out + ")";
}

std::string MemberInChain(const std::string& dn) {
  return "(member" + std::string(kInChain) + EscapeFilter(dn) + ")";
}

}  // namespace

Result<std::vector<LdapEntry>> Entries(const Session& session, const LdapSearch& search) {
  std::vector<LdapEntry> entries;
  const LdapAnswer answer = session.connection.Search(
      search, session.deadline, [&](LdapEntry&& entry) { entries.push_back(std::move(entry)); });
  if (!answer.ok()) return tl::unexpected<Error>(ExplainRead(answer, session.endpoint.uri));
  return entries;
}

Result<LdapEntry> AccountReader::FindInScope(const Session& session, const AccountId& id,
                                             std::vector<std::string> attributes) const {
  LdapSearch search;
  search.base = config_.people_dn;
  search.filter =
      "(&" + GuidFilter(id) + "(|(objectClass=user)(objectClass=foreignSecurityPrincipal)))";
  search.attributes = std::move(attributes);
  auto entries = Entries(session, search);
  if (!entries) return tl::unexpected<Error>(entries.error());
  if (entries->size() != 1) return tl::unexpected<Error>(NotFound());
  return std::move(entries->front());
}

Result<std::vector<LdapEntry>> AccountReader::Groups(
    const Session& session, const LdapEntry& user,
    const std::vector<std::string>& attributes) const {
  LdapSearch search;
  search.base = config_.base_dn;
  search.attributes = attributes;
  search.limit = kMaxGroups;
  std::vector<std::string> any{MemberInChain(user.dn)};
  // The primary group is not in anybody's member attribute.
  if (const std::string primary = PrimaryGroupSid(user); !primary.empty()) {
    LdapSearch find = search;
    find.filter = "(objectSid=" + EscapeFilter(SidBinary(primary)) + ")";
    auto group = Entries(session, find);
    if (!group) return group;
    for (const LdapEntry& entry : *group) {
      any.push_back("(distinguishedName=" + EscapeFilter(entry.dn) + ")");
      any.push_back(MemberInChain(entry.dn));
    }
  }
  search.filter = "(&(objectCategory=group)" + AnyOf(any) + ")";
  return Entries(session, search);
}

Result<std::vector<std::string>> AccountReader::ForeignGroups(
    const Session& session, const std::vector<std::string>& sids) const {
  std::vector<std::string> any;
  for (const std::string& sid : sids) {
    any.push_back("(objectSid=" + EscapeFilter(SidBinary(sid)) + ")");
  }
  if (any.empty()) return std::vector<std::string>();
  LdapSearch search;
  search.base = config_.base_dn;
  search.filter = "(&(objectClass=foreignSecurityPrincipal)" + AnyOf(any) + ")";
  search.limit = kMaxGroups;
  const auto principals = Entries(session, search);
  if (!principals) return tl::unexpected<Error>(principals.error());
  any.clear();
  for (const LdapEntry& principal : *principals) any.push_back(MemberInChain(principal.dn));
  std::vector<std::string> out;
  if (any.empty()) return out;
  search.filter = "(&(objectCategory=group)" + AnyOf(any) + ")";
  search.attributes = {"objectSid"};
  const auto groups = Entries(session, search);
  if (!groups) return tl::unexpected<Error>(groups.error());
  for (const LdapEntry& group : *groups) {
    if (auto sid = SidText(group.Get("objectsid"))) out.push_back(std::move(*sid));
  }
  return out;
}

Result<ProtectionContext> AccountReader::ReadContext(const Session& session) const {
  ProtectionContext context;
  LdapSearch search;
  search.scope = LdapSearch::Scope::kBase;
  search.attributes = {"tokenGroups"};  // of the root DSE: who this very bind is
  const auto root = Entries(session, search);
  if (!root) return tl::unexpected<Error>(root.error());
  if (!root->empty()) {
    for (std::string& sid : ReadSids(root->front(), "tokengroups")) {
      context.own_token.insert(std::move(sid));
    }
  }
  for (const std::string& dn : config_.protected_groups) {
    search.base = dn;
    search.attributes = {"objectSid", "groupType"};
    const auto group = Entries(session, search);
    const bool missing = (!group && group.error().code == ErrorCode::kNotFound) ||
                         (group && (group->empty() || group->front().All("grouptype").empty()));
    if (!group && !missing) return tl::unexpected<Error>(group.error());
    auto sid = missing ? std::nullopt : SidText(group->front().Get("objectsid"));
    if (!sid) {
      return Fail(ErrorCode::kPermissionDenied,
                  "directory.protected_groups names " + dn +
                      ", which is no group that the service account can see. Nothing is changed "
                      "until that is put right.");
    }
    if ((ReadInteger(group->front(), "grouptype") & kSecurityGroup) == 0) {
      return Fail(ErrorCode::kPermissionDenied,
                  "directory.protected_groups names " + dn +
                      ", which is a distribution group: no token carries it. Name a security "
                      "group. Nothing is changed until then.");
    }
    context.configured.emplace_back(std::move(*sid), dn);
  }
  auto everyones = ForeignGroups(session, EverybodysSids());
  if (!everyones) return tl::unexpected<Error>(everyones.error());
  context.everyones = std::move(*everyones);
  return context;
}

Result<std::shared_ptr<const ProtectionContext>> AccountReader::Context(const Session& session) {
  {
    const std::lock_guard lock(mutex_);
    if (std::chrono::steady_clock::now() < context_until_) return context_;
  }
  auto fresh = ReadContext(session);
  if (!fresh) return tl::unexpected<Error>(fresh.error());
  const std::lock_guard lock(mutex_);
  context_ = std::make_shared<const ProtectionContext>(std::move(*fresh));
  context_until_ = std::chrono::steady_clock::now() + config_.context_life;
  return context_;
}

bool AccountReader::HasServiceName(const Person& person) const {
  const std::string& name = config_.bind_name;
  const std::size_t slash = name.find('\\');
  return EqualNoCase(name, person.upn) || EqualNoCase(name, person.dn) ||
         (slash != std::string::npos && EqualNoCase(name.substr(slash + 1), person.login)) ||
         EqualNoCase(name, person.login + "@" + DnsName(config_.base_dn));
}

Result<PersonDetail> AccountReader::Detail(const Session& session, const AccountId& id) {
  if (auto in_scope = FindInScope(session, id, {}); !in_scope) {
    return tl::unexpected<Error>(in_scope.error());
  }
  const auto context = Context(session);
  if (!context) return tl::unexpected<Error>(context.error());
  LdapSearch search;  // tokenGroups is only given to searches of one entry
  search.base = GuidDn(id);
  search.scope = LdapSearch::Scope::kBase;
  search.attributes = StateAttributes();
  auto entries = Entries(session, search);
  if (!entries) return tl::unexpected<Error>(entries.error());
  if (entries->empty()) return tl::unexpected<Error>(NotFound());
  const LdapEntry& entry = entries->front();
  const auto person = ReadPerson(entry);
  if (!person || person->id != id) {
    return Fail(ErrorCode::kProtocol, "The domain controller answered with another account.",
                session.endpoint.uri);
  }
  const auto foreign = ForeignGroups(session, ReadSids(entry, "sidhistory"));
  if (!foreign) return tl::unexpected<Error>(foreign.error());
  PersonDetail detail{*person, ReadState(entry, FileTimeNow())};
  auto protection = JudgeProtection(entry, *foreign, **context);
  if (!protection && HasServiceName(*person)) {
    protection = Protection{"Keyferry's own service account",
                            "Change its password with the directory's own tools."};
  }
  if (protection) {
    detail.state.is_protected = true;
    detail.state.protected_reason = std::move(protection->reason);
    detail.state.protected_advice = std::move(protection->advice);
  }
  return detail;
}

Result<bool> AccountReader::SamePerson(const Session& session, const PersonDetail& account,
                                       const AccountId& actor) const {
  LdapSearch search;
  search.base = GuidDn(actor);
  search.scope = LdapSearch::Scope::kBase;
  search.attributes = {"objectSid", "sIDHistory"};
  const auto entries = Entries(session, search);
  const bool missing = (!entries && entries.error().code == ErrorCode::kNotFound) ||
                       (entries && (entries->empty() || entries->front().Get("objectsid").empty()));
  if (missing) {
    return Fail(ErrorCode::kPermissionDenied,
                "Your own account cannot be found in the directory any more, so nobody can tell "
                "whether this one is yours. Nothing was changed; sign in again.");
  }
  if (!entries) return tl::unexpected<Error>(entries.error());
  auto mine = ReadSids(entries->front(), "objectsid");
  for (std::string& sid : ReadSids(entries->front(), "sidhistory")) mine.push_back(std::move(sid));
  std::vector<std::string> theirs = account.state.sid_history;
  theirs.push_back(account.person.sid);
  return std::find_first_of(mine.begin(), mine.end(), theirs.begin(), theirs.end()) != mine.end();
}

Result<PersonDetail> AccountReader::Changeable(const Session& session, const AccountId& id,
                                               const AccountId& actor) {
  const auto refuse = [](const Protection& why, const std::string& dn) {
    return Fail(
        ErrorCode::kPermissionDenied,
        "This account is protected (" + why.reason + "). Nothing was changed. " + why.advice, dn);
  };
  if (id == actor) return refuse(OwnAccount(), GuidDn(id));
  auto detail = Detail(session, id);
  if (!detail) return detail;
  if (detail->state.is_protected) {
    return refuse({detail->state.protected_reason, detail->state.protected_advice},
                  detail->person.dn);
  }
  if (actor == AccountId{}) return detail;
  const auto same = SamePerson(session, *detail, actor);
  if (!same) return tl::unexpected<Error>(same.error());
  if (*same) return refuse(OwnAccount(), detail->person.dn);
  return detail;
}

}  // namespace keyferry::server

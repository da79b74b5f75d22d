#include "server/directory/account_reader.h"

#include <ldap.h>

#include <algorithm>
#include <utility>

#include "server/directory/access.h"
#include "server/directory/metadata.h"
#include "server/directory/person.h"
#include "server/directory/text.h"

namespace keyferry::server {
namespace {

constexpr std::size_t kMaxGroups = 5'000;                            // of one person
constexpr std::string_view kInChain = ":1.2.840.113556.1.4.1941:=";  // nested membership
constexpr std::string_view kPolicyHints = "1.2.840.113556.1.4.2239";
constexpr std::string_view kPolicyHintsOld = "1.2.840.113556.1.4.2066";
constexpr std::size_t kMaxPolicies = 256;             // kept at a time
constexpr std::size_t kMaxActors = 1024;              // … whose SIDs are kept
constexpr std::int64_t kSecurityGroup = -2147483648;  // groupType's highest bit

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

// What a stamp is read from, beside pwdLastSet.
constexpr const char* kMetaData = "replPropertyMetaData";
constexpr const char* kKeyVersion = "msDS-KeyVersionNumber";

Result<LdapEntry> TheOne(Result<std::vector<LdapEntry>> entries) {
  if (!entries) return tl::unexpected<Error>(entries.error());
  if (entries->size() != 1) return tl::unexpected<Error>(NotFound());
  return std::move(entries->front());
}

LdapSearch Itself(std::string base, std::vector<std::string> attributes) {
  LdapSearch search;
  search.base = std::move(base);
  search.scope = LdapSearch::Scope::kBase;
  search.attributes = std::move(attributes);
  return search;
}

// Of the account; tokenGroups is only given to searches of one entry.
LdapSearch ItsState(const AccountId& id, const std::vector<std::string>& attributes) {
  LdapSearch search = Itself(GuidDn(id), attributes);
  search.attributes.emplace_back("objectClass");
  return search;
}

// Of the controller.
LdapSearch ItsClock() { return Itself({}, {"currentTime"}); }

// The SIDs that the actor has or had.
Result<std::vector<std::string>> SidsOf(const Result<std::vector<LdapEntry>>& actor) {
  const bool missing = (!actor && actor.error().code == ErrorCode::kNotFound) ||
                       (actor && (actor->empty() || actor->front().Get("objectsid").empty()));
  if (missing) {
    return Fail(ErrorCode::kPermissionDenied,
                "Your own account cannot be found in the directory any more, so nobody can tell "
                "whether this one is yours. Nothing was changed; sign in again.");
  }
  if (!actor) return tl::unexpected<Error>(actor.error());
  auto mine = ReadSids(actor->front(), "objectsid");
  for (std::string& sid : ReadSids(actor->front(), "sidhistory")) mine.push_back(std::move(sid));
  return mine;
}

// Whether they are those of the account under another name.
bool SamePerson(const PersonDetail& account, const std::vector<std::string>& mine) {
  std::vector<std::string> theirs = account.state.sid_history;
  theirs.push_back(account.person.sid);
  return std::find_first_of(mine.begin(), mine.end(), theirs.begin(), theirs.end()) != mine.end();
}

Error Refuse(const Protection& why, const std::string& dn) {
  return {ErrorCode::kPermissionDenied,
          "This account is protected (" + why.reason + "). Nothing was changed. " + why.advice, dn,
          0};
}

}  // namespace

LdapSearch AccountReader::InScope(const AccountId& id, std::vector<std::string> attributes) const {
  LdapSearch search;
  search.base = config_.people_dn;
  search.filter =
      "(&" + GuidFilter(id) + "(|(objectClass=user)(objectClass=foreignSecurityPrincipal)))";
  search.attributes = std::move(attributes);
  return search;
}

Result<LdapEntry> AccountReader::FindInScope(const Session& session, const AccountId& id,
                                             std::vector<std::string> attributes) const {
  return TheOne(Entries(session, InScope(id, std::move(attributes))));
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
  context.section = config_.section;
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
                  config_.section + ".protected_groups names " + dn +
                      ", which is no group that the service account can see. Nothing is changed "
                      "until that is put right.");
    }
    if ((ReadInteger(group->front(), "grouptype") & kSecurityGroup) == 0) {
      return Fail(ErrorCode::kPermissionDenied,
                  config_.section + ".protected_groups names " + dn +
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
  return ReadDetail(session, id, Entries(session, ItsState(id, StateAttributes())));
}

Result<void> AccountReader::CheckScope(const Session& session, const AccountId& id,
                                       const LdapEntry& entry) const {
  const auto& classes = entry.All("objectclass");
  const bool person = std::any_of(classes.begin(), classes.end(), [](const std::string& name) {
    return EqualNoCase(name, "user") || EqualNoCase(name, "foreignSecurityPrincipal");
  });
  if (person && IsBelow(PartsOfDn(entry.dn), people_)) return {};
  if (auto found = FindInScope(session, id, {}); !found) {
    return tl::unexpected<Error>(found.error());
  }
  return {};
}

Result<PersonDetail> AccountReader::ReadDetail(const Session& session, const AccountId& id,
                                               const Result<std::vector<LdapEntry>>& entries) {
  const bool missing = entries ? entries->empty() : entries.error().code == ErrorCode::kNotFound;
  if (missing) return tl::unexpected<Error>(NotFound());
  if (!entries) return tl::unexpected<Error>(entries.error());
  const LdapEntry& entry = entries->front();
  if (auto found = CheckScope(session, id, entry); !found) {
    return tl::unexpected<Error>(found.error());
  }
  const auto context = Context(session);
  if (!context) return tl::unexpected<Error>(context.error());
  const auto person = ReadPerson(entry);
  if (!person || person->id != id) {
    return Fail(ErrorCode::kProtocol, "The domain controller answered with another account.",
                session.endpoint.uri);
  }
  const auto foreign = ForeignGroups(session, ReadSids(entry, "sidhistory"));
  if (!foreign) return tl::unexpected<Error>(foreign.error());
  const auto policy = Policy(session, entry);
  if (!policy) return tl::unexpected<Error>(policy.error());
  PersonDetail detail{*person, ReadState(entry, FileTimeNow()), *policy};
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

Result<std::string> AccountReader::MissingRight(const Session& session, const AccountId& id,
                                                const Directory::SetOptions& options) {
  const auto context = Context(session);
  if (!context) return tl::unexpected<Error>(context.error());
  LdapSearch search;
  search.base = GuidDn(id);
  search.scope = LdapSearch::Scope::kBase;
  search.attributes = {"allowedAttributesEffective", "nTSecurityDescriptor"};
  search.with_dacl = true;
  const auto entries = Entries(session, search);
  if (!entries) return tl::unexpected<Error>(entries.error());
  if (entries->empty()) return tl::unexpected<Error>(NotFound());
  const LdapEntry& entry = entries->front();
  const auto& writable = entry.All("allowedattributeseffective");
  const auto may_write = [&](std::string_view attribute) {
    return std::any_of(writable.begin(), writable.end(),
                       [&](const std::string& name) { return EqualNoCase(name, attribute); });
  };
  if (options.must_change && !may_write("pwdLastSet")) return "\"Write pwdLastSet\"";
  if (options.unlock && !may_write("lockoutTime")) return "\"Write lockoutTime\"";
  std::set<std::string, std::less<>> token = (*context)->own_token;
  for (const std::string& sid : EverybodysSids()) token.insert(sid);
  const auto access = ReadAccess(entry.Get("ntsecuritydescriptor"), token);
  return access && !access->reset_password ? "\"Reset password\"" : std::string();
}

Result<PasswordPolicy> AccountReader::ReadPolicy(const Session& session,
                                                 const std::string& dn) const {
  LdapSearch search;
  search.base = dn.empty() ? config_.base_dn : dn;
  search.scope = LdapSearch::Scope::kBase;
  search.attributes = dn.empty()
                          ? std::vector<std::string>{"minPwdLength", "pwdProperties",
                                                     "pwdHistoryLength", "minPwdAge", "maxPwdAge"}
                          : std::vector<std::string>{"cn",
                                                     "msDS-MinimumPasswordLength",
                                                     "msDS-PasswordComplexityEnabled",
                                                     "msDS-PasswordHistoryLength",
                                                     "msDS-MinimumPasswordAge",
                                                     "msDS-MaximumPasswordAge"};
  PasswordPolicy policy;
  policy.source = "the domain's password policy";
  if (!dn.empty()) policy.source = "a fine-grained password policy";
  const auto entries = Entries(session, search);
  if (!entries) {
    const ErrorCode code = entries.error().code;
    if (code == ErrorCode::kNotFound || code == ErrorCode::kPermissionDenied) return policy;
    return tl::unexpected<Error>(entries.error());
  }
  if (entries->empty()) return policy;
  const LdapEntry& entry = entries->front();
  const char* const length = dn.empty() ? "minpwdlength" : "msds-minimumpasswordlength";
  if (!dn.empty() && !entry.Get("cn").empty()) {
    policy.source = "the password policy " + CleanText(entry.Get("cn"), 64);
  }
  if (entry.All(length).empty()) return policy;
  const auto count = [&](const char* name) {
    return static_cast<std::uint32_t>(std::clamp<std::int64_t>(ReadInteger(entry, name), 0, 1024));
  };
  // Spans are negative ticks; the smallest number means never.
  const auto span = [&](const char* name) {
    const std::int64_t ticks = ReadInteger(entry, name);
    return ticks >= 0 || ticks < -INT64_MAX ? 0 : -ticks / 10'000'000;
  };
  policy.known = true;
  policy.min_length = count(length);
  policy.complex = dn.empty() ? (ReadInteger(entry, "pwdproperties") & 1) != 0
                              : EqualNoCase(entry.Get("msds-passwordcomplexityenabled"), "TRUE");
  policy.history = count(dn.empty() ? "pwdhistorylength" : "msds-passwordhistorylength");
  policy.min_age = span(dn.empty() ? "minpwdage" : "msds-minimumpasswordage");
  policy.max_age = span(dn.empty() ? "maxpwdage" : "msds-maximumpasswordage");
  return policy;
}

Result<PasswordPolicy> AccountReader::Policy(const Session& session, const LdapEntry& account) {
  const std::string dn(account.Get("msds-resultantpso"));
  const auto facts = Facts(session);
  if (!facts) return tl::unexpected<Error>(facts.error());
  const auto now = std::chrono::steady_clock::now();
  {
    const std::lock_guard lock(mutex_);
    const auto kept = policies_.find(dn);
    if (kept != policies_.end() && now < kept->second.until) {
      PasswordPolicy policy = kept->second.value;
      policy.history_checked = !facts->policy_hints.empty();
      return policy;
    }
  }
  auto policy = ReadPolicy(session, dn);
  if (!policy) return policy;
  const std::lock_guard lock(mutex_);
  if (policies_.size() > kMaxPolicies) policies_.clear();
  policies_[dn] = {*policy, now + config_.context_life};
  policy->history_checked = !facts->policy_hints.empty();
  return policy;
}

Result<ControllerFacts> AccountReader::Facts(const Session& session) {
  const auto now = std::chrono::steady_clock::now();
  {
    const std::lock_guard lock(mutex_);
    const auto kept = facts_.find(session.endpoint.uri);
    if (kept != facts_.end() && now < kept->second.until) return kept->second.value;
  }
  ControllerFacts facts;
  LdapSearch search;
  search.scope = LdapSearch::Scope::kBase;
  search.attributes = {"supportedControl", "dsServiceName"};
  const auto root = Entries(session, search);
  if (!root) return tl::unexpected<Error>(root.error());
  std::string service;
  if (!root->empty()) {
    const auto& controls = root->front().All("supportedcontrol");
    for (const std::string_view oid : {kPolicyHintsOld, kPolicyHints}) {  // the new one wins
      if (std::find(controls.begin(), controls.end(), oid) != controls.end()) {
        facts.policy_hints = oid;
      }
    }
    service = root->front().Get("dsservicename");
  }
  if (!service.empty()) {
    search.base = service;
    search.attributes = {"invocationId"};
    const auto settings = Entries(session, search);  // not readable = not known
    if (settings && !settings->empty()) {
      const std::string_view id = settings->front().Get("invocationid");
      if (id.size() == facts.invocation.size()) {
        std::copy(id.begin(), id.end(), facts.invocation.begin());
      }
    }
    search.base = config_.base_dn;
    search.attributes = {"fSMORoleOwner"};
    const auto domain = Entries(session, search);
    facts.pdc =
        domain && !domain->empty() && EqualNoCase(domain->front().Get("fsmoroleowner"), service);
  }
  const std::lock_guard lock(mutex_);
  facts_[session.endpoint.uri] = {facts, now + config_.context_life};
  return facts;
}

Result<PasswordStamp> AccountReader::Stamp(const Session& session, const AccountId& id) {
  const auto asked =
      EntriesTogether(session, {InScope(id, {"pwdLastSet", kMetaData, kKeyVersion}), ItsClock()});
  const auto entry = TheOne(asked[0]);
  if (!entry) return tl::unexpected<Error>(entry.error());
  return ReadStampOf(session, *entry, asked[1]);
}

Result<PasswordStamp> AccountReader::ReadStampOf(const Session& session, const LdapEntry& account,
                                                 const Result<std::vector<LdapEntry>>& clock) {
  const auto facts = Facts(session);
  if (!facts) return tl::unexpected<Error>(facts.error());
  if (!clock) return tl::unexpected<Error>(clock.error());
  PasswordStamp stamp;
  stamp.last_set = ReadInteger(account, "pwdlastset");
  if (!clock->empty()) stamp.now = ReadGeneralizedTime(clock->front().Get("currenttime"));
  const auto metadata = ReadStamp(account.Get("replpropertymetadata"), kUnicodePwd);
  if (!metadata) {
    // Computed from the same metadata, where that itself may not be read.
    stamp.version = static_cast<std::uint32_t>(
        std::clamp<std::int64_t>(ReadInteger(account, "msds-keyversionnumber"), 0, UINT32_MAX));
    return stamp;
  }
  stamp.version = metadata->version;
  stamp.written = metadata->written;
  if (facts->invocation != std::array<std::uint8_t, 16>{}) {
    stamp.writer = metadata->writer == facts->invocation ? PasswordStamp::Writer::kHere
                                                         : PasswordStamp::Writer::kElsewhere;
  }
  return stamp;
}

std::optional<std::vector<std::string>> AccountReader::KeptSids(const AccountId& actor) {
  const std::lock_guard lock(mutex_);
  const auto kept = actors_.find(actor);
  if (kept == actors_.end() || std::chrono::steady_clock::now() >= kept->second.until) {
    return std::nullopt;
  }
  return kept->second.value;
}

Result<AccountLook> AccountReader::Look(const Session& session, const AccountId& id,
                                        const AccountId& actor, std::optional<Error>* refused,
                                        const std::function<void()>& meanwhile) {
  std::vector<LdapSearch> searches{ItsState(id, ChangeAttributes()), ItsClock()};
  searches[0].attributes.insert(searches[0].attributes.end(), {kMetaData, kKeyVersion});
  const bool somebody = actor != AccountId{} && actor != id;
  const auto kept = somebody ? KeptSids(actor) : std::nullopt;
  if (somebody && !kept) searches.push_back(Itself(GuidDn(actor), {"objectSid", "sIDHistory"}));
  const auto now = std::chrono::steady_clock::now();
  const auto asked = EntriesTogether(session, searches, meanwhile);
  auto detail = ReadDetail(session, id, asked[0]);
  if (!detail) return tl::unexpected<Error>(detail.error());
  auto stamp = ReadStampOf(session, asked[0]->front(), asked[1]);
  if (!stamp) return tl::unexpected<Error>(stamp.error());
  const std::string& dn = detail->person.dn;
  refused->reset();
  if (id == actor) {
    *refused = Refuse(OwnAccount(), dn);
  } else if (detail->state.is_protected) {
    *refused = Refuse({detail->state.protected_reason, detail->state.protected_advice}, dn);
  } else if (somebody) {
    const auto sids = kept ? Result<std::vector<std::string>>(*kept) : SidsOf(asked[2]);
    if (!sids && sids.error().code != ErrorCode::kPermissionDenied) {
      return tl::unexpected<Error>(sids.error());
    }
    if (!sids) {
      *refused = sids.error();
    } else if (SamePerson(*detail, *sids)) {
      *refused = Refuse(OwnAccount(), dn);
    }
    if (sids && !kept) {
      const std::lock_guard lock(mutex_);
      if (actors_.size() >= kMaxActors) actors_.clear();
      actors_[actor] = {*sids, now + config_.context_life};
    }
  }
  return AccountLook{*std::move(detail), *stamp};
}

Result<void> AccountReader::Changeable(const Session& session, const AccountId& id,
                                       const AccountId& actor) {
  std::optional<Error> refused;
  if (auto look = Look(session, id, actor, &refused); !look) {
    return tl::unexpected<Error>(look.error());
  }
  if (refused) return tl::unexpected<Error>(*std::move(refused));
  return {};
}

}  // namespace keyferry::server

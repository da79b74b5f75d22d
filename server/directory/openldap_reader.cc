#include "server/directory/openldap_reader.h"

#include <algorithm>
#include <chrono>
#include <set>
#include <utility>

#include "server/directory/person.h"
#include "server/directory/text.h"

namespace keyferry::server {
namespace {

constexpr std::size_t kMostGroups = 5'000;  // of one person
constexpr std::size_t kMembersAtOnce = 50;  // in one filter
constexpr std::size_t kMostPolicies = 256;  // kept at a time

std::int64_t UnixNow() {
  return std::chrono::duration_cast<std::chrono::seconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

bool IsGroup(const LdapEntry& entry) {
  const auto& classes = entry.All("objectclass");
  return std::any_of(classes.begin(), classes.end(), [](const std::string& name) {
    return EqualNoCase(name, "groupOfNames") || EqualNoCase(name, "groupOfUniqueNames") ||
           EqualNoCase(name, "posixGroup");
  });
}

}  // namespace

Result<std::vector<std::string>> OpenLdapReader::Groups(const Session& session,
                                                        const std::string& dn,
                                                        const std::string& login) const {
  std::vector<std::string> groups;
  std::set<std::string> seen;
  std::vector<std::string> members{dn};
  bool first = true;
  while (!members.empty()) {
    std::vector<std::string> parents;
    for (std::size_t from = 0; from < members.size(); from += kMembersAtOnce) {
      LdapSearch search;
      search.base = config_.base_dn;
      search.limit = kMostGroups;
      std::string any;
      for (std::size_t i = from; i < std::min(from + kMembersAtOnce, members.size()); ++i) {
        const std::string value = EscapeFilter(members[i]);
        any += "(&(objectClass=groupOfNames)(member=" + value + "))";
        any += "(&(objectClass=groupOfUniqueNames)(uniqueMember=" + value + "))";
      }
      if (first && !login.empty()) {
        any += "(&(objectClass=posixGroup)(memberUid=" + EscapeFilter(login) + "))";
      }
      first = false;
      search.filter = "(|" + any + ")";
      auto found = Entries(session, search);
      if (!found) return tl::unexpected<Error>(found.error());
      for (LdapEntry& entry : *found) {
        if (!seen.insert(ComparableDn(entry.dn)).second) continue;
        parents.push_back(entry.dn);
        groups.push_back(std::move(entry.dn));
      }
    }
    if (groups.size() > kMostGroups) {
      return Fail(ErrorCode::kUnavailable,
                  "This person is in too many groups to look at all of them. Nothing was changed.");
    }
    members = std::move(parents);
  }
  return groups;
}

Result<OpenLdapPolicy> OpenLdapReader::Policy(const Session& session, const std::string& dn) {
  OpenLdapPolicy policy;
  policy.shown.source = "the directory's default password policy";
  if (dn.empty()) return policy;
  const auto now = std::chrono::steady_clock::now();
  {
    const std::lock_guard lock(mutex_);
    const auto kept = policies_.find(dn);
    if (kept != policies_.end() && now < kept->second.until) return kept->second.policy;
  }
  LdapSearch search;
  search.base = dn;
  search.scope = LdapSearch::Scope::kBase;
  search.attributes = OpenLdapPolicyAttributes();
  const auto entries = Entries(session, search);
  if (!entries) {
    const ErrorCode code = entries.error().code;
    if (code != ErrorCode::kNotFound && code != ErrorCode::kPermissionDenied) {
      return tl::unexpected<Error>(entries.error());
    }
  } else if (!entries->empty()) {
    policy = ReadOpenLdapPolicy(entries->front());
  }
  const std::lock_guard lock(mutex_);
  if (policies_.size() >= kMostPolicies) policies_.clear();
  policies_[dn] = {policy, now + config_.context_life};
  return policy;
}

Result<void> OpenLdapReader::CheckProtectedGroups(const Session& session) {
  const auto now = std::chrono::steady_clock::now();
  {
    const std::lock_guard lock(mutex_);
    if (now < groups_checked_until_) return {};
  }
  for (const std::string& dn : config_.protected_groups) {
    LdapSearch search;
    search.base = dn;
    search.scope = LdapSearch::Scope::kBase;
    search.attributes = {"objectClass"};
    const auto group = Entries(session, search);
    if (!group && group.error().code != ErrorCode::kNotFound) {
      return tl::unexpected<Error>(group.error());
    }
    if (group && !group->empty() && IsGroup(group->front())) continue;
    return Fail(ErrorCode::kPermissionDenied,
                config_.section + ".protected_groups names " + dn +
                    ", which is no group that the service account can see. Nothing is changed "
                    "until that is put right.");
  }
  const std::lock_guard lock(mutex_);
  groups_checked_until_ = now + config_.context_life;
  return {};
}

Result<void> OpenLdapReader::Protect(const Session& session, const LdapEntry& entry,
                                     PersonDetail* detail) {
  const auto protect = [&](std::string reason, std::string advice) {
    detail->state.is_protected = true;
    detail->state.protected_reason = std::move(reason);
    detail->state.protected_advice = std::move(advice);
  };
  if (ComparableDn(entry.dn) == ComparableDn(config_.bind_name)) {
    protect("Keyferry's own service account",
            "Change its password with the directory's own tools.");
    return {};
  }
  for (const std::string& number : entry.All("uidnumber")) {
    if (number.find_first_not_of('0') != std::string::npos) continue;
    protect("the superuser of machines, uidNumber 0",
            "Change its password with the directory's own tools.");
    return {};
  }
  if (config_.protected_groups.empty()) return {};
  if (auto checked = CheckProtectedGroups(session); !checked) return checked;
  const auto groups = Groups(session, entry.dn, detail->person.login);
  if (!groups) return tl::unexpected<Error>(groups.error());
  for (const std::string& group : *groups) {
    for (const std::string& guarded : config_.protected_groups) {
      if (ComparableDn(group) != ComparableDn(guarded)) continue;
      protect("member of " + CleanText(guarded, 256),
              "Ask an administrator of the directory, or take the account out of the group.");
      return {};
    }
  }
  return {};
}

Result<OpenLdapAccount> OpenLdapReader::Account(const Session& session, const AccountId& id) {
  LdapSearch search;
  search.base = config_.people_dn;
  search.filter = "(&" + std::string(kOpenLdapPeople) + UuidFilter(id) + ")";
  search.attributes = OpenLdapStateAttributes();
  const auto entries = Entries(session, search);
  if (!entries) return tl::unexpected<Error>(entries.error());
  if (entries->size() != 1) {
    return Fail(ErrorCode::kNotFound,
                "The directory has no such employee in the configured part of the tree.");
  }
  const LdapEntry& entry = entries->front();
  const auto person = ReadOpenLdapPerson(entry);
  if (!person || person->id != id) {
    return Fail(ErrorCode::kProtocol, "The directory server answered with another account.",
                session.endpoint.uri);
  }
  const std::string_view own = entry.Get("pwdpolicysubentry");
  auto policy = Policy(session, own.empty() ? config_.default_policy : std::string(own));
  if (!policy) return tl::unexpected<Error>(policy.error());
  OpenLdapAccount account{{*person, ReadOpenLdapState(entry, *policy, UnixNow()), policy->shown},
                          *policy,
                          ReadOpenLdapStamp(entry, config_.bind_name)};
  if (auto done = Protect(session, entry, &account.detail); !done) {
    return tl::unexpected<Error>(done.error());
  }
  return account;
}

Result<OpenLdapAccount> OpenLdapReader::Changeable(const Session& session, const AccountId& id,
                                                   const AccountId& actor) {
  const auto refuse = [](const std::string& reason, const std::string& advice,
                         const std::string& dn) {
    return Fail(ErrorCode::kPermissionDenied,
                "This account is protected (" + reason + "). Nothing was changed. " + advice, dn);
  };
  if (id == actor) {
    return refuse("it is your own", "Ask a colleague to set its password.", id.Hex());
  }
  auto account = Account(session, id);
  if (!account) return account;
  const AccountState& state = account->detail.state;
  if (state.is_protected) {
    return refuse(state.protected_reason, state.protected_advice, account->detail.person.dn);
  }
  return account;
}

}  // namespace keyferry::server

#include "server/core/people.h"

#include <algorithm>
#include <chrono>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <utility>

#include "server/core/dn.h"

namespace keyferry::server {
namespace {

using std::chrono::steady_clock;

constexpr const char* kNobody = "There is no such employee here.";
constexpr std::chrono::seconds kGoodFor{60};    // what the directory said is good for so long
constexpr std::size_t kMaxMembers = 100'000;    // of one group
constexpr std::size_t kMaxRemembered = 10'000;  // people
constexpr std::size_t kAtOnce = 200;            // people of one page of the directory
constexpr std::size_t kMaxPages = 25;           // that one search looks through

using Dn = std::vector<std::string>;

// What the rules look at.
struct Face {
  std::string login;  // lower case
  Dn dn;
};
Face FaceOf(const Person& person) { return {LowerCase(person.login), PartsOfDn(person.dn)}; }

struct Rules {
  std::set<std::string> users;
  std::vector<std::string> groups;
  std::vector<Dn> ous;
  bool empty() const { return users.empty() && groups.empty() && ous.empty(); }
  void Add(const PeopleList& list) {
    for (const std::string& user : list.users) users.insert(LowerCase(user));
    groups.insert(groups.end(), list.groups.begin(), list.groups.end());
    for (const std::string& ou : list.ous) ous.push_back(PartsOfDn(ou));
  }
};
struct RoleRules {
  Rules include, exclude;
};

class DefaultPeopleService final : public PeopleService {
 public:
  DefaultPeopleService(Directory& directory, GroupReader& groups, const Clock& clock,
                       PeopleConfig config)
      : directory_(directory), groups_(groups), clock_(clock), config_(std::move(config)) {
    for (const PeopleScope& scope : config_.scopes) {
      rules_[scope.role].include.Add(scope.include);
      rules_[scope.role].exclude.Add(scope.exclude);
    }
  }

  Result<PersonPage> Search(const Actor& actor, std::string_view query, std::size_t limit,
                            std::string_view cursor) override {
    return List(actor, {query, PeopleState::kAny, PeopleOrder::kName, limit, cursor});
  }

  Result<PersonPage> List(const Actor& actor, const PeopleQuery& query) override {
    if (!May(actor.roles, Right::kPeopleRead)) return Fail(ErrorCode::kPermissionDenied, kDenied);
    if (ReachesAll(actor, Right::kPeopleRead)) return directory_.List(query);
    return Collect(query, [&](const Person& person) {
      return InReach(actor, Right::kPeopleRead, person.id, FaceOf(person));
    });
  }

  Result<PersonDetail> Get(const Actor& actor, const AccountId& id) override {
    if (auto seen = Check(actor, Right::kPeopleRead, id); !seen) {
      return tl::unexpected(std::move(seen.error()));
    }
    auto detail = directory_.Get(id);
    if (!detail && detail.error().code == ErrorCode::kNotFound) {
      return Fail(ErrorCode::kNotFound, kNobody);
    }
    return detail;
  }

  Result<void> Check(const Actor& actor, Right right, const AccountId& id) override {
    if (!May(actor.roles, right)) return Fail(ErrorCode::kPermissionDenied, kDenied);
    if (!ReachesAll(actor, right)) {
      const auto face = Remembered(id);
      if (!face) return tl::unexpected(face.error());
      if (!*face) return Fail(ErrorCode::kNotFound, kNobody);
      const auto in = InReach(actor, right, id, **face);
      if (!in) return tl::unexpected(in.error());
      if (!*in) {
        const auto seen = right == Right::kPeopleRead
                              ? Result<bool>(false)
                              : InReach(actor, Right::kPeopleRead, id, **face);
        if (!seen) return tl::unexpected(seen.error());
        if (!*seen) return Fail(ErrorCode::kNotFound, kNobody);
        return Fail(ErrorCode::kPermissionDenied,
                    "You may see this employee, but not do this for them; ask a colleague.");
      }
    }
    if (!ActsOnPeople(right) || actor.id == AccountId{}) return {};
    if (actor.id == id) {
      return Fail(ErrorCode::kPermissionDenied,
                  "You cannot do this for your own account; ask a colleague.");
    }
    if (actor.roles.Has(Role::kAdministrator)) return {};
    for (const std::string& group : config_.role_groups) {
      const auto member = IsMember(group, id, /*may_be_missing=*/true);
      if (!member) return tl::unexpected(member.error());
      if (*member) {
        return Fail(ErrorCode::kPermissionDenied,
                    "This employee works with Keyferry; only an administrator may do this.");
      }
    }
    return {};
  }

  Result<std::vector<AccountId>> Among(const Actor& actor, Right right,
                                       std::span<const AccountId> ids) override {
    std::vector<AccountId> out;
    if (!May(actor.roles, right)) return out;
    if (ReachesAll(actor, right)) return std::vector<AccountId>(ids.begin(), ids.end());
    for (const AccountId& id : ids) {
      const auto face = Remembered(id);
      if (!face) return tl::unexpected(face.error());
      if (!*face) continue;
      const auto in = InReach(actor, right, id, **face);
      if (!in) return tl::unexpected(in.error());
      if (*in) out.push_back(id);
    }
    return out;
  }

  bool ReachesAll(const Actor& actor, Right right) const override {
    // The server itself, and what was made on its console.
    if (actor.id == AccountId{}) return May(actor.roles, right);
    return std::any_of(std::begin(kAllRoles), std::end(kAllRoles), [&](Role role) {
      return actor.roles.Has(role) && May(role, right) && rules_.count(role) == 0;
    });
  }

  const std::vector<PeopleScope>& Scopes() const override { return config_.scopes; }

  Result<ScopePreview> Preview(const Actor& actor, Role role, std::size_t limit,
                               std::string_view cursor) override {
    if (!May(actor.roles, Right::kScopesRead)) return Fail(ErrorCode::kPermissionDenied, kDenied);
    Actor anyone;
    anyone.id.bytes.fill(0xFF);  // nobody's, and not the server's own
    anyone.roles = role;
    const auto shown = [&](const Person& person) -> Result<bool> {
      const Face face = FaceOf(person);
      auto in = InReach(anyone, Right::kPeopleRead, person.id, face);
      if (!in || !*in || ReachesAll(actor, Right::kPeopleRead)) return in;
      return InReach(actor, Right::kPeopleRead, person.id, face);
    };
    auto page = Collect({{}, PeopleState::kAny, PeopleOrder::kName, limit, cursor}, shown);
    if (!page) return tl::unexpected(std::move(page.error()));
    ScopePreview out{std::move(page->people), std::move(page->next), 0, true};
    std::string at;
    for (std::size_t pages = 0; pages < kMaxPages; ++pages) {
      const auto all = directory_.Search({}, kAtOnce, at);
      if (!all) return tl::unexpected(all.error());
      for (const Person& person : all->people) {
        const auto in = shown(person);
        if (!in) return tl::unexpected(in.error());
        if (*in) ++out.count;
      }
      at = all->next;
      out.complete = at.empty();
      if (out.complete) break;
    }
    return out;
  }

  Result<Roles> RolesOf(const Actor& actor, const AccountId& id) override {
    if (!May(actor.roles, Right::kScopesRead)) return Fail(ErrorCode::kPermissionDenied, kDenied);
    if (auto seen = Check(actor, Right::kPeopleRead, id); !seen) {
      return tl::unexpected(std::move(seen.error()));
    }
    const auto groups = directory_.GroupsOf(id);
    if (!groups && groups.error().code == ErrorCode::kNotFound) {
      return Fail(ErrorCode::kNotFound, "There is no such employee here with an account in use.");
    }
    if (!groups) return tl::unexpected(groups.error());
    return config_.roles_of ? config_.roles_of(*groups) : Roles();
  }

 private:
  static constexpr const char* kDenied = "You are not allowed to do this; ask an administrator.";

  // A page of those whom `wanted` takes.
  template <typename Wanted>
  Result<PersonPage> Collect(const PeopleQuery& query, const Wanted& wanted) {
    PersonPage out;
    std::string at(query.cursor);
    for (std::size_t pages = 0; pages < kMaxPages; ++pages) {
      const auto page = directory_.List({query.text, query.state, query.order, kAtOnce, at});
      if (!page) return page;
      for (const Person& person : page->people) {
        const auto in = wanted(person);
        if (!in) return tl::unexpected(in.error());
        if (!*in) continue;
        if (out.people.size() == query.limit) {
          out.next = directory_.CursorAfter(out.people.back(), query.order);
          return out;
        }
        out.people.push_back(person);
      }
      if (page->next.empty()) return out;
      at = page->next;
    }
    // The directory's own cursor would name somebody out of scope.
    if (out.people.empty()) {
      return Fail(ErrorCode::kConflict,
                  "Too many employees who are not yours come first; type more of the name.");
    }
    out.next = directory_.CursorAfter(out.people.back(), query.order);
    return out;
  }

  // By any role that has the right.
  Result<bool> InReach(const Actor& actor, Right right, const AccountId& id, const Face& face) {
    for (const Role role : kAllRoles) {
      if (!actor.roles.Has(role) || !May(role, right)) continue;
      const auto rules = rules_.find(role);
      if (rules == rules_.end()) return true;
      const auto in = Judge(rules->second, id, face);
      if (!in || *in) return in;
    }
    return false;
  }

  Result<bool> Judge(const RoleRules& rules, const AccountId& id, const Face& face) {
    if (rules.exclude.users.count(face.login) != 0) return false;
    if (rules.include.users.count(face.login) != 0) return true;
    for (const auto* list : {&rules.exclude, &rules.include}) {
      for (const std::string& group : list->groups) {
        const auto member = IsMember(group, id, /*may_be_missing=*/false);
        if (!member) return member;
        if (*member) return list == &rules.include;
      }
    }
    for (const auto* list : {&rules.exclude, &rules.include}) {
      for (const Dn& ou : list->ous) {
        if (IsBelow(face.dn, ou)) return list == &rules.include;
      }
    }
    return rules.include.empty();
  }

  Result<bool> IsMember(const std::string& group, const AccountId& id, bool may_be_missing) {
    const auto now = clock_.Now();
    std::shared_ptr<const std::set<AccountId>> members;
    {
      const std::lock_guard lock(mutex_);
      const auto found = members_.find(group);
      if (found != members_.end() && now - found->second.at < kGoodFor) members = found->second.who;
    }
    if (!members) {
      const auto asked = groups_.Members(group, kMaxMembers);
      const bool missing = !asked && asked.error().code == ErrorCode::kNotFound && may_be_missing;
      if (!asked && !missing) {
        return Fail(ErrorCode::kUnavailable,
                    "Whom you may act for cannot be told: a group of the configuration cannot be "
                    "read. Try again, or tell an administrator.",
                    group + ": " + asked.error().message + " " + asked.error().detail);
      }
      if (asked && !asked->complete) {
        return Fail(ErrorCode::kUnavailable,
                    "Whom you may act for cannot be told: a group of the configuration has too "
                    "many members. Tell an administrator.",
                    group);
      }
      auto fresh = std::make_shared<std::set<AccountId>>();
      if (asked) {
        for (const GroupMember& member : asked->members) fresh->insert(member.person.id);
      }
      members = fresh;
      const std::lock_guard lock(mutex_);
      members_[group] = {fresh, now};
    }
    return members->count(id) != 0;
  }

  // Nothing: there is nobody with this identifier.
  Result<std::optional<Face>> Remembered(const AccountId& id) {
    const auto now = clock_.Now();
    {
      const std::lock_guard lock(mutex_);
      const auto found = faces_.find(id);
      if (found != faces_.end() && now - found->second.second < kGoodFor)
        return found->second.first;
    }
    const auto detail = directory_.Get(id);
    if (!detail && detail.error().code != ErrorCode::kNotFound) {
      return tl::unexpected(detail.error());
    }
    std::optional<Face> face;
    if (detail) face = FaceOf(detail->person);
    const std::lock_guard lock(mutex_);
    if (faces_.size() >= kMaxRemembered) faces_.clear();
    faces_[id] = {face, now};
    return face;
  }

  Directory& directory_;
  GroupReader& groups_;
  const Clock& clock_;
  const PeopleConfig config_;
  std::map<Role, RoleRules> rules_;
  struct Members {
    std::shared_ptr<const std::set<AccountId>> who;
    steady_clock::time_point at;
  };
  std::mutex mutex_;
  std::map<std::string, Members> members_;  // by group: as many as the configuration names
  std::map<AccountId, std::pair<std::optional<Face>, steady_clock::time_point>> faces_;
};

void Tell(std::string& out, const char* what, const PeopleList& list) {
  const auto each = [&](const char* kind, const std::vector<std::string>& names) {
    for (const std::string& name : names) {
      out += out.back() == ':' ? " " : "; ";
      out += std::string(what) + " " + kind + " " + name;
    }
  };
  each("user", list.users);
  each("group", list.groups);
  each("OU", list.ous);
}

}  // namespace

std::string Describe(const PeopleScope& scope) {
  std::string out = std::string(Name(scope.role)) + ":";
  Tell(out, "include", scope.include);
  Tell(out, "exclude", scope.exclude);
  return out;
}

bool ActsOnPeople(Right right) {
  return right == Right::kChangesWrite || right == Right::kAccountsWrite ||
         right == Right::kKeysSuspend || right == Right::kKeysWrite;
}

std::unique_ptr<PeopleService> MakePeopleService(Directory& directory, GroupReader& groups,
                                                 const Clock& clock, PeopleConfig config) {
  return std::make_unique<DefaultPeopleService>(directory, groups, clock, std::move(config));
}

}  // namespace keyferry::server

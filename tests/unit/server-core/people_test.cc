// Whom an actor may see and act on.
#include "server/core/people.h"

#include <catch2/catch.hpp>
#include <map>

#include "fakes.h"
#include "server/core/dn.h"

using namespace keyferry;
using namespace keyferry::server;
using namespace keyferry::server::testing;

namespace {

class Groups final : public GroupReader {
 public:
  Result<GroupMembers> Members(std::string_view group_dn, std::size_t) override {
    ++asked;
    if (down) return Fail(ErrorCode::kUnavailable, "The directory cannot be reached.");
    const auto found = members.find(std::string(group_dn));
    if (found == members.end()) return Fail(ErrorCode::kNotFound, "There is no such group.");
    GroupMembers out;
    out.complete = complete;
    for (const AccountId& id : found->second) {
      GroupMember member;
      member.person.id = id;
      out.members.push_back(member);
    }
    return out;
  }
  std::map<std::string, std::vector<AccountId>> members;
  bool down = false, complete = true;
  int asked = 0;
};

const std::string kSales = "CN=Sales,OU=Groups,DC=corp,DC=example";
const std::string kStaff = "CN=Help Desk,OU=Groups,DC=corp,DC=example";

struct House {
  House() {
    agent.id = Add("liam", "CN=Liam,OU=IT,DC=corp,DC=example");
    agent.login = "liam";
    agent.roles = Role::kHelpDesk;
    anna = Add("anna", "CN=Anna,OU=Kyiv,OU=People,DC=corp,DC=example");
    boris = Add("boris", "CN=Boris\\,OU\\=Kyiv\\,OU\\=People,OU=People,DC=corp,DC=example");
    groups.members[kSales] = {};
    groups.members[kStaff] = {agent.id};
  }
  AccountId Add(const std::string& login, const std::string& dn) {
    const AccountId id = directory.Add(login);
    directory.At(id).detail.person.dn = dn;
    return id;
  }
  void Use(PeopleList include, PeopleList exclude = {}) {
    PeopleConfig config;
    if (!include.empty() || !exclude.empty()) {
      config.scopes.push_back({Role::kHelpDesk, std::move(include), std::move(exclude)});
    }
    config.role_groups = {kStaff};
    people = MakePeopleService(directory, groups, clock, config);
  }
  std::string Asked(const AccountId& id, Right right = Right::kPeopleRead) {
    const auto done = people->Check(agent, right, id);
    if (done) return "yes";
    switch (done.error().code) {
      case ErrorCode::kNotFound:
        return "not there";
      case ErrorCode::kPermissionDenied:
        return "denied";
      case ErrorCode::kUnavailable:
        return "unavailable";
      default:
        return "?";
    }
  }

  FakeClock clock;
  FakeDirectory directory;
  Groups groups;
  Actor agent;
  AccountId anna, boris;
  std::unique_ptr<PeopleService> people;
};

}  // namespace

TEST_CASE("without a scope a role reaches everybody, and asks nobody about it") {
  House house;
  house.Use({});
  house.directory.down = true;
  CHECK(house.Asked(house.anna) == "yes");
  CHECK(house.people->ReachesAll(house.agent, Right::kPeopleRead));
  house.agent.roles = Role::kAuditor;
  CHECK(house.Asked(house.anna) == "yes");
  CHECK(house.Asked(house.anna, Right::kChangesWrite) == "denied");
  house.agent.roles = Role::kNone;
  CHECK(house.Asked(house.anna) == "denied");
}

TEST_CASE("user before group before unit, exclusion before inclusion") {
  House house;
  const std::string unit = "ou=people, dc=CORP,dc=example", kyiv = "OU=Kyiv," + unit;
  house.Use({{}, {}, {kyiv}});
  CHECK(house.Asked(house.anna) == "yes");
  CHECK(house.Asked(house.boris) == "not there");  // whose name only looks like the unit
  house.Use({{}, {}, {unit}}, {{}, {}, {kyiv}});
  CHECK(house.Asked(house.anna) == "not there");
  CHECK(house.Asked(house.boris) == "yes");
  house.groups.members[kSales] = {house.anna};
  house.Use({{}, {kSales}, {}}, {{}, {}, {unit}});
  CHECK(house.Asked(house.anna) == "yes");
  CHECK(house.Asked(house.boris) == "not there");
  house.Use({{}, {kSales}, {unit}}, {{}, {kSales}, {}});
  CHECK(house.Asked(house.anna) == "not there");
  house.Use({{"ANNA"}, {}, {}}, {{}, {kSales}, {unit}});
  CHECK(house.Asked(house.anna) == "yes");
  house.Use({{"anna"}, {kSales}, {unit}}, {{"Anna"}, {}, {}});
  CHECK(house.Asked(house.anna) == "not there");
  house.Use({}, {{"boris"}, {}, {}});
  CHECK(house.Asked(house.anna) == "yes");
  CHECK(house.Asked(house.boris) == "not there");
}

TEST_CASE("who is out of scope and who does not exist are answered alike") {
  House house;
  house.Use({{"anna"}, {}, {}});
  AccountId nobody;
  nobody.bytes.fill(9);
  const auto hidden = house.people->Get(house.agent, house.boris);
  const auto missing = house.people->Get(house.agent, nobody);
  REQUIRE_FALSE(hidden);
  REQUIRE_FALSE(missing);
  CHECK(hidden.error().code == ErrorCode::kNotFound);
  CHECK(hidden.error().code == missing.error().code);
  CHECK(hidden.error().message == missing.error().message);
  CHECK(hidden.error().detail == missing.error().detail);
  CHECK(house.people->Get(house.agent, house.anna));
  const AccountId ids[] = {house.anna, house.boris, nobody};
  CHECK(*house.people->Among(house.agent, Right::kPeopleRead, ids) ==
        std::vector<AccountId>{house.anna});
  // Rights do not add up across scopes: seen as an auditor is not reset as the help desk.
  house.agent.roles = Role::kHelpDesk | Role::kAuditor;
  CHECK(house.Asked(house.boris) == "yes");
  CHECK(house.Asked(house.boris, Right::kChangesWrite) == "denied");
  CHECK(house.Asked(house.anna, Right::kChangesWrite) == "yes");
}

TEST_CASE("nobody acts on themselves or above themselves") {
  House house;
  house.Use({});
  const AccountId colleague = house.Add("mia", "CN=Mia,OU=IT,DC=corp,DC=example");
  house.groups.members[kStaff].push_back(colleague);
  for (const Right right : {Right::kChangesWrite, Right::kKeysSuspend}) {
    CHECK(house.Asked(house.agent.id, right) == "denied");
    CHECK(house.Asked(colleague, right) == "denied");
    CHECK(house.Asked(house.anna, right) == "yes");
  }
  CHECK(house.Asked(colleague) == "yes");
  house.agent.roles = Role::kAdministrator;
  CHECK(house.Asked(colleague, Right::kChangesWrite) == "yes");
  CHECK(house.Asked(house.agent.id, Right::kChangesWrite) == "denied");
  CHECK(house.Asked(house.agent.id, Right::kKeysWrite) == "denied");
}

TEST_CASE("groups are remembered for a minute, and closed while they cannot be asked") {
  House house;
  house.groups.members[kSales] = {house.anna};
  house.Use({{}, {kSales}, {}});
  CHECK(house.Asked(house.anna) == "yes");
  house.groups.members[kSales] = {};
  house.groups.down = true;
  CHECK(house.Asked(house.anna) == "yes");
  CHECK(house.groups.asked == 1);
  house.clock.Advance(std::chrono::seconds(61));
  CHECK(house.Asked(house.anna) == "unavailable");
  house.groups.down = false;
  CHECK(house.Asked(house.anna) == "not there");
  house.clock.Advance(std::chrono::seconds(61));
  house.groups.complete = false;
  CHECK(house.Asked(house.anna) == "unavailable");
  house.clock.Advance(std::chrono::seconds(61));
  house.groups.members.erase(kSales);
  CHECK(house.Asked(house.anna) == "unavailable");
}

TEST_CASE("distinguished names are compared part by part") {
  using Parts = std::vector<std::string>;
  CHECK(PartsOfDn("OU=A, dc=B").size() == 2);
  CHECK(PartsOfDn("ou = a ,DC= b ") == PartsOfDn("OU=A,dc=B"));
  CHECK(PartsOfDn("cn=a\\2Cb,dc=c") == PartsOfDn("cn=a\\,b,dc=c"));
  CHECK(PartsOfDn("cn=a\\ ,dc=c") != PartsOfDn("cn=a,dc=c"));
  CHECK(PartsOfDn("cn=a\\,ou=b,dc=c") != PartsOfDn("cn=a,ou=b,dc=c"));
  for (const char* bad : {"", "a", "=a", "a=", ",", "cn=a,", "cn=a,,dc=b", "cn=a\\", "cn=a\\00"}) {
    INFO(bad);
    CHECK(PartsOfDn(bad) == Parts{});
  }
  CHECK(PartsOfDn("cn=" + std::string(2000, 'a')).empty());
  CHECK_FALSE(IsBelow(PartsOfDn("dc=b"), PartsOfDn("dc=b")));
  CHECK_FALSE(IsBelow(PartsOfDn("dc=b"), {}));
}

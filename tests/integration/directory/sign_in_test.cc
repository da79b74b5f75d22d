// Sign-in: one bind as the person, and what it says.
#include <algorithm>

#include "tests/integration/directory/directories.h"

namespace keyferry::testing {
namespace {

BindOutcome Try(Directory& directory, const std::string& name, const std::string& password) {
  const auto facts = directory.SignIn(name, Secret(password));
  REQUIRE_OK(facts);
  CHECK((facts->outcome == BindOutcome::kAccepted) == facts->person.has_value());
  if (!facts->person) CHECK(facts->group_dns.empty());
  return facts->outcome;
}

bool Holds(const std::vector<std::string>& values, const std::string& value) {
  return std::find(values.begin(), values.end(), value) != values.end();
}

}  // namespace

TEST_CASE("a bind tells each account state apart, and only with the right password") {
  TestDomain& domain = TestDomain::Shared();
  const auto directory = Open(ConfigFor(domain));
  const std::vector<std::pair<std::string, BindOutcome>> matrix{
      {"administrator", BindOutcome::kAccepted}, {"help_desk", BindOutcome::kAccepted},
      {"employee", BindOutcome::kAccepted},      {"protected", BindOutcome::kAccepted},
      {"disabled", BindOutcome::kDisabled},      {"expired", BindOutcome::kExpired},
      {"must_change", BindOutcome::kMustChange}, {"locked", BindOutcome::kLocked},
  };
  for (const auto& [role, expected] : matrix) {
    const SamplePerson& person = domain.Person(role);
    INFO(role);
    CHECK(Try(*directory, person.upn, person.password) == expected);
    const BindOutcome wrong = Try(*directory, person.upn, "Wrong-" + person.password);
    CHECK(wrong == (role == "locked" ? BindOutcome::kLocked : BindOutcome::kWrong));
  }
}

TEST_CASE("every spelling of a sign-in name finds the same person") {
  TestDomain& domain = TestDomain::Shared();
  const auto directory = Open(ConfigFor(domain));
  const SamplePerson& person = domain.Person("administrator");
  for (const std::string& name :
       {person.login, person.upn, "CORP\\" + person.login, std::string("OLENA.ADMIN"),
        std::string("Olena.Admin@CORP.example.TEST")}) {
    INFO(name);
    const auto facts = directory->SignIn(name, Secret(person.password));
    REQUIRE_OK(facts);
    REQUIRE(facts->outcome == BindOutcome::kAccepted);
    CHECK(facts->person->id == IdOf(person));
    CHECK(facts->person->login == person.login);
    CHECK(facts->person->display_name == person.display_name);
    // A wrong password is counted against the account, whatever it was called.
    const auto wrong = directory->SignIn(name, Secret("not the password"));
    REQUIRE_OK(wrong);
    CHECK(wrong->outcome == BindOutcome::kWrong);
    CHECK(wrong->account == IdOf(person));
    CHECK_FALSE(wrong->person.has_value());
  }
  const auto nobody = directory->SignIn("nobody.at.all", Secret("not the password"));
  REQUIRE_OK(nobody);
  CHECK_FALSE(nobody->account.has_value());
}

TEST_CASE("a person whose userPrincipalName is another's login is not mistaken for the other") {
  TestDomain& domain = TestDomain::Shared();
  const auto directory = Open(ConfigFor(domain));
  const SamplePerson& victim = domain.Person("administrator");
  // Samba and Windows both let an explicit UPN shadow login@domain of somebody else.
  domain.Apply("dn: CN=Shadow,OU=People," + domain.base_dn +
               "\nobjectClass: user\nsAMAccountName: shadow\nuserPrincipalName: "
               "sean.obrien.other@corp.example.test\n");
  const auto facts =
      directory->SignIn("sean.obrien.other@corp.example.test", Secret(victim.password));
  REQUIRE_OK(facts);
  CHECK(facts->outcome == BindOutcome::kWrong);
  domain.Apply("dn: CN=Shadow,OU=People," + domain.base_dn + "\nchangetype: delete\n");
}

TEST_CASE(
    "unknown and hostile names are a wrong password, never an error and never a bind without one") {
  TestDomain& domain = TestDomain::Shared();
  const auto directory = Open(ConfigFor(domain));
  const SamplePerson& person = domain.Person("employee");
  const std::vector<std::string> names{"nobody",
                                       "",
                                       "*",
                                       "s*",
                                       "sean.obrien)(objectClass=*",
                                       "*)(|(objectClass=*",
                                       "CORP\\",
                                       "\\",
                                       "@",
                                       "@corp.example.test",
                                       std::string("sean.obrien\0", 12),
                                       "sean.obrien\n",
                                       "\xff\xfe",
                                       std::string(5000, 'a'),
                                       "CN=Administrator,CN=Users," + domain.base_dn,
                                       "' OR 1=1 --",
                                       "sean.obrien@evil.example",
                                       "dc1$",
                                       "CORP\\DC1$",
                                       "<GUID=00000000-0000-0000-0000-000000000000>"};
  for (const std::string& name : names) {
    INFO(name);
    CHECK(Try(*directory, name, person.password) == BindOutcome::kWrong);
  }
  for (const std::string& name :
       {person.login, person.upn, std::string("nobody"), domain.admin_upn}) {
    CHECK(Try(*directory, name, "") == BindOutcome::kWrong);
  }
  CHECK(Try(*directory, person.login, std::string(5000, 'x')) == BindOutcome::kWrong);
}

TEST_CASE("groups are told with their parents, round rings, and with the primary group") {
  TestDomain& domain = TestDomain::Shared();
  const auto directory = Open(ConfigFor(domain));
  const SamplePerson& person = domain.Person("employee_with_key");
  const std::string inner = "CN=Ring \\(inner\\*\\)\\, odd," + domain.groups_dn;
  const std::string outer = "CN=Ring outer," + domain.groups_dn;
  const auto line = TestDomain::Line;
  domain.Apply(line("dn", inner) + "objectClass: group\nsAMAccountName: Ring inner\n" +
               line("member", person.dn));
  domain.Apply(line("dn", outer) + "objectClass: group\nsAMAccountName: Ring outer\n" +
               line("member", inner));
  domain.Apply(line("dn", inner) + "changetype: modify\nadd: member\n" + line("member", outer));
  const auto facts = directory->SignIn(person.login, Secret(person.password));
  REQUIRE_OK(facts);
  REQUIRE(facts->outcome == BindOutcome::kAccepted);
  const auto named = [&](const std::string& part) {
    return std::count_if(facts->group_dns.begin(), facts->group_dns.end(),
                         [&](const std::string& dn) { return dn.find(part) != std::string::npos; });
  };
  CHECK(named("CN=Ring outer,") == 1);
  CHECK(named("CN=Ring (inner") + named("CN=Ring \\(inner") == 1);
  CHECK(named("CN=Domain Users,") == 1);
  CHECK(named("CN=Users,CN=Builtin,") == 1);  // the primary group's parent
  CHECK(named("Keyferry Administrators") == 0);
  domain.Apply(line("dn", outer) + "changetype: delete\n");
  domain.Apply(line("dn", inner) + "changetype: delete\n");

  const SamplePerson& admin = domain.Person("administrator");
  const auto admin_facts = directory->SignIn(admin.login, Secret(admin.password));
  REQUIRE_OK(admin_facts);
  CHECK(Holds(admin_facts->group_dns, domain.administrators_group));
}

TEST_CASE("the token tells who is in a group, but not of lists, which no token carries") {
  TestDomain& domain = TestDomain::Shared();
  LdapConfig config = ConfigFor(domain);
  config.context_life = std::chrono::milliseconds(0);
  const auto directory = Open(std::move(config));
  const SamplePerson& person = domain.Person("employee_with_key");
  const auto line = TestDomain::Line;
  const std::string inner = "CN=Of \\(inner\\*\\)\\, odd," + domain.groups_dn;
  const std::string outer = "CN=Of outer," + domain.groups_dn;
  const std::string list = "CN=Of a list," + domain.groups_dn;
  const std::string empty = "CN=Of nobody," + domain.groups_dn;
  domain.Apply(line("dn", inner) + "objectClass: group\nsAMAccountName: Of inner\n" +
               line("member", person.dn));
  domain.Apply(line("dn", outer) + "objectClass: group\nsAMAccountName: Of outer\n" +
               line("member", inner));
  domain.Apply(line("dn", list) + "objectClass: group\nsAMAccountName: Of a list\n" +
               "groupType: 2\n" + line("member", inner));  // a distribution group
  domain.Apply(line("dn", empty) + "objectClass: group\nsAMAccountName: Of nobody\n");
  const auto told = [&](const PersonDetail& who, const std::vector<std::string>& groups) {
    const auto in = directory->TokenHolds(who, groups);
    REQUIRE_OK(in);
    return *in;
  };
  const auto got = directory->Get(IdOf(person));
  REQUIRE_OK(got);
  REQUIRE_FALSE(got->state.token.empty());
  CHECK(told(*got, {inner}) == true);
  CHECK(told(*got, {empty, outer}) == true);
  CHECK(told(*got, {list}) == std::nullopt);
  CHECK(told(*got, {inner, list}) == std::nullopt);
  CHECK(told(*got, {"cn=domain users,cn=users," + domain.base_dn}) == true);  // the primary group
  CHECK(told(*got, {"CN=Users,CN=Builtin," + domain.base_dn}) == true);       // … and its parent
  CHECK(told(*got, {empty, "CN=Not there," + domain.groups_dn}) == false);
  CHECK(told(*got, {}) == false);
  PersonDetail untold = *got;
  untold.state.token.clear();
  CHECK(told(untold, {outer}) == std::nullopt);
  const auto considered = directory->Consider(IdOf(person), AccountId{});
  REQUIRE_OK(considered);
  CHECK(told(considered->detail, {outer}) == true);
  for (const std::string& dn : {list, outer, inner, empty}) {
    domain.Apply(line("dn", dn) + "changetype: delete\n");
  }
  const auto later = directory->Get(IdOf(person));
  REQUIRE_OK(later);
  CHECK(told(*later, {inner, outer}) == false);
}

}  // namespace keyferry::testing

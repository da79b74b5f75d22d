// Writing: passwords, unlock, must-change, and every refusal in words.
#include <ldap.h>

#include "server/directory/connection.h"
#include "server/directory/text.h"
#include "tests/integration/directory/directories.h"

namespace keyferry::testing {
namespace {

// Sets a password the way the change service does.
Result<void> Change(Directory& directory, const AccountId& id, const std::string& password,
                    Directory::SetOptions options = {}) {
  const auto target = directory.Pin(id, {});
  if (!target) return tl::unexpected<Error>(target.error());
  return directory.SetPassword(*target, id, Secret(password), options);
}

std::string Repeat(const std::string& text, int times) {
  std::string out;
  for (int i = 0; i < times; ++i) out += text;
  return out;
}

// Five wrong passwords: the policy's threshold.
void LockOut(Directory& directory, const SamplePerson& person) {
  for (int i = 0; i < 5; ++i) {
    REQUIRE_OK(directory.SignIn(person.upn, Secret("certainly wrong")));
  }
}

AccountState State(Directory& directory, const AccountId& id) {
  const auto detail = directory.Get(id);
  REQUIRE_OK(detail);
  return detail->state;
}

}  // namespace

TEST_CASE("a set password is the only one that the directory takes") {
  TestDomain& domain = TestDomain::Shared();
  const auto directory = Open(ConfigFor(domain));
  const SamplePerson& person = domain.Person("employee_with_key");
  const AccountId id = IdOf(person);
  const std::vector<std::string> passwords{
      "Correct-Horse-7",          "Ключ-від-дверей-9",
      "Emoji 🔑🚢 Ferry 1",         "\"quoted\\\" O'Brien, <&>; =1A",
      "A1b" + Repeat("x", 125),   "Z9-" + Repeat("🔑", 126),
      " leading and trailing 1A "};
  std::string old = person.password;
  for (const std::string& password : passwords) {
    INFO(password);
    const auto target = directory->Pin(id, {});
    REQUIRE_OK(target);
    CHECK(target->server == domain.ldaps_uri);
    Directory::SetOptions options;
    int sent = 0;
    options.sent = [&] {
      ++sent;
      throw std::bad_alloc();  // it has left all the same
    };
    REQUIRE_OK(directory->SetPassword(*target, id, Secret(password), options));
    CHECK(sent == 1);
    const auto moved = directory->Stamp(*target, id);
    REQUIRE_OK(moved);
    CHECK(moved->last_set > target->before.last_set);
    CHECK(domain.Binds(person.upn, password));
    CHECK_FALSE(domain.Binds(person.upn, old));
    REQUIRE_OK(directory->Unlock(id, {}));
    old = password;
  }
  REQUIRE_OK(Change(*directory, id, person.password));
}

TEST_CASE("a change that is withdrawn in the last moment does not leave") {
  TestDomain& domain = TestDomain::Shared();
  const auto directory = Open(ConfigFor(domain));
  const SamplePerson& person = domain.Person("employee_with_key");
  const AccountId id = IdOf(person);
  const auto target = directory->Pin(id, {});
  REQUIRE_OK(target);
  Directory::SetOptions options;
  int asked = 0, sent = 0;
  options.may_send = [&] { return ++asked > 1; };
  options.sent = [&] { ++sent; };
  const auto withdrawn = directory->SetPassword(*target, id, Secret("Withdrawn-Word-1"), options);
  REQUIRE_FALSE(withdrawn);
  CHECK(withdrawn.error().code == ErrorCode::kUnavailable);
  CHECK(withdrawn.error().message ==
        "The change was withdrawn before it was sent. Nothing was changed; try again.");
  CHECK(asked == 1);
  CHECK(sent == 0);
  const auto stamp = directory->Stamp(*target, id);
  REQUIRE_OK(stamp);
  CHECK(stamp->version == target->before.version);
  // The connection is as good as before, and a permission lets it leave.
  REQUIRE_OK(directory->SetPassword(*target, id, Secret(person.password), options));
  CHECK(asked == 2);
  CHECK(sent == 1);
}

TEST_CASE("refusals of the password policy are explained and change nothing") {
  TestDomain& domain = TestDomain::Shared();
  const auto directory = Open(ConfigFor(domain));
  const SamplePerson& person = domain.Person("employee");
  const AccountId id = IdOf(person);
  const auto before = State(*directory, id).password_last_set;
  CHECK_REFUSED(Change(*directory, id, "Short-1"), ErrorCode::kPolicyRefused,
                "at least 10 characters");
  CHECK_REFUSED(Change(*directory, id, "onlysmallletters"), ErrorCode::kPolicyRefused,
                "not complex enough");
  CHECK_REFUSED(Change(*directory, id, ""), ErrorCode::kInvalidArgument, "empty");
  CHECK_REFUSED(Change(*directory, id, "Not-UTF-8-\xc0\xaf-1"), ErrorCode::kInvalidArgument,
                "UTF-8");
  CHECK_REFUSED(Change(*directory, id, "Surrogate-\xed\xa0\x80-1"), ErrorCode::kInvalidArgument,
                "UTF-8");
  CHECK_REFUSED(Change(*directory, id, std::string("Nul-\0-inside-1", 14)),
                ErrorCode::kInvalidArgument, "NUL");
  CHECK_REFUSED(Change(*directory, id, "Long-1-" + std::string(250, 'x')),
                ErrorCode::kInvalidArgument, "256");
  CHECK(State(*directory, id).password_last_set == before);
  CHECK(domain.Binds(person.upn, person.password));
  const auto refused = Change(*directory, id, "Short-1");
  REQUIRE_FALSE(refused);
  CHECK_THAT(refused.error().detail,
             Catch::Matchers::Contains("0000052D"));  // the raw words, for the log
}

TEST_CASE("a password can come with must-change and unlock in one step") {
  TestDomain& domain = TestDomain::Shared();
  const auto directory = Open(ConfigFor(domain));
  const SamplePerson& person = domain.people()[10];
  const AccountId id = IdOf(person);
  LockOut(*directory, person);
  CHECK(State(*directory, id).locked);
  const auto refused = directory->SignIn(person.upn, Secret(person.password));
  REQUIRE_OK(refused);
  CHECK(refused->outcome == BindOutcome::kLocked);

  REQUIRE_OK(Change(*directory, id, "Locked-still-1"));  // a reset alone does not unlock
  CHECK(State(*directory, id).locked);
  REQUIRE_OK(Change(*directory, id, "Unlocked-now-1", {.must_change = true, .unlock = true}));
  const AccountState state = State(*directory, id);
  CHECK_FALSE(state.locked);
  CHECK(state.must_change);
  CHECK(state.password_last_set == 0);
  const auto asked = directory->SignIn(person.upn, Secret("Unlocked-now-1"));
  REQUIRE_OK(asked);
  CHECK(asked->outcome == BindOutcome::kMustChange);

  REQUIRE_OK(directory->RequireChange(id, {}, false));
  CHECK_FALSE(State(*directory, id).must_change);
  CHECK(domain.Binds(person.upn, "Unlocked-now-1"));
  REQUIRE_OK(directory->RequireChange(id, {}, true));
  CHECK(State(*directory, id).must_change);
  REQUIRE_OK(Change(*directory, id, person.password));
}

TEST_CASE("unlock is its own step") {
  TestDomain& domain = TestDomain::Shared();
  const auto directory = Open(ConfigFor(domain));
  const SamplePerson& person = domain.people()[11];
  LockOut(*directory, person);
  CHECK_FALSE(domain.Binds(person.upn, person.password));
  REQUIRE_OK(directory->Unlock(IdOf(person), {}));
  CHECK(domain.Binds(person.upn, person.password));
}

TEST_CASE("account states are read as the directory computes them") {
  TestDomain& domain = TestDomain::Shared();
  const auto directory = Open(ConfigFor(domain));
  CHECK(State(*directory, IdOf(domain.Person("locked"))).locked);
  CHECK(State(*directory, IdOf(domain.Person("disabled"))).disabled);
  CHECK(State(*directory, IdOf(domain.Person("expired"))).account_expired);
  CHECK(State(*directory, IdOf(domain.Person("must_change"))).must_change);
  const AccountState plain = State(*directory, IdOf(domain.Person("employee")));
  CHECK_FALSE((plain.locked || plain.disabled || plain.account_expired || plain.must_change ||
               plain.password_expired || plain.password_never_expires || plain.smartcard_required ||
               plain.is_protected));
  CHECK(plain.password_last_set > 0);

  const auto detail = directory->Get(IdOf(domain.Person("employee_without_key")));
  REQUIRE_OK(detail);
  CHECK(detail->person.display_name == "Anna Müller");
  CHECK(detail->person.mail == "anna.mueller@corp.example.test");
  CHECK(detail->person.department == "Finance");
  CHECK(detail->person.title == "Accountant");
  CHECK(detail->person.employee_id == "E1004");
  CHECK(detail->person.phone == "+380 44 555 0004");
  CHECK_THAT(detail->person.sid, Catch::Matchers::StartsWith("S-1-5-21-"));
}

TEST_CASE("protected accounts are refused before anything is written") {
  TestDomain& domain = TestDomain::Shared();
  const auto directory = Open(ConfigFor(domain));
  const SamplePerson& person = domain.Person("protected");
  const AccountId id = IdOf(person);
  const AccountState state = State(*directory, id);
  CHECK(state.is_protected);
  CHECK(state.protected_reason == "member of Domain Admins");
  const ChangeTarget target{domain.ldaps_uri, state.password_last_set};
  CHECK_REFUSED(directory->Pin(id, {}), ErrorCode::kPermissionDenied, "Domain Admins");
  CHECK_REFUSED(directory->SetPassword(target, id, Secret("Never-ever-1"), {}),
                ErrorCode::kPermissionDenied, "protected");
  CHECK_REFUSED(directory->Unlock(id, {}), ErrorCode::kPermissionDenied, "protected");
  CHECK_REFUSED(directory->RequireChange(id, {}, true), ErrorCode::kPermissionDenied, "protected");
  CHECK(State(*directory, id).password_last_set == state.password_last_set);
  CHECK(domain.Binds(person.upn, person.password));
}

TEST_CASE("protection is found through nested groups, the primary group and adminCount") {
  TestDomain& domain = TestDomain::Shared();
  const auto directory = Open(ConfigFor(domain));
  const SamplePerson& person = domain.people()[12];
  const AccountId id = IdOf(person);
  const auto line = TestDomain::Line;
  const auto change = [&](const std::string& dn, const std::string& verb, const std::string& name,
                          const std::string& value) {
    domain.Apply(line("dn", dn) + "changetype: modify\n" + verb + ": " + name + "\n" +
                 line(name, value));
  };
  REQUIRE_FALSE(State(*directory, id).is_protected);

  const std::string inner = "CN=Innocent," + domain.groups_dn;
  const std::string outer = "CN=Harmless," + domain.groups_dn;
  domain.Apply(line("dn", inner) + "objectClass: group\nsAMAccountName: Innocent\n" +
               line("member", person.dn));
  domain.Apply(line("dn", outer) + "objectClass: group\nsAMAccountName: Harmless\n" +
               line("member", inner));
  CHECK_FALSE(State(*directory, id).is_protected);
  for (const auto& [group, name] : std::vector<std::pair<std::string, std::string>>{
           {"CN=Account Operators,CN=Builtin,", "Account Operators"},
           {"CN=Backup Operators,CN=Builtin,", "Backup Operators"},
           {"CN=Schema Admins,CN=Users,", "Schema Admins"},
           {"CN=Print Operators,CN=Builtin,", "Print Operators"}}) {
    INFO(name);
    change(group + domain.base_dn, "add", "member", outer);
    CHECK(State(*directory, id).protected_reason == "member of " + name);
    CHECK_REFUSED(directory->Unlock(id, {}), ErrorCode::kPermissionDenied, name);
    change(group + domain.base_dn, "delete", "member", outer);
  }
  CHECK_FALSE(State(*directory, id).is_protected);

  change("CN=Domain Admins,CN=Users," + domain.base_dn, "add", "member", person.dn);
  change(person.dn, "replace", "primaryGroupID", "512");
  CHECK(State(*directory, id).protected_reason == "member of Domain Admins");
  change(person.dn, "replace", "primaryGroupID", "513");
  change("CN=Domain Admins,CN=Users," + domain.base_dn, "delete", "member", person.dn);
  change(person.dn, "replace", "adminCount", "1");
  CHECK_THAT(State(*directory, id).protected_reason, Catch::Matchers::Contains("adminCount"));
  change(person.dn, "replace", "adminCount", "0");
  CHECK_FALSE(State(*directory, id).is_protected);
}

TEST_CASE("what lies outside of the configured part of the tree does not exist") {
  TestDomain& domain = TestDomain::Shared();
  const auto directory = Open(ConfigFor(domain));
  auto wide_config = ConfigFor(domain);
  wide_config.people_dn = domain.base_dn;
  const auto wide = Open(std::move(wide_config));
  const auto found = wide->Search("svc-keyferry", 10, "");
  REQUIRE_OK(found);
  REQUIRE(found->people.size() == 1);
  const AccountId service = found->people[0].id;
  CHECK(State(*wide, service).protected_reason == "Keyferry's own service account");
  const ChangeTarget target{domain.ldaps_uri, 0};
  CHECK_REFUSED(wide->SetPassword(target, service, Secret("Never-ever-1"), {}),
                ErrorCode::kPermissionDenied, "protected");
  CHECK_REFUSED(directory->Get(service), ErrorCode::kNotFound, "no such employee");
  CHECK_REFUSED(directory->Pin(service, {}), ErrorCode::kNotFound, "no such employee");
  CHECK_REFUSED(directory->SetPassword(target, service, Secret("Never-ever-1"), {}),
                ErrorCode::kNotFound, "no such employee");
  CHECK_REFUSED(directory->Get(AccountId{}), ErrorCode::kNotFound, "no such employee");
  CHECK_REFUSED(
      directory->SetPassword({"ldaps://elsewhere", 0}, service, Secret("Never-ever-1"), {}),
      ErrorCode::kUnavailable, "no longer configured");
  // Computers are not people, wherever they are.
  const auto computers = wide->Search("DC1", 10, "");
  REQUIRE_OK(computers);
  CHECK(computers->people.empty());
}

TEST_CASE("where an account lies is told by its name only where that is plain") {
  TestDomain& domain = TestDomain::Shared();
  const auto id_of = [&](const std::string& login) {
    auto wide_config = ConfigFor(domain);
    wide_config.people_dn = domain.base_dn;
    const auto found = Open(std::move(wide_config))->Search(login, 10, "");
    REQUIRE_OK(found);
    REQUIRE(found->people.size() == 1);
    return found->people[0].id;
  };
  const std::string box = "OU=Box," + domain.base_dn;
  domain.Apply("dn: " + box + "\nobjectClass: organizationalUnit\n");
  const auto add = [&](const std::string& rdn, const std::string& parent,
                       const std::string& login) {
    domain.Apply("dn: " + rdn + "," + parent + "\nobjectClass: user\nsAMAccountName: " + login +
                 "\nuserAccountControl: 546\n");
  };
  add("CN=decoy\\,OU\\=Box", domain.base_dn, "decoy");
  add("CN=inside\\\\", box, "inside.box");
  const AccountId decoy = id_of("decoy"), inside = id_of("inside.box");
  for (const std::string& written : {box, "ou=BOX, " + domain.base_dn}) {
    INFO(written);
    auto config = ConfigFor(domain);
    config.people_dn = written;
    const auto directory = Open(std::move(config));
    CHECK_REFUSED(directory->Get(decoy), ErrorCode::kNotFound, "no such employee");
    REQUIRE_OK(directory->Get(inside));
    REQUIRE_OK(directory->Consider(inside, {}));
  }
}

TEST_CASE("what is done while the directory works is done once, and may fail") {
  TestDomain& domain = TestDomain::Shared();
  auto config = ConfigFor(domain);
  config.connections = 1;
  const auto directory = Open(std::move(config));
  const auto found = directory->Search("", 2, "");
  REQUIRE_OK(found);
  REQUIRE(found->people.size() == 2);
  const AccountId one = found->people[0].id, other = found->people[1].id;
  int runs = 0;
  const auto considered = directory->Consider(one, {}, [&] { ++runs; });
  REQUIRE_OK(considered);
  CHECK(considered->detail.person.id == one);
  CHECK(runs == 1);
  CHECK_THROWS_AS(directory->Consider(one, {}, [] { throw std::bad_alloc(); }), std::bad_alloc);
  const auto next = directory->Consider(other, {});  // over the same connection
  REQUIRE_OK(next);
  CHECK(next->detail.person.id == other);
}

TEST_CASE("who is moved out of the configured part of the tree is gone at once") {
  TestDomain& domain = TestDomain::Shared();
  const std::string box = "OU=Departing," + domain.base_dn;
  const std::string name = "CN=Mover";
  domain.Apply("dn: " + box + "\nobjectClass: organizationalUnit\n");
  domain.Apply("dn: " + name + "," + box +
               "\nobjectClass: user\nsAMAccountName: mover\nuserAccountControl: 546\n");
  auto config = ConfigFor(domain);
  config.people_dn = box;
  const auto directory = Open(std::move(config));
  const auto found = directory->Search("", 10, "");
  REQUIRE_OK(found);
  REQUIRE(found->people.size() == 1);
  const AccountId id = found->people[0].id;
  REQUIRE_OK(directory->Consider(id, {}));
  domain.Apply("dn: " + name + "," + box + "\nchangetype: modrdn\nnewrdn: " + name +
               "\ndeleteoldrdn: 1\nnewsuperior: " + domain.base_dn + "\n");
  CHECK_REFUSED(directory->Get(id), ErrorCode::kNotFound, "no such employee");
  CHECK_REFUSED(directory->Consider(id, {}), ErrorCode::kNotFound, "no such employee");
}

TEST_CASE("a right that the service account lacks is named") {
  TestDomain& domain = TestDomain::Shared();
  const std::string ou = "OU=Undelegated," + domain.base_dn;
  domain.Apply("dn: " + ou + "\nobjectClass: organizationalUnit\n");
  domain.Apply("dn: CN=Stray," + ou +
               "\nobjectClass: user\nsAMAccountName: stray\nuserAccountControl: 546\n");
  auto config = ConfigFor(domain);
  config.people_dn = ou;
  const auto directory = Open(std::move(config));
  const auto found = directory->Search("", 10, "");
  REQUIRE_OK(found);
  REQUIRE(found->people.size() == 1);
  const AccountId id = found->people[0].id;
  CHECK_REFUSED(Change(*directory, id, "Stray-Pass-1"), ErrorCode::kPermissionDenied,
                "Reset password");
  CHECK_REFUSED(Change(*directory, id, "Stray-Pass-1", {.must_change = true}),
                ErrorCode::kPermissionDenied, "Write pwdLastSet");
  CHECK_REFUSED(directory->Unlock(id, {}), ErrorCode::kPermissionDenied, "Write lockoutTime");
  CHECK_REFUSED(directory->RequireChange(id, {}, true), ErrorCode::kPermissionDenied,
                "Write pwdLastSet");
  domain.Apply("dn: CN=Stray," + ou + "\nchangetype: delete\n\ndn: " + ou +
               "\nchangetype: delete\n");
}

// Samba does not know policy hints; as the control is critical it refuses a write with it whole, so
// that no reset goes past the history without anybody's knowing (RFC 4511 section 4.1.11).
TEST_CASE("policy hints go along as a critical control") {
  TestDomain& domain = TestDomain::Shared();
  const SamplePerson& person = domain.Person("employee_with_key");
  const LdapConfig config = ConfigFor(domain);
  const auto connection =
      LdapConnection::Open({domain.ldaps_uri, config.ca_file}, std::chrono::seconds(10));
  REQUIRE_OK(connection);
  const Deadline deadline = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  REQUIRE((*connection)->Bind(config.bind_name, config.bind_password, deadline).ok());
  const std::vector<LdapReplace> unlock{{"lockoutTime", "0"}};
  const std::string dn = GuidDn(IdOf(person));
  for (const char* hints : {"1.2.840.113556.1.4.2066", "1.2.840.113556.1.4.2239"}) {
    const LdapAnswer answer = (*connection)->Modify(dn, unlock, deadline, hints);
    CHECK(answer.delivery == LdapAnswer::Delivery::kAnswered);
    CHECK(answer.rc == LDAP_UNAVAILABLE_CRITICAL_EXTENSION);
  }
  CHECK((*connection)->Modify(dn, unlock, deadline, "").ok());
}

}  // namespace keyferry::testing

// OpenLDAP as the directory: a real slapd with the ppolicy overlay.
#include <catch2/catch.hpp>
#include <ctime>
#include <set>
#include <thread>

#include "server/core/evidence.h"
#include "server/directory/diagnosis.h"
#include "server/directory/openldap_directory.h"
#include "tests/integration/directory/directories.h"
#include "tests/support/dc/tcp_proxy.h"
#include "tests/support/dc/test_slapd.h"

namespace keyferry::testing {
namespace {

using std::chrono::milliseconds;

LdapConfig ConfigFor(const TestSlapd& slapd) {
  LdapConfig config;
  config.kind = DirectoryKind::kOpenLdap;
  config.uris = {slapd.uri};
  config.ca_file = slapd.ca_file;
  config.base_dn = slapd.base_dn;
  config.people_dn = slapd.people_dn;
  config.bind_name = slapd.service_dn;
  config.bind_password = SecureBytes::CopyOf(slapd.service_password);
  config.default_policy = slapd.default_policy;
  return config;
}

std::unique_ptr<Directory> OpenSlapd(LdapConfig config) {
  auto directory = MakeOpenLdapDirectory(std::move(config));
  if (!directory) FAIL(directory.error().message << " | " << directory.error().detail);
  return std::move(*directory);
}

AccountId Find(Directory& directory, const std::string& uid) {
  const auto page = directory.Search(uid, 10, "");
  REQUIRE_OK(page);
  for (const Person& person : page->people) {
    if (person.login == uid) return person.id;
  }
  FAIL("nobody is called " << uid);
  return {};
}

ChangeRecord RecordOf(const ChangeTarget& target, bool must_change = false) {
  ChangeRecord change;
  change.server = target.server;
  change.password_last_set = target.before.last_set;
  change.password_version = target.before.version;
  change.server_time = target.before.now;
  change.must_change = must_change;
  return change;
}

// A password so long that only the request that sets it is as long.
constexpr std::size_t kLongRequest = 700;  // bytes
std::string Long(char first) {
  std::string out(1, first);
  for (int i = 0; i < 240; ++i) out += "€";
  return out;
}

Result<void> Set(Directory& directory, const AccountId& id, const std::string& password,
                 Directory::SetOptions options = {}) {
  const auto target = directory.Pin(id, options.actor);
  if (!target) return tl::unexpected<Error>(target.error());
  return directory.SetPassword(*target, id, Secret(password), options);
}

}  // namespace

TEST_CASE("a person's manager and mobile numbers are told by OpenLDAP") {
  TestSlapd& slapd = TestSlapd::Shared();
  const auto directory = OpenSlapd(ConfigFor(slapd));
  const AccountId alice = Find(*directory, "alice"), bob = Find(*directory, "bob");
  const auto manager = directory->ManagerOf(alice);
  REQUIRE_OK(manager);
  REQUIRE(*manager);
  CHECK((*manager)->id == bob);
  CHECK_FALSE(directory->ManagerOf(bob)->has_value());  // who is named is not there
  CHECK(*directory->MobileNumbers(alice) == std::vector<std::string>{"+49 171 1234567"});
  CHECK(directory->MobileNumbers(bob)->size() == 2);
  CHECK(directory->MobileNumbers(Find(*directory, "carol"))->empty());
  LdapConfig config = ConfigFor(slapd);
  config.mobile_attribute = "Pager";
  CHECK(*OpenSlapd(std::move(config))->MobileNumbers(bob) == std::vector<std::string>{"0171 3"});
  AccountId nobody;
  nobody.bytes.fill(0x5A);
  CHECK(directory->MobileNumbers(nobody).error().code == ErrorCode::kNotFound);
}

TEST_CASE("people of OpenLDAP are found by name, login and mail") {
  TestSlapd& slapd = TestSlapd::Shared();
  const auto directory = OpenSlapd(ConfigFor(slapd));
  const auto logins = [&](const std::string& query) {
    const auto page = directory->Search(query, 50, "");
    REQUIRE_OK(page);
    std::vector<std::string> out;
    for (const Person& person : page->people) out.push_back(person.login);
    return out;
  };
  CHECK(logins("") == std::vector<std::string>{"alice", "bob", "carol", "dave", "frozen", "grace",
                                               "root", "strict"});
  CHECK(logins("ALICE a") == std::vector<std::string>{"alice"});
  CHECK(logins("Alice Adler") == std::vector<std::string>{"alice"});
  CHECK(logins("adl") == std::vector<std::string>{"alice"});
  CHECK(logins("bob@example.org") == std::vector<std::string>{"bob"});
  CHECK(logins("E-1") == std::vector<std::string>{"alice"});
  CHECK(logins("uma").empty());
  for (const char* hostile : {"*", "*)(uid=*", "a\\2a", "\\", "(", "alice)(|(uid=*", "\x01"}) {
    INFO(hostile);
    CHECK(logins(hostile).empty());
  }
  std::vector<std::string> paged;
  std::string cursor;
  do {
    const auto page = directory->Search("", 3, cursor);
    REQUIRE_OK(page);
    for (const Person& person : page->people) paged.push_back(person.login);
    cursor = page->next;
  } while (!cursor.empty());
  CHECK(paged == logins(""));
  const auto alice = directory->Get(Find(*directory, "alice"));
  REQUIRE_OK(alice);
  CHECK(alice->person.display_name == "Alice A. Adler");
  CHECK(alice->person.mail == "alice@example.org");
  CHECK(alice->person.title == "Baker");
  CHECK(alice->person.department == "Bread");
  CHECK(alice->person.phone == "+49 30 1");
  CHECK(alice->person.employee_id == "E-1");
  CHECK(alice->policy.known);
  CHECK(alice->policy.min_length == 10);
  CHECK(alice->policy.history == 3);
  CHECK(alice->policy.max_age == 8640000);
  CHECK(alice->policy.source == "the password policy default");
  const auto strict = directory->Get(Find(*directory, "strict"));
  REQUIRE_OK(strict);
  CHECK(strict->policy.min_length == 14);
  CHECK(strict->policy.min_age_holds_resets);
  CHECK_REFUSED(directory->Get(AccountId{}), ErrorCode::kNotFound, "no such employee");
  REQUIRE_OK(directory->Ping());
}

TEST_CASE("an identity of OpenLDAP survives renaming and moving") {
  TestSlapd& slapd = TestSlapd::Shared();
  const auto directory = OpenSlapd(ConfigFor(slapd));
  const AccountId id = Find(*directory, "carol");
  slapd.Apply("dn: " + slapd.Dn("carol") +
              "\nchangetype: modrdn\nnewrdn: uid=carla\ndeleteoldrdn: 1\n");
  const auto carla = directory->Get(id);
  REQUIRE_OK(carla);
  CHECK(carla->person.login == "carla");
  CHECK(carla->person.dn == slapd.Dn("carla"));
  REQUIRE_OK(Set(*directory, id, "carla-second-2"));
  CHECK(slapd.Binds(slapd.Dn("carla"), "carla-second-2"));
  slapd.Apply("dn: " + slapd.Dn("carla") +
              "\nchangetype: modrdn\nnewrdn: uid=carla\ndeleteoldrdn: 0\n"
              "newsuperior: ou=other,dc=example,dc=org\n");
  CHECK_REFUSED(directory->Get(id), ErrorCode::kNotFound, "no such employee");
  CHECK_REFUSED(directory->Pin(id, {}), ErrorCode::kNotFound, "no such employee");
  slapd.Apply(
      "dn: uid=carla,ou=other,dc=example,dc=org\nchangetype: modrdn\nnewrdn: uid=carol\n"
      "deleteoldrdn: 1\nnewsuperior: " +
      slapd.people_dn + "\n");
}

TEST_CASE("a password set in OpenLDAP is the only one that it takes, and is stored hashed") {
  TestSlapd& slapd = TestSlapd::Shared();
  const auto directory = OpenSlapd(ConfigFor(slapd));
  const AccountId id = Find(*directory, "bob");
  const std::string password = "Bob's n€w 🔑 password";
  const auto target = directory->Pin(id, {});
  REQUIRE_OK(target);
  CHECK(target->server == slapd.uri);
  REQUIRE_OK(directory->SetPassword(*target, id, Secret(password), {}));
  CHECK(slapd.Binds(slapd.Dn("bob"), password));
  CHECK_FALSE(slapd.Binds(slapd.Dn("bob"), "bob-first-1"));
  CHECK(slapd.Attribute(slapd.Dn("bob"), "userPassword").empty());  // base64: "userPassword:: "
  const auto tried = directory->TryPassword(*target, id, Secret(password));
  REQUIRE_OK(tried);
  CHECK(*tried == BindOutcome::kAccepted);
  const auto wrong = directory->TryPassword(*target, id, Secret("bob-first-1"));
  REQUIRE_OK(wrong);
  CHECK(*wrong == BindOutcome::kWrong);
  REQUIRE_OK(directory->Unlock(id, {}));
}

TEST_CASE("refusals of OpenLDAP's password policy are explained and change nothing") {
  TestSlapd& slapd = TestSlapd::Shared();
  const auto directory = OpenSlapd(ConfigFor(slapd));
  const AccountId id = Find(*directory, "alice");
  REQUIRE_OK(Set(*directory, id, "alice-known-1"));
  const std::string before = slapd.Attribute(slapd.Dn("alice"), "pwdChangedTime");
  CHECK_REFUSED(Set(*directory, id, "short"), ErrorCode::kPolicyRefused, "at least 10 characters");
  CHECK_REFUSED(Set(*directory, id, "alice-known-1"), ErrorCode::kPolicyRefused, "used before");
  CHECK_REFUSED(Set(*directory, id, "alice-first-1"), ErrorCode::kPolicyRefused, "used before");
  CHECK_REFUSED(Set(*directory, id, ""), ErrorCode::kInvalidArgument, "");
  CHECK_REFUSED(Set(*directory, id, std::string("a\0bcdefghijk", 12)), ErrorCode::kInvalidArgument,
                "");
  CHECK(slapd.Attribute(slapd.Dn("alice"), "pwdChangedTime") == before);
  CHECK(slapd.Binds(slapd.Dn("alice"), "alice-known-1"));

  // The minimum age holds the service account too.
  const AccountId strict = Find(*directory, "strict");
  REQUIRE_OK(Set(*directory, strict, "strict-and-long-enough-1"));
  CHECK_REFUSED(Set(*directory, strict, "strict-and-long-enough-2"), ErrorCode::kPolicyRefused,
                "too recently");

  const AccountId frozen = Find(*directory, "frozen");
  CHECK_REFUSED(Set(*directory, frozen, "frozen-second-2"), ErrorCode::kPermissionDenied,
                "access to attrs=userPassword by dn.exact=\"" + slapd.service_dn + "\" =w");
  CHECK_REFUSED(directory->RequireChange(frozen, {}, true), ErrorCode::kPermissionDenied,
                "attrs=pwdReset");
  CHECK_REFUSED(directory->Unlock(frozen, {}), ErrorCode::kPermissionDenied,
                "attrs=pwdAccountLockedTime");
  // With must-change the missing right is found before the password is touched.
  Directory::SetOptions must_change;
  must_change.must_change = true;
  CHECK_REFUSED(Set(*directory, frozen, "frozen-second-2", must_change),
                ErrorCode::kPermissionDenied, "attrs=pwdReset");
  CHECK(slapd.Binds("uid=frozen,ou=frozen," + slapd.people_dn, "frozen-first-1"));
}

TEST_CASE("lock and unlock in OpenLDAP") {
  TestSlapd& slapd = TestSlapd::Shared();
  const auto directory = OpenSlapd(ConfigFor(slapd));
  const AccountId id = Find(*directory, "bob");
  const auto locked = [&] {
    const auto detail = directory->Get(id);
    REQUIRE_OK(detail);
    return detail->state.locked;
  };
  const auto lock = [&] {
    for (int i = 0; i < 3; ++i) CHECK_FALSE(slapd.Binds(slapd.Dn("bob"), "wrong"));
  };
  REQUIRE_OK(Set(*directory, id, "bob-before-the-lock"));
  CHECK_FALSE(locked());
  lock();
  CHECK(locked());
  const auto tried = directory->SignIn("bob", Secret("bob-before-the-lock"));
  REQUIRE_OK(tried);
  CHECK(tried->outcome == BindOutcome::kLocked);
  REQUIRE_OK(directory->Unlock(id, {}));
  CHECK_FALSE(locked());
  // The failures are forgotten too: two more do not lock.
  for (int i = 0; i < 2; ++i) CHECK_FALSE(slapd.Binds(slapd.Dn("bob"), "wrong"));
  CHECK_FALSE(locked());
  CHECK(slapd.Binds(slapd.Dn("bob"), "bob-before-the-lock"));
  REQUIRE_OK(directory->Unlock(id, {}));  // of one that is not locked
  lock();
  REQUIRE_OK(Set(*directory, id, "bob-after-the-lock"));  // unlocks
  CHECK_FALSE(locked());
  CHECK(slapd.Binds(slapd.Dn("bob"), "bob-after-the-lock"));
  slapd.Apply("dn: " + slapd.Dn("bob") +
              "\nchangetype: modify\nreplace: pwdAccountLockedTime\n"
              "pwdAccountLockedTime: 000001010000Z\n");
  CHECK(locked());  // for good, by an administrator
  REQUIRE_OK(directory->Unlock(id, {}));
  CHECK_FALSE(locked());
}

TEST_CASE("must-change in OpenLDAP") {
  TestSlapd& slapd = TestSlapd::Shared();
  const auto directory = OpenSlapd(ConfigFor(slapd));
  const AccountId id = Find(*directory, "alice");
  const auto must_change = [&] {
    const auto detail = directory->Get(id);
    REQUIRE_OK(detail);
    return detail->state.must_change;
  };
  Directory::SetOptions options;
  options.must_change = true;
  REQUIRE_OK(Set(*directory, id, "alice-must-change", options));
  CHECK(must_change());
  CHECK_THAT(slapd.Bind(slapd.Dn("alice"), "alice-must-change").output,
             Catch::Matchers::Contains("must be changed"));
  const auto facts = directory->SignIn("alice", Secret("alice-must-change"));
  REQUIRE_OK(facts);
  CHECK(facts->outcome == BindOutcome::kMustChange);
  REQUIRE_OK(directory->RequireChange(id, {}, false));
  CHECK_FALSE(must_change());
  REQUIRE_OK(directory->RequireChange(id, {}, false));
  REQUIRE_OK(directory->RequireChange(id, {}, true));
  CHECK(must_change());
  REQUIRE_OK(Set(*directory, id, "alice-need-not-change"));
  CHECK_FALSE(must_change());
  // A policy that does not know it: said before the password is touched.
  const AccountId grace = Find(*directory, "grace");
  CHECK_REFUSED(Set(*directory, grace, "grace-second-2", options), ErrorCode::kPolicyRefused,
                "pwdMustChange");
  CHECK(slapd.Binds(slapd.Dn("grace"), "grace-first-1"));
}

TEST_CASE("account states are read from OpenLDAP's operational attributes") {
  TestSlapd& slapd = TestSlapd::Shared();
  const auto directory = OpenSlapd(ConfigFor(slapd));
  const AccountId id = Find(*directory, "bob");
  const auto state = [&](const std::string& attribute, const std::string& value) {
    slapd.Apply("dn: " + slapd.Dn("bob") + "\nchangetype: modify\nreplace: " + attribute + "\n" +
                attribute + ": " + value + "\n");
    const auto detail = directory->Get(id);
    REQUIRE_OK(detail);
    slapd.Apply("dn: " + slapd.Dn("bob") + "\nchangetype: modify\ndelete: " + attribute + "\n");
    return detail->state;
  };
  CHECK(state("pwdEndTime", "20200101000000Z").account_expired);
  CHECK_FALSE(state("pwdEndTime", "20990101000000Z").account_expired);
  CHECK(state("pwdStartTime", "20990101000000Z").disabled);
  const AccountState old = state("pwdChangedTime", "20200101000000Z");
  CHECK(old.password_expired);
  CHECK(old.password_expires == 1577836800 + 8640000);
  REQUIRE_OK(Set(*directory, id, "bob-is-not-expired"));
  const auto fresh = directory->Get(id);
  REQUIRE_OK(fresh);
  CHECK_FALSE(fresh->state.password_expired);
  CHECK(fresh->state.password_expires > std::time(nullptr));
}

TEST_CASE("protected accounts of OpenLDAP are refused before anything is written") {
  TestSlapd& slapd = TestSlapd::Shared();
  LdapConfig config = ConfigFor(slapd);
  int writes = 0;
  config.on_write = [&](const AccountId&) { ++writes; };
  config.protected_groups = {"CN=Guarded, OU=Groups, DC=example, DC=org"};
  const auto directory = OpenSlapd(std::move(config));
  const AccountId alice = Find(*directory, "alice");
  const auto refused = [&](const AccountId& id, const AccountId& actor, const std::string& why) {
    CHECK_REFUSED(directory->Pin(id, actor), ErrorCode::kPermissionDenied, why);
    Directory::SetOptions options;
    options.actor = actor;
    const ChangeTarget target{slapd.uri, {}};
    CHECK_REFUSED(directory->SetPassword(target, id, Secret("never-ever-set"), options),
                  ErrorCode::kPermissionDenied, why);
    CHECK_REFUSED(directory->Unlock(id, actor), ErrorCode::kPermissionDenied, why);
    CHECK_REFUSED(directory->RequireChange(id, actor, true), ErrorCode::kPermissionDenied, why);
  };
  refused(Find(*directory, "dave"), {}, "Guarded");
  refused(Find(*directory, "root"), {}, "uidNumber 0");
  refused(alice, alice, "your own");
  CHECK(writes == 0);
  REQUIRE_OK(Set(*directory, alice, "alice-is-not-guarded"));
  CHECK(writes == 1);

  LdapConfig own = ConfigFor(slapd);
  own.people_dn = slapd.base_dn;
  slapd.Apply("dn: " + slapd.service_dn +
              "\nchangetype: modify\nadd: objectClass\nobjectClass: uidObject\n-\nadd: uid\n"
              "uid: keyferry\n");
  slapd.Apply(
      "dn: uid=service,ou=people,dc=example,dc=org\nobjectClass: inetOrgPerson\n"
      "uid: service\ncn: Service\nsn: Service\nuserPassword: " +
      slapd.service_password + "\n");
  own.bind_name = "UID=service, OU=People,DC=example,DC=org";
  const auto itself = OpenSlapd(std::move(own));
  // This account may read nothing but itself, which is enough to see itself as protected.
  const auto found = OpenSlapd(ConfigFor(slapd))->Search("service", 10, "");
  REQUIRE_OK(found);
  REQUIRE(found->people.size() == 1);
  CHECK_FALSE(itself->Pin(found->people.front().id, {}).has_value());
  slapd.Apply("dn: uid=service,ou=people,dc=example,dc=org\nchangetype: delete\n");

  LdapConfig broken = ConfigFor(slapd);
  broken.protected_groups = {"cn=nowhere,ou=groups,dc=example,dc=org"};
  CHECK_REFUSED(OpenSlapd(std::move(broken))->Pin(alice, {}), ErrorCode::kPermissionDenied,
                "cn=nowhere");
  LdapConfig no_group = ConfigFor(slapd);
  no_group.protected_groups = {slapd.people_dn};
  CHECK_REFUSED(OpenSlapd(std::move(no_group))->Pin(alice, {}), ErrorCode::kPermissionDenied,
                "which is no group");
}

TEST_CASE("people sign in with OpenLDAP's login or mail, and their groups are told, nested") {
  TestSlapd& slapd = TestSlapd::Shared();
  const auto directory = OpenSlapd(ConfigFor(slapd));
  const AccountId id = Find(*directory, "alice");
  REQUIRE_OK(Set(*directory, id, "alice-signs-in"));
  for (const char* name : {"alice", "ALICE", "alice@example.org"}) {
    INFO(name);
    const auto facts = directory->SignIn(name, Secret("alice-signs-in"));
    REQUIRE_OK(facts);
    CHECK(facts->outcome == BindOutcome::kAccepted);
    REQUIRE(facts->person.has_value());
    CHECK(facts->person->id == id);
    CHECK(facts->account == id);
    CHECK(std::set<std::string>(facts->group_dns.begin(), facts->group_dns.end()) ==
          std::set<std::string>{slapd.administrators, "cn=staff,ou=groups,dc=example,dc=org"});
  }
  const auto wrong = directory->SignIn("alice", Secret("nonsense"));
  REQUIRE_OK(wrong);
  CHECK(wrong->outcome == BindOutcome::kWrong);
  CHECK(wrong->account == id);
  for (const char* nobody : {"nobody", "", "*", "alice)(uid=*",
                             "ali\x01"
                             "ce"}) {
    INFO(nobody);
    const auto facts = directory->SignIn(nobody, Secret("alice-signs-in"));
    REQUIRE_OK(facts);
    CHECK(facts->outcome == BindOutcome::kWrong);
    CHECK_FALSE(facts->account.has_value());
  }
  const auto empty = directory->SignIn("alice", Secret(""));
  REQUIRE_OK(empty);
  CHECK(empty->outcome == BindOutcome::kWrong);
}

TEST_CASE("pwdChangedTime tells whether a lost answer had taken effect, and whose write it was") {
  TestSlapd& slapd = TestSlapd::Shared();
  TcpProxy proxy("127.0.0.1", slapd.port, "127.0.0.1");
  LdapConfig config = ConfigFor(slapd);
  config.uris = {"ldaps://127.0.0.1:" + std::to_string(proxy.port())};
  config.timeout = milliseconds(3000);
  config.silent_pause = milliseconds(0);
  const auto directory = OpenSlapd(std::move(config));
  const AccountId id = Find(*directory, "bob");
  const auto evidence = [&](const ChangeTarget& target) {
    const auto stamp = directory->Stamp(target, id);
    REQUIRE_OK(stamp);
    return Judge(RecordOf(target), *stamp, 60);
  };
  // Two changes right after each other still have two times.
  REQUIRE_OK(Set(*directory, id, "bob-evidence-1"));
  const auto before = directory->Pin(id, {});
  REQUIRE_OK(before);
  REQUIRE_OK(directory->SetPassword(*before, id, Secret("bob-evidence-2"), {}));
  auto now = directory->Stamp(*before, id);
  REQUIRE_OK(now);
  CHECK(now->last_set > before->before.last_set);
  CHECK(evidence(*before) == Evidence::kApplied);
  CHECK(Judge(RecordOf(*before), before->before, 60) == Evidence::kNotApplied);

  // The request arrives, the answer does not.
  auto target = directory->Pin(id, {});
  REQUIRE_OK(target);
  proxy.HoldAfterRequestOf(kLongRequest);
  CHECK_REFUSED(directory->SetPassword(*target, id, Secret(Long('e')), {}),
                ErrorCode::kOutcomeUnknown, "may or may not");
  proxy.Release();
  CHECK(evidence(*target) == Evidence::kApplied);
  CHECK(slapd.Binds(slapd.Dn("bob"), Long('e')));

  // The request is lost.
  target = directory->Pin(id, {});
  REQUIRE_OK(target);
  proxy.DropRequestOf(kLongRequest);
  CHECK_REFUSED(directory->SetPassword(*target, id, Secret(Long('f')), {}),
                ErrorCode::kOutcomeUnknown, "may or may not");
  now = directory->Stamp(*target, id);
  REQUIRE_OK(now);
  CHECK(Judge(RecordOf(*target), *now, 60) == Evidence::kNotApplied);

  // Another tool's write is not taken for ours; a bind decides.
  slapd.Apply("dn: " + slapd.Dn("bob") +
              "\nchangetype: modify\nreplace: userPassword\nuserPassword: foreign-tool-1\n");
  now = directory->Stamp(*target, id);
  REQUIRE_OK(now);
  CHECK(Judge(RecordOf(*target), *now, 60) == Evidence::kUndecidable);
  const auto tried = directory->TryPassword(*target, id, Secret(Long('f')));
  REQUIRE_OK(tried);
  CHECK(Weigh(Evidence::kUndecidable, *tried) == Evidence::kForeign);
}

TEST_CASE("a silent, a stopped and a restarted slapd") {
  TestSlapd slapd;
  TcpProxy proxy("127.0.0.1", slapd.port, "127.0.0.1");
  LdapConfig config = ConfigFor(slapd);
  config.uris = {"ldaps://127.0.0.1:" + std::to_string(proxy.port()), slapd.uri};
  config.timeout = milliseconds(3000);
  config.connect_timeout = milliseconds(800);
  config.silent_pause = milliseconds(0);
  const auto directory = OpenSlapd(std::move(config));
  const AccountId id = Find(*directory, "bob");
  const auto first = directory->Pin(id, {});
  REQUIRE_OK(first);
  CHECK(first->server != slapd.uri);
  proxy.HoldAll();  // the first of the two says nothing: the second takes over
  const auto second = directory->Pin(id, {});
  REQUIRE_OK(second);
  CHECK(second->server == slapd.uri);
  REQUIRE_OK(directory->SetPassword(*second, id, Secret("bob-failed-over"), {}));
  CHECK_REFUSED(directory->Stamp(*first, id), ErrorCode::kDeadline, "directory server");
  proxy.Release();
  slapd.Stop();
  const auto gone = directory->Get(id);
  REQUIRE_FALSE(gone.has_value());
  CHECK(gone.error().code == ErrorCode::kUnavailable);
  slapd.Start();
  REQUIRE_OK(directory->Get(id));
  REQUIRE_OK(Set(*directory, id, "bob-after-restart"));
}

TEST_CASE("a server that keeps the doctor waiting puts no blame on the clock of the next") {
  TestSlapd slapd;
  TcpProxy silent("127.0.0.1", slapd.port, "127.0.0.1");
  silent.HoldAll();
  LdapConfig config = ConfigFor(slapd);
  config.uris.insert(config.uris.begin(), "ldaps://127.0.0.1:" + std::to_string(silent.port()));
  config.connect_timeout = milliseconds(4500);  // longer than the clocks may differ
  const auto diagnosis = Diagnose(config, std::time(nullptr));
  REQUIRE(diagnosis.findings.size() > 1);
  CHECK(diagnosis.findings.front().status == Finding::Status::kProblem);
  std::size_t clocks = 0;
  for (const Finding& each : diagnosis.findings) {
    if (each.what.find("clock") == std::string::npos) continue;
    ++clocks;
    CHECK(each.status == Finding::Status::kOk);
  }
  CHECK(clocks == 1);
}

TEST_CASE("the doctor tries rights in OpenLDAP without changing anything") {
  TestSlapd slapd;
  const LdapConfig config = ConfigFor(slapd);
  const auto has = [](const Diagnosis& diagnosis, Finding::Status status,
                      const std::string& words) {
    for (const Finding& each : diagnosis.findings) {
      if (each.status == status &&
          (each.what + " " + each.cause + " " + each.fix).find(words) != std::string::npos)
        return true;
    }
    return false;
  };
  using Status = Finding::Status;
  const auto state = [&] {
    return slapd.Attribute(slapd.Dn("alice"), "entryCSN") +
           slapd.Attribute("uid=frozen,ou=frozen," + slapd.people_dn, "entryCSN");
  };
  const std::string before = state();
  const auto diagnosis = Diagnose(config, std::time(nullptr));
  for (const Finding& each : diagnosis.findings) {
    UNSCOPED_INFO(each.what << " | " << each.cause << " | " << each.fix);
  }
  CHECK(has(diagnosis, Status::kOk, "service account signs in"));
  CHECK(has(diagnosis, Status::kOk, "clock"));
  CHECK(has(diagnosis, Status::kOk, "Password Modify"));
  CHECK(has(diagnosis, Status::kOk, "default password policy"));
  CHECK(has(diagnosis, Status::kOk, "people: 8 in 2 OUs"));
  CHECK(has(diagnosis, Status::kOk, "rights on " + slapd.people_dn));
  for (const char* attribute : {"userPassword", "pwdReset", "pwdAccountLockedTime"}) {
    INFO(attribute);
    CHECK(has(diagnosis, Status::kProblem,
              "access to dn.subtree=\"ou=frozen," + slapd.people_dn + "\" attrs=" + attribute));
  }
  REQUIRE(diagnosis.certificates.size() == 1);
  CHECK_FALSE(diagnosis.certificates.front().second.empty());
  CHECK(state() == before);
  CHECK(slapd.Binds(slapd.Dn("alice"), "alice-first-1"));

  CHECK(has(Diagnose(config, std::time(nullptr) + 20), Status::kWarning, "clock"));
  LdapConfig root = ConfigFor(slapd);
  root.bind_name = slapd.root_dn;
  root.bind_password = Secret(slapd.root_password);
  root.default_policy.clear();
  const auto mighty = Diagnose(root, std::time(nullptr));
  CHECK(has(mighty, Status::kWarning, "never the rootdn"));
  CHECK(has(mighty, Status::kWarning, "directory.default_policy is not set"));
}

TEST_CASE("a wrong OpenLDAP configuration is refused with the key that is wrong") {
  TestSlapd& slapd = TestSlapd::Shared();
  const auto make = [&](const std::function<void(LdapConfig&)>& spoil) {
    LdapConfig config = ConfigFor(slapd);
    spoil(config);
    return MakeOpenLdapDirectory(std::move(config));
  };
  CHECK_REFUSED(make([](LdapConfig& c) { c.bind_name = "CORP\\svc"; }), ErrorCode::kInvalidArgument,
                "directory.bind_name");
  CHECK_REFUSED(make([](LdapConfig& c) { c.prefer_pdc = true; }), ErrorCode::kInvalidArgument,
                "directory.prefer_pdc");
  CHECK_REFUSED(make([](LdapConfig& c) { c.default_policy = "x"; }), ErrorCode::kInvalidArgument,
                "directory.default_policy");
  CHECK_REFUSED(make([](LdapConfig& c) { c.uris = {"ldap://localhost"}; }),
                ErrorCode::kInvalidArgument, "directory.uris");
  LdapConfig wrong = ConfigFor(slapd);
  wrong.bind_password = Secret("nonsense");
  CHECK_REFUSED(OpenSlapd(std::move(wrong))->Ping(), ErrorCode::kUnavailable,
                "its name or password in the configuration is wrong");
}

}  // namespace keyferry::testing

// One change to several password sources: a real Samba domain first, a real slapd after it.
#include <catch2/catch.hpp>

#include "server/directory/openldap_directory.h"
#include "tests/integration/directory/directories.h"
#include "tests/support/dc/tcp_proxy.h"
#include "tests/support/dc/test_slapd.h"
#include "tests/unit/server-core/company.h"

namespace keyferry::testing {
namespace {

using server::testing::Company;
using server::testing::TestKey;

constexpr const char* kLab = "Lab";

LdapConfig ConfigFor(const TestSlapd& slapd) {
  LdapConfig config;
  config.kind = DirectoryKind::kOpenLdap;
  config.section = "source";
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

ChangeConfig TypingAllowed() {
  ChangeConfig config;
  config.allow_typing = true;
  return config;
}

// An employee with a key, in both directories under one login.
struct Site : Company {
  explicit Site(LdapConfig slapd_config, PersonKey match = PersonKey::kLogin)
      : Company(TypingAllowed()),
        ad(Open(keyferry::testing::ConfigFor(domain))),
        lab(OpenSlapd(std::move(slapd_config))),
        key(maker) {
    first = ad.get();
    admin.id = IdOf(domain.Person("administrator"));
    admin.login = domain.Person("administrator").login;
    sources = {{kLab, "openldap", match, false, lab.get()}};
    Restart();
    person = domain.Person("employee");
    id = IdOf(person);
    dn = TestSlapd::Dn(person.login);
    desk = AddWorkstation("desk-1");
    Enrol(key, id, *desk);
    desk->Forget();
  }
  // Makes the account in the lab anew.
  static void Populate(const SamplePerson& person, const std::string& more = {}) {
    TestSlapd& slapd = TestSlapd::Shared();
    const std::string at = TestSlapd::Dn(person.login);
    static bool made = false;
    if (made) slapd.Apply("dn: " + at + "\nchangetype: delete\n\n");
    made = true;
    slapd.Apply("dn: " + at +
                "\nchangetype: add\nobjectClass: inetOrgPerson\nuid: " + person.login +
                "\ncn: " + person.login + "\nsn: x\n" + more + "userPassword: lab-first-1\n\n");
  }
  Result<ChangeView> Change(const std::string& name, const std::string& typed = {}) {
    ChangeRequest request = Request(id, name);
    request.sources = std::vector<std::string>{kLab};
    request.generate = typed.empty();
    if (!typed.empty()) request.typed = Secret(typed);
    return changes->Start(admin, std::move(request));
  }
  std::string Delivered() {
    REQUIRE(Deliver(*desk, key));
    return key.password;
  }

  TestDomain& domain = TestDomain::Shared();
  TestSlapd& slapd = TestSlapd::Shared();
  std::unique_ptr<Directory> ad, lab;
  TestKey key;
  SamplePerson person;
  AccountId id;
  std::string dn;
  std::unique_ptr<server::testing::TestWorkstation> desk;
};

}  // namespace

TEST_CASE("one change sets one password in Samba, in slapd and on the key") {
  const SamplePerson person = TestDomain::Shared().Person("employee");
  Site::Populate(person);
  Site site(ConfigFor(TestSlapd::Shared()));
  for (const char* name : {"request-0001", "request-0002"}) {
    const auto view = site.Change(name);
    REQUIRE_OK(view);
    REQUIRE(view->sources.size() == 1);
    INFO(view->sources[0].error);
    CHECK(view->sources[0].state == SourceState::kConfirmed);
    CHECK(view->sources[0].server == site.slapd.uri);
    CHECK(view->server == site.domain.ldaps_uri);
    const std::string password = site.Delivered();
    CHECK(site.domain.Binds(person.upn, password));
    CHECK(site.slapd.Binds(site.dn, password));
    site.clock.Advance(std::chrono::hours(24));
  }
  CHECK_FALSE(site.slapd.Binds(site.dn, "lab-first-1"));
}

TEST_CASE("slapd refuses by its history what Samba takes, and the change says so") {
  const SamplePerson person = TestDomain::Shared().Person("employee");
  Site::Populate(person);
  Site site(ConfigFor(TestSlapd::Shared()));
  // What only slapd has seen before.
  site.slapd.Apply("dn: " + site.dn +
                   "\nchangetype: modify\nreplace: userPassword\nuserPassword: Lab-Second-22\n\n");
  const auto view = site.Change("request-0001", "Lab-Second-22");
  REQUIRE_OK(view);
  CHECK(view->state == ChangeState::kConfirmed);
  REQUIRE(view->sources.size() == 1);
  INFO(view->sources[0].error);
  CHECK(view->sources[0].state == SourceState::kNotSet);
  CHECK_THAT(view->sources[0].error, Catch::Contains("set a new one for both"));
  CHECK(site.domain.Binds(person.upn, site.Delivered()));
  // The next step that it names.
  REQUIRE_OK(site.Change("request-0002"));
  const std::string password = site.Delivered();
  CHECK(site.slapd.Binds(site.dn, password));
  CHECK(site.domain.Binds(person.upn, password));
}

TEST_CASE("a slapd that is away, or knows nobody, refuses the whole change beforehand") {
  const SamplePerson person = TestDomain::Shared().Person("employee");
  Site::Populate(person);
  LdapConfig config = ConfigFor(TestSlapd::Shared());
  std::string word;
  SECTION("away") {
    config.uris = {"ldaps://127.0.0.1:9"};
    word = "does not accept connections";
  }
  SECTION("nobody") {
    config.people_dn = "ou=frozen," + config.people_dn;
    word = "leave the source out";
  }
  SECTION("without the right") {
    const std::string frozen = "uid=" + person.login + ",ou=frozen," + config.people_dn;
    config.people_dn = "ou=frozen," + config.people_dn;
    TestSlapd::Shared().Apply(
        "dn: " + frozen + "\nchangetype: add\nobjectClass: inetOrgPerson\nuid: " + person.login +
        "\ncn: x\nsn: x\nuserPassword: frozen-first-1\n\n");
    word = "lacks write access";
  }
  SECTION("in a group that it protects") {
    TestSlapd::Shared().Apply(
        "dn: " + TestSlapd::Shared().guarded +
        "\nchangetype: modify\nadd: member\nmember: " + TestSlapd::Dn(person.login) + "\n\n");
    config.protected_groups = {TestSlapd::Shared().guarded};
    word = "protected account";
  }
  Site site(std::move(config));
  const std::string before = site.domain.Attribute(person.dn, "pwdLastSet");
  const auto view = site.Change("request-0001");
  REQUIRE_FALSE(view);
  CHECK_THAT(view.error().message, Catch::Contains("\"Lab\"") && Catch::Contains(word));
  CHECK(site.domain.Attribute(person.dn, "pwdLastSet") == before);
  if (word == "lacks write access") {
    TestSlapd::Shared().Apply("dn: uid=" + person.login + ",ou=frozen,ou=people,dc=example,dc=org" +
                              "\nchangetype: delete\n\n");
  }
  if (word == "protected account") {
    TestSlapd::Shared().Apply(
        "dn: " + TestSlapd::Shared().guarded +
        "\nchangetype: modify\ndelete: member\nmember: " + TestSlapd::Dn(person.login) + "\n\n");
  }
}

TEST_CASE("slapd's answer is lost: its own record decides") {
  const SamplePerson person = TestDomain::Shared().Person("employee");
  Site::Populate(person);
  TcpProxy proxy("127.0.0.1", TestSlapd::Shared().port, "127.0.0.1");
  LdapConfig config = ConfigFor(TestSlapd::Shared());
  config.uris = {"ldaps://127.0.0.1:" + std::to_string(proxy.port())};
  bool arrived = false;
  SECTION("it took the password") {
    config.on_write = [&](const AccountId&) { proxy.CutAfterRequestOf(1); };
    arrived = true;
  }
  SECTION("the request was lost") {
    config.on_write = [&](const AccountId&) { proxy.DropRequestOf(1); };
  }
  Site site(std::move(config));
  const std::string password = "Typed-and-long-enough-1";
  const std::string before = site.slapd.Attribute(site.dn, "pwdChangedTime");
  const auto view = site.Change("request-0001", password);
  REQUIRE_OK(view);
  REQUIRE(view->sources.size() == 1);
  // It hashes for a while: in this test's clock the minute after which a write counts as lost is
  // over at once.
  while (arrived && site.slapd.Attribute(site.dn, "pwdChangedTime") == before) {
  }
  site.changes->Reconcile();
  site.clock.Advance(std::chrono::seconds(61));
  site.changes->Reconcile();
  const SourceView source = site.Newest(site.id).sources.at(0);
  INFO(source.error);
  CHECK(site.slapd.Binds(site.dn, password) == arrived);
  CHECK(source.state == (arrived ? SourceState::kConfirmed : SourceState::kNotSet));
}

TEST_CASE("Samba as the linked source tells beforehand which right is missing") {
  TestDomain& domain = TestDomain::Shared();
  const auto ad = Open(ConfigFor(domain));
  const AccountId id = IdOf(domain.Person("employee"));
  const auto target = ad->Pin(id, AccountId{});
  REQUIRE_OK(target);
  Directory::SetOptions options;
  options.must_change = options.unlock = true;
  REQUIRE_OK(ad->MayWrite(*target, id, options));
  // Outside of what was delegated: an OU of its own that takes no permissions from above.
  LdapConfig config = ConfigFor(domain);
  config.people_dn = domain.base_dn;
  const auto all = Open(std::move(config));
  domain.Apply("dn: OU=Sealed," + domain.base_dn + "\nobjectClass: organizationalUnit\n\n");
  domain.Apply("dn: CN=Sealed One,OU=Sealed," + domain.base_dn +
               "\nobjectClass: user\nsAMAccountName: sealed.one\n\n");
  const auto found = all->FindBy(PersonKey::kLogin, "sealed.one");
  REQUIRE_OK(found);
  REQUIRE(found->size() == 1);
  const auto there = all->Pin(found->front().id, AccountId{});
  REQUIRE_OK(there);
  CHECK_REFUSED(all->MayWrite(*there, found->front().id, options), ErrorCode::kPermissionDenied,
                "pwdLastSet");
  CHECK_REFUSED(all->MayWrite(*there, found->front().id, {}), ErrorCode::kPermissionDenied,
                "Reset password");
}

TEST_CASE("accounts are found by login, mail and employee id, in both kinds of directory") {
  const SamplePerson person = TestDomain::Shared().Person("employee");
  Site::Populate(person, "mail: Somebody@Example.org\nemployeeNumber: 77 (a*b)\n");
  Site site(ConfigFor(TestSlapd::Shared()));
  const auto logins = [](Directory& directory, PersonKey key, std::string_view value) {
    const auto found = directory.FindBy(key, value);
    REQUIRE_OK(found);
    std::vector<std::string> out;
    for (const Person& one : *found) out.push_back(one.login);
    return out;
  };
  const std::vector<std::string> one{person.login}, nobody;
  CHECK(logins(*site.lab, PersonKey::kLogin, person.login) == one);
  CHECK(logins(*site.lab, PersonKey::kMail, "somebody@example.org") == one);
  CHECK(logins(*site.lab, PersonKey::kEmployeeId, "77 (a*b)") == one);
  CHECK(logins(*site.lab, PersonKey::kEmployeeId, "77*") == nobody);
  CHECK(logins(*site.lab, PersonKey::kLogin, "*") == nobody);
  CHECK(logins(*site.lab, PersonKey::kLogin, "x)(uid=*") == nobody);
  CHECK(logins(*site.lab, PersonKey::kLogin, "uma") == nobody);  // outside the configured part
  CHECK(logins(*site.lab, PersonKey::kMail, std::string("a\0b", 3)) == nobody);
  CHECK(logins(*site.ad, PersonKey::kLogin, person.login) == one);
  CHECK(logins(*site.ad, PersonKey::kLogin, person.login + "*") == nobody);
  CHECK_REFUSED(site.lab->FindBy(PersonKey::kLogin, ""), ErrorCode::kInvalidArgument, "1 to 256");
  CHECK_REFUSED(site.ad->FindBy(PersonKey::kMail, std::string(257, 'x')),
                ErrorCode::kInvalidArgument, "1 to 256");
  // Two with one mail address are nobody in particular.
  site.slapd.Apply("dn: " + site.dn +
                   "\nchangetype: modify\nreplace: mail\nmail: alice@example.org\n\n");
  CHECK(logins(*site.lab, PersonKey::kMail, "alice@example.org").size() == 2);
}

}  // namespace keyferry::testing

// What the controller's own record says after an answer was lost, and about the password policy.
#include "server/core/evidence.h"

#include "server/directory/text.h"
#include "tests/integration/directory/directories.h"
#include "tests/support/dc/tcp_proxy.h"

namespace keyferry::testing {
namespace {

constexpr std::int64_t kWindow = 60;  // seconds

std::string Long(const std::string& start) { return start + std::string(240, 'p'); }

struct Lost {
  explicit Lost(TestDomain& shared, std::size_t number)
      : domain(shared), person(shared.people()[number]), id(IdOf(person)) {
    LdapConfig config = ConfigFor(domain);
    config.uris = {"ldaps://" + domain.ip + ":" + std::to_string(proxy.port())};
    config.connections = 1;
    directory = Open(std::move(config));
    const auto pinned = directory->Pin(id, {});
    REQUIRE_OK(pinned);
    target = *pinned;
    record.server = target.server;
    record.password_last_set = target.before.last_set;
    record.password_version = target.before.version;
    record.server_time = target.before.now;
  }
  ~Lost() { domain.Apply(WriteOf(person.password)); }

  std::string WriteOf(const std::string& password) const {
    const auto quoted = QuotedUtf16(Secret(password));
    return TestDomain::Line("dn", person.dn) + "changetype: modify\nreplace: unicodePwd\n" +
           TestDomain::Line("unicodePwd", quoted->view());
  }
  void OtherTool() { domain.Apply(WriteOf("Set-By-Another-1")); }
  void Set() {
    CHECK_REFUSED(directory->SetPassword(target, id, Secret(Long("Ours-1")), {}),
                  ErrorCode::kOutcomeUnknown, "may or may not");
  }
  PasswordStamp Stamp() {
    const auto stamp = directory->Stamp(target, id);
    REQUIRE_OK(stamp);
    return *stamp;
  }
  BindOutcome Try() {
    const auto tried = directory->TryPassword(target, id, Secret(Long("Ours-1")));
    REQUIRE_OK(tried);
    return *tried;
  }

  TestDomain& domain;
  const SamplePerson& person;
  AccountId id;
  TcpProxy proxy{domain.ip, 636, domain.ip};
  std::unique_ptr<Directory> directory;
  ChangeTarget target;
  ChangeRecord record;
};

}  // namespace

TEST_CASE("replication metadata is read, and moves by one with every write") {
  Lost lost(TestDomain::Shared(), 9);
  const PasswordStamp& before = lost.target.before;
  CHECK(before.version > 0);
  CHECK(before.writer == PasswordStamp::Writer::kHere);
  CHECK(before.written > 0);
  CHECK(before.now >= before.written);
  REQUIRE_OK(lost.directory->SetPassword(lost.target, lost.id, Secret(Long("Ours-1")), {}));
  const PasswordStamp after = lost.Stamp();
  CHECK(after.version == before.version + 1);
  CHECK(after.written >= before.now);
  CHECK(Judge(lost.record, after, kWindow) == Evidence::kApplied);
  REQUIRE_OK(lost.directory->Unlock(lost.id, {}));
  REQUIRE_OK(lost.directory->RequireChange(lost.id, {}, true));
  CHECK(lost.Stamp().version == before.version + 1);  // these are no writes of the password
}

TEST_CASE("a lost answer: applied, or not, by the controller's metadata") {
  Lost lost(TestDomain::Shared(), 10);
  SECTION("the request arrived") {
    lost.proxy.CutAfterRequestOf(600);
    lost.Set();
    // Cutting the line may overtake the request by an instant.
    PasswordStamp stamp = lost.Stamp();
    while (Judge(lost.record, stamp, kWindow) == Evidence::kNotApplied) stamp = lost.Stamp();
    CHECK(Judge(lost.record, stamp, kWindow) == Evidence::kApplied);
    CHECK(lost.Try() == BindOutcome::kAccepted);
  }
  SECTION("it did not") {
    lost.proxy.DropRequestOf(600);
    lost.Set();
    CHECK(Judge(lost.record, lost.Stamp(), kWindow) == Evidence::kNotApplied);
    CHECK(lost.Try() == BindOutcome::kWrong);
  }
}

TEST_CASE("another tool writes in between: its password is not taken for ours") {
  Lost lost(TestDomain::Shared(), 11);
  ChangeRecord blind = lost.record;  // without metadata
  blind.password_version = 0;
  SECTION("ours was lost") {
    lost.proxy.DropRequestOf(600);
    lost.Set();
    lost.OtherTool();
    const PasswordStamp stamp = lost.Stamp();
    CHECK(Judge(blind, stamp, kWindow) == Evidence::kApplied);  // what pwdLastSet would claim
    CHECK(Weigh(Judge(lost.record, stamp, kWindow), lost.Try()) == Evidence::kForeign);
  }
  SECTION("ours was applied, and then replaced") {
    lost.proxy.CutAfterRequestOf(600);
    lost.Set();
    while (lost.Stamp().version == lost.target.before.version) {
    }
    lost.OtherTool();
    const PasswordStamp stamp = lost.Stamp();
    CHECK(stamp.version == lost.target.before.version + 2);
    CHECK(Judge(blind, stamp, kWindow) == Evidence::kApplied);
    CHECK(Judge(lost.record, stamp, kWindow) == Evidence::kUndecidable);
    CHECK(Weigh(Evidence::kUndecidable, lost.Try()) == Evidence::kForeign);
  }
}

TEST_CASE("the password policy is read: the domain's, and a fine-grained one where permitted") {
  TestDomain& domain = TestDomain::Shared();
  LdapConfig config = ConfigFor(domain);
  config.context_life = std::chrono::milliseconds(0);
  const auto directory = Open(std::move(config));
  const SamplePerson& person = domain.people()[12];
  const auto policy = [&] {
    const auto detail = directory->Get(IdOf(person));
    REQUIRE_OK(detail);
    return detail->policy;
  };
  const PasswordPolicy whole = policy();
  CHECK(whole.known);
  CHECK(whole.min_length == 10);
  CHECK(whole.complex);
  CHECK(whole.history == 3);
  CHECK(whole.min_age == 0);
  CHECK(whole.max_age == 0);
  CHECK_FALSE(whole.history_checked);  // Samba has no policy hints
  const std::string base = "dn: " + domain.base_dn + "\nchangetype: modify\nreplace: minPwdAge\n";
  domain.Apply(base + "minPwdAge: -864000000000\n");
  CHECK(policy().min_age == 86400);
  domain.Apply(base + "minPwdAge: 0\n");

  const auto tool = [&](std::vector<std::string> arguments) {
    std::vector<std::string> argv{"samba-tool", "domain", "passwordsettings", "pso"};
    argv.insert(argv.end(), arguments.begin(), arguments.end());
    argv.insert(argv.end(), {"-s", domain.smb_conf, "-H", domain.sam_ldb});
    const auto done = RunProcess(argv);
    INFO(done.output);
    REQUIRE(done.status == 0);
  };
  tool({"create", "StaffPSO", "10", "--min-pwd-length=14", "--history-length=5", "--min-pwd-age=2",
        "--max-pwd-age=90", "--complexity=off"});
  tool({"apply", "StaffPSO", person.login});
  const PasswordPolicy hidden = policy();
  CHECK_FALSE(hidden.known);
  CHECK_THAT(hidden.source, Catch::Matchers::Contains("policy"));
  CHECK(hidden.min_length == 0);
  const auto service = directory->SignIn("svc-keyferry", Secret(domain.service_password));
  REQUIRE_OK(service);
  domain.AddAces("CN=StaffPSO,CN=Password Settings Container,CN=System," + domain.base_dn,
                 "(A;;RPLCLORC;;;" + service->person->sid + ")");
  const PasswordPolicy fine = policy();
  CHECK(fine.known);
  CHECK(fine.source == "the password policy StaffPSO");
  CHECK(fine.min_length == 14);
  CHECK_FALSE(fine.complex);
  CHECK(fine.history == 5);
  CHECK(fine.min_age == 2 * 86400);
  CHECK(fine.max_age == 90 * 86400);
  const auto detail = directory->Get(IdOf(person));
  REQUIRE_OK(detail);
  CHECK(detail->state.password_expires > 1'700'000'000);
  tool({"unapply", "StaffPSO", person.login});
  tool({"delete", "StaffPSO"});
  CHECK(policy().source == "the domain's password policy");
}

}  // namespace keyferry::testing

// keyferry-server doctor against a real controller: a right that is taken away is found, and the
// command that it prints gives it back.
#include <algorithm>
#include <boost/json.hpp>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "server/directory/diagnosis.h"
#include "tests/integration/directory/directories.h"

namespace keyferry::testing {
namespace {

namespace fs = std::filesystem;
namespace json = boost::json;

std::int64_t Now() {
  return std::chrono::duration_cast<std::chrono::seconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

void Write(const fs::path& file, const std::string& text) {
  std::ofstream(file) << text;
  fs::permissions(file, fs::perms::owner_read | fs::perms::owner_write);
}

std::string ReadAll(const fs::path& file) {
  std::ifstream in(file);
  return {std::istreambuf_iterator<char>(in), {}};
}

// A server's folder with its configuration.
struct Installed {
  explicit Installed(TestDomain& domain, const std::string& people_dn) {
    std::string name = (fs::temp_directory_path() / "keyferry-doctor-XXXXXX").string();
    REQUIRE(mkdtemp(name.data()) != nullptr);
    folder = name;
    Write(folder / "password", domain.service_password + "\n");
    Write(folder / "server.toml", R"([server]
state_dir = ")" + (folder / "state").string() +
                                      R"("
listen = "127.0.0.1:18443"
workstation_listen = "127.0.0.1:18444"
names = ["localhost"]
[directory]
uris = [")" + domain.ldaps_uri + R"("]
ca_file = ")" + domain.ca_file + R"("
base_dn = ")" + domain.base_dn + R"("
people_dn = ")" + people_dn + R"("
bind_name = ")" + domain.service_upn +
                                      R"("
password_file = "password"
administrator_groups = [")" + domain.administrators_group +
                                      R"("]
[keys]
vendor_ca = [")" + domain.ca_file + R"("]
)");
    const ProcessResult init = Run({"init"});
    INFO(init.output);
    REQUIRE(init.status == 0);
  }
  ~Installed() { fs::remove_all(folder); }
  ProcessResult Run(std::vector<std::string> arguments) const {
    std::vector<std::string> argv{KEYFERRY_SERVER};
    argv.insert(argv.end(), arguments.begin(), arguments.end());
    argv.insert(argv.end(), {"--config", (folder / "server.toml").string()});
    return RunProcess(argv);
  }
  json::object Json(int status) const {
    const ProcessResult result = Run({"doctor", "--json"});
    INFO(result.output);
    CHECK(result.status == status);
    return json::parse(result.output).as_object();
  }
  fs::path folder;
};

// The first finding of this status whose subject holds `what`.
std::string Found(const json::object& report, const std::string& status, const std::string& what) {
  for (const json::value& value : report.at("findings").as_array()) {
    const json::object& finding = value.as_object();
    const auto text = [&](const char* name) { return std::string(finding.at(name).as_string()); };
    if (text("status") == status && text("what").find(what) != std::string::npos) {
      return text("what") + "\n" + text("cause") + "\n" + text("fix");
    }
  }
  return {};
}

// The line of a fix that begins with this program.
std::string Command(const std::string& finding, const std::string& program) {
  const std::size_t at = finding.find("\n" + program + " ");
  REQUIRE(at != std::string::npos);
  return finding.substr(at + 1, finding.find('\n', at + 1) - at - 1);
}

LdapConfig BranchConfig(const TestDomain& domain, const std::string& ou) {
  LdapConfig config = ConfigFor(domain);
  config.people_dn = ou;
  return config;
}

bool Has(const Diagnosis& diagnosis, Finding::Status status, const std::string& words) {
  return std::any_of(
      diagnosis.findings.begin(), diagnosis.findings.end(), [&](const Finding& each) {
        return each.status == status &&
               (each.what + " " + each.cause + " " + each.fix).find(words) != std::string::npos;
      });
}

}  // namespace

TEST_CASE("the doctor finds a right that is missing, and its command gives it") {
  TestDomain& domain = TestDomain::Shared();
  const std::string ou = "OU=Branch," + domain.base_dn;
  domain.Apply("dn: " + ou + "\nobjectClass: organizationalUnit\n\ndn: OU=Inner," + ou +
               "\nobjectClass: organizationalUnit\n");
  domain.Apply("dn: CN=Bea," + ou +
               "\nobjectClass: user\nsAMAccountName: bea\nuserAccountControl: 546\n\n"
               "dn: CN=Ina,OU=Inner," +
               ou + "\nobjectClass: user\nsAMAccountName: ina\nuserAccountControl: 546\n");
  const Installed server(domain, ou);
  for (int given = 0; given < 4; ++given) {
    const json::object report = server.Json(given == 3 ? 0 : 1);
    INFO(report);
    CHECK(report.at("status").as_string() == (given == 3 ? "warning" : "problem"));
    std::vector<std::string> missing;
    for (const char* right : {"Reset Password", "pwdLastSet", "lockoutTime"}) {
      const std::string finding =
          Found(report, "problem", std::string("right ") + right + " on " + ou);
      if (finding.empty()) continue;
      missing.push_back(finding);
      CHECK_FALSE(Found(report, "problem", std::string("right ") + right + " on OU=Inner").empty());
      CHECK_THAT(
          Command(finding, "dsacls"),
          Catch::Matchers::StartsWith("dsacls \"" + ou + "\" /I:S /G \"CORP\\svc-keyferry:") &&
              Catch::Matchers::EndsWith(";" + std::string(right) + ";user\""));
    }
    REQUIRE(missing.size() == static_cast<std::size_t>(3 - given));
    if (missing.empty()) break;
    // Exactly the printed command, with the controller's database named for it.
    const std::string command = Command(missing.front(), "samba-tool") + " -s '" + domain.smb_conf +
                                "' -H '" + domain.sam_ldb + "'";
    const ProcessResult done = RunProcess({"sh", "-c", command});
    INFO(command << "\n" << done.output);
    REQUIRE(done.status == 0);
  }
  const ProcessResult words = server.Run({"doctor"});
  INFO(words.output);
  CHECK(words.status == 0);
  CHECK_THAT(words.output, Catch::Matchers::Contains("ok       rights on " + ou) &&
                               Catch::Matchers::Contains("0 problems, 1 warning") &&
                               Catch::Matchers::Contains("root.key lies on this machine"));
  CHECK(words.output.find(domain.service_password) == std::string::npos);
  // What the doctor promised holds.
  const auto directory = Open(BranchConfig(domain, ou));
  const auto found = directory->Search("ina", 1, "");
  REQUIRE_OK(found);
  REQUIRE(found->people.size() == 1);
  const AccountId id = found->people[0].id;
  const auto target = directory->Pin(id, {});
  REQUIRE_OK(target);
  REQUIRE_OK(directory->SetPassword(*target, id, Secret("Branch-Pass-1"), {}));
  REQUIRE_OK(directory->Unlock(id, {}));
  REQUIRE_OK(directory->RequireChange(id, {}, true));
}

TEST_CASE("the doctor sees clocks, certificates, privileges and protected accounts") {
  TestDomain& domain = TestDomain::Shared();
  const LdapConfig config = ConfigFor(domain);
  const Diagnosis well = Diagnose(config, Now());
  CHECK(Has(well, Finding::Status::kOk, "clock"));
  CHECK(Has(well, Finding::Status::kOk, "no privileged group"));
  CHECK(Has(well, Finding::Status::kWarning, "viktor.root (member of Domain Admins)"));
  CHECK(Has(well, Finding::Status::kOk, "rights on " + domain.people_dn));
  CHECK_FALSE(Has(well, Finding::Status::kProblem, ""));
  REQUIRE(well.certificates.size() == 1);
  CHECK(well.certificates[0].second.size() > 200);
  CHECK(Has(Diagnose(config, Now() + 90), Finding::Status::kWarning, "differ by"));
  CHECK(Has(Diagnose(config, Now() - 3600), Finding::Status::kProblem, "differ by"));

  LdapConfig wrong = ConfigFor(domain);
  wrong.uris = {"ldaps://" + domain.ip + ":1", domain.ldaps_uri};
  const Diagnosis half = Diagnose(wrong, Now());
  CHECK(Has(half, Finding::Status::kProblem, "does not accept connections"));
  CHECK(Has(half, Finding::Status::kOk, "rights on"));
  wrong = ConfigFor(domain);
  wrong.people_dn = "OU=Nowhere," + domain.base_dn;
  CHECK(Has(Diagnose(wrong, Now()), Finding::Status::kProblem, "directory.people_dn"));
  wrong = ConfigFor(domain);
  wrong.protected_groups = {"CN=Nowhere," + domain.base_dn};
  CHECK(Has(Diagnose(wrong, Now()), Finding::Status::kProblem, "directory.protected_groups"));
  wrong = ConfigFor(domain);
  wrong.bind_password = Secret("not the password");
  CHECK(
      Has(Diagnose(wrong, Now()), Finding::Status::kProblem, "refuses Keyferry's service account"));

  // A service account that can do everything is one too many.
  domain.Apply("dn: CN=Domain Admins,CN=Users," + domain.base_dn +
               "\nchangetype: modify\nadd: member\nmember: " + domain.service_dn + "\n");
  CHECK(Has(Diagnose(config, Now()), Finding::Status::kProblem, "far more than Keyferry needs"));
  domain.Apply("dn: CN=Domain Admins,CN=Users," + domain.base_dn +
               "\nchangetype: modify\ndelete: member\nmember: " + domain.service_dn + "\n");
}

TEST_CASE("the doctor sees a gateway for SMS that cannot be used, and never shows its address") {
  TestDomain& domain = TestDomain::Shared();
  const Installed server(domain, domain.people_dn);
  const std::string before = ReadAll(server.folder / "server.toml");
  const std::string gateway =
      "[sms]\nurl = \"https://sms.example/send?token=t0p\"\nheader = \"Authorization\"\n"
      "secret_file = \"sms\"\n";
  const auto with = [&](const std::string& more) {
    std::ofstream(server.folder / "server.toml") << before << gateway << more;
  };
  const auto found = [&](int status, const std::string& how) {
    const std::string finding = Found(server.Json(status), how, "codes by SMS");
    CHECK_FALSE(finding.empty());
    for (const char* hidden : {"t0p", "s3cret"}) {
      CHECK(finding.find(hidden) == std::string::npos);
    }
    return finding;
  };
  CHECK(Found(server.Json(0), "ok", "codes by SMS").empty());  // none is configured
  with("");
  CHECK_THAT(found(1, "problem"), Catch::Matchers::Contains("sms"));  // no secret
  Write(server.folder / "sms", "Bearer s3cret\xC3\xA9\n");
  CHECK_THAT(found(1, "problem"), Catch::Matchers::Contains("printable ASCII"));
  Write(server.folder / "sms", "Bearer s3cret\n");
  fs::permissions(server.folder / "sms", fs::perms::others_read, fs::perm_options::add);
  CHECK_THAT(found(1, "problem"), Catch::Matchers::Contains("chmod 600"));
  fs::permissions(server.folder / "sms", fs::perms::others_read, fs::perm_options::remove);
  CHECK_THAT(found(0, "warning"), Catch::Matchers::Contains("sms.country_code"));
  with("country_code = \"380\"\nca_file = \"no-such.pem\"\n");
  CHECK_THAT(found(1, "problem"), Catch::Matchers::Contains("no-such.pem"));
  with("country_code = \"380\"\n[help_desk]\npoints_sms_code = 0\n[notice]\nsms = false\n");
  CHECK_THAT(found(0, "warning"), Catch::Matchers::Contains("points_sms_code is 0"));
  with("country_code = \"380\"\n");
  CHECK_THAT(found(0, "ok"), Catch::Matchers::Contains("https://sms.example"));
}

TEST_CASE("the doctor's exit status tells a script about files too") {
  TestDomain& domain = TestDomain::Shared();
  const Installed server(domain, domain.people_dn);
  CHECK(server.Json(0).at("status").as_string() == "warning");  // root key, protected account
  fs::remove(server.folder / "state" / "root.key");
  CHECK_FALSE(Found(server.Json(0), "ok", "root key: not on this machine").empty());
  // Key material that has aged, and a log where there is no room.
  const fs::path issuer = server.folder / "state" / "issuer.key";
  CHECK_FALSE(Found(server.Json(0), "ok", "issuer key: 0 days old").empty());
  fs::last_write_time(issuer, fs::file_time_type::clock::now() - std::chrono::hours(24 * 4 * 365));
  CHECK_THAT(Found(server.Json(0), "warning", "issuer key"),
             Catch::Matchers::Contains("It is 1460 days old."));
  const std::string text = ReadAll(server.folder / "server.toml");
  Write(server.folder / "server.toml", text + "[log]\nfile = \"/proc/keyferry.log\"\n");
  CHECK_THAT(Found(server.Json(1), "problem", "disk of the log"),
             Catch::Matchers::Contains("nearly full: 0 MiB free"));
  Write(server.folder / "server.toml", text);
  const fs::path database = server.folder / "state" / "keyferry.db";
  fs::permissions(database, fs::perms::others_read, fs::perm_options::add);
  CHECK_THAT(Found(server.Json(1), "problem", "database"), Catch::Matchers::Contains("chmod 600"));
  fs::permissions(database, fs::perms::others_read, fs::perm_options::remove);
  fs::remove(server.folder / "state" / "issuer.key");
  CHECK_FALSE(Found(server.Json(1), "problem", "issuer of the keys").empty());
  fs::remove(server.folder / "password");
  CHECK_THAT(Found(server.Json(1), "problem", "directory settings"),
             Catch::Matchers::Contains("password"));
  fs::remove(server.folder / "server.toml");
  CHECK(server.Run({"doctor"}).status == 2);
}

}  // namespace keyferry::testing

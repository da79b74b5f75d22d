#include "client-daemon/cli/doctor.h"

#include <catch2/catch.hpp>

#include "client-daemon/core/json.h"

using namespace keyferry;
using namespace keyferry::daemon::cli;

namespace {

constexpr std::int64_t kNow = 1'750'000'000;

std::string Answer(const std::string& workstation, const std::string& rest = "") {
  return R"({"ok":true,"version":"1.0","server":{"state":"connected"},"workstation":{)" +
         workstation + "}" + rest + "}";
}
const std::string kApproved =
    R"("state":"approved","certified_until":1800000000,"agent":"certified")";

// A workstation where all is well.
DoctorFacts Well() {
  DoctorFacts facts;
  facts.version = "1.0";
  facts.now = kNow;
  facts.config_path = "/etc/keyferry/keyferryd.toml";
  facts.unit_state = facts.agent_unit_state = "active";
  facts.answer = Answer(kApproved);
  facts.socket = {"/run/keyferry/daemon.sock", true, true, true, 0666, "keyferryd"};
  facts.socket_folder = {"/run/keyferry", true, true, true, 0755, "keyferryd"};
  facts.agent_socket = {"/run/keyferry-agent/agent.sock", true, true, true, 0666, "keyferry-agent"};
  facts.state_folder = {"/var/lib/keyferryd", true, true, true, 0700, "keyferryd"};
  facts.daemon_user = "keyferryd";
  facts.server_asked = true;
  facts.server_date = kNow + 2;
  facts.bluetooth = true;
  facts.bus_policy = {"/usr/share/dbus-1/system.d/keyferryd.conf", true, true, true, 0644, "root"};
  facts.pam_module = {"/usr/lib/x/security/pam_keyferry.so", true, true, true, 0644, "root"};
  facts.pam_lines = {{"/etc/pam.d/login", "sufficient", true}};
  return facts;
}

// Exactly one finding is not good; it is this one.
void Ails(const DoctorFacts& facts, Finding::Status status, const std::string& words,
          const std::string& cure) {
  const auto findings = Diagnose(facts);
  INFO(DoctorText(findings));
  int bad = 0;
  for (const Finding& finding : findings) {
    if (finding.status == Finding::kGood) continue;
    ++bad;
    CHECK(finding.status == status);
    CHECK((finding.what + finding.cause).find(words) != std::string::npos);
    CHECK(finding.cure.find(cure) != std::string::npos);
    CHECK_FALSE(finding.cause.empty());
  }
  CHECK(bad == 1);
  CHECK(ExitCode(findings) == static_cast<int>(status));
}

}  // namespace

TEST_CASE("doctor: a workstation where all is well") {
  const auto findings = Diagnose(Well());
  INFO(DoctorText(findings));
  CHECK(ExitCode(findings) == 0);
  CHECK(findings.size() >= 8);
}

TEST_CASE("doctor: each ailment is named alone, with its cure") {
  DoctorFacts facts = Well();
  SECTION("configuration") {
    facts.config_error = "/etc/keyferry/keyferryd.toml:3: unknown key `x`.";
    Ails(facts, Finding::kError, "unknown key", "Mend");
  }
  SECTION("not allowed to read it") {
    facts.config_hidden = true;
    Ails(facts, Finding::kWarning, "may not read", "sudo");
  }
  SECTION("unit failed") {
    facts.answer.reset();
    facts.unit_state = "failed";
    Ails(facts, Finding::kError, "failed", "journalctl");
  }
  SECTION("no daemon, no systemd") {
    facts.answer.reset();
    facts.unit_state.clear();
    facts.socket.exists = false;
    Ails(facts, Finding::kError, "no socket", "start keyferryd");
  }
  SECTION("socket closed") {
    facts.socket.mode = 0600;
    Ails(facts, Finding::kError, "0600", "restart");
  }
  SECTION("folder of the socket open") {
    facts.socket_folder.mode = 0777;
    Ails(facts, Finding::kError, "0777", "chmod 0755");
  }
  SECTION("state folder open") {
    facts.state_folder.mode = 0755;
    Ails(facts, Finding::kError, "0755", "chmod 0700");
  }
  SECTION("state folder of another user") {
    facts.state_folder.owner = "mallory";
    Ails(facts, Finding::kError, "mallory", "chown");
  }
  SECTION("no state folder") {
    facts.state_folder.exists = false;
    Ails(facts, Finding::kError, "does not exist", "0700");
  }
  SECTION("server away") {
    facts.server_error = Error{ErrorCode::kUnavailable, "No route.", {}, 0};
    Ails(facts, Finding::kError, "No route.", "network");
  }
  SECTION("server not trusted") {
    facts.server_error = Error{ErrorCode::kPermissionDenied, "Another CA.", {}, 0};
    Ails(facts, Finding::kError, "not trusted", "server_ca");
  }
  SECTION("clock a little wrong") {
    facts.server_date = kNow + 90;
    Ails(facts, Finding::kWarning, "90 s", "set-ntp");
  }
  SECTION("clock wrong") {
    facts.server_date = kNow - 4000;
    Ails(facts, Finding::kError, "4000 s", "set-ntp");
  }
  SECTION("not approved") {
    facts.answer = Answer(R"("state":"pending","fingerprint":"ab12","agent":"certified")");
    Ails(facts, Finding::kError, "ab12", "administrator");
  }
  SECTION("certificate ran out") {
    facts.answer = Answer(R"("state":"approved","certified_until":1740000000,"agent":"certified")");
    Ails(facts, Finding::kError, "run out", "approved again");
  }
  SECTION("certificate ends soon") {
    facts.answer = Answer(R"("state":"approved","certified_until":1750200000,"agent":"certified")");
    Ails(facts, Finding::kWarning, "2 days", "reach the server");
  }
  SECTION("another version") {
    facts.version = "1.1";
    Ails(facts, Finding::kWarning, "1.1", "restart");
  }
  SECTION("agent's key changed") {
    facts.answer = Answer(R"("state":"approved","certified_until":1800000000,"agent":"changed")");
    Ails(facts, Finding::kError, "made anew", "page Workstations");
  }
  SECTION("agent's key waits") {
    facts.answer = Answer(R"("state":"approved","certified_until":1800000000,"agent":"waiting")");
    Ails(facts, Finding::kWarning, "after this workstation was approved", "reach the server");
  }
  SECTION("agent down") {
    facts.agent_socket.kind_right = false;
    facts.agent_unit_state = "inactive";
    Ails(facts, Finding::kWarning, "inactive", "enable --now keyferry-agent");
  }
  SECTION("systemd's device rules lack hidraw") {
    facts.unit_devices = {true, "closed", false, {{"char-usb_device", "rw"}}};
    Ails(facts, Finding::kError, "DevicePolicy=closed", "DeviceAllow=char-hidraw rw");
  }
  SECTION("systemd's device rules let hidraw be read only") {
    facts.unit_devices = {true, "auto", false, {{"char-hidraw", "r"}}};
    Ails(facts, Finding::kError, "lacks the line", "DeviceAllow=char-hidraw rw");
  }
  SECTION("systemd's device rules lack USB, which libusb needs") {
    facts.usb_raw = false;
    facts.unit_devices = {true, "closed", false, {{"char-hidraw", "rw"}}};
    Ails(facts, Finding::kError, "char-usb_device", "DeviceAllow=char-usb_device rw");
  }
  SECTION("systemd hides all devices") {
    facts.unit_devices = {true, "closed", true, {{"char-hidraw", "rw"}}};
    Ails(facts, Finding::kError, "PrivateDevices=yes", "PrivateDevices=no");
  }
  SECTION("USB") {
    facts.usb_findings = {
        {Finding::kWarning, "The rule is missing.", "Not installed.", "Install."}};
    Ails(facts, Finding::kWarning, "rule", "Install");
  }
  SECTION("Bluetooth") {
    facts.answer =
        Answer(kApproved, R"(,"transports":[{"name":"bluetooth","trouble":"No bluetoothd."}])");
    Ails(facts, Finding::kWarning, "No bluetoothd.", "bluetooth = false");
  }
  SECTION("the bus's policy") {
    facts.bus_policy.exists = false;
    Ails(facts, Finding::kWarning, "keyferryd.conf", "systemctl reload dbus");
  }
  SECTION("no Bluetooth wanted, no policy missed") {
    facts.bluetooth = facts.bus_policy.exists = false;
    CHECK(ExitCode(Diagnose(facts)) == 0);
    facts.usb_findings = {{Finding::kWarning, "One.", "Cause.", "Cure."}};
    Ails(facts, Finding::kWarning, "One.", "Cure.");
  }
  SECTION("a key") {
    facts.answer = Answer(kApproved, R"(,"keys":[{"path":"/dev/hidraw0","trouble":"It floods."}])");
    Ails(facts, Finding::kWarning, "It floods.", "keyferry status");
  }
  SECTION("PAM not configured") {
    facts.pam_lines.clear();
    Ails(facts, Finding::kWarning, "No file", "login.md");
  }
  SECTION("PAM module missing") {
    facts.pam_module.exists = false;
    Ails(facts, Finding::kError, "missing", "Install");
  }
  SECTION("PAM locks out") {
    facts.pam_lines[0].control = "required";
    Ails(facts, Finding::kWarning, "required", "root shell");
  }
  SECTION("PAM has nothing behind") {
    facts.pam_lines[0].other_way_behind = false;
    Ails(facts, Finding::kWarning, "No other module", "root shell");
  }
}

TEST_CASE("doctor: lines of PAM") {
  const auto lines = ReadPam("login",
                             "# auth required pam_keyferry.so\n"
                             "auth [success=1 user_unknown=ignore default=die]  pam_keyferry.so x\n"
                             "auth requisite pam_deny.so\n"
                             "-auth sufficient /lib/security/pam_keyferry.so # last\n"
                             "account required pam_keyferry.so\n");
  REQUIRE(lines.size() == 2);
  CHECK(lines[0].control == "[success=1 user_unknown=ignore default=die]");
  CHECK_FALSE(lines[0].other_way_behind);
  CHECK(lines[1].control == "sufficient");
  CHECK(
      ReadPam("x", "auth sufficient pam_keyferry.so\n@include common-auth").at(0).other_way_behind);
  CHECK(ReadPam("x", "auth [unclosed pam_keyferry.so").empty());
}

TEST_CASE("doctor: the JSON says what the text says") {
  DoctorFacts facts = Well();
  facts.pam_lines.clear();
  const auto findings = Diagnose(facts);
  const auto object = daemon::ParseObject(DoctorJson(findings));
  REQUIRE(object);
  CHECK(object->at("status").as_int64() == 1);
  CHECK(object->at("findings").as_array().size() == findings.size());
}

TEST_CASE("the unit's device rules are good when a key can be opened under them") {
  const UnitDevices rules = GENERATE(
      UnitDevices{true, "closed", false, {{"char-usb_device", "rw"}, {"char-hidraw", "rw"}}},
      UnitDevices{true, "strict", false, {{"char-*", "rwm"}}},
      UnitDevices{true, "auto", false, {}});
  DoctorFacts facts = Well();
  facts.unit_devices = rules;
  const auto findings = Diagnose(facts);
  CHECK(ExitCode(findings) == 0);
  CHECK_THAT(DoctorText(findings), Catch::Contains("systemd lets keyferryd open keys on USB"));
  facts.unit_devices.looked = false;  // no systemd: no word about it
  CHECK_THAT(DoctorText(Diagnose(facts)), !Catch::Contains("systemd lets"));
}

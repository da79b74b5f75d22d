// Real keyferryd and keyferry-agent against the real server's core, database, API and TLS.
#include <algorithm>
#include <catch2/catch.hpp>
#include <csignal>
#include <filesystem>
#include <fstream>

#include "client-daemon/ipc/ask.h"
#include "tests/integration/daemon/process.h"
#include "tests/integration/workstation/real_server.h"

using namespace keyferry;
using namespace keyferry::server;
using keyferry::server::testing::RealServer;
using keyferry::server::testing::TempFolder;
using keyferry::test::Process;

namespace {

namespace fs = std::filesystem;

// A computer with Keyferry's client on it.
struct Desk {
  explicit Desk(const RealServer& server) : socket((folder.path / "d.sock").string()) {
    Write("ca.pem", server.ca_pem());
    Write("keyferryd.toml",
          "server_url = \"" + server.url() + "\"\nserver_ca = \"" + Path("ca.pem") +
              "\"\nstate_dir = \"" + Path("state") + "\"\nsocket = \"" + socket +
              "\"\ndomain = \"corp.example\"\ncomputer = \"DESK-1\"\nname = \"desk-1\"\nagent_wait "
              "= 0\nlog_level = \"debug\"\n"
              "log_file = \"" +
              Path("keyferryd.log") + "\"\n[keys]\nusb = \"off\"\nbluetooth = false\n");
    Write("agent.toml", "state_dir = \"" + Path("agent") + "\"\nsocket = \"" + Path("a.sock") +
                            "\"\ndaemon_socket = \"" + socket + "\"\nlog_file = \"" +
                            Path("agent.log") + "\"\n");
  }

  std::string Path(const std::string& name) const { return (folder.path / name).string(); }
  void Write(const std::string& name, const std::string& text) {
    std::ofstream(folder.path / name) << text;
    fs::permissions(folder.path / name, fs::perms::owner_read | fs::perms::owner_write);
  }
  void StartDaemon() {
    daemon = std::make_unique<Process>(
        std::vector<std::string>{KEYFERRYD, "--config", Path("keyferryd.toml")});
    REQUIRE(daemon->WaitForLine("ready"));
  }
  void StartAgent() {
    agent = std::make_unique<Process>(
        std::vector<std::string>{KEYFERRY_AGENT, "--config", Path("agent.toml")});
    REQUIRE(agent->WaitForLine("ready"));
  }
  // Empty while the daemon does not answer.
  std::string Status() const {
    return daemon::AskDaemon(socket, R"({"op":"status"})", std::chrono::seconds(5)).value_or("");
  }
  bool Says(const std::string& text) const { return Status().find(text) != std::string::npos; }

  TempFolder folder;
  const std::string socket;
  std::unique_ptr<Process> daemon, agent;
};

// Actions in the audit log with their outcome, oldest first.
std::vector<std::string> Audited(RealServer& server) {
  std::vector<std::string> out;
  const auto rows = server.audit->List(0, 100);
  REQUIRE(rows);
  for (const AuditView& row : *rows) {
    out.insert(out.begin(), row.action + " " + row.outcome);
  }
  return out;
}

}  // namespace

TEST_CASE("a login agent that comes after the approval is certified without a person") {
  RealServer server;
  Desk desk(server);
  desk.StartDaemon();
  const WorkstationView waiting = server.TheWorkstation();
  CHECK(waiting.state == WorkstationState::kPending);
  REQUIRE(server.workstations->Approve(server.admin, waiting.id));
  REQUIRE(server.Until([&] { return desk.Says("\"state\":\"connected\""); }));
  CHECK(desk.Says("\"agent\":\"none\""));
  CHECK_FALSE(server.TheWorkstation().login_certified);

  desk.StartAgent();
  REQUIRE(server.Until([&] { return desk.Says("\"agent\":\"certified\""); }));
  CHECK(server.TheWorkstation().login_certified);
  CHECK(Audited(server) == std::vector<std::string>{"workstation.register ok",
                                                    "workstation.approve ok",
                                                    "workstation.login_cert ok"});

  SECTION("and stays so after both start again") {
    CHECK(desk.daemon->Stop(SIGKILL) != 0);
    CHECK(desk.agent->Stop(SIGTERM) == 0);
    desk.StartDaemon();
    desk.StartAgent();
    REQUIRE(server.Until([&] {
      return desk.Says("\"state\":\"connected\"") && desk.Says("\"agent\":\"certified\"");
    }));
    CHECK(Audited(server).size() == 3);
  }
  SECTION("but another key of the agent waits for an administrator") {
    CHECK(desk.agent->Stop(SIGTERM) == 0);
    fs::remove_all(desk.Path("agent"));
    desk.StartAgent();
    REQUIRE(server.Until([&] { return server.TheWorkstation().login_requested; }));
    CHECK(desk.Says("\"agent\":\"changed\""));
    REQUIRE(server.workstations->AllowLogin(server.admin, waiting.id));
    REQUIRE(server.Until([&] { return desk.Says("\"agent\":\"certified\""); }));
    CHECK(Audited(server).back() == "workstation.login_allow ok");
  }
}

TEST_CASE("a workstation of the domain is approved by its computer account and revoked at once") {
  RealServer server;
  Computer computer;
  computer.id.bytes.fill(7);
  computer.name = "DESK-1";
  computer.dn = "CN=DESK-1,CN=Computers,DC=corp,DC=example";
  server.directory.computers = {computer};
  Desk desk(server);
  desk.StartDaemon();
  const WorkstationView waiting = server.TheWorkstation();
  CHECK(waiting.domain == "corp.example");
  CHECK(waiting.computer == "DESK-1");
  const auto matches = server.workstations->Matches(server.admin);
  REQUIRE(matches);
  REQUIRE(matches->size() == 1);
  CHECK(matches->front().computer_dn == computer.dn);
  const std::vector<WorkstationId> ids = {waiting.id};
  const auto decided = server.workstations->ApproveMatching(server.admin, ids);
  REQUIRE(decided);
  CHECK_FALSE(decided->front().refused);
  REQUIRE(server.Until([&] { return desk.Says("\"state\":\"connected\""); }));
  REQUIRE(server.Until([&] { return server.TheWorkstation().connected; }));
  CHECK(server.TheWorkstation().by_computer);
  CHECK(server.TheWorkstation().last_seen != 0);

  REQUIRE(server.workstations->Revoke(server.admin, waiting.id));
  REQUIRE(server.Until([&] { return desk.Says("\"state\":\"revoked\""); }));
  CHECK_FALSE(server.TheWorkstation().connected);
}

TEST_CASE("a workstation's certificates are renewed before they end, without a person") {
  RealServer server(1);  // a day
  server.clock.Shift(std::chrono::hours(-20));
  Desk desk(server);
  desk.StartDaemon();
  const WorkstationView waiting = server.TheWorkstation();
  REQUIRE(server.workstations->Approve(server.admin, waiting.id));
  // Its certificate ends in four hours: the daemon asks for the next as soon as it is connected.
  server.clock.Shift(std::chrono::hours(0));
  REQUIRE(server.Until([&] {
    const auto rows = Audited(server);
    return std::find(rows.begin(), rows.end(), "workstation.certificate pending") != rows.end();
  }));
  REQUIRE(server.Until([&] {
    const std::string status = desk.Status();
    return status.find("\"state\":\"connected\"") != std::string::npos &&
           status.find(waiting.fingerprint) == std::string::npos;  // another key
  }));
  CHECK_FALSE(fs::exists(desk.Path("state/identity/tls.key.next")));
  CHECK_FALSE(fs::exists(desk.Path("state/identity/tls.crt.next")));
  // The stream of the old certificate goes on; the next connection is the new one's.
  CHECK(desk.daemon->Stop(SIGTERM) == 0);
  desk.StartDaemon();
  REQUIRE(server.Until([&] { return desk.Says("\"state\":\"connected\""); }));
  const WorkstationView now = server.TheWorkstation();
  CHECK(now.fingerprint != waiting.fingerprint);
  CHECK(desk.Says(now.fingerprint));
  const auto rows = Audited(server);
  CHECK(std::count(rows.begin(), rows.end(), "workstation.certificate ok") == 1);
  CHECK(std::count(rows.begin(), rows.end(), "workstation.certificate pending") == 1);
}

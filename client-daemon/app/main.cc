// keyferryd: the workstation's daemon. Carries sealed jobs from the server to the security key and
// signed receipts back, and relays what local programs say to the key. It can open neither.
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <csignal>
#include <cstdio>
#include <memory>
#include <string>

#include "client-daemon/app/config.h"
#include "client-daemon/app/logging.h"
#include "client-daemon/app/seat.h"
#include "client-daemon/app/transports.h"
#include "client-daemon/core/files.h"
#include "client-daemon/core/identity.h"
#include "client-daemon/core/key_records.h"
#include "client-daemon/core/log.h"
#include "client-daemon/core/outbox.h"
#include "client-daemon/core/spool.h"
#include "client-daemon/core/workstation.h"
#include "client-daemon/ipc/ipc_server.h"
#include "client-daemon/uplink/uplink.h"
#include "protocol/secure/secure_bytes.h"

namespace keyferry::daemon {
namespace {

int Complain(const Error& error) {
  std::fprintf(stderr, "keyferryd: %s\n", error.message.c_str());
  Log(LogLevel::kError, error.message + (error.detail.empty() ? "" : " [" + error.detail + "]"));
  return 1;
}

Result<FileLock> LockState(const std::string& state_dir) {
  auto lock = FileLock::Take(state_dir + "/lock");
  if (!lock && lock.error().code == ErrorCode::kConflict) {
    return Fail(ErrorCode::kConflict, "Another keyferryd (process " + lock.error().detail +
                                          ") uses " + state_dir +
                                          "; stop it or choose another `state_dir`.");
  }
  return lock;
}

// SIGTERM and SIGINT are read here instead of interrupting a thread; SIGPIPE would be a closed
// connection, which every writer notices by itself.
sigset_t BlockSignals() {
  std::signal(SIGPIPE, SIG_IGN);
  sigset_t ends;
  sigemptyset(&ends);
  sigaddset(&ends, SIGTERM);
  sigaddset(&ends, SIGINT);
  pthread_sigmask(SIG_BLOCK, &ends, nullptr);
  return ends;
}

int Run(const Config& config) {
  const sigset_t ends = BlockSignals();
  if (auto logging = StartLogging(config.log_level, config.log_file); !logging) {
    return Complain(logging.error());
  }
  if (auto made = MakePrivateDirectory(config.state_dir); !made) return Complain(made.error());
  const auto lock = LockState(config.state_dir);
  if (!lock) return Complain(lock.error());

  const auto warn = [](const std::string& line) { Log(LogLevel::kWarning, line); };
  auto identity = IdentityStore::Open(config.state_dir + "/identity");
  if (!identity) return Complain(identity.error());
  auto spool = Spool::Open(config.state_dir + "/spool", warn);
  if (!spool) return Complain(spool.error());
  const auto approval = (*identity)->GetApproval();
  auto records = KeyRecords::Open(config.state_dir + "/keys",
                                  approval ? std::optional(approval->root) : std::nullopt, warn);
  if (!records) return Complain(records.error());

  // From the inside out; destroyed the other way round.
  Transports transports(config.keys);
  Outbox outbox;
  const auto alarm = std::make_shared<Alarm>(config.state_dir + "/alarm");
  if (alarm->Stands()) Log(LogLevel::kWarning, "the alarm stands; security keys are not used");
  Workstation workstation({config.name, config.server_url, {}}, **identity, **spool, **records,
                          outbox, alarm);
  UplinkSettings uplink_settings;
  uplink_settings.server_url = config.server_url;
  uplink_settings.server_ca = config.server_ca;
  uplink_settings.name = config.name;
  if (!config.domain.empty()) {
    uplink_settings.domain = JoinedDomain{config.domain, config.computer};
  } else {
    uplink_settings.domain = FindDomain();
  }
  uplink_settings.agent_wait = std::chrono::seconds(config.agent_wait);
  Uplink uplink(uplink_settings, **identity, outbox, workstation);
  IpcServer ipc({config.socket, config.allow_users,
                 config.allow_seat ? HasActiveSeat : std::function<bool(uid_t)>()},
                workstation);

  Surroundings surroundings;
  surroundings.grants = &uplink;
  surroundings.uplink_status = [&uplink] { return uplink.Status(); };
  surroundings.transports = [&transports] { return transports.Report(); };
  surroundings.agent_key_changed = [&uplink] { uplink.AgentKeyChanged(); };
  surroundings.key_gone = [&ipc](const std::string& path) { ipc.KeyGone(path); };
  workstation.Start(std::move(surroundings), transports.Watch(),
                    [&transports](const device::KeyPlace& place, device::OnGone on_gone) {
                      return transports.Open(place, std::move(on_gone));
                    });
  auto started = ipc.Start();
  if (started) started = uplink.Start();
  if (!started) {
    workstation.Stop();
    return Complain(started.error());
  }
  Log(LogLevel::kInfo, "keyferryd " KEYFERRY_VERSION " for " + config.server_url + " ready");
  std::printf("ready\n");
  std::fflush(stdout);
  sd_notify(0, "READY=1");

  int signal = 0;
  while (sigwait(&ends, &signal) != 0) {
  }
  sd_notify(0, "STOPPING=1");
  Log(LogLevel::kInfo, "ending");
  // First what may wait for others: an enrolment may be waiting for the server, a relay for the
  // key.
  uplink.Stop();
  workstation.Stop();
  Log(LogLevel::kInfo, "ended");
  return 0;
}

}  // namespace
}  // namespace keyferry::daemon

int main(int argc, char** argv) {
  keyferry::HardenProcess();
  CLI::App app("Keyferry workstation daemon", "keyferryd");
  std::string path = "/etc/keyferry/keyferryd.toml";
  app.add_option("--config", path, "configuration file")->capture_default_str();
  bool check = false;
  app.add_flag("--check-config", check, "check the configuration and end");
  app.set_version_flag("--version", KEYFERRY_VERSION);
  CLI11_PARSE(app, argc, argv);

  const auto config = keyferry::daemon::LoadConfig(path);
  if (!config) {
    std::fprintf(stderr, "keyferryd: %s\n", config.error().message.c_str());
    return 2;
  }
  if (check) {
    std::printf("%s is good.\n", path.c_str());
    return 0;
  }
  return keyferry::daemon::Run(*config);
}

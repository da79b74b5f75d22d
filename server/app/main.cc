// keyferry-server: pages, API, change saga and queue. docs/operations.md is its manual.
#include <signal.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <string>

#include "protocol/secure/secure_bytes.h"
#include "server/app/config.h"
#include "server/app/doctor.h"
#include "server/app/log.h"
#include "server/app/serve.h"
#include "server/app/state.h"
#include "server/core/clock.h"

namespace {

using namespace keyferry;
using namespace keyferry::server;

constexpr int kBadConfig = 2;

int Say(const Error& error, int code) {
  std::fprintf(stderr, "keyferry-server: %s\n", OneLine(error.message).c_str());
  if (!error.detail.empty()) std::fprintf(stderr, "  (%s)\n", OneLine(error.detail).c_str());
  return code;
}

int Init(const ServerConfig& config) {
  if (auto done = Initialise(config, SystemClock().UnixSeconds()); !done) {
    return Say(done.error(), 1);
  }
  const StateFiles files(config.state_dir);
  std::printf("Initialised %s.\n", config.state_dir.c_str());
  if (std::error_code ec; !std::filesystem::exists(files.root_key, ec)) {
    std::printf("  It joins the servers on %s.\n", config.postgres->place().c_str());
    return 0;
  }
  std::printf("  Give %s to browsers and workstations: it is this server's CA.\n",
              files.ca_cert.c_str());
  std::printf(
      "  Move %s to a safe place off this machine: it is needed only to replace the\n"
      "  issuer. Back up the rest of the folder; whoever has issuer.key can seal passwords\n"
      "  in this server's name.\n",
      files.root_key.c_str());
  return 0;
}

int Verify(const ServerConfig& config) {
  const auto rows = VerifyAudit(config);
  if (!rows) return Say(rows.error(), 1);
  std::printf("The audit log is whole: %llu entries.\n", static_cast<unsigned long long>(*rows));
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  HardenProcess();
  sigset_t ends;  // blocked before the first thread starts; Serve waits for them
  sigemptyset(&ends);
  sigaddset(&ends, SIGINT);
  sigaddset(&ends, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &ends, nullptr);
  signal(SIGPIPE, SIG_IGN);

  CLI::App app{
      "Keyferry server: sets Active Directory passwords and brings them, sealed, to keys."};
  app.require_subcommand(1);
  app.set_version_flag("--version", KEYFERRY_VERSION);
  std::string file;
  const auto add = [&](CLI::App* parent, const char* name, const char* what) {
    CLI::App* const command = parent->add_subcommand(name, what);
    command->add_option("--config", file, "The configuration file (docs/configuration.md)")
        ->required();
    return command;
  };
  CLI::App* const init =
      add(&app, "init", "Make keys, certificates and database in the state folder");
  CLI::App* const run = add(&app, "run", "Run the server until SIGTERM");
  CLI::App* const check = add(&app, "check-config", "Check configuration, files and directory");
  CLI::App* const doctor = add(
      &app, "doctor", "Look for what is wrong: directory, rights, certificates, database, disk");
  bool json = false;
  doctor->add_flag("--json", json, "Print one JSON object");
  CLI::App* const audit = app.add_subcommand("audit", "The audit log");
  audit->require_subcommand(1);
  CLI::App* const verify = add(audit, "verify", "Check the chain of hashes");
  std::string state;
  init->add_option("--state", state, "State folder, instead of server.state_dir");
  CLI11_PARSE(app, argc, argv);

  try {
    auto config = ServerConfig::Load(file);
    if (!config) return Say(config.error(), kBadConfig);
    if (!state.empty()) config->state_dir = std::filesystem::absolute(state);
    if (init->parsed()) return Init(*config);
    if (check->parsed()) return CheckConfig(*config) ? 0 : kBadConfig;
    if (doctor->parsed()) {
      const Findings findings = Examine(*config);
      const std::string text = json ? InJson(findings) : InWords(findings);
      std::fputs(text.c_str(), stdout);
      return Sick(findings) ? 1 : 0;
    }
    if (verify->parsed()) return Verify(*config);
    if (run->parsed()) {
      const auto done = Serve(*config);
      return done ? 0 : Say(done.error(), 1);
    }
  } catch (const std::exception& failure) {
    return Say(
        Error{ErrorCode::kInternal, "Something went wrong inside Keyferry.", failure.what(), 0}, 1);
  }
  return kBadConfig;
}

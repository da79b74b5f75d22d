// keyferry: the command line for people on a workstation.
#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>

#include "client-daemon/agent/pin_command.h"
#include "client-daemon/cli/commands.h"
#include "protocol/secure/secure_bytes.h"

int main(int argc, char** argv) {
  keyferry::HardenProcess();
  CLI::App app("Keyferry on this workstation", "keyferry");
  app.set_version_flag("--version", KEYFERRY_VERSION);
  app.require_subcommand(1);
  int exit_code = 0;
  keyferry::daemon::cli::AddStatus(app, exit_code);
  keyferry::daemon::cli::AddPin(app, exit_code);
  keyferry::daemon::cli::AddLogin(app, exit_code);
  keyferry::daemon::cli::AddJob(app, exit_code);
  keyferry::daemon::cli::AddReceipt(app, exit_code);
  keyferry::daemon::cli::AddKey(app, exit_code);
  CLI11_PARSE(app, argc, argv);
  return exit_code;
}

// keyferry: the command line for people on a workstation.
#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>

#include "client-daemon/cli/commands.h"
#include "protocol/secure/secure_bytes.h"

int main(int argc, char** argv) {
  keyferry::HardenProcess();
  CLI::App app("Keyferry on this workstation", "keyferry");
  app.set_version_flag("--version", KEYFERRY_VERSION);
  app.require_subcommand(1);
  int exit_code = 0;
  keyferry::daemon::cli::AddCommands(app, exit_code);
  CLI11_PARSE(app, argc, argv);
  return exit_code;
}

#pragma once

#include <CLI/App.hpp>

// Subcommands of `keyferry` that ask the login agent (docs/login.md); see
// client-daemon/cli/commands.h for how they work.
namespace keyferry::daemon::cli {

void AddPin(CLI::App& app, int& exit_code);       // keyferry pin set | change
void AddHelpDesk(CLI::App& app, int& exit_code);  // keyferry help-desk answer | deny
void AddLogin(CLI::App& app, int& exit_code);     // keyferry login test USER

}  // namespace keyferry::daemon::cli

#pragma once

#include <CLI/App.hpp>

// The subcommands of `keyferry`. Each Add… describes its subcommand to CLI11 and, when it was
// chosen, leaves the program's exit code in `exit_code` (0 good, 1 no, 2 wrong use). A new one is a
// file beside these and a line in main.cc.
namespace keyferry::daemon::cli {

void AddStatus(CLI::App& app, int& exit_code);   // keyferry status
void AddJob(CLI::App& app, int& exit_code);      // keyferry job show FILE
void AddReceipt(CLI::App& app, int& exit_code);  // keyferry receipt verify FILE --key FILE
void AddKey(CLI::App& app, int& exit_code);      // keyferry key inspect|reset

}  // namespace keyferry::daemon::cli

#pragma once

#include <CLI/App.hpp>

// The subcommands of `keyferry`. Each Add… describes its subcommand to CLI11 and, when it was
// chosen, leaves the program's exit code in `exit_code` (0 good, 1 no, 2 wrong use). A new one is a
// file beside these and a line in AddCommands.
namespace keyferry::daemon::cli {

// All that this system has: commands_posix.cc, commands_windows.cc.
void AddCommands(CLI::App& app, int& exit_code);

void AddStatus(CLI::App& app, int& exit_code);   // keyferry status
void AddDoctor(CLI::App& app, int& exit_code);   // keyferry doctor; not on Windows
void AddJob(CLI::App& app, int& exit_code);      // keyferry job show FILE
void AddReceipt(CLI::App& app, int& exit_code);  // keyferry receipt verify FILE --key FILE
void AddKey(CLI::App& app, int& exit_code);      // keyferry key inspect|reset; Windows: inspect
// keyferry bluetooth list|pair|forget|agent; not on Windows
void AddBluetooth(CLI::App& app, int& exit_code);

}  // namespace keyferry::daemon::cli

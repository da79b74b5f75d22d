#pragma once

#include <CLI/App.hpp>
#include <cstdio>

#include "protocol/result.h"

// The subcommands of `keyferry`. Each Add… describes its subcommand to CLI11 and, when it was
// chosen, leaves the program's exit code in `exit_code` (0 good, 1 no, 2 wrong use). A new one is a
// file beside these and a line in AddCommands.
namespace keyferry::daemon::cli {

// All that this system has: commands_posix.cc, commands_windows.cc.
void AddCommands(CLI::App& app, int& exit_code);

// Says what went wrong on standard error. Returns the exit code: 2 for wrong use, otherwise 1.
inline int Complain(const Error& error) {
  std::fprintf(stderr, "keyferry: %s\n", error.message.c_str());
  return error.code == ErrorCode::kInvalidArgument ? 2 : 1;
}

void AddStatus(CLI::App& app, int& exit_code);   // keyferry status
void AddDoctor(CLI::App& app, int& exit_code);   // keyferry doctor; not on Windows
void AddNotices(CLI::App& app, int& exit_code);  // keyferry notices; not on Windows
void AddJob(CLI::App& app, int& exit_code);      // keyferry job show FILE
void AddReceipt(CLI::App& app, int& exit_code);  // keyferry receipt verify FILE --key FILE
void AddKey(CLI::App& app, int& exit_code);      // keyferry key inspect|reset; Windows: inspect
// keyferry bluetooth list|pair|forget|agent; not on Windows
void AddBluetooth(CLI::App& app, int& exit_code);

}  // namespace keyferry::daemon::cli

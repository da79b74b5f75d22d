#include "client-daemon/cli/commands.h"

namespace keyferry::daemon::cli {

// What needs a daemon or a login agent is not here: docs/windows.md.
void AddCommands(CLI::App& app, int& exit_code) {
  AddJob(app, exit_code);
  AddReceipt(app, exit_code);
  AddKey(app, exit_code);
}

}  // namespace keyferry::daemon::cli

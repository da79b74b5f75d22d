#include "client-daemon/agent/pin_command.h"
#include "client-daemon/cli/commands.h"

namespace keyferry::daemon::cli {

void AddCommands(CLI::App& app, int& exit_code) {
  AddStatus(app, exit_code);
  AddDoctor(app, exit_code);
  AddNotices(app, exit_code);
  AddPin(app, exit_code);
  AddLogin(app, exit_code);
  AddHelpDesk(app, exit_code);
  AddJob(app, exit_code);
  AddReceipt(app, exit_code);
  AddKey(app, exit_code);
  AddBluetooth(app, exit_code);
}

}  // namespace keyferry::daemon::cli

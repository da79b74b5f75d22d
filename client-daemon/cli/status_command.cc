#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <cstdio>
#include <ctime>
#include <memory>

#include "client-daemon/cli/commands.h"
#include "client-daemon/cli/status_text.h"
#include "client-daemon/ipc/ask.h"

namespace keyferry::daemon::cli {
namespace {

struct StatusOptions {
  std::string socket = "/run/keyferry/daemon.sock";
  bool json = false;
};

int NoStatus(const Error& error) {
  std::fprintf(stderr, "keyferry: %s\n", error.message.c_str());
  return 1;
}

int Run(const StatusOptions& options) {
  const auto answer =
      AskDaemon(options.socket, R"({"op":"status"})", std::chrono::milliseconds(5000));
  if (!answer) return NoStatus(answer.error());
  if (options.json) {
    std::printf("%s\n", answer->c_str());
    return 0;
  }
  const auto text = StatusText(*answer, std::time(nullptr));
  if (!text) return NoStatus(text.error());
  std::fputs(text->c_str(), stdout);
  return 0;
}

}  // namespace

void AddStatus(CLI::App& app, int& exit_code) {
  auto options = std::make_shared<StatusOptions>();
  CLI::App* command =
      app.add_subcommand("status", "What daemon, key and queue are doing, and what to do next");
  command->add_option("--socket", options->socket, "the daemon's socket")->capture_default_str();
  command->add_flag("--json", options->json, "the daemon's own answer, for programs");
  command->callback([options, &exit_code] { exit_code = Run(*options); });
}

}  // namespace keyferry::daemon::cli

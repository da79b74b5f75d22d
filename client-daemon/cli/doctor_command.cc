#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <cstdio>
#include <memory>

#include "client-daemon/cli/commands.h"
#include "client-daemon/cli/doctor.h"

namespace keyferry::daemon::cli {

void AddDoctor(CLI::App& app, int& exit_code) {
  struct Options {
    DoctorPlaces places;
    bool json = false;
  };
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand(
      "doctor",
      "What keeps this workstation from working, and the cure; exit code 0 good, 1 warnings, 2 "
      "errors. Root sees more");
  DoctorPlaces& places = options->places;
  command->add_option("--config", places.config, "of keyferryd")->capture_default_str();
  command->add_option("--socket", places.socket, "of keyferryd, where its configuration is hidden")
      ->capture_default_str();
  command->add_option("--agent-socket", places.agent_socket, "of keyferry-agent")
      ->capture_default_str();
  command->add_flag("--json", options->json, "for programs");
  command->callback([options, &exit_code] {
    const auto findings = Diagnose(LookAround(options->places, KEYFERRY_VERSION));
    const std::string text = options->json ? DoctorJson(findings) + "\n" : DoctorText(findings);
    std::fputs(text.c_str(), stdout);
    exit_code = ExitCode(findings);
  });
}

}  // namespace keyferry::daemon::cli

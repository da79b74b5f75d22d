// keyferry-sim: the simulated key. See firmware-sim/README.md.

#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <iostream>
#include <map>

#include "firmware-sim/endpoint/control_client.h"
#include "firmware-sim/endpoint/simulator.h"
#include "firmware-sim/endpoint/simulator_ca.h"
#include "protocol/secure/secure_bytes.h"

namespace {

using keyferry::sim::TouchMode;

int Complain(const keyferry::Error& error) {
  std::cerr << "keyferry-sim: " << error.message << '\n';
  return 1;
}

// A descriptor that becomes readable on SIGTERM or SIGINT.
int StopFd() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  sigprocmask(SIG_BLOCK, &signals, nullptr);
  return signalfd(-1, &signals, SFD_CLOEXEC);
}

int RunSimulator(const keyferry::sim::SimulatorOptions& options) {
  const int stop_fd = StopFd();
  keyferry::sim::Simulator simulator(options);
  const auto started = simulator.Start();
  if (!started) return Complain(started.error());
  std::cout << simulator.ReadyLine() << std::endl;
  const auto ran = simulator.Run(stop_fd);
  close(stop_fd);
  return ran ? 0 : Complain(ran.error());
}

int RunControl(const std::string& socket_path, const std::string& command) {
  const auto answer = keyferry::sim::SendControl(socket_path, command);
  if (!answer) return Complain(answer.error());
  std::cout << *answer << '\n';
  return answer->rfind("{\"ok\":true", 0) == 0 ? 0 : 1;
}

int PrintCa() {
  const auto pem = keyferry::sim::SimulatorCaPem();
  if (!pem) return Complain(pem.error());
  std::cout << *pem;
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  keyferry::HardenProcess();
  CLI::App app{
      "The simulated Keyferry key: a whole key behind a Unix socket, for tests and the demo."};
  keyferry::sim::SimulatorOptions options;
  std::string faults;
  app.add_option("--socket", options.socket_path,
                 "Unix socket to listen on (SOCK_SEQPACKET, 64-byte reports)");
  app.add_flag("--share", options.share_socket,
               "Let other users connect to the socket (mode 0666; its folder may narrow it)");
  app.add_option("--state", options.state_path,
                 "State file: the key's flash; made when missing or empty");
  const std::map<std::string, TouchMode> modes{
      {"auto", TouchMode::kAuto}, {"ask", TouchMode::kAsk}, {"never", TouchMode::kNever}};
  app.add_option("--touch", options.touch,
                 "Who touches the key: auto, ask (Enter or `ctl touch`), never")
      ->transform(CLI::CheckedTransformer(modes, CLI::ignore_case));
  app.add_option("--faults", faults,
                 "Faults to inject, e.g. drop:in:3,unplug:out:7 (firmware-sim/README.md)");

  CLI::App* control =
      app.add_subcommand("ctl", "Plug in, unplug, touch, or ask a running simulator");
  std::string control_socket;
  std::string command;
  control->add_option("--socket", control_socket, "The simulator's --socket")->required();
  control->add_option("command", command, "What to do")
      ->required()
      ->check(CLI::IsMember({"plug", "unplug", "touch", "status"}));
  CLI::App* ca = app.add_subcommand("ca", "Print the simulator's attestation CA certificate (PEM)");
  app.require_subcommand(0, 1);
  CLI11_PARSE(app, argc, argv);

  if (ca->parsed()) return PrintCa();
  if (control->parsed()) return RunControl(control_socket, command);
  if (options.socket_path.empty() || options.state_path.empty()) {
    std::cerr << "keyferry-sim: --socket and --state are needed; see keyferry-sim --help.\n";
    return 2;
  }
  const auto parsed = keyferry::sim::ParseFaults(faults);
  if (!parsed) return Complain(parsed.error());
  options.faults = *parsed;
  return RunSimulator(options);
}

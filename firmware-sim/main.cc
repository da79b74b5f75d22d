// keyferry-sim: the simulated key. See firmware-sim/README.md.

#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <iostream>
#include <map>

#include "firmware-sim/ble/ble_endpoint.h"
#include "firmware-sim/endpoint/control_client.h"
#include "firmware-sim/endpoint/gadget_endpoint.h"
#include "firmware-sim/endpoint/simulator.h"
#include "firmware-sim/endpoint/simulator_ca.h"
#include "firmware-sim/endpoint/uhid_endpoint.h"
#include "firmware-sim/endpoint/usbip_endpoint.h"
#include "protocol/secure/secure_bytes.h"

namespace {

using keyferry::sim::EndpointClient;
using keyferry::sim::SimulatorOptions;
using keyferry::sim::TouchMode;

int Usage(const char* what) {
  std::cerr << "keyferry-sim: " << what << "; see keyferry-sim --help.\n";
  return 2;
}

int Complain(const keyferry::Error& error) {
  std::cerr << "keyferry-sim: " << error.message;
  if (!error.detail.empty()) std::cerr << " (" << error.detail << ')';
  std::cerr << '\n';
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

int RunSimulator(const SimulatorOptions& options) {
  const int stop_fd = StopFd();
  keyferry::sim::Simulator simulator(options);
  const auto started = simulator.Start();
  if (!started) return Complain(started.error());
  std::cout << simulator.ReadyLine() << std::endl;
  const auto ran = simulator.Run(stop_fd);
  close(stop_fd);
  return ran ? 0 : Complain(ran.error());
}

int RunControl(const std::string& path, const std::string& command) {
  const auto answer = keyferry::sim::SendControl(path, command);
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

// VID:PID in hexadecimal digits.
bool ParseUsbId(const std::string& text, SimulatorOptions* options) {
  unsigned vendor = 0;
  unsigned product = 0;
  char rest = 0;
  if (text.size() != 9 || std::sscanf(text.c_str(), "%4x:%4x%c", &vendor, &product, &rest) != 2)
    return false;
  options->vendor = static_cast<std::uint16_t>(vendor);
  options->product = static_cast<std::uint16_t>(product);
  return true;
}

// Where the key shows itself; each option adds a plug.
struct PlugOptions {
  bool uhid = false;
  bool usbip_attach = false;
  bool usbip_any_address = false;
  std::string usbip;
  std::string gadget;
  keyferry::sim::BleEndpoint::Options ble;
  keyferry::sim::UsbSpeed usbip_speed = keyferry::sim::UsbSpeed::kFull;

  void AddTo(CLI::App& app) {
    app.add_flag("--uhid", uhid, "Appear as a HID device of this machine, by /dev/uhid");
    app.add_option("--gadget", gadget,
                   "Answer behind this machine's USB device controller, as /dev/hidg0");
    app.add_option("--ble", ble.adapter,
                   "Appear as a Bluetooth LE peripheral of this adapter, as hci0");
    const std::map<std::string, keyferry::sim::PairMode> pairing{
        {"auto", keyferry::sim::PairMode::kAuto},
        {"ask", keyferry::sim::PairMode::kAsk},
        {"refuse", keyferry::sim::PairMode::kRefuse}};
    app.add_option(
           "--ble-pair", ble.pairing,
           "Who compares the digits when a host pairs: auto (nobody), ask (`ctl pair`), refuse")
        ->transform(CLI::CheckedTransformer(pairing, CLI::ignore_case));
    CLI::Option* attach =
        app.add_flag("--usbip-attach", usbip_attach,
                     "Appear as a USB device of this machine, by its kernel's USB/IP host");
    app.add_option("--usbip", usbip,
                   "Serve a USB device to `usbip attach -b 1-1` on this address, as 127.0.0.1:3240")
        ->excludes(attach);
    app.add_flag("--usbip-any-address", usbip_any_address,
                 "Let --usbip listen where other machines reach it");
    const std::map<std::string, keyferry::sim::UsbSpeed> speeds{
        {"full", keyferry::sim::UsbSpeed::kFull}, {"high", keyferry::sim::UsbSpeed::kHigh}};
    app.add_option("--usbip-speed", usbip_speed,
                   "Speed of the USB device: full (12 Mbit/s) or high")
        ->transform(CLI::CheckedTransformer(speeds, CLI::ignore_case));
  }
  void AddTo(SimulatorOptions& options) const {
    if (uhid) {
      options.plugs.push_back([](EndpointClient& client) {
        return std::make_unique<keyferry::sim::UhidEndpoint>(client);
      });
    }
    if (!gadget.empty()) {
      options.plugs.push_back([device = gadget](EndpointClient& client) {
        return std::make_unique<keyferry::sim::GadgetEndpoint>(client, device);
      });
    }
    if (!ble.adapter.empty()) {
      options.plugs.push_back([ble = ble](EndpointClient& client) {
        return std::make_unique<keyferry::sim::BleEndpoint>(client, ble);
      });
    }
    if (usbip_attach || !usbip.empty()) {
      keyferry::sim::UsbIpEndpoint::Options usb;
      usb.speed = usbip_speed;
      usb.listen = usbip;
      usb.any_address = usbip_any_address;
      if (usbip_attach) usb.attach = keyferry::sim::UsbIpEndpoint::AttachKernel;
      options.plugs.push_back([usb](EndpointClient& client) {
        return std::make_unique<keyferry::sim::UsbIpEndpoint>(client, usb);
      });
    }
  }
};

}  // namespace

int main(int argc, char** argv) {
  keyferry::HardenProcess();
  CLI::App app{
      "The simulated Keyferry key: a whole key behind a Unix socket or the operating system's own "
      "device stacks, for tests and the demo."};
  SimulatorOptions options;
  PlugOptions plugs;
  std::string faults;
  std::string usb_id;
  app.add_option("--socket", options.socket_path,
                 "Unix socket to listen on (SOCK_SEQPACKET, 64-byte reports)");
  app.add_flag("--share", options.share_socket,
               "Let other users connect to the socket (mode 0666; its folder may narrow it)");
  plugs.AddTo(app);
  app.add_option("--usb-id", usb_id, "VID:PID of the device descriptors (1209:0001)");
  app.add_option("--control", options.control_path,
                 "Unix socket for `ctl` (the --socket or else the --state path, with .ctl)");
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
  std::string control_path;
  std::string control_socket;
  std::string command;
  std::string what;
  CLI::Option* by_socket =
      control->add_option("--socket", control_socket, "The simulator's --socket");
  control->add_option("--control", control_path, "The simulator's control socket")
      ->excludes(by_socket);
  control->add_option("command", command, "What to do")
      ->required()
      ->check(CLI::IsMember({"plug", "unplug", "disconnect", "pair", "faults", "touch", "status"}));
  control->add_option(
      "what", what,
      "plug, unplug, disconnect: which transport (all); pair: yes or no; faults: the new ones");
  CLI::App* ca = app.add_subcommand("ca", "Print the simulator's attestation CA certificate (PEM)");
  app.require_subcommand(0, 1);
  CLI11_PARSE(app, argc, argv);

  if (ca->parsed()) return PrintCa();
  if (control->parsed()) {
    if (control_path.empty() && control_socket.empty())
      return Usage("ctl needs --socket or --control");
    return RunControl(control_path.empty() ? control_socket + ".ctl" : control_path,
                      what.empty() ? command : command + " " + what);
  }
  plugs.AddTo(options);
  if (options.state_path.empty()) return Usage("--state is needed");
  if (options.socket_path.empty() && options.plugs.empty())
    return Usage("--socket or another transport is needed");
  if (!usb_id.empty() && !ParseUsbId(usb_id, &options))
    return Usage("--usb-id is two hexadecimal numbers of four digits, as in 1209:0001");
  const auto parsed = keyferry::sim::ParseFaults(faults);
  if (!parsed) return Complain(parsed.error());
  options.faults = *parsed;
  return RunSimulator(options);
}

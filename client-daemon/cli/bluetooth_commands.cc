#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <algorithm>
#include <cctype>
#include <cerrno>
#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "client-daemon/cli/commands.h"
#include "client-daemon/cli/desktop_question.h"
#include "device/ble/pairing.h"

namespace keyferry::daemon::cli {
namespace {

using device::BluetoothKey;
using device::Pairing;
using device::PairingQuestion;

// bluetoothd itself gives a pairing 30 s from one message to the next.
constexpr std::chrono::seconds kQuestionLimit{30};

struct RadioOptions {
  std::string adapter;
  std::string address;
  int timeout = 60;  // seconds
  bool notify = false;
};

std::string Shown(const BluetoothKey& key) {
  return key.address + (key.name.empty() ? "" : " (" + key.name + ")");
}

bool SameAddress(const std::string& a, const std::string& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](char x, char y) {
    return std::toupper(static_cast<unsigned char>(x)) ==
           std::toupper(static_cast<unsigned char>(y));
  });
}

// The one with `address`, or the only one.
Result<BluetoothKey> Choose(const std::vector<BluetoothKey>& keys, const std::string& address,
                            const char* none) {
  for (const BluetoothKey& key : keys) {
    if (!address.empty() && SameAddress(key.address, address)) return key;
  }
  if (keys.empty() || !address.empty()) return Fail(ErrorCode::kNotFound, none);
  if (keys.size() == 1) return keys.front();
  std::string message = "There are several; name one of:";
  for (const BluetoothKey& key : keys) message += "\n  " + Shown(key);
  return Fail(ErrorCode::kInvalidArgument, message);
}

// A line from the terminal; anything but yes is no.
bool AskTerminal(const PairingQuestion& question, int moot_fd) {
  std::printf("The key %s shows a number. Is it %s? [y/N] ", Shown(question.key).c_str(),
              question.digits.c_str());
  std::fflush(stdout);
  std::string line;
  while (true) {
    pollfd fds[2] = {{STDIN_FILENO, POLLIN, 0}, {moot_fd, POLLIN, 0}};
    if (poll(fds, 2, -1) < 0 && errno != EINTR) return false;
    if (fds[1].revents != 0) {
      std::printf("\n");
      return false;
    }
    if (fds[0].revents == 0) continue;
    char c = 0;
    if (read(STDIN_FILENO, &c, 1) != 1) return false;
    if (c == '\n') return line == "y" || line == "Y" || line == "yes";
    if (line.size() < 8) line += c;
  }
}

device::ConfirmPairing AskDesktop(DesktopQuestion& desktop) {
  return [&desktop](const PairingQuestion& question, int moot_fd) {
    return desktop.Ask("Security key: is the number " + question.digits + "?",
                       "The key " + Shown(question.key) +
                           " wants to be paired. Confirm only when it shows the same number.",
                       "Confirm", "Reject", kQuestionLimit, moot_fd);
  };
}

int List(const RadioOptions& options) {
  const auto pairing = Pairing::Open({{}, options.adapter});
  if (!pairing) return Complain(pairing.error());
  const auto keys = (*pairing)->Bonded();
  if (keys.empty()) {
    std::printf("No security key is paired with this computer.\n");
    return 1;
  }
  for (const BluetoothKey& key : keys) {
    std::printf("%s  %s\n", key.connected ? "connected" : "away     ", Shown(key).c_str());
  }
  return 0;
}

int Pair(const RadioOptions& options) {
  std::unique_ptr<DesktopQuestion> desktop;
  if (options.notify) {
    auto opened = DesktopQuestion::Open();
    if (!opened) return Complain(opened.error());
    desktop = *std::move(opened);
  }
  const auto pairing = Pairing::Open({{}, options.adapter});
  if (!pairing) return Complain(pairing.error());
  std::printf("Looking for a security key; let it be found (hold its button until it blinks) …\n");
  std::fflush(stdout);
  const auto found = (*pairing)->Search(std::chrono::seconds(options.timeout));
  if (!found) return Complain(found.error());
  const auto key = Choose(*found, options.address,
                          "No such security key was found that is not paired already; is it near "
                          "and can it be found?");
  if (!key) return Complain(key.error());
  const auto paired = (*pairing)->Pair(key->path, desktop ? AskDesktop(*desktop) : AskTerminal,
                                       std::chrono::seconds(60));
  if (!paired) return Complain(paired.error());
  std::printf("Paired with %s. keyferryd connects to it whenever it is near.\n",
              Shown(*paired).c_str());
  return 0;
}

int Forget(const RadioOptions& options) {
  const auto pairing = Pairing::Open({{}, options.adapter});
  if (!pairing) return Complain(pairing.error());
  const auto key = Choose((*pairing)->Bonded(), options.address,
                          "No such security key is paired with this computer.");
  if (!key) return Complain(key.error());
  if (const auto gone = (*pairing)->Forget(key->path); !gone) return Complain(gone.error());
  std::printf("Forgot %s. Let the key forget this computer too before they are paired again.\n",
              Shown(*key).c_str());
  return 0;
}

int Agent(const RadioOptions& options) {
  auto desktop = DesktopQuestion::Open();
  if (!desktop) return Complain(desktop.error());
  const auto pairing = Pairing::Open({{}, options.adapter});
  if (!pairing) return Complain(pairing.error());
  sigset_t ends;
  sigemptyset(&ends);
  sigaddset(&ends, SIGINT);
  sigaddset(&ends, SIGTERM);
  const int stop_fd = signalfd(-1, &ends, SFD_CLOEXEC);
  const auto served = (*pairing)->Serve(AskDesktop(**desktop), stop_fd);
  close(stop_fd);
  return served ? 0 : Complain(served.error());
}

// Before any thread begins, so that none of them takes the signals.
void BlockEnds() {
  sigset_t ends;
  sigemptyset(&ends);
  sigaddset(&ends, SIGINT);
  sigaddset(&ends, SIGTERM);
  sigprocmask(SIG_BLOCK, &ends, nullptr);
}

}  // namespace

void AddBluetooth(CLI::App& app, int& exit_code) {
  CLI::App* bluetooth = app.add_subcommand("bluetooth", "Pair security keys over Bluetooth");
  bluetooth->require_subcommand(1);
  auto options = std::make_shared<RadioOptions>();
  bluetooth->add_option("--adapter", options->adapter, "hci0, … (default: the first that is on)");

  CLI::App* list = bluetooth->add_subcommand("list", "Print the keys that are paired");
  list->callback([options, &exit_code] { exit_code = List(*options); });

  CLI::App* pair = bluetooth->add_subcommand(
      "pair", "Pair a key that is near: compare the number it shows, then answer y");
  pair->add_option("ADDRESS", options->address, "of the key, when several are near");
  pair->add_option("--timeout", options->timeout, "seconds to look for it")
      ->capture_default_str()
      ->check(CLI::Range(1, 600));
  pair->add_flag("--notify", options->notify, "ask by a notification on the desktop");
  pair->callback([options, &exit_code] { exit_code = Pair(*options); });

  CLI::App* forget = bluetooth->add_subcommand("forget", "Remove the pairing with a key");
  forget->add_option("ADDRESS", options->address, "of the key, when several are paired");
  forget->callback([options, &exit_code] { exit_code = Forget(*options); });

  CLI::App* agent = bluetooth->add_subcommand("agent",
                                              "Ask by notifications on the desktop when pairing "
                                              "with a key is begun elsewhere, until ended");
  agent->callback([options, &exit_code] {
    BlockEnds();
    exit_code = Agent(*options);
  });
}

}  // namespace keyferry::daemon::cli

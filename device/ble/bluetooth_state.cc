#include "device/ble/bluetooth_state.h"

#include <algorithm>
#include <filesystem>
#include <fstream>

namespace keyferry::device {
namespace {

namespace fs = std::filesystem;

std::string FirstLine(const fs::path& file) {
  std::ifstream in(file);
  std::string line;
  std::getline(in, line);
  return line;
}

// "soft", "hard" or nothing.
std::string Blocked(const fs::path& directory) {
  std::string found;
  std::error_code error;
  for (fs::directory_iterator at(directory, error), end; !error && at != end; at.increment(error)) {
    if (FirstLine(at->path() / "type") != "bluetooth") continue;
    if (FirstLine(at->path() / "hard") == "1") return "hard";
    if (FirstLine(at->path() / "soft") == "1") found = "soft";
  }
  return found;
}

}  // namespace

Result<void> BluetoothState(const Result<void>& service, const BluezObjects& objects,
                            const std::string& rfkill_dir) {
  if (!service) return service;
  const auto& adapters = objects.adapters();
  if (std::any_of(adapters.begin(), adapters.end(),
                  [](const auto& adapter) { return adapter.second.powered; })) {
    return {};
  }
  const std::string blocked = Blocked(rfkill_dir);
  if (blocked == "hard") {
    return Fail(ErrorCode::kUnavailable,
                "Bluetooth is blocked by a switch or key of this computer; turn it on there.");
  }
  if (blocked == "soft") {
    return Fail(ErrorCode::kUnavailable,
                "Bluetooth is blocked; release it with: rfkill unblock bluetooth");
  }
  if (adapters.empty()) {
    return Fail(ErrorCode::kUnavailable, "This computer has no Bluetooth adapter.");
  }
  return Fail(ErrorCode::kUnavailable,
              "The Bluetooth adapter is off; turn it on with: bluetoothctl power on");
}

}  // namespace keyferry::device

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <cstdio>
#include <memory>
#include <vector>

#include "client-daemon/cli/commands.h"
#include "device/hid/hidapi_list.h"
#include "device/hid/windows_devices.h"
#include "device/hid/windows_transport.h"

namespace keyferry::daemon::cli {
namespace {

void Line(const char* name, const std::string& value) {
  std::printf("%-16s%s\n", name, value.c_str());
}

std::string Quoted(const std::string& text) { return text.empty() ? "none" : "\"" + text + "\""; }

// How programs with hidapi see the device.
std::string HidapiWords(const std::string& path, const device::HidMatch& match) {
  for (const device::HidapiDevice& one : device::ListWithHidapi(match)) {
    const auto theirs = device::WindowsHidPath(one.path);
    if (!theirs || *theirs != path) continue;
    char text[64];
    std::snprintf(text, sizeof text, "sees it, usage 0x%04X/0x%04X", one.usage_page, one.usage);
    return text;
  }
  return "does not see it";
}

// True when it looks like a key.
bool Describe(const device::WindowsHid& hid, const device::HidMatch& match) {
  Line("place", hid.path);
  Line("ids", hid.id.Text());
  Line("manufacturer", Quoted(hid.manufacturer));
  Line("product", Quoted(hid.product));
  Line("serial", Quoted(hid.serial));
  Line("hidapi", HidapiWords(hid.path, match));
  const auto key = hid.CheckKey();
  Line("verdict", key ? "looks like a Keyferry key (whose it is, only its handshake proves)"
                      : "not a Keyferry key: " + key.error().message);
  if (!key) return false;
  const auto open = device::OpenWindowsHid(hid.path, match);  // and closed again
  Line("use", open ? "free" : open.error().message);
  return true;
}

int Inspect(const std::vector<std::string>& ids) {
  device::HidMatch match;
  if (!ids.empty()) match.ids.clear();
  for (const std::string& text : ids) {
    const auto id = device::UsbId::Parse(text);
    if (!id) return Complain(id.error());
    match.ids.push_back(*id);
  }
  const auto found = device::ListWindowsHid(match);
  if (found.empty()) {
    std::printf("No security key is plugged in by USB.\n");
    return 1;
  }
  bool keys = true;
  for (std::size_t i = 0; i < found.size(); ++i) {
    if (i > 0) std::printf("\n");
    keys = Describe(found[i], match) && keys;
  }
  return keys ? 0 : 1;
}

}  // namespace

void AddKey(CLI::App& app, int& exit_code) {
  CLI::App* key = app.add_subcommand("key", "Look at security keys on USB, without the daemon");
  key->require_subcommand(1);
  auto ids = std::make_shared<std::vector<std::string>>();
  CLI::App* inspect = key->add_subcommand(
      "inspect",
      "Print what Windows knows of keys: place, ids, reports and whether they are in use; exit "
      "code 1 when one is not a Keyferry key");
  inspect->add_option("--id", *ids, "kinds of keys, vendor:product (default 1209:0001)");
  inspect->callback([ids, &exit_code] { exit_code = Inspect(*ids); });
}

}  // namespace keyferry::daemon::cli

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <cstdio>
#include <memory>
#include <vector>

#include "client-daemon/cli/commands.h"
#include "device/hid/inspect.h"

namespace keyferry::daemon::cli {
namespace {

Result<device::HidMatch> MatchOf(const std::vector<std::string>& ids) {
  device::HidMatch match;
  if (ids.empty()) return match;
  match.ids.clear();
  for (const std::string& text : ids) {
    const auto id = device::UsbId::Parse(text);
    if (!id) return tl::unexpected(id.error());
    match.ids.push_back(*id);
  }
  return match;
}

int Inspect(const std::string& path, const std::vector<std::string>& ids) {
  const auto match = MatchOf(ids);
  if (!match) return Complain(match.error());
  const auto found = device::InspectUsb(path, *match);
  if (!found) return Complain(found.error());
  if (found->empty()) {
    std::printf("No security key is plugged in by USB.\n");
    return 1;
  }
  bool keys = true;
  for (std::size_t i = 0; i < found->size(); ++i) {
    std::printf("%s%s", i == 0 ? "" : "\n", device::Text((*found)[i]).c_str());
    keys = keys && (*found)[i].IsKey();
  }
  return keys ? 0 : 1;
}

int Reset(const std::string& path, const std::vector<std::string>& ids) {
  const auto match = MatchOf(ids);
  if (!match) return Complain(match.error());
  if (const auto reset = device::ResetUsb(path, *match); !reset) return Complain(reset.error());
  std::printf("The security key at %s was reset.\n", path.c_str());
  return 0;
}

}  // namespace

void AddKey(CLI::App& app, int& exit_code) {
  CLI::App* key = app.add_subcommand("key", "Look at security keys on USB, without the daemon");
  key->require_subcommand(1);
  auto path = std::make_shared<std::string>();
  auto ids = std::make_shared<std::vector<std::string>>();
  const char* kIds = "kinds of keys, vendor:product (default 1209:0001)";

  CLI::App* inspect = key->add_subcommand(
      "inspect",
      "Print what the system knows of keys: place, ids, descriptors, who uses and who may use "
      "them; exit code 1 when one is not a Keyferry key");
  inspect->add_option("PATH", *path, "usb:BUS-PORT or /dev/hidrawN (default: all)");
  inspect->add_option("--id", *ids, kIds);
  inspect->callback([path, ids, &exit_code] { exit_code = Inspect(*path, *ids); });

  CLI::App* reset = key->add_subcommand(
      "reset", "Reset a key that no longer answers, as pulling and plugging would (root only)");
  reset->add_option("PATH", *path, "usb:BUS-PORT or /dev/hidrawN")->required();
  reset->add_option("--id", *ids, kIds);
  reset->callback([path, ids, &exit_code] { exit_code = Reset(*path, *ids); });
}

}  // namespace keyferry::daemon::cli

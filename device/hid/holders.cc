#include "device/hid/holders.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>

#include "device/hid/sysfs.h"

namespace keyferry::device {
namespace {

namespace fs = std::filesystem;

// By the device number: another mount namespace may have the node under another name. Links that do
// not lead into /dev are not followed, since that could wait for a dead server.
bool HasOpen(const fs::path& process, dev_t device) {
  std::error_code error;
  for (fs::directory_iterator it(process / "fd", error), end; !error && it != end;
       it.increment(error)) {
    std::error_code unreadable;
    const fs::path target = fs::read_symlink(it->path(), unreadable);
    struct stat info {};
    if (!unreadable && target.native().rfind("/dev/", 0) == 0 &&
        stat(it->path().c_str(), &info) == 0 && S_ISCHR(info.st_mode) && info.st_rdev == device) {
      return true;
    }
  }
  return false;
}

}  // namespace

std::string Holder::Text() const { return "process " + std::to_string(pid) + " (" + name + ")"; }

std::vector<Holder> HoldersOf(const std::string& node) {
  std::vector<Holder> out;
  struct stat info {};
  if (stat(node.c_str(), &info) != 0 || !S_ISCHR(info.st_mode)) return out;
  std::error_code error;
  for (fs::directory_iterator it("/proc", error), end; !error && it != end; it.increment(error)) {
    const std::string pid = it->path().filename().string();
    if (pid.find_first_not_of("0123456789") != std::string::npos || pid.size() > 9) continue;
    const auto number = static_cast<pid_t>(std::stol(pid));
    if (number == getpid() || !HasOpen(it->path(), info.st_rdev)) continue;
    std::ifstream in(it->path() / "comm");
    std::string name;
    std::getline(in, name);
    out.push_back({number, Printable(name, 32)});
  }
  std::sort(out.begin(), out.end(), [](const Holder& a, const Holder& b) { return a.pid < b.pid; });
  return out;
}

std::string Text(const std::vector<Holder>& holders, const std::string& nobody) {
  std::string out;
  for (std::size_t i = 0; i < holders.size(); ++i) {
    out += (i == 0 ? "" : i + 1 == holders.size() ? " and " : ", ") + holders[i].Text();
  }
  return out.empty() ? nobody : out;
}

}  // namespace keyferry::device

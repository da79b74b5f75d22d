#include "device/hid/permissions.h"

#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <optional>

#include "device/hid/hid_errors.h"
#include "device/hid/holders.h"
#include "device/hid/sysfs.h"

namespace keyferry::device {
namespace {

constexpr const char* kRuleFolders[] = {"/etc/udev/rules.d/", "/run/udev/rules.d/",
                                        "/usr/lib/udev/rules.d/", "/lib/udev/rules.d/"};

std::string UserName(uid_t uid) {
  std::array<char, 4096> buffer{};
  passwd entry{};
  passwd* found = nullptr;
  getpwuid_r(uid, &entry, buffer.data(), buffer.size(), &found);
  return found == nullptr ? std::to_string(uid) : Printable(found->pw_name);
}

std::string GroupName(gid_t gid) {
  std::array<char, 16384> buffer{};
  group entry{};
  group* found = nullptr;
  getgrgid_r(gid, &entry, buffer.data(), buffer.size(), &found);
  return found == nullptr ? std::to_string(gid) : Printable(found->gr_name);
}

std::optional<gid_t> KeyGroup() {
  std::array<char, 16384> buffer{};
  group entry{};
  group* found = nullptr;
  getgrnam_r(kKeyGroup, &entry, buffer.data(), buffer.size(), &found);
  return found == nullptr ? std::nullopt : std::optional(found->gr_gid);
}

bool InGroup(gid_t gid) {
  if (getegid() == gid) return true;
  std::vector<gid_t> groups(static_cast<std::size_t>(std::max(getgroups(0, nullptr), 0)));
  const int n = getgroups(static_cast<int>(groups.size()), groups.data());
  groups.resize(static_cast<std::size_t>(std::max(n, 0)));
  return std::find(groups.begin(), groups.end(), gid) != groups.end();
}

bool RuleInstalled() {
  return std::any_of(std::begin(kRuleFolders), std::end(kRuleFolders), [](const char* folder) {
    return access((std::string(folder) + kRuleFile).c_str(), F_OK) == 0;
  });
}

// 0, or the errno of opening it as the daemon would.
int TryOpen(const std::string& node) {
  const int fd = open(node.c_str(), O_RDWR | O_NONBLOCK | O_CLOEXEC);
  if (fd < 0) return errno;
  close(fd);
  return 0;
}

void CheckNode(const std::string& path, std::vector<HidFinding>& out) {
  const int error = TryOpen(path);
  if (error == 0) return;
  const NodeState node = LookAtNode(path);
  const std::string what = path + " may not be opened by " + UserName(geteuid()) + ".";
  if (!node.exists) {
    out.push_back({path + " is missing.",
                   "The kernel has the device, but this system's /dev does "
                   "not show it.",
                   "In a container, pass the device on."});
  } else if (node.usable && error == EPERM) {
    out.push_back({what, "Its mode allows it, but the service's device rules forbid it.",
                   "Add DeviceAllow=char-hidraw rw and DeviceAllow=char-usb_device rw to the "
                   "service's unit."});
  } else {
    out.push_back({what, "It is " + Text(node) + ".", CureFor(node)});
  }
}

}  // namespace

NodeState LookAtNode(const std::string& path) {
  NodeState out;
  out.path = path;
  struct stat info {};
  if (stat(path.c_str(), &info) != 0) return out;
  out.exists = true;
  out.mode = info.st_mode & 07777;
  out.owner = UserName(info.st_uid);
  out.group = GroupName(info.st_gid);
  out.usable = faccessat(AT_FDCWD, path.c_str(), R_OK | W_OK, AT_EACCESS) == 0;
  return out;
}

std::string Text(const NodeState& node) {
  if (!node.exists) return "missing";
  char mode[8];
  std::snprintf(mode, sizeof mode, "%04o", node.mode);
  return mode + (" " + node.owner) + " " + node.group +
         (node.usable ? ", usable" : ", not usable") + " by " + UserName(geteuid());
}

std::string CureFor(const NodeState& node) {
  if (node.group == kKeyGroup && (node.mode & 0060) == 0060) {
    return std::string("Only the group ") + kKeyGroup +
           " may use it: if this is the daemon's user, add it to the group; all others ask "
           "keyferryd.";
  }
  if (!RuleInstalled()) return "As root, " + NodeCure() + ".";
  return "The udev rule has not been applied to it: as root run udevadm control --reload && "
         "udevadm trigger; or plug the key in again.";
}

std::vector<HidFinding> CheckHidPermissions(const HidMatch& match) {
  std::vector<HidFinding> out;
  const std::string group = kKeyGroup;
  if (access("/run/udev/control", F_OK) != 0) {
    out.push_back({"No udevd runs.", "The system has none, or this is a container.",
                   "Start systemd-udevd; without it the nodes of keys stay root's alone."});
  }
  if (!RuleInstalled()) {
    out.push_back({std::string("The udev rule ") + kRuleFile + " is not installed.",
                   "It gives the nodes of security keys to the group " + group + ".",
                   std::string("Copy packaging/udev/") + kRuleFile +
                       " to /etc/udev/rules.d, then run as root: udevadm control --reload && "
                       "udevadm trigger"});
  }
  const auto gid = KeyGroup();
  if (!gid) {
    out.push_back({"There is no group " + group + ".", "The package makes it (systemd-sysusers).",
                   "Run as root: systemd-sysusers; or groupadd --system " + group});
  } else if (geteuid() != 0 && !InGroup(*gid)) {
    out.push_back({UserName(geteuid()) + " is not in the group " + group + ".",
                   "Only this group and root may use keys directly; all other programs ask "
                   "keyferryd.",
                   "If it is the daemon's user, run as root: usermod -aG " + group + " " +
                       UserName(geteuid()) + " and start it again."});
  }
  for (const HidrawDevice& device : ListHidrawDevices(match)) CheckNode(device.node, out);
  for (const UsbDevice& usb : ListUsbDevices(match)) {
    CheckNode(usb.Node(), out);
    const std::string driver = InterfaceDriver(usb);
    if (driver == "usbhid") continue;
    if (driver.empty()) {
      out.push_back({usb.Path() + " has no hidraw node.", "The kernel's driver does not have it.",
                     "Run as root: modprobe usbhid; and plug the key in again."});
    } else {
      const auto holders = HoldersOf(usb.Node());
      out.push_back({usb.Path() + " has no hidraw node.",
                     "It is held by " + Text(holders, "driver " + driver) + ".",
                     "Nothing to do if that is keyferryd set to use libusb; else end it."});
    }
  }
  return out;
}

}  // namespace keyferry::device

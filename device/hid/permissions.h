#pragma once

#include <string>
#include <vector>

#include "device/hid/hid_match.h"
#include "protocol/result.h"

namespace keyferry::device {

// A device node as this user finds it.
struct NodeState {
  std::string path;
  bool exists = false;
  unsigned mode = 0;  // permission bits
  std::string owner, group;
  bool usable = false;  // this user may read and write it (by its mode; a control group may forbid)
};
NodeState LookAtNode(const std::string& path);
// "0660 root keyferry-keys, usable", or "missing".
std::string Text(const NodeState& node);
// What a person does so that this user may use it; a sentence.
std::string CureFor(const NodeState& node);

// Something that keeps this user from a key, for people.
struct HidFinding {
  std::string what;   // "/dev/hidraw0 may not be opened."
  std::string cause;  // "It belongs to root:root with mode 0600."
  std::string cure;   // "Run: udevadm trigger …"
};

// Whether this process could use the keys that are plugged in, and those that will be: udevd, the
// rule, the group, who is in it, the nodes, the kernel's driver, the control group. Nothing is
// changed and no key is disturbed (a node is opened and closed). Empty: all is well.
std::vector<HidFinding> CheckHidPermissions(const HidMatch& match = {});

}  // namespace keyferry::device

#pragma once

#include <string>

#include "protocol/result.h"

// The words for what goes wrong between us and a key's node, the same on every path to it.
namespace keyferry::device {

// The key is gone. `cause` is for the log.
Error Gone(const std::string& cause);
Error Cancelled();
Error Late();

// What open() of `node` answered, for people: kPermissionDenied names the node and the cure,
// kUnavailable when the key is gone, kIo otherwise.
Error CannotOpen(const std::string& node, int error);

// A path that is neither a hidraw node nor a USB port.
Error NoSuchPlace();

// The device at `path` is none of ours; `reason` continues "…: " ("it has report ids").
Error NotAKey(const std::string& path, const std::string& reason);

// What a person does when a node may not be opened: the udev rule and the group.
std::string NodeCure();

inline constexpr char kKeyGroup[] = "keyferry-keys";
inline constexpr char kRuleFile[] = "70-keyferry.rules";

}  // namespace keyferry::device

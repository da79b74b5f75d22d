#include "device/hid/hid_errors.h"

#include <cerrno>
#include <cstring>

namespace keyferry::device {

Error Gone(const std::string& cause) {
  return {ErrorCode::kUnavailable, "The security key is no longer attached; plug it in again.",
          cause, 0};
}

Error Cancelled() {
  return {ErrorCode::kUnavailable, "The connection to the key was closed.", "cancelled", 0};
}

Error Late() { return {ErrorCode::kDeadline, "The security key did not answer in time.", {}, 0}; }

std::string NodeCure() {
  return std::string("install the udev rule ") + kRuleFile + ", add the user to the group " +
         kKeyGroup + " and plug the key in again";
}

Error CannotOpen(const std::string& node, int error) {
  switch (error) {
    case EACCES:
      return {
          ErrorCode::kPermissionDenied,
          "The security key at " + node + " may not be opened by this user: " + NodeCure() + ".",
          std::strerror(error), 0};
    case EPERM:  // the device rules of a control group, not the node's mode
      return {ErrorCode::kPermissionDenied,
              "The security key at " + node +
                  " is kept from this service: its unit needs DeviceAllow=char-hidraw rw and "
                  "DeviceAllow=char-usb_device rw.",
              std::strerror(error), 0};
    case ENOENT:
    case ENODEV:
    case ENXIO:
    case EIO:
      return {ErrorCode::kUnavailable, "No security key is attached at " + node + ".",
              std::strerror(error), 0};
    default:
      return {ErrorCode::kIo, "The security key at " + node + " cannot be opened.",
              std::strerror(error), 0};
  }
}

Error NoSuchPlace() {
  return {ErrorCode::kInvalidArgument,
          "A key's place is written usb:BUS-PORT, such as usb:1-2, or /dev/hidrawN.",
          {},
          0};
}

Error NotAKey(const std::string& path, const std::string& reason) {
  return {ErrorCode::kProtocol,
          "The device at " + path + " is not a Keyferry key: " + reason + ".",
          {},
          0};
}

}  // namespace keyferry::device

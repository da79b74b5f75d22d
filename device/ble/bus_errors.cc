#include "device/ble/bus_errors.h"

#include <array>

namespace keyferry::device {
namespace {

struct Meaning {
  std::string_view name;
  std::string_view text;  // must be in the message too; empty = any
  ErrorCode code;
  const char* message;
};

// The first that fits.
constexpr std::array kMeanings = {
    Meaning{"org.freedesktop.DBus.Error.ServiceUnknown", "", ErrorCode::kUnavailable,
            "The Bluetooth service is not running; start it with: systemctl start bluetooth"},
    Meaning{"org.freedesktop.DBus.Error.NameHasNoOwner", "", ErrorCode::kUnavailable,
            "The Bluetooth service is not running; start it with: systemctl start bluetooth"},
    Meaning{"org.freedesktop.DBus.Error.Spawn", "", ErrorCode::kUnavailable,
            "The Bluetooth service cannot be started; see: systemctl status bluetooth"},
    Meaning{"org.freedesktop.systemd1.", "", ErrorCode::kUnavailable,
            "The Bluetooth service cannot be started; see: systemctl status bluetooth"},
    Meaning{"org.freedesktop.DBus.Error.AccessDenied", "", ErrorCode::kPermissionDenied,
            "This user may not use Bluetooth: the D-Bus policy of org.bluez refuses it; see the "
            "section on Bluetooth in docs/workstation.md."},
    Meaning{"org.freedesktop.DBus.Error.NoReply", "", ErrorCode::kDeadline,
            "The Bluetooth service does not answer; restart it with: systemctl restart bluetooth"},
    Meaning{"org.freedesktop.DBus.Error.Timeout", "", ErrorCode::kDeadline,
            "The Bluetooth service does not answer; restart it with: systemctl restart bluetooth"},
    Meaning{"org.freedesktop.DBus.Error.UnknownObject", "", ErrorCode::kUnavailable,
            "The security key is no longer there; bring it near again."},
    Meaning{"org.bluez.Error.DoesNotExist", "", ErrorCode::kUnavailable,
            "The security key is no longer there; bring it near again."},
    Meaning{"org.bluez.Error.NotReady", "", ErrorCode::kUnavailable,
            "The Bluetooth adapter is off; turn it on with: bluetoothctl power on"},
    Meaning{"org.bluez.Error.Failed", "rfkill", ErrorCode::kUnavailable,
            "Bluetooth is blocked; release it with: rfkill unblock bluetooth"},
    Meaning{"org.bluez.Error.NotConnected", "", ErrorCode::kUnavailable,
            "The security key is no longer connected; bring it near again."},
    Meaning{"org.bluez.Error.Failed", "Not connected", ErrorCode::kUnavailable,
            "The security key is no longer connected; bring it near again."},
    Meaning{"org.bluez.Error.NotPermitted", "acquired", ErrorCode::kConflict,
            "Another program has the security key's Bluetooth connection; stop it."},
    Meaning{"org.bluez.Error.InProgress", "", ErrorCode::kConflict,
            "Another program is using Bluetooth for the same; wait until it has finished."},
    Meaning{"org.bluez.Error.NotAuthorized", "", ErrorCode::kPermissionDenied,
            "The security key refuses this computer; forget it and pair it again: keyferry "
            "bluetooth forget, keyferry bluetooth pair"},
    Meaning{"org.bluez.Error.NotSupported", "", ErrorCode::kUnsupported,
            "The device does not offer what a security key must."},
    Meaning{"org.bluez.Error.AlreadyExists", "", ErrorCode::kConflict,
            "The security key is paired already."},
    Meaning{"org.bluez.Error.AuthenticationCanceled", "", ErrorCode::kPermissionDenied,
            "The pairing was cancelled."},
    Meaning{"org.bluez.Error.AuthenticationRejected", "", ErrorCode::kPermissionDenied,
            "The pairing was refused."},
    Meaning{"org.bluez.Error.AuthenticationTimeout", "", ErrorCode::kDeadline,
            "The pairing took too long; begin again."},
    Meaning{"org.bluez.Error.Authentication", "", ErrorCode::kPermissionDenied,
            "The pairing failed; forget this computer on the key and begin again."},
    Meaning{"org.bluez.Error.ConnectionAttemptFailed", "", ErrorCode::kUnavailable,
            "The security key does not answer; bring it nearer and try again."},
    Meaning{"org.bluez.Error.", "", ErrorCode::kUnavailable,
            "The Bluetooth service could not do it; try again."},
};

}  // namespace

Error FromBusError(const sdbus::Error& error) {
  const std::string& name = error.getName();
  const std::string& text = error.getMessage();
  const std::string detail = PrintableName(name, 128) + ": " + PrintableName(text, 256);
  for (const Meaning& meaning : kMeanings) {
    if (name.rfind(meaning.name, 0) == 0 && text.find(meaning.text) != std::string::npos) {
      return {meaning.code, meaning.message, detail, 0};
    }
  }
  return {ErrorCode::kUnavailable, "D-Bus answered with an error; is the system bus running?",
          detail, 0};
}

std::string PrintableName(std::string_view text, std::size_t limit) {
  std::string out;
  for (const char c : text.substr(0, limit)) {
    const auto byte = static_cast<unsigned char>(c);
    out += byte < 0x20 || byte == 0x7F ? '?' : c;
  }
  return out;
}

}  // namespace keyferry::device

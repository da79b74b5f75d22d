#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "protocol/result.h"

// keyferry doctor: what keeps this workstation from working, and the cure.
namespace keyferry::daemon::cli {

struct Finding {
  enum Status { kGood = 0, kWarning = 1, kError = 2 } status = kGood;
  std::string what;
  std::string cause;  // empty when good
  std::string cure;   // empty when good
};

// A file or folder as it is.
struct FileFacts {
  std::string path;
  bool looked = true;  // false: this user may not look
  bool exists = false;
  bool kind_right = false;  // a socket, a folder, a file, as it should be
  unsigned mode = 0;        // permission bits
  std::string owner;
};

// One line of /etc/pam.d that names pam_keyferry.so in `auth`.
struct PamLine {
  std::string file;
  std::string control;            // "sufficient", "[success=1 default=die]" …
  bool other_way_behind = false;  // a later `auth` line of the file names another module
};

// The lines of `text`, the content of `file`, that name the module.
std::vector<PamLine> ReadPam(const std::string& file, std::string_view text);

// Which device nodes systemd lets keyferryd open, drop-ins included.
struct UnitDevices {
  bool looked = false;  // false: no systemd, no such unit, or it does not say
  std::string policy;   // DevicePolicy: "auto", "closed", "strict"
  bool private_devices = false;
  std::vector<std::pair<std::string, std::string>> allow;  // DeviceAllow: node or group, "rwm"
};

// What was found around us; Diagnose judges it.
struct DoctorFacts {
  std::string version;  // of this program
  std::int64_t now = 0;
  std::string config_path;
  std::optional<std::string> config_error;  // why keyferryd.toml cannot be used
  bool config_hidden = false;               // this user may not read it; nothing of it was checked

  std::string unit_state;             // of keyferryd.service: "active" …; empty: no systemd
  std::string agent_unit_state;       // of keyferry-agent.service
  std::optional<std::string> answer;  // the daemon's to `status`
  std::string daemon_error;           // why there is none
  FileFacts socket, socket_folder;    // of the daemon
  FileFacts agent_socket;             // kind_right: it answers
  FileFacts state_folder;             // of the daemon; not looked at without its configuration
  std::string daemon_user;            // who runs keyferryd, "" = not running

  bool server_asked = false;
  std::optional<Error> server_error;
  std::int64_t server_date = 0;  // 0: not told

  UnitDevices unit_devices;
  bool usb = true;
  bool usb_raw = true;                // by hidraw, else by libusb
  std::vector<Finding> usb_findings;  // as they are; empty: all is well

  bool bluetooth = false;
  FileFacts bus_policy;  // that lets keyferryd talk to BlueZ

  FileFacts pam_module;
  std::vector<PamLine> pam_lines;
};

// Looks around: reads files, asks daemon, server and systemd; changes nothing. At most some seconds
// each. `root` stands before /etc and /usr (tests).
struct DoctorPlaces {
  std::string config = "/etc/keyferry/keyferryd.toml";
  std::string socket = "/run/keyferry/daemon.sock";
  std::string agent_socket = "/run/keyferry-agent/agent.sock";
  std::string root;
};
DoctorFacts LookAround(const DoctorPlaces& places, const std::string& version);

// In the order in which they should be cured.
std::vector<Finding> Diagnose(const DoctorFacts& facts);

// The worst status: the exit code.
int ExitCode(const std::vector<Finding>& findings);
std::string DoctorText(const std::vector<Finding>& findings);
// {"status":0…2,"findings":[{"status":"good"|"warning"|"error","what","cause","cure"}]}
std::string DoctorJson(const std::vector<Finding>& findings);

}  // namespace keyferry::daemon::cli

#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "device/hid/hid_match.h"
#include "protocol/result.h"

namespace keyferry::daemon {

// [keys]: the ways on which keys are looked for.
struct KeyWays {
  enum Usb { kHidraw, kLibusb, kOff } usb = kHidraw;
  device::HidMatch usb_ids;
  bool bluetooth = true;
  std::vector<std::string> sockets;  // of simulated keys
};

// /etc/keyferry/keyferryd.toml; every key is described in docs/workstation.md.
struct Config {
  std::string server_url;          // https://host[:port], required
  std::string server_ca;           // PEM file, required
  std::string state_dir;           // required
  std::string socket;              // required
  std::vector<uid_t> allow_users;  // who may ask for `agent` and `relay`, besides root
  bool allow_seat = false;         // `relay` also for the user at the active seat
  KeyWays keys;
  std::string name;                // shown to the administrator; default: the host name
  std::string log_level = "info";  // trace, debug, info, warn, error
  std::string log_file;            // empty: standard error
  // The domain that this computer is joined to and its account there; both empty = found out.
  std::string domain, computer;
  int agent_wait =
      10;  // seconds that the first registration waits for the login agent's key, 0…600
};

// Reads and checks the file. Unknown keys, wrong types, bad values, and files that other users may
// write are refused: the message names file, line and remedy.
Result<Config> LoadConfig(const std::string& path);

}  // namespace keyferry::daemon

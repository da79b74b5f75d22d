#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "client-daemon/app/config.h"
#include "client-daemon/core/local_api.h"
#include "device/ble/ble_host.h"
#include "device/discovery/discovery.h"
#include "device/key_port.h"
#include "protocol/result.h"

namespace keyferry::daemon {

// The ways of the configuration on which keys are found and opened. One that does not work is
// logged once, with cause and cure, and reported; it stops no other. Thread-safe; outlives what it
// made.
class Transports {
 public:
  explicit Transports(KeyWays ways);
  ~Transports();

  std::unique_ptr<device::Discovery> Watch();
  Result<std::shared_ptr<device::KeyPort>> Open(const device::KeyPlace& place,
                                                device::OnGone on_gone);
  std::vector<TransportReport> Report() const;

 private:
  void Broken(const std::string& name, const Error& why);

  const KeyWays ways_;
  std::unique_ptr<device::BleHost> ble_;  // null: off
  mutable std::mutex mutex_;
  std::map<std::string, std::string> trouble_;  // by name
};

}  // namespace keyferry::daemon

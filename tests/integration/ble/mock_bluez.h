#pragma once

#include <sys/types.h>

#include <condition_variable>
#include <cstdio>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "device/ble/ble_host.h"
#include "tests/unit/device/ble_face.h"
#include "tests/unit/device/fake_key.h"

namespace keyferry::test {

inline constexpr std::chrono::seconds kPatience{60};

// The first five bytes of the mock's keys: of this process alone, as claims on keys hold for the
// whole machine and several of these tests may run.
std::string AddressPrefix();

// A private bus with BlueZ's mock on it (bluez_mock.py), and the sockets at which the descriptors
// of AcquireWrite and AcquireNotify end.
class MockBluez {
 public:
  MockBluez();
  ~MockBluez();

  const std::string& address() const { return address_; }
  // Runs a Python statement in the mock; fails the test when it raises.
  void Do(const std::string& statement);
  // What the mock read as INFO, from now on.
  void ServeInfo(const FakeKey& key, std::size_t max_fragment);
  // The key's ends of the next connection, with `key` behind them.
  std::unique_ptr<BlePump> Accept(FakeKey& key, std::size_t max_fragment);

 private:
  std::string ReadLine();

  std::string folder_;
  std::string address_;
  pid_t bus_ = -1;
  pid_t mock_ = -1;
  int to_mock_ = -1;
  int from_mock_ = -1;
  int write_listener_ = -1;
  int notify_listener_ = -1;
};

// A BleHost with its events and notes to wait for.
class HostLog {
 public:
  explicit HostLog(const std::string& address, device::BleKeeping keeping = {});
  ~HostLog();

  device::BleHost& host() { return *host_; }
  std::string Appeared() { return Expect(device::DiscoveryEvent::kAppeared); }
  std::string Vanished() { return Expect(device::DiscoveryEvent::kVanished); }
  // Waits for a note that holds `words`, and forgets it and those before.
  std::string Note(const std::string& words);
  std::size_t Waiting();
  // How many notes wait that hold `words`.
  std::size_t Told(const std::string& words);

 private:
  std::string Expect(device::DiscoveryEvent::Kind kind);

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<device::DiscoveryEvent> events_;
  std::deque<std::string> notes_;
  std::unique_ptr<device::BleHost> host_;
  std::unique_ptr<device::Discovery> discovery_;
  std::thread thread_;
};

}  // namespace keyferry::test

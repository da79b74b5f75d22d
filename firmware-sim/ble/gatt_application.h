#pragma once

#include <sdbus-c++/sdbus-c++.h>

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "protocol/bytes.h"

namespace keyferry::sim {

inline constexpr char kKeyService[] = "b7e90001-4c1d-4f0a-9a3e-5d2c8f61a7b4";

// What bluetoothd says about whoever is at the other end of a GATT operation.
struct Central {
  std::string device;     // its D-Bus object; "" when bluetoothd did not say
  std::uint16_t mtu = 0;  // ATT MTU; 0 when bluetoothd did not say
};

// The key's GATT service (section 6) as D-Bus objects of one connection, in the form that
// org.bluez.GattManager1 registers, and its advertisement. All handlers run where the connection is
// processed. They refuse by throwing sdbus::Error with a name of org.bluez.Error.
class GattApplication {
 public:
  static constexpr char kPath[] = "/org/keyferry/key";
  static constexpr char kAdvertisementPath[] = "/org/keyferry/advertisement";

  struct Handlers {
    // A fragment that came as a D-Bus call.
    std::function<void(const Central&, protocol::ByteView)> write;
    // bluetoothd wants a socket (SOCK_SEQPACKET) that carries one fragment a packet; the returned
    // descriptor becomes bluetoothd's.
    std::function<int(const Central&)> acquire_write;
    std::function<int(const Central&)> acquire_notify;
    // What the third characteristic reads as.
    std::function<std::vector<std::uint8_t>(const Central&)> read;
    std::function<void()> advertisement_released;
  };

  GattApplication(sdbus::IConnection& bus, std::string name, Handlers handlers);

  // A notification through D-Bus, for when bluetoothd holds no socket.
  void Notify(protocol::ByteView value);

 private:
  using Options = std::map<std::string, sdbus::Variant>;

  void AddService();
  void AddWrite();
  void AddNotify();
  void AddRead();
  void AddAdvertisement(const std::string& name);
  sdbus::IObject& AddCharacteristic(const char* name, const char* uuid,
                                    std::vector<std::string> flags);

  sdbus::IConnection& bus_;
  const Handlers handlers_;
  std::vector<std::uint8_t> value_;  // of the last notification
  std::vector<std::unique_ptr<sdbus::IObject>> objects_;
  sdbus::IObject* notify_ = nullptr;
};

}  // namespace keyferry::sim

#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace keyferry::device {

inline constexpr std::string_view kKeyService = "b7e90001-4c1d-4f0a-9a3e-5d2c8f61a7b4";
inline constexpr std::string_view kKeyWrite = "b7e90002-4c1d-4f0a-9a3e-5d2c8f61a7b4";
inline constexpr std::string_view kKeyNotify = "b7e90003-4c1d-4f0a-9a3e-5d2c8f61a7b4";
inline constexpr std::string_view kKeyInfo = "b7e90004-4c1d-4f0a-9a3e-5d2c8f61a7b4";

// A property as D-Bus gave it. monostate: of a type, or a length, that nothing we read has.
using BusValue =
    std::variant<std::monostate, bool, std::int16_t, std::string, std::vector<std::string>>;
using BusProperties = std::map<std::string, BusValue>;
using BusInterfaces = std::map<std::string, BusProperties>;

struct BleAdapter {
  bool powered = false;
};

struct BleDevice {
  std::string adapter;  // object path
  std::string address;  // XX:XX:XX:XX:XX:XX
  std::string name;     // printable, may be empty; whatever the device calls itself
  bool paired = false;
  std::optional<bool> keeps_keys;  // Bonded, which BlueZ before 5.65 does not tell
  bool connected = false;
  bool resolved = false;             // its services are known
  bool is_key = false;               // it says that it has the key service
  std::optional<std::int16_t> rssi;  // dBm, while it is being discovered

  bool bonded() const { return keeps_keys.value_or(paired); }
};

// The characteristics of the key service of one device, by object path.
struct BleEndpoint {
  std::string write;
  std::string notify;
  std::string info;
};

// What bluetoothd has told of its objects, as types. Nothing of it is believed before it was
// checked: an object whose properties have the wrong type, are missing or do not fit to its path is
// refused (it does not exist here until it is told anew) and `note` gets a line that names it.
// Bounded: kMaxObjects, and text by kMaxText. Not thread-safe.
class BluezObjects {
 public:
  static constexpr std::size_t kMaxObjects = 1024;  // of each kind
  static constexpr std::size_t kMaxText = 512;      // bytes

  using Note = std::function<void(const std::string& line)>;
  explicit BluezObjects(Note note) : note_(std::move(note)) {}

  void Clear();
  void Added(const std::string& path, const BusInterfaces& interfaces);
  void Removed(const std::string& path, const std::vector<std::string>& interfaces);
  void Changed(const std::string& path, const std::string& interface,
               const BusProperties& properties, const std::vector<std::string>& invalidated);
  // The object said something that cannot be read at all.
  void Refuse(const std::string& path, const std::string& why);

  const std::map<std::string, BleAdapter>& adapters() const { return adapters_; }
  const std::map<std::string, BleDevice>& devices() const { return devices_; }
  // True when the device is a key that can be talked to now: bonded, connected, its adapter on, and
  // Endpoint has one.
  bool IsPresent(const std::string& device) const;
  // Nothing as long as one is missing; nothing, with a note, when there are several key services.
  std::optional<BleEndpoint> Endpoint(const std::string& device) const;

 private:
  struct Characteristic {
    std::string service;
    std::string uuid;
  };

  bool Take(const std::string& path, const std::string& interface, BusProperties properties,
            bool known);
  bool TakeAdapter(const std::string& path, const BusProperties& properties);
  bool TakeDevice(const std::string& path, const BusProperties& properties, BleDevice device);
  bool TakeService(const std::string& path, const BusProperties& properties);
  bool TakeCharacteristic(const std::string& path, const BusProperties& properties);
  void Forget(const std::string& path, const std::string& interface);
  bool Refused(const std::string& path, const char* why);

  const Note note_;
  std::map<std::string, BleAdapter> adapters_;
  std::map<std::string, BleDevice> devices_;
  std::map<std::string, std::string> services_;            // key services only: path → device
  std::map<std::string, Characteristic> characteristics_;  // of a key's UUIDs only
  std::set<std::string> told_;                             // lines that were noted
};

}  // namespace keyferry::device

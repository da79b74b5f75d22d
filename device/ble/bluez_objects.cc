#include "device/ble/bluez_objects.h"

#include <algorithm>
#include <utility>

#include "device/ble/bluez_names.h"
#include "device/ble/bus_errors.h"

namespace keyferry::device {
namespace {

constexpr std::size_t kMaxPath = 128;
constexpr std::size_t kMaxTold = 256;

std::string Parent(const std::string& path) { return path.substr(0, path.rfind('/')); }

bool IsPath(const std::string& path) {
  return path.size() <= kMaxPath && path.rfind("/org/bluez/", 0) == 0 &&
         std::all_of(path.begin(), path.end(), [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                  c == '_' || c == '/';
         });
}

bool IsAddress(const std::string& text) {
  if (text.size() != 17) return false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    const bool hex = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'F') || (c >= 'a' && c <= 'f');
    if (i % 3 == 2 ? c != ':' : !hex) return false;
  }
  return true;
}

template <typename T>
const T* Get(const BusProperties& properties, const char* name) {
  const auto at = properties.find(name);
  return at == properties.end() ? nullptr : std::get_if<T>(&at->second);
}

// Reads a property that may be absent into `out`; false when it is there with another type.
template <typename T>
bool Update(const BusProperties& properties, const char* name, T& out) {
  const auto at = properties.find(name);
  if (at == properties.end()) return true;
  const T* value = std::get_if<T>(&at->second);
  if (value != nullptr) out = *value;
  return value != nullptr;
}

bool Has(const BusProperties& properties, const char* name) { return properties.count(name) != 0; }

}  // namespace

void BluezObjects::Clear() {
  adapters_.clear();
  devices_.clear();
  services_.clear();
  characteristics_.clear();
  told_.clear();
}

void BluezObjects::Refuse(const std::string& path, const std::string& why) {
  const std::string line =
      "Bluetooth object " + PrintableName(path, kMaxPath) + " is refused: " + why;
  if (told_.size() < kMaxTold && told_.insert(line).second && note_) note_(line);
  for (const char* interface : {kBluezAdapter, kBluezDevice, kBluezService, kBluezCharacteristic}) {
    Forget(path, interface);
  }
}

bool BluezObjects::Refused(const std::string& path, const char* why) {
  Refuse(path, why);
  return false;
}

void BluezObjects::Forget(const std::string& path, const std::string& interface) {
  if (interface == kBluezAdapter) adapters_.erase(path);
  if (interface == kBluezDevice) devices_.erase(path);
  if (interface == kBluezService) services_.erase(path);
  if (interface == kBluezCharacteristic) characteristics_.erase(path);
}

void BluezObjects::Added(const std::string& path, const BusInterfaces& interfaces) {
  for (const char* interface : {kBluezAdapter, kBluezDevice, kBluezService, kBluezCharacteristic}) {
    const auto at = interfaces.find(interface);
    if (at != interfaces.end()) Take(path, interface, at->second, false);
  }
}

void BluezObjects::Removed(const std::string& path, const std::vector<std::string>& interfaces) {
  for (const std::string& interface : interfaces) Forget(path, interface);
}

void BluezObjects::Changed(const std::string& path, const std::string& interface,
                           const BusProperties& properties,
                           const std::vector<std::string>& invalidated) {
  // UUID and parents of GATT objects never change.
  if ((interface == kBluezAdapter && adapters_.count(path) != 0) ||
      (interface == kBluezDevice && devices_.count(path) != 0)) {
    if (!Take(path, interface, properties, true) || interface != kBluezDevice) return;
    // Of those that we read only this one ever goes.
    if (std::find(invalidated.begin(), invalidated.end(), "RSSI") != invalidated.end()) {
      devices_.at(path).rssi.reset();
    }
  }
}

bool BluezObjects::Take(const std::string& path, const std::string& interface,
                        BusProperties properties, bool known) {
  if (!IsPath(path)) return Refused(path, "no path that BlueZ has");
  if (interface == kBluezAdapter) {
    if (!known && !Has(properties, "Powered")) return Refused(path, "Powered is missing");
    return TakeAdapter(path, properties);
  }
  if (interface == kBluezDevice) {
    for (const char* name : {"Adapter", "Paired", "Connected", "ServicesResolved"}) {
      if (!known && !Has(properties, name)) {
        return Refused(path, "Adapter, Paired, Connected or ServicesResolved is missing");
      }
    }
    return TakeDevice(path, properties, known ? devices_.at(path) : BleDevice{});
  }
  if (interface == kBluezService) return TakeService(path, properties);
  return TakeCharacteristic(path, properties);
}

bool BluezObjects::TakeAdapter(const std::string& path, const BusProperties& properties) {
  BleAdapter adapter;
  if (const auto at = adapters_.find(path); at != adapters_.end()) adapter = at->second;
  if (!Update(properties, "Powered", adapter.powered))
    return Refused(path, "Powered is no boolean");
  if (adapters_.count(path) == 0 && adapters_.size() >= kMaxObjects) {
    return Refused(path, "too many adapters");
  }
  adapters_[path] = adapter;
  return true;
}

bool BluezObjects::TakeDevice(const std::string& path, const BusProperties& properties,
                              BleDevice device) {
  if (!Update(properties, "Adapter", device.adapter) || device.adapter != Parent(path)) {
    return Refused(path, "Adapter is not its parent");
  }
  if (!Update(properties, "Paired", device.paired)) return Refused(path, "Paired is no boolean");
  if (Has(properties, "Bonded")) {
    bool bonded = false;
    if (!Update(properties, "Bonded", bonded)) return Refused(path, "Bonded is no boolean");
    device.keeps_keys = bonded;
  }
  if (!Update(properties, "Connected", device.connected)) {
    return Refused(path, "Connected is no boolean");
  }
  if (!Update(properties, "ServicesResolved", device.resolved)) {
    return Refused(path, "ServicesResolved is no boolean");
  }
  if (!Update(properties, "Address", device.address) ||
      (!device.address.empty() && !IsAddress(device.address))) {
    return Refused(path, "Address is no Bluetooth address");
  }
  std::string name;
  if (!Update(properties, "Alias", name)) return Refused(path, "Alias is no text");
  if (!name.empty()) device.name = PrintableName(name);
  std::vector<std::string> uuids;
  if (!Update(properties, "UUIDs", uuids)) return Refused(path, "UUIDs is no list of texts");
  if (Has(properties, "UUIDs")) {
    device.is_key = std::find(uuids.begin(), uuids.end(), kKeyService) != uuids.end();
  }
  if (Has(properties, "RSSI")) {
    std::int16_t rssi = 0;
    if (!Update(properties, "RSSI", rssi)) return Refused(path, "RSSI is no number");
    device.rssi = rssi;
  }
  if (devices_.count(path) == 0 && devices_.size() >= kMaxObjects) {
    return Refused(path, "too many devices");
  }
  devices_[path] = std::move(device);
  return true;
}

bool BluezObjects::TakeService(const std::string& path, const BusProperties& properties) {
  const auto* uuid = Get<std::string>(properties, "UUID");
  const auto* device = Get<std::string>(properties, "Device");
  if (uuid == nullptr) return Refused(path, "UUID is no text");
  if (*uuid != kKeyService) return true;
  if (device == nullptr || *device != Parent(path))
    return Refused(path, "Device is not its parent");
  if (services_.size() >= kMaxObjects) return Refused(path, "too many services");
  services_[path] = *device;
  return true;
}

bool BluezObjects::TakeCharacteristic(const std::string& path, const BusProperties& properties) {
  const auto* uuid = Get<std::string>(properties, "UUID");
  const auto* service = Get<std::string>(properties, "Service");
  const auto* flags = Get<std::vector<std::string>>(properties, "Flags");
  if (uuid == nullptr) return Refused(path, "UUID is no text");
  if (*uuid != kKeyWrite && *uuid != kKeyNotify && *uuid != kKeyInfo) return true;
  if (service == nullptr || *service != Parent(path)) {
    return Refused(path, "Service is not its parent");
  }
  if (flags == nullptr) return Refused(path, "Flags is no list of texts");
  const char* needed = *uuid == kKeyWrite    ? "write-without-response"
                       : *uuid == kKeyNotify ? "notify"
                                             : "read";
  if (std::find(flags->begin(), flags->end(), needed) == flags->end()) {
    return Refused(path, (std::string("a key's characteristic without ") + needed).c_str());
  }
  if (characteristics_.size() >= kMaxObjects) return Refused(path, "too many characteristics");
  characteristics_[path] = {*service, *uuid};
  return true;
}

std::optional<BleEndpoint> BluezObjects::Endpoint(const std::string& device) const {
  std::string service;
  for (const auto& [path, owner] : services_) {
    if (owner != device) continue;
    if (!service.empty()) return std::nullopt;
    service = path;
  }
  if (service.empty()) return std::nullopt;
  BleEndpoint out;
  for (const auto& [path, characteristic] : characteristics_) {
    if (characteristic.service != service) continue;
    std::string& place = characteristic.uuid == kKeyWrite    ? out.write
                         : characteristic.uuid == kKeyNotify ? out.notify
                                                             : out.info;
    if (!place.empty()) return std::nullopt;
    place = path;
  }
  if (out.write.empty() || out.notify.empty() || out.info.empty()) return std::nullopt;
  return out;
}

bool BluezObjects::IsPresent(const std::string& device) const {
  const auto at = devices_.find(device);
  if (at == devices_.end() || !at->second.bonded() || !at->second.connected ||
      !at->second.resolved) {
    return false;
  }
  const auto adapter = adapters_.find(at->second.adapter);
  return adapter != adapters_.end() && adapter->second.powered && Endpoint(device).has_value();
}

}  // namespace keyferry::device

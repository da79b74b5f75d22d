#include "device/ble/bluez_objects.h"

#include <unistd.h>

#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>

#include "device/ble/bluetooth_state.h"

using namespace keyferry;
using device::BluezObjects;
using device::BusInterfaces;
using device::BusProperties;

namespace {

const std::string kHci = "/org/bluez/hci0";
const std::string kKey = kHci + "/dev_AA_BB_CC_DD_EE_01";
const std::string kService = kKey + "/service0010";
using Texts = std::vector<std::string>;

struct ObjectsRig {
  std::vector<std::string> notes;
  BluezObjects objects{[this](const std::string& line) { notes.push_back(line); }};

  BusProperties Device() const {
    return {{"Adapter", kHci},
            {"Address", std::string("AA:BB:CC:DD:EE:01")},
            {"Alias", std::string("Key")},
            {"Paired", true},
            {"Connected", true},
            {"ServicesResolved", true},
            {"UUIDs", Texts{std::string(device::kKeyService)}}};
  }
  void Adapter() { objects.Added(kHci, {{"org.bluez.Adapter1", {{"Powered", true}}}}); }
  void Key() { objects.Added(kKey, {{"org.bluez.Device1", Device()}}); }
  void Key(const char* name, device::BusValue value) {
    auto properties = Device();
    properties[name] = std::move(value);
    objects.Added(kKey, {{"org.bluez.Device1", properties}});
  }
  void Service(const std::string& path) {
    objects.Added(path, {{"org.bluez.GattService1",
                          {{"UUID", std::string(device::kKeyService)}, {"Device", kKey}}}});
  }
  void Characteristic(const std::string& service, const char* name, std::string_view uuid,
                      const char* flag) {
    objects.Added(service + "/" + name,
                  {{"org.bluez.GattCharacteristic1",
                    {{"UUID", std::string(uuid)}, {"Service", service}, {"Flags", Texts{flag}}}}});
  }
  void Gatt(const std::string& service = kService) {
    Service(service);
    Characteristic(service, "char0011", device::kKeyWrite, "write-without-response");
    Characteristic(service, "char0014", device::kKeyNotify, "notify");
    Characteristic(service, "char0017", device::kKeyInfo, "read");
  }
  void Change(BusProperties properties) {
    objects.Changed(kKey, "org.bluez.Device1", properties, {});
  }
};

}  // namespace

TEST_CASE("a key is present when everything about it is", "[ble]") {
  ObjectsRig rig;
  rig.Adapter();
  rig.Key();
  CHECK_FALSE(rig.objects.IsPresent(kKey));
  rig.Gatt();
  CHECK(rig.objects.IsPresent(kKey));
  CHECK(rig.objects.Endpoint(kKey)->notify == kService + "/char0014");
  for (const char* name : {"Paired", "Connected", "ServicesResolved"}) {
    rig.Change({{name, false}});
    CHECK_FALSE(rig.objects.IsPresent(kKey));
    rig.Change({{name, true}});
    CHECK(rig.objects.IsPresent(kKey));
  }
  rig.objects.Changed(kHci, "org.bluez.Adapter1", {{"Powered", false}}, {});
  CHECK_FALSE(rig.objects.IsPresent(kKey));
  CHECK(rig.notes.empty());
}

TEST_CASE("paired without a bond is no key", "[ble]") {
  ObjectsRig rig;
  rig.Adapter();
  rig.Gatt();
  rig.Key("Bonded", false);
  CHECK_FALSE(rig.objects.IsPresent(kKey));
  rig.Change({{"Bonded", true}});
  CHECK(rig.objects.IsPresent(kKey));
}

TEST_CASE("what has the wrong type or does not fit is refused by name", "[ble]") {
  const std::vector<std::pair<const char*, device::BusValue>> wrong{
      {"Paired", std::string("yes")},
      {"Connected", std::monostate{}},
      {"ServicesResolved", std::int16_t{1}},
      {"Bonded", std::string("true")},
      {"Adapter", std::string("/org/bluez/hci7")},
      {"Adapter", true},
      {"Address", std::string("AA:BB:CC:DD:EE")},
      {"Address", std::string("AA-BB-CC-DD-EE-01")},
      {"Alias", std::monostate{}},
      {"UUIDs", std::string("b7e90001")},
      {"RSSI", true},
  };
  for (const auto& [name, value] : wrong) {
    CAPTURE(name);
    ObjectsRig rig;
    rig.Adapter();
    rig.Gatt();
    rig.Key(name, value);
    CHECK_FALSE(rig.objects.IsPresent(kKey));
    REQUIRE(rig.notes.size() == 1);
    CHECK(rig.notes[0].find(kKey) != std::string::npos);
    // As a change, and good again when BlueZ tells it anew.
    rig.Key();
    CHECK(rig.objects.IsPresent(kKey));
    rig.Change({{name, value}});
    CHECK_FALSE(rig.objects.IsPresent(kKey));
    rig.Change({{"Connected", true}});
    CHECK_FALSE(rig.objects.IsPresent(kKey));
    CHECK(rig.notes.size() == 1);  // the same line is not written twice
  }
}

TEST_CASE("missing properties and impossible paths are refused", "[ble]") {
  ObjectsRig rig;
  for (const char* name : {"Adapter", "Paired", "Connected", "ServicesResolved"}) {
    auto properties = rig.Device();
    properties.erase(name);
    rig.objects.Added(kKey, {{"org.bluez.Device1", properties}});
    CHECK(rig.objects.devices().empty());
  }
  const std::string evil = "/org/bluez/hci0/\x1b[2J\n" + std::string(5000, 'x');
  rig.objects.Added(evil, {{"org.bluez.Device1", rig.Device()}});
  rig.objects.Added("/elsewhere/dev", {{"org.bluez.Device1", rig.Device()}});
  CHECK(rig.objects.devices().empty());
  for (const std::string& note : rig.notes) {
    CHECK(note.size() < 300);
    CHECK(note.find('\n') == std::string::npos);
    CHECK(note.find('\x1b') == std::string::npos);
  }
}

TEST_CASE("a device's name is made printable", "[ble]") {
  ObjectsRig rig;
  rig.Key("Alias", "a\nb\x1b[31m" + std::string(200, 'c'));
  const std::string name = rig.objects.devices().at(kKey).name;
  CHECK(name.size() == 64);
  CHECK(name.substr(0, 9) == "a?b?[31mc");
}

TEST_CASE("two key services, or a characteristic that cannot do its part, are no endpoint",
          "[ble]") {
  ObjectsRig rig;
  rig.Adapter();
  rig.Key();
  rig.Gatt();
  rig.Gatt(kKey + "/service0020");
  CHECK_FALSE(rig.objects.IsPresent(kKey));
  rig.objects.Removed(kKey + "/service0020", {"org.bluez.GattService1"});
  CHECK(rig.objects.IsPresent(kKey));
  rig.Characteristic(kService, "char0030", device::kKeyWrite, "write-without-response");
  CHECK_FALSE(rig.objects.IsPresent(kKey));
  ObjectsRig weak;
  weak.Characteristic(kService, "char0011", device::kKeyWrite, "write");
  REQUIRE(weak.notes.size() == 1);
}

TEST_CASE("objects without end are bounded", "[ble]") {
  ObjectsRig rig;
  for (std::size_t i = 0; i < 3 * BluezObjects::kMaxObjects; ++i) {
    rig.objects.Added(kHci + "/dev_" + std::to_string(i), {{"org.bluez.Device1", rig.Device()}});
  }
  CHECK(rig.objects.devices().size() == BluezObjects::kMaxObjects);
  CHECK(rig.notes.size() <= 256);
}

TEST_CASE("RSSI goes when BlueZ takes it back", "[ble]") {
  ObjectsRig rig;
  rig.Key("RSSI", std::int16_t{-60});
  CHECK(rig.objects.devices().at(kKey).rssi == -60);
  rig.objects.Changed(kKey, "org.bluez.Device1", {}, {"RSSI"});
  CHECK_FALSE(rig.objects.devices().at(kKey).rssi);
}

TEST_CASE("what keeps Bluetooth from working is named with its cure", "[ble]") {
  namespace fs = std::filesystem;
  const fs::path rfkill =
      fs::temp_directory_path() / ("keyferry-rfkill-" + std::to_string(getpid()));
  fs::create_directories(rfkill / "rfkill0");
  const auto set = [&](const char* type, const char* soft, const char* hard) {
    std::ofstream(rfkill / "rfkill0" / "type") << type << "\n";
    std::ofstream(rfkill / "rfkill0" / "soft") << soft << "\n";
    std::ofstream(rfkill / "rfkill0" / "hard") << hard << "\n";
  };
  const auto says = [&](const BluezObjects& objects, const char* words) {
    const auto state = device::BluetoothState({}, objects, rfkill);
    return !state && state.error().message.find(words) != std::string::npos;
  };
  ObjectsRig rig;
  set("wlan", "1", "1");
  CHECK(says(rig.objects, "no Bluetooth adapter"));
  rig.objects.Added(kHci, {{"org.bluez.Adapter1", {{"Powered", false}}}});
  CHECK(says(rig.objects, "bluetoothctl power on"));
  set("bluetooth", "1", "0");
  CHECK(says(rig.objects, "rfkill unblock"));
  set("bluetooth", "1", "1");
  CHECK(says(rig.objects, "switch"));
  rig.Adapter();
  CHECK(device::BluetoothState({}, rig.objects, rfkill));
  CHECK_FALSE(device::BluetoothState(Fail(ErrorCode::kUnavailable, "gone"), rig.objects, rfkill));
  fs::remove_all(rfkill);
}

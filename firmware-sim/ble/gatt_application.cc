#include "firmware-sim/ble/gatt_application.h"

#include <utility>

namespace keyferry::sim {
namespace {

constexpr char kServiceInterface[] = "org.bluez.GattService1";
constexpr char kCharacteristicInterface[] = "org.bluez.GattCharacteristic1";
constexpr char kAdvertisementInterface[] = "org.bluez.LEAdvertisement1";
constexpr char kServicePath[] = "/org/keyferry/key/service";
// Where the service begins in bluetoothd's table, always: a key's handles do not move while its
// firmware is the same, and centrals that are paired remember them.
constexpr std::uint16_t kServiceHandle = 0x0100;

template <typename T>
T Option(const std::map<std::string, sdbus::Variant>& options, const char* name) {
  const auto found = options.find(name);
  if (found == options.end() || !found->second.containsValueOfType<T>()) return {};
  return found->second.get<T>();
}

Central CentralOf(const std::map<std::string, sdbus::Variant>& options) {
  return {Option<sdbus::ObjectPath>(options, "device"), Option<std::uint16_t>(options, "mtu")};
}

template <typename T>
void Constant(sdbus::IObject& object, const char* interface, const char* name, T value) {
  object.registerProperty(name)
      .onInterface(interface)
      .withGetter([value = std::move(value)] { return value; })
      .withUpdateBehavior(sdbus::Flags::CONST_PROPERTY_VALUE);
}

}  // namespace

GattApplication::GattApplication(sdbus::IConnection& bus, std::string name, Handlers handlers)
    : bus_(bus), handlers_(std::move(handlers)) {
  objects_.push_back(sdbus::createObject(bus_, kPath));
  objects_.back()->addObjectManager();
  AddService();
  AddWrite();
  AddNotify();
  AddRead();
  AddAdvertisement(name);
}

void GattApplication::AddService() {
  auto object = sdbus::createObject(bus_, kServicePath);
  Constant(*object, kServiceInterface, "UUID", std::string(kKeyService));
  Constant(*object, kServiceInterface, "Primary", true);
  Constant(*object, kServiceInterface, "Handle", kServiceHandle);
  object->finishRegistration();
  objects_.push_back(std::move(object));
}

sdbus::IObject& GattApplication::AddCharacteristic(const char* name, const char* uuid,
                                                   std::vector<std::string> flags) {
  objects_.push_back(sdbus::createObject(bus_, std::string(kServicePath) + "/" + name));
  sdbus::IObject& object = *objects_.back();
  Constant(object, kCharacteristicInterface, "UUID", std::string(uuid));
  Constant(object, kCharacteristicInterface, "Service", sdbus::ObjectPath(kServicePath));
  Constant(object, kCharacteristicInterface, "Flags", std::move(flags));
  return object;
}

void GattApplication::AddWrite() {
  sdbus::IObject& object = AddCharacteristic("write", "b7e90002-4c1d-4f0a-9a3e-5d2c8f61a7b4",
                                             {"write", "write-without-response", "encrypt-write"});
  object.registerMethod("WriteValue")
      .onInterface(kCharacteristicInterface)
      .implementedAs([this](const std::vector<std::uint8_t>& value, const Options& options) {
        handlers_.write(CentralOf(options), value);
      });
  object.registerMethod("AcquireWrite")
      .onInterface(kCharacteristicInterface)
      .implementedAs([this](const Options& options) {
        const Central central = CentralOf(options);
        return std::make_tuple(sdbus::UnixFd(handlers_.acquire_write(central), sdbus::adopt_fd),
                               central.mtu);
      });
  // That the property is there tells bluetoothd to ask for a socket.
  object.registerProperty("WriteAcquired").onInterface(kCharacteristicInterface).withGetter([] {
    return false;
  });
  object.finishRegistration();
}

void GattApplication::AddNotify() {
  sdbus::IObject& object = AddCharacteristic("notify", "b7e90003-4c1d-4f0a-9a3e-5d2c8f61a7b4",
                                             {"notify", "encrypt-notify"});
  notify_ = &object;
  object.registerMethod("AcquireNotify")
      .onInterface(kCharacteristicInterface)
      .implementedAs([this](const Options& options) {
        const Central central = CentralOf(options);
        return std::make_tuple(sdbus::UnixFd(handlers_.acquire_notify(central), sdbus::adopt_fd),
                               central.mtu);
      });
  object.registerMethod("StartNotify").onInterface(kCharacteristicInterface).implementedAs([] {});
  object.registerMethod("StopNotify").onInterface(kCharacteristicInterface).implementedAs([] {});
  object.registerProperty("NotifyAcquired").onInterface(kCharacteristicInterface).withGetter([] {
    return false;
  });
  object.registerProperty("Value").onInterface(kCharacteristicInterface).withGetter([this] {
    return value_;
  });
  object.finishRegistration();
}

void GattApplication::AddRead() {
  sdbus::IObject& object =
      AddCharacteristic("info", "b7e90004-4c1d-4f0a-9a3e-5d2c8f61a7b4", {"read", "encrypt-read"});
  object.registerMethod("ReadValue")
      .onInterface(kCharacteristicInterface)
      .implementedAs([this](const Options& options) {
        std::vector<std::uint8_t> value = handlers_.read(CentralOf(options));
        const std::size_t offset = Option<std::uint16_t>(options, "offset");
        if (offset > value.size())
          throw sdbus::Error("org.bluez.Error.InvalidOffset", "beyond the end");
        value.erase(value.begin(), value.begin() + static_cast<std::ptrdiff_t>(offset));
        return value;
      });
  object.finishRegistration();
}

void GattApplication::AddAdvertisement(const std::string& name) {
  auto object = sdbus::createObject(bus_, kAdvertisementPath);
  Constant(*object, kAdvertisementInterface, "Type", std::string("peripheral"));
  Constant(*object, kAdvertisementInterface, "ServiceUUIDs", std::vector<std::string>{kKeyService});
  Constant(*object, kAdvertisementInterface, "LocalName", name);
  Constant(*object, kAdvertisementInterface, "Discoverable", true);
  object->registerMethod("Release").onInterface(kAdvertisementInterface).implementedAs([this] {
    handlers_.advertisement_released();
  });
  object->finishRegistration();
  objects_.push_back(std::move(object));
}

void GattApplication::Notify(protocol::ByteView value) {
  value_.assign(value.begin(), value.end());
  notify_->emitPropertiesChangedSignal(kCharacteristicInterface, {"Value"});
}

}  // namespace keyferry::sim

#include "device/ble/key_profile.h"

#include <utility>
#include <vector>

namespace keyferry::device {
namespace {

constexpr char kRoot[] = "/org/keyferry/ble";
constexpr char kProfile[] = "/org/keyferry/ble/profile";
constexpr char kInterface[] = "org.bluez.GattProfile1";
constexpr char kAlready[] = "org.bluez.Error.AlreadyExists";

}  // namespace

void KeyProfile::Up() {
  try {
    root_ = sdbus::createObject(*loop_.connection(), kRoot);
    root_->addObjectManager();
    root_->finishRegistration();
    profile_ = sdbus::createObject(*loop_.connection(), kProfile);
    profile_->registerMethod(kInterface, "Release", "", "",
                             [](sdbus::MethodCall call) { call.createReply().send(); });
    profile_->registerProperty(kInterface, "UUIDs", "as", [](sdbus::PropertyGetReply& reply) {
      reply << std::vector<std::string>{std::string(kKeyService)};
    });
    profile_->finishRegistration();
  } catch (const sdbus::Error& error) {
    if (note_)
      note_("Bluetooth keys will not connect by themselves: " + FromBusError(error).detail);
  }
}

void KeyProfile::Down() {
  registered_.clear();
  profile_.reset();
  root_.reset();
}

void KeyProfile::Register(const BluezObjects& objects) {
  std::erase_if(registered_,
                [&](const std::string& path) { return objects.adapters().count(path) == 0; });
  for (const auto& [device, properties] : objects.devices()) {
    const std::string& path = properties.adapter;
    if (!properties.is_key || !properties.bonded() || objects.adapters().count(path) == 0 ||
        !registered_.insert(path).second) {
      continue;
    }
    loop_.Call(
        "org.bluez", path, "org.bluez.GattManager1", "RegisterApplication",
        [](sdbus::MethodCall& call) {
          call << sdbus::ObjectPath(kRoot) << std::map<std::string, sdbus::Variant>{};
        },
        [this, &objects, path](Result<BusLoop::Reply> reply) {
          if (reply || reply.error().detail.rfind(kAlready, 0) == 0) {
            told_.erase(path);
            return;
          }
          if (told_.insert(path).second && note_) {
            note_("keys will not connect by themselves through " + path + ": " +
                  reply.error().detail);
          }
          loop_.After(again_, [this, &objects, path] {
            registered_.erase(path);
            Register(objects);
          });
        },
        std::chrono::milliseconds(30000));
  }
}

}  // namespace keyferry::device

#include "device/ble/key_profile.h"

#include <algorithm>
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
  if (objects.adapters().count(registered_) == 0) registered_.clear();
  if (!registered_.empty()) return;
  const auto& devices = objects.devices();
  const auto key = std::find_if(devices.begin(), devices.end(), [&](const auto& device) {
    return device.second.is_key && device.second.bonded() &&
           objects.adapters().count(device.second.adapter) != 0;
  });
  if (key == devices.end()) return;
  registered_ = key->second.adapter;
  loop_.Call(
      "org.bluez", registered_, "org.bluez.GattManager1", "RegisterApplication",
      [](sdbus::MethodCall& call) {
        call << sdbus::ObjectPath(kRoot) << std::map<std::string, sdbus::Variant>{};
      },
      [this, &objects, path = registered_](Result<BusLoop::Reply> reply) {
        if (reply || reply.error().detail.rfind(kAlready, 0) == 0) {
          told_.erase(path);
          return;
        }
        if (told_.insert(path).second && note_) {
          note_("keys will not connect by themselves through " + path + ": " +
                reply.error().detail);
        }
        loop_.After(again_, [this, &objects, path] {
          if (registered_ == path) registered_.clear();
          Register(objects);
        });
      },
      std::chrono::milliseconds(30000));
}

}  // namespace keyferry::device

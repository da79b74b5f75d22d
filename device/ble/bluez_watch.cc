#include "device/ble/bluez_watch.h"

#include <utility>

#include "device/ble/bluez_names.h"
#include "device/ble/bluez_values.h"

namespace keyferry::device {
namespace {

constexpr char kBus[] = "org.freedesktop.DBus";
constexpr char kObjectManager[] = "org.freedesktop.DBus.ObjectManager";
constexpr std::chrono::milliseconds kReadAgain{10000};

}  // namespace

BluezWatch::BluezWatch(BusLoop& loop, BluezObjects::Note note, std::function<void()> on_change)
    : loop_(loop),
      note_(note),
      on_change_(std::move(on_change)),
      objects_(note),
      state_(keyferry::Fail(ErrorCode::kUnavailable, "Bluetooth has not been asked yet.")) {}

void BluezWatch::Fail(const Error& reason) {
  state_ = tl::unexpected(reason);
  read_ = false;
  objects_.Clear();
  on_change_();
}

void BluezWatch::Up() {
  loop_.Match(
      "type='signal',sender='org.freedesktop.DBus',interface='org.freedesktop.DBus',"
      "member='NameOwnerChanged',arg0='org.bluez'",
      [this](sdbus::Message& message) {
        if (message.getSender() != kBus) return;
        const auto names = ReadArguments<std::string, std::string, std::string>(message);
        if (names && std::get<0>(*names) == kBluez) OwnerIs(std::get<2>(*names));
      });
  loop_.Match(
      "type='signal',sender='org.bluez',interface='org.freedesktop.DBus.ObjectManager'",
      [this](sdbus::Message& message) {
        if (!IsBluez(message)) return;
        const std::string member = message.getMemberName();
        if (member == "InterfacesAdded") {
          const auto added = ReadArguments<sdbus::ObjectPath, BusVariantInterfaces>(message);
          if (!added) return objects_.Refuse("(InterfacesAdded)", added.error().message);
          objects_.Added(std::get<0>(*added), FromBus(std::get<1>(*added)));
        } else if (member == "InterfacesRemoved") {
          const auto gone = ReadArguments<sdbus::ObjectPath, std::vector<std::string>>(message);
          if (!gone) return objects_.Refuse("(InterfacesRemoved)", gone.error().message);
          objects_.Removed(std::get<0>(*gone), std::get<1>(*gone));
        }
        on_change_();
      });
  loop_.Match(
      "type='signal',sender='org.bluez',interface='org.freedesktop.DBus.Properties',"
      "member='PropertiesChanged'",
      [this](sdbus::Message& message) {
        if (!IsBluez(message)) return;
        const std::string path = message.getPath();
        const auto changed =
            ReadArguments<std::string, BusVariants, std::vector<std::string>>(message);
        if (!changed) {
          objects_.Refuse(path, changed.error().message);
        } else {
          objects_.Changed(path, std::get<0>(*changed), FromBus(std::get<1>(*changed)),
                           std::get<2>(*changed));
        }
        on_change_();
      });
  loop_.Call(
      kBus, "/org/freedesktop/DBus", kBus, "GetNameOwner",
      [](sdbus::MethodCall& call) { call << std::string(kBluez); },
      [this](Result<BusLoop::Reply> reply) {
        if (!reply) return Fail(reply.error());
        const auto owner = ReadArguments<std::string>(reply->get());
        if (owner) OwnerIs(std::get<0>(*owner));
      });
}

void BluezWatch::Down(const Error& reason) {
  owner_.clear();
  Fail(reason);
}

bool BluezWatch::IsBluez(const sdbus::Message& message) const {
  return read_ && !owner_.empty() && message.getSender() == owner_;
}

void BluezWatch::OwnerIs(const std::string& owner) {
  if (owner == owner_) return;
  owner_ = owner;
  if (owner.empty()) {
    if (note_) note_("the Bluetooth service has gone; keys come back with it");
    return Fail({ErrorCode::kUnavailable,
                 "The Bluetooth service is not running; start it with: systemctl start bluetooth",
                 {},
                 0});
  }
  Read();
}

void BluezWatch::ReadAgain() {
  if (read_) Read();
}

// What changes between bluetoothd's answer and our having it is in signals that come after it, as
// D-Bus keeps the order of one sender.
void BluezWatch::Read() {
  loop_.Call(
      kBluez, "/", kObjectManager, "GetManagedObjects", {},
      [this, owner = owner_](Result<BusLoop::Reply> reply) {
        if (owner != owner_) return;  // another one by now; it was asked too
        auto objects =
            reply ? ReadArguments<std::map<sdbus::ObjectPath, BusVariantInterfaces>>(reply->get())
                  : tl::unexpected(reply.error());
        if (!objects) {
          if (note_) note_("Bluetooth's objects cannot be read: " + objects.error().message);
          loop_.After(kReadAgain, [this, owner] {
            if (owner == owner_ && !read_) Read();
          });
          return Fail(objects.error());
        }
        objects_.Clear();
        for (const auto& [path, interfaces] : std::get<0>(*objects)) {
          objects_.Added(path, FromBus(interfaces));
        }
        read_ = true;
        state_ = {};
        on_change_();
      });
}

}  // namespace keyferry::device

#include "firmware-sim/ble/pairing_agent.h"

#include <cinttypes>
#include <cstdio>
#include <utility>

namespace keyferry::sim {
namespace {

constexpr char kInterface[] = "org.bluez.Agent1";

sdbus::Error Rejected(const char* why) { return sdbus::Error("org.bluez.Error.Rejected", why); }

}  // namespace

PairingAgent::PairingAgent(sdbus::IConnection& bus, std::string adapter_path, PairMode mode)
    : adapter_path_(std::move(adapter_path)),
      mode_(mode),
      object_(sdbus::createObject(bus, kPath)) {
  object_->registerMethod("RequestConfirmation")
      .onInterface(kInterface)
      .implementedAs([this](sdbus::Result<>&& result, sdbus::ObjectPath device,
                            std::uint32_t digits) { Confirm(std::move(result), device, digits); });
  object_->registerMethod("RequestAuthorization")
      .onInterface(kInterface)
      .implementedAs([this](const sdbus::ObjectPath& device) { Authorise(device); });
  object_->registerMethod("AuthorizeService")
      .onInterface(kInterface)
      .implementedAs([](const sdbus::ObjectPath&, const std::string&) {
        throw Rejected("the key has no profiles");
      });
  object_->registerMethod("Cancel").onInterface(kInterface).implementedAs([this] {
    waiting_.reset();
    std::fprintf(stderr, "The pairing was called off.\n");
  });
  object_->registerMethod("Release").onInterface(kInterface).implementedAs([this] {
    waiting_.reset();
  });
  object_->finishRegistration();
}

bool PairingAgent::IsOurs(const std::string& device) const {
  return device.rfind(adapter_path_ + "/", 0) == 0;
}

void PairingAgent::Confirm(sdbus::Result<>&& result, const sdbus::ObjectPath& device,
                           std::uint32_t digits) {
  if (!IsOurs(device)) return result.returnError(Rejected("not the key's adapter"));
  std::fprintf(stderr, "Pairing with %s: the key shows %06" PRIu32 ".\n", device.c_str(), digits);
  if (mode_ == PairMode::kAuto) return result.returnResults();
  if (mode_ == PairMode::kRefuse) return result.returnError(Rejected("the key refuses to pair"));
  if (waiting_) return result.returnError(Rejected("another pairing waits for its answer"));
  waiting_.emplace(std::move(result));
  std::fprintf(stderr, "Does the other side show the same? `keyferry-sim ctl … pair yes|no`\n");
}

void PairingAgent::Authorise(const sdbus::ObjectPath& device) const {
  if (!IsOurs(device) || mode_ != PairMode::kAuto)
    throw Rejected("the key pairs by numeric comparison alone");
}

bool PairingAgent::Answer(bool same) {
  if (!waiting_) return false;
  auto result = std::exchange(waiting_, std::nullopt);
  if (same) {
    result->returnResults();
  } else {
    result->returnError(Rejected("the digits differ"));
  }
  return true;
}

}  // namespace keyferry::sim

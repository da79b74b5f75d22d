#include "device/ble/pairing_agent.h"

#include <array>
#include <cstdint>
#include <cstdio>
#include <utility>

namespace keyferry::device {
namespace {

constexpr char kAgent[] = "org.bluez.Agent1";
constexpr std::uint32_t kLargestNumber = 999999;

}  // namespace

PairingAgent::PairingAgent(BusLoop& loop, const BluezWatch& watch, Events events)
    : loop_(loop), watch_(watch), events_(std::move(events)) {}

void PairingAgent::Method(const char* name, const char* input, const char* output,
                          Handler handler) {
  object_->registerMethod(kAgent, name, input, output,
                          [this, handler = std::move(handler)](sdbus::MethodCall call) {
                            try {
                              if (call.getSender() != watch_.owner()) return Refuse(call);
                              handler(call);
                            } catch (const sdbus::Error&) {
                              // The asker has gone; there is nobody to answer.
                            }
                          });
}

void PairingAgent::Refuse(sdbus::MethodCall& call) {
  call.createErrorReply(sdbus::Error("org.bluez.Error.Rejected", "refused")).send();
}

void PairingAgent::RefuseWeak(sdbus::MethodCall& call, const char* how) {
  std::string device;
  if (const auto path = ReadArguments<sdbus::ObjectPath>(call)) device = std::get<0>(*path);
  Refuse(call);
  events_.on_weak(device, how);
}

void PairingAgent::Up() {
  try {
    object_ = sdbus::createObject(*loop_.connection(), kPath);
    Method("RequestConfirmation", "ou", "", [this](sdbus::MethodCall& call) {
      const auto asked = ReadArguments<sdbus::ObjectPath, std::uint32_t>(call);
      if (!asked || std::get<1>(*asked) > kLargestNumber || question_ ||
          !events_.wanted(std::get<0>(*asked))) {
        return Refuse(call);
      }
      std::array<char, 16> digits{};
      std::snprintf(digits.data(), digits.size(), "%06u", std::get<1>(*asked));
      question_ = call;
      events_.on_question(std::get<0>(*asked), digits.data());
    });
    const auto weak = [this](const char* how) {
      return [this, how](sdbus::MethodCall& call) { RefuseWeak(call, how); };
    };
    Method("RequestPinCode", "o", "s", weak("a PIN code"));
    Method("DisplayPinCode", "os", "", weak("a PIN code"));
    Method("RequestPasskey", "o", "u", weak("a passkey"));
    Method("DisplayPasskey", "ouq", "", weak("a passkey"));
    Method("RequestAuthorization", "o", "", weak("no comparison at all"));
    Method("AuthorizeService", "os", "", [this](sdbus::MethodCall& call) { Refuse(call); });
    Method("Cancel", "", "", [this](sdbus::MethodCall& call) {
      question_.reset();
      call.createReply().send();
      events_.on_moot();
    });
    Method("Release", "", "", [](sdbus::MethodCall& call) { call.createReply().send(); });
    object_->finishRegistration();
  } catch (const sdbus::Error&) {
    object_.reset();  // RegisterAgent will fail with the reason
  }
}

void PairingAgent::Down() {
  question_.reset();
  object_.reset();
}

void PairingAgent::Answer(bool same) {
  if (!question_) return;
  auto call = *std::exchange(question_, std::nullopt);
  try {
    if (same) {
      call.createReply().send();
    } else {
      Refuse(call);
    }
  } catch (const sdbus::Error&) {
    // bluetoothd has gone; Pair ends with that.
  }
}

}  // namespace keyferry::device

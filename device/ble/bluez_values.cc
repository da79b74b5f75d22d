#include "device/ble/bluez_values.h"

#include <sdbus-c++/Error.h>
#include <sdbus-c++/Message.h>

namespace keyferry::device {
namespace {

constexpr std::size_t kMaxList = 256;

BusValue FromBus(const sdbus::Variant& variant) {
  try {
    const std::string type = variant.peekValueType();
    if (type == "b") return variant.get<bool>();
    if (type == "n") return variant.get<std::int16_t>();
    if (type == "s" || type == "o") {
      std::string text =
          type == "s" ? variant.get<std::string>() : std::string(variant.get<sdbus::ObjectPath>());
      if (text.size() <= BluezObjects::kMaxText) return text;
    }
    if (type == "as") {
      auto list = variant.get<std::vector<std::string>>();
      if (list.size() <= kMaxList) return list;
    }
  } catch (const sdbus::Error&) {
    // As if it had another type.
  }
  return {};
}

}  // namespace

BusProperties FromBus(const BusVariants& variants) {
  BusProperties out;
  for (const auto& [name, variant] : variants) out[name] = FromBus(variant);
  return out;
}

BusInterfaces FromBus(const BusVariantInterfaces& interfaces) {
  BusInterfaces out;
  for (const auto& [name, variants] : interfaces) out[name] = FromBus(variants);
  return out;
}

}  // namespace keyferry::device

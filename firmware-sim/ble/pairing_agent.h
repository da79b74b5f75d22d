#pragma once

#include <sdbus-c++/sdbus-c++.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

namespace keyferry::sim {

enum class PairMode : std::uint8_t {
  kAuto,    // every pairing on the adapter is accepted: for tests
  kAsk,     // a person compares the six digits and answers with `ctl pair yes|no`
  kRefuse,  // nobody pairs
};

// The key's part of pairing (org.bluez.Agent1): it shows six digits, and somebody says that the
// other side shows the same. Only for devices of one adapter; pairing without digits is refused,
// except in mode kAuto.
class PairingAgent {
 public:
  static constexpr char kPath[] = "/org/keyferry/agent";
  static constexpr char kCapability[] = "DisplayYesNo";

  PairingAgent(sdbus::IConnection& bus, std::string adapter_path, PairMode mode);

  // The answer to the question that waits; false: none does.
  bool Answer(bool same);

 private:
  void Confirm(sdbus::Result<>&& result, const sdbus::ObjectPath& device, std::uint32_t digits);
  void Authorise(const sdbus::ObjectPath& device) const;
  bool IsOurs(const std::string& device) const;

  const std::string adapter_path_;
  const PairMode mode_;
  std::optional<sdbus::Result<>> waiting_;
  std::unique_ptr<sdbus::IObject> object_;
};

}  // namespace keyferry::sim

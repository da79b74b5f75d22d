#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "firmware-sim/core/hal.h"
#include "firmware-sim/faults.h"
#include "protocol/info.h"
#include "protocol/result.h"

struct pollfd;

namespace keyferry::sim {

class Endpoint;

// What a plug tells the simulator, from its OnPoll and OnTime only.
class EndpointClient {
 public:
  virtual ~EndpointClient() = default;
  // A report (64 bytes) or a fragment from a host; `host` tells the hosts of one plug apart and
  // comes back with the answers. `frame` is valid during the call.
  virtual void OnFrame(Endpoint& at, protocol::ByteView frame, std::uint32_t host) = 0;
  // Bluetooth: Key::OnBleLink.
  virtual void OnBleLink(Endpoint& at, std::size_t max_fragment) = 0;
  // The host let go of the plug (detached, reset, link lost); the key is still plugged in.
  virtual void OnHostGone(Endpoint& at) = 0;
  // The operating system took the plug away, for the reason: as if it had been pulled.
  virtual void OnPulled(Endpoint& at, const std::string& why) = 0;
  // The key's INFO as it stands; none without power.
  virtual std::optional<protocol::Bytes<protocol::kInfoSize>> Info() const = 0;
};

// What the key says about itself while it is enumerated.
struct Identity {
  std::string device_id;  // 32 hex digits
  std::uint16_t vendor = 0x1209;
  std::uint16_t product = 0x0001;
  DescriptorLie lie = DescriptorLie::kNone;
  // The serial number of the descriptors: the first 16 digits of the device id.
  std::string Serial() const { return device_id.substr(0, 16); }
};
inline constexpr char kMakerName[] = "Keyferry";
inline constexpr char kProductName[] = "SIMULATOR";

// One plug of the key: a transport that it can be attached to and pulled from at any time. Many may
// be plugged in at once; it is always the same key. One thread, never blocking but in Appear.
class Endpoint {
 public:
  using Time = std::chrono::steady_clock::time_point;

  virtual ~Endpoint() = default;
  // The word for the command line: socket, uhid, usbip, gadget, ble.
  virtual const char* Name() const = 0;
  virtual protocol::Transport Transport() const = 0;
  // Where the key is to be found, for a person: a path, an address.
  virtual std::string Place() const = 0;

  // Plugs in. The host may still be busy with enumeration when this returns.
  virtual Result<void> Appear(const Identity& identity) = 0;
  // Pulls the plug; nothing when it is not in. No EndpointClient call comes from here.
  virtual void Vanish() = 0;
  virtual bool Present() const = 0;
  // Throws the host off, the key stays plugged in (`ctl disconnect`). False: this transport cannot.
  virtual bool Disconnect() { return false; }

  // The answer to a pairing that waits for a person (`ctl pair`). False: none does.
  virtual bool AnswerPairing(bool same) {
    static_cast<void>(same);
    return false;
  }

  virtual void AppendPollFds(std::vector<pollfd>& fds) const = 0;
  // Called with every descriptor that was polled, its own and others.
  virtual void OnPoll(const pollfd& ready) = 0;
  // When OnTime wants to be called next, whatever the descriptors do.
  virtual std::optional<Time> NextDue() const { return std::nullopt; }
  virtual void OnTime(Time) {}

  // `frame` is whole, or shorter when a fault cuts it.
  virtual void Send(protocol::ByteView frame, std::uint32_t host) = 0;
  // What was sent waits here until the host fetches it.
  virtual bool Holds() const { return false; }
};

using MakeEndpoint = std::function<std::unique_ptr<Endpoint>(EndpointClient& client)>;

}  // namespace keyferry::sim

#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "client-daemon/core/encoding.h"
#include "device/key_port.h"

namespace keyferry::daemon {

// What is known of the claim of a device to be the key of some number.
enum class Proof {
  kPending,   // there is a record, and the handshake was not made yet or did not come to an end
  kNone,      // nothing can be proven: no record is here, or the key is not enrolled
  kProven,    // it has the hop key of the record
  kContrary,  // it has another one
};

// What a device may do under its number.
enum class Standing {
  kUndecided,  // waits for the handshake
  kActive,     // is the key: delivery, enrolment and relays go there
  kStandby,    // is the same key by another way, to be used when the active one is gone
  kRefused,    // has not the hop key of the record
  kDoubted,    // another device proved to be the key of this number
  kFrozen,     // two devices with equal claims: nothing goes to either
};

// "active" and so on, for docs/local-ipc.md.
const char* Name(Standing standing);

// Which of the devices that are attached is which key. A device that has proven its number wins
// over any that has not, so that no fake can push out, freeze or hide a proven key. A key that is
// attached in two ways at once is one key: USB first, then a socket, then Bluetooth. Two proven
// devices on the same kind of transport (a clone), or two unproven ones while none is proven, are
// frozen. The active device keeps its place until it asks again (Claim), so that it is never in the
// middle of a job when another takes over. Not thread-safe.
class KeyRoster {
 public:
  // Says what is known of the device at `place`, which is not at work for its number now. Any
  // change of the others is noted for TakeChanged.
  Standing Claim(const Id& device, const device::KeyPlace& place, Proof proof);
  void Release(const std::string& path);

  // Path of the active device; empty when there is none.
  std::string ActiveOf(const Id& device) const;
  bool Has(const Id& device, Standing standing) const;
  // Devices that were told another standing since the last call, and those (kActive) that should
  // ask again because a better one waits: path → standing.
  std::map<std::string, Standing> TakeChanged();

 private:
  struct Entry {
    Id device{};
    device::TransportKind transport = device::TransportKind::kSocket;
    Proof proof = Proof::kPending;
    Standing standing = Standing::kUndecided;
  };

  void Settle(const Id& device, const std::string& caller);
  void Set(const std::string& path, Standing standing);

  std::map<std::string, Entry> entries_;  // by path
  std::map<std::string, Standing> changed_;
};

}  // namespace keyferry::daemon

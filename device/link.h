#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "device/transport.h"
#include "protocol/result.h"

namespace keyferry::device {

// One whole message above the framing (PROTOCOL.md section 6): frame command and 0 … 1024 bytes.
struct Message {
  std::uint8_t command = 0;
  std::vector<std::uint8_t> payload;
};

// How long to wait for an answer, counted from the moment that the command is on the wire. A key
// that asks for a touch (KEEPALIVE 2) is given `touch` instead of `answer`; both are counted from
// the start, so KEEPALIVEs without end cannot stretch them. `turn` bounds the wait while the key is
// busy with somebody else's command.
struct Patience {
  std::chrono::milliseconds answer{3000};
  std::chrono::milliseconds touch{30000};
  std::chrono::milliseconds turn{35000};
};

enum class Keepalive : std::uint8_t { kProcessing = 1, kTouchNeeded = 2 };
// Called on the transacting thread, at most once a KEEPALIVE. Must not call back into the link, but
// for Post(CANCEL).
using KeepaliveHandler = std::function<void(Keepalive)>;

// One logical channel to a key: a cid of a HidPort, a BLE connection, or a relay through the
// daemon. KeyClient runs on top of it. Errors of Transact:
//   kDeadline     no answer in time. The command may have been carried out; the link has dropped
//   the
//                 session and will not mistake a late answer for the next one's.
//   kUnavailable  the key or the daemon is gone; the link is dead
//   kProtocol     the other side broke the framing; the link is still usable
// An ERROR frame (command 3F) is not an error here: it is returned as the answer.
class MessageLink {
 public:
  virtual ~MessageLink() = default;

  // Sends one command and waits for its answer. One transaction at a time a link; others wait.
  virtual Result<Message> Transact(std::uint8_t command, std::span<const std::uint8_t> payload,
                                   const Patience& patience,
                                   const KeepaliveHandler& on_keepalive) = 0;

  // Sends a command that has no answer (CANCEL) while a transaction is waiting. Any thread.
  virtual Result<void> Post(std::uint8_t command, std::span<const std::uint8_t> payload) = 0;

  // How the key itself is attached, which goes into the hop prologue.
  virtual TransportKind Kind() const = 0;
};

}  // namespace keyferry::device

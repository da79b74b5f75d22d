#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "firmware-sim/core/hal.h"
#include "protocol/framing.h"
#include "protocol/status.h"

namespace keyferry::sim {

// What the layer above is told.
class LinkClient {
 public:
  virtual ~LinkClient() = default;
  // A whole message: HS1, HS3, MSG, INFO, WINK or RESET. Answer with Link::Answer or Link::Error,
  // now or later; until then the key is busy. `payload` stays valid until the answer.
  virtual void OnMessage(std::uint32_t cid, protocol::FrameCommand command,
                         protocol::ByteView payload) = 0;
  // CANCEL for the command that is running.
  virtual void OnCancel() = 0;
  // The command that is running is given up (INIT on its cid): no answer will be sent.
  virtual void OnAbort() = 0;
  // The cid begins anew or is gone: its session and handshake end.
  virtual void OnChannelReset(std::uint32_t cid) = 0;
};

// The key's side of HID framing (section 6): four cids, one message being assembled, one command
// running, and every error rule. Time comes from the clock port; call Tick at least every 20 ms
// while Busy() or Assembling().
class Link {
 public:
  Link(Hal& hal, std::uint32_t firmware_version, LinkClient& client);

  void OnReport(const protocol::Report& report, Origin origin);
  void Tick();

  // Ends the command that is running. With `delay_ms` the answer is held back for that long (late
  // answers).
  void Answer(protocol::FrameCommand command, protocol::ByteView payload,
              std::uint32_t delay_ms = 0);
  void Error(protocol::FrameError error, std::uint32_t delay_ms = 0);

  // KEEPALIVE says 2 instead of 1 from now on, until the answer.
  void SetTouchNeeded(bool needed) { touch_needed_ = needed; }
  // Sends a KEEPALIVE when one is due. For long steps inside a command.
  void KeepAlive();

  bool Busy() const { return busy_; }
  bool Assembling() const { return message_.assembling(); }

 private:
  struct Channel {
    std::uint32_t cid = 0;  // 0: not allocated
    std::uint64_t used = 0;
  };
  struct Peer {
    std::uint32_t cid = 0;
    Origin origin = 0;
  };

  Channel* Find(std::uint32_t cid);
  void OnInit(const Peer& peer, protocol::ByteView nonce);
  std::uint32_t Allocate();
  void OnFirst(const Peer& peer, const protocol::HidFrame& frame);
  void OnContinuation(const Peer& peer, const protocol::HidFrame& frame);
  void Dispatch();
  void SendError(const Peer& peer, protocol::FrameError error);
  void SendMessage(const Peer& peer, protocol::FrameCommand command, protocol::ByteView payload);

  Hal& hal_;
  const std::uint32_t firmware_version_;
  LinkClient& client_;
  std::array<Channel, protocol::kMaxChannels> channels_{};
  std::uint64_t uses_ = 0;

  // The message being assembled or, while busy, the command that is running.
  protocol::Assembler message_;
  Peer peer_;
  std::uint64_t last_frame_ms_ = 0;

  bool busy_ = false;
  bool touch_needed_ = false;
  std::uint64_t keepalive_ms_ = 0;  // the last one, or the command's start

  // An answer held back.
  bool held_ = false;
  std::uint64_t due_ms_ = 0;
  protocol::FrameCommand held_command_{};
  std::size_t held_length_ = 0;
  protocol::Bytes<protocol::kMaxMessage> held_answer_{};
};

}  // namespace keyferry::sim

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

// The key's side of framing (section 6): four cids for HID plugs, one Bluetooth link, one message
// being assembled, one command running on the whole key, and every error rule. Time comes from the
// clock port; call Tick at least every 20 ms while Busy() or Assembling().
//
// A Bluetooth link is a channel that needs no INIT and has no cid on the wire; it stands beside the
// four, so that hosts on the cable cannot push it out. Towards the LinkClient its cid is kBleCid.
class Link {
 public:
  Link(Hal& hal, std::uint32_t firmware_version, LinkClient& client);

  void OnFrame(protocol::ByteView frame, const Origin& origin);
  void OnBleLink(std::uint8_t plug, std::size_t max_fragment);
  void OnHostGone(std::uint8_t plug);
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

  // Of the command that is running.
  protocol::Transport transport() const { return peer_.origin.transport; }

  bool Busy() const { return busy_; }
  bool Assembling() const { return message_.assembling(); }

  // Never allocated to a HID host.
  static constexpr std::uint32_t kBleCid = 0xFFFFFFFE;

 private:
  struct Channel {
    std::uint32_t cid = 0;  // 0: not allocated
    std::uint8_t plug = 0;
    std::uint64_t used = 0;
  };
  struct Peer {
    std::uint32_t cid = 0;
    Origin origin;
  };

  Channel* Find(std::uint32_t cid);
  Channel* Find(const Peer& peer);
  bool IsRunning(const Peer& peer) const;
  void Abort();
  void OnInit(const Peer& peer, protocol::ByteView nonce);
  std::uint32_t Allocate(std::uint8_t plug);
  void OnFirst(const Peer& peer, const protocol::HidFrame& frame);
  void OnContinuation(const Peer& peer, const protocol::HidFrame& frame);
  void Dispatch();
  void SendError(const Peer& peer, protocol::FrameError error);
  void SendMessage(const Peer& peer, protocol::FrameCommand command, protocol::ByteView payload);

  Hal& hal_;
  const std::uint32_t firmware_version_;
  LinkClient& client_;
  // The last one is the Bluetooth link's.
  std::array<Channel, protocol::kMaxChannels + 1> channels_{};
  std::size_t max_fragment_ = 0;  // of the Bluetooth link
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

#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <thread>
#include <vector>

#include "device/key_port.h"
#include "device/link.h"
#include "device/transport.h"
#include "device/turns.h"
#include "protocol/result.h"

namespace keyferry::device {

class BleLink;

// How long one link may keep the channel from the others. Counted while another link waits.
struct BleHolding {
  std::chrono::milliseconds idle{2000};      // nothing said and nothing waiting on this link
  std::chrono::milliseconds longest{10000};  // however busy, since it got the channel
};

// The port of a key that is reached over Bluetooth LE: one central a link, so one channel and one
// session at a time (PROTOCOL.md section 6, BLE). Its links share that channel in turn:
//
//  * INFO, PING, WINK and RESET touch no session and go between any two commands.
//  * HS1, HS3 and MSG need the channel. A link keeps it from its HS1 on, so that HS1 … HS4 and PIN,
//    then release, are not torn apart, until it is destroyed or BleHolding says that another one
//    may have it; never between HS2 and HS3, but for BleHolding::idle.
//  * When it goes to another link the port sends INIT, which ends the former session on the key.
//    The former owner's next MSG is answered as the key would answer it, with ERROR NO_SESSION, and
//    its HS3 with HANDSHAKE: KeyClient then begins anew, or tells its caller that the session is
//    gone.
//
// Like HidPort it reads all the time and gives a key up that floods (kMaxStray fragments in a row
// that nobody asked for). It gets in step with INIT at the start, after a command without an answer
// and before any session but the first, dropping whatever the key says before the answer that has
// the nonce: BlueZ may deliver fragments twice or late when it has several ATT bearers open. For
// the same reason an answer of another kind than the command's is dropped.
class BlePort final : public KeyPort, public std::enable_shared_from_this<BlePort> {
 public:
  static constexpr std::size_t kMaxStray = 4096;

  // `on_gone` is called on the reader's thread, or on that of Lose. `heard`, if any, becomes true
  // when the key has answered INIT.
  static std::shared_ptr<BlePort> Start(std::unique_ptr<Transport> transport, OnGone on_gone,
                                        BleHolding holding = {},
                                        std::shared_ptr<std::atomic<bool>> heard = nullptr);
  // Waits for the reader's thread. The last link or owner may let go on any thread but that one.
  ~BlePort() override;

  // Gets in step with the key, if need be, and says whether it speaks our version. As many links as
  // a key on USB has channels (kMaxChannels); beyond that kRateLimited.
  Result<std::unique_ptr<MessageLink>> OpenLink(const Patience& patience) override;
  void Close() override;
  TransportInfo Describe() const override { return transport_->Describe(); }

  // The connection is known to be lost before its descriptors say so. Any thread.
  void Lose(const Error& reason);

 private:
  friend class BleLink;
  class Turn;
  class Listening;
  using Fragment = std::vector<std::uint8_t>;

  BlePort(std::unique_ptr<Transport> transport, OnGone on_gone, BleHolding holding,
          std::shared_ptr<std::atomic<bool>> heard);

  void ReadLoop();
  bool Deliver(std::span<const std::uint8_t> fragment);
  void LinkGone(const BleLink* link);

  // When a link that has waited from `since` on may have the channel, with mutex_ held. Never,
  // while the owner is at work.
  Clock::time_point FreeFor(const BleLink* link, Clock::time_point since) const;

  // Sends one command, whole. Without the turn only for CANCEL.
  Result<void> Send(std::uint8_t command, std::span<const std::uint8_t> payload, Deadline deadline);
  // The next fragment. Needs the turn and a Listening, as the following do.
  Result<Fragment> Take(Deadline deadline);
  Result<Message> TakeMessage(Deadline deadline);
  Result<void> GetInStep(Deadline deadline);
  // Puts the link into possession; afterwards the key is in step and holds no session but the
  // link's own.
  Result<void> Possess(const BleLink* link, Deadline deadline);

  const std::unique_ptr<Transport> transport_;
  const OnGone on_gone_;
  const BleHolding holding_;
  const std::shared_ptr<std::atomic<bool>> heard_;

  std::mutex write_mutex_;  // a command's fragments go out together

  bool in_step_ = false;  // guarded by the turn

  std::mutex mutex_;  // all below
  std::condition_variable changed_;
  Turns turns_{mutex_, changed_};
  const BleLink* owner_ = nullptr;
  bool used_ = false;  // somebody had the channel since the last INIT for a new owner
  bool owner_in_handshake_ = false;
  Clock::time_point owner_since_{};
  Clock::time_point owner_spoke_{};
  bool listening_ = false;
  std::deque<Fragment> fragments_;  // not yet taken
  std::size_t stray_ = 0;
  std::size_t links_ = 0;
  std::optional<Error> gone_;

  std::thread reader_;
};

}  // namespace keyferry::device

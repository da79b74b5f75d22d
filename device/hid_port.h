#pragma once

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
#include "protocol/framing.h"
#include "protocol/result.h"

namespace keyferry::device {

// The port of a key that is reached by 64-byte reports. Each link has a cid of its own; every
// report is given to the transaction that it belongs to: late answers, frames of other cids and
// whatever else a key makes up are dropped where they arrive. PROTOCOL.md section 6.
//
// A thread of the port reads all the time, so that the loss of the key is known at once, without
// polling. A key that floods us with reports nobody asked for (kMaxStray in a row) is given up.
class HidPort final : public KeyPort, public std::enable_shared_from_this<HidPort> {
 public:
  static constexpr std::size_t kMaxStray = 4096;

  // `on_gone` is called on the reader's thread.
  static std::shared_ptr<HidPort> Start(std::unique_ptr<Transport> transport, OnGone on_gone);
  // Waits for the reader's thread. The last link or owner may let go on any thread but that one.
  ~HidPort() override;

  // A channel on the key with nothing left of its former user. A key has four (kMaxChannels); while
  // all are in use the answer is kRateLimited. A link that is destroyed gives its cid back to the
  // port, so that coming and going programs do not push each other's sessions out.
  Result<std::unique_ptr<MessageLink>> OpenLink(const Patience& patience) override;

  void Close() override;
  TransportInfo Describe() const override { return transport_->Describe(); }

 private:
  friend class HidLink;
  class Turn;
  class Listening;
  using Report = protocol::Report;
  // Of the message that is coming in.
  struct Wanted {
    std::size_t left = 0;  // bytes
    std::uint8_t sequence = 0;
    // False: more of the message must come, and this is the part of it that had to come next.
    bool Take(const protocol::HidFrame& frame);
  };

  HidPort(std::unique_ptr<Transport> transport, OnGone on_gone);

  void ReadLoop();
  void LinkGone(std::optional<std::uint32_t> cid);
  bool Deliver(std::span<const std::uint8_t> report);
  void GiveUp(const Error& reason);

  // Sends one command on `cid`, whole. Without the turn only for CANCEL.
  Result<void> Send(std::uint32_t cid, std::uint8_t command, std::span<const std::uint8_t> payload,
                    Deadline deadline);
  // The next report of the cid that is listened to. Needs the turn, as Init does.
  Result<Report> Take(Deadline deadline);
  // INIT on `cid` with a fresh nonce; returns the cid in the answer that carries it.
  Result<std::uint32_t> Init(std::uint32_t cid, Deadline deadline);

  const std::unique_ptr<Transport> transport_;
  const OnGone on_gone_;

  std::mutex write_mutex_;  // a command's reports go out together

  std::mutex mutex_;  // all below
  std::condition_variable changed_;
  Turns turns_{mutex_, changed_};
  std::optional<std::uint32_t> listening_;  // cid of the running transaction
  std::deque<Report> reports_;              // of that cid, not yet taken
  Wanted wanted_;
  std::size_t stray_ = 0;
  std::size_t links_ = 0;
  std::vector<std::uint32_t> free_cids_;
  std::optional<Error> gone_;
  bool closed_ = false;

  std::thread reader_;
};

}  // namespace keyferry::device

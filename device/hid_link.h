#pragma once

#include <memory>
#include <mutex>

#include "device/hid_port.h"
#include "device/link.h"

namespace keyferry::device {

// One cid of a HidPort. After a transaction that ended without an answer the cid is brought back in
// step (INIT on it, which ends the command and the session) before the next one. When the key has
// given the cid away (INVALID_CHANNEL) a new one is asked for, and that error is returned: its
// session is gone.
class HidLink final : public MessageLink {
 public:
  HidLink(std::shared_ptr<HidPort> port, std::uint32_t cid);
  ~HidLink() override;

  Result<Message> Transact(std::uint8_t command, std::span<const std::uint8_t> payload,
                           const Patience& patience, const KeepaliveHandler& on_keepalive) override;
  Result<void> Post(std::uint8_t command, std::span<const std::uint8_t> payload) override;
  TransportKind Kind() const override;

 private:
  Result<void> BringInStep(Deadline deadline);
  Result<Message> Await(Clock::time_point start, const Patience& patience,
                        const KeepaliveHandler& on_keepalive);
  std::uint32_t cid() const;

  const std::shared_ptr<HidPort> port_;
  std::mutex transaction_;  // one at a time
  mutable std::mutex mutex_;
  std::uint32_t cid_;
  bool out_of_step_ = false;  // guarded by transaction_
  bool lost_ = false;         // the cid is no longer ours; guarded by transaction_
};

}  // namespace keyferry::device

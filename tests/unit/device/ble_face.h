#pragma once

#include <atomic>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "device/transport.h"
#include "protocol/framing.h"
#include "tests/unit/device/fake_key.h"

namespace keyferry::test {

// A FakeKey as a BLE peripheral: fragments outside, the fake's reports inside. INIT's answer names
// cid 0, as there is none.
class BleFace final : public device::Transport {
 public:
  BleFace(FakeKey& key, std::size_t max_fragment);

  Result<void> Write(std::span<const std::uint8_t> fragment, device::Deadline deadline) override;
  Result<std::size_t> Read(std::span<std::uint8_t> buffer, device::Deadline deadline) override;
  void Cancel() override { hid_->Cancel(); }
  device::TransportInfo Describe() const override {
    return {device::TransportKind::kBle, "fake", max_fragment_};
  }

  std::atomic<int> inits = 0;      // INIT that came in
  std::atomic<int> fragments = 0;  // that came in
  std::atomic<int> twice = 0;      // the next n answers come again, before the answer after them

 private:
  const std::unique_ptr<device::Transport> hid_;
  const std::size_t max_fragment_;
  protocol::Assembler in_;
  protocol::Assembler out_;
  std::atomic<std::uint32_t> cid_ = protocol::kBroadcastCid;
  std::deque<std::vector<std::uint8_t>> ready_;  // of the reader
  std::deque<std::vector<std::uint8_t>> again_;
};

// The same behind two sequenced-packet sockets, as a connection through BlueZ has them.
class BlePump {
 public:
  // Over socket pairs; the host's ends are for AdoptBleTransport.
  BlePump(FakeKey& key, std::size_t max_fragment);
  // Over the key's ends of two sockets that somebody else made.
  BlePump(FakeKey& key, std::size_t max_fragment, int key_write, int key_notify);
  ~BlePump();

  int write_fd() const { return host_write_; }
  int notify_fd() const { return host_notify_; }
  // Closes the key's ends, as bluetoothd does when the connection is lost.
  void HangUp();
  void HangUpWriteOnly();
  // Sends what no key sends.
  void Spill(std::span<const std::uint8_t> fragment);

  BleFace face;

 private:
  void Start();

  int host_write_ = -1;
  int host_notify_ = -1;
  int key_write_ = -1;
  int key_notify_ = -1;
  std::thread in_;
  std::thread out_;
};

}  // namespace keyferry::test

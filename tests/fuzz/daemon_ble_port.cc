// LINKS: keyferry_device_ble_port
// A hostile peripheral against BlePort and KeyClient: no crash, no hang, nothing longer than the
// protocol allows, and no certificate for a key that is not the expected one.

#include <algorithm>
#include <condition_variable>
#include <cstdlib>
#include <deque>
#include <mutex>
#include <vector>

#include "device/ble/ble_port.h"
#include "device/key_client.h"
#include "protocol/framing.h"

namespace {

using namespace keyferry;

// Answers INIT rightly (so that there is a link to fuzz), everything else from the input; gone at
// its end. Fragments of 20 … 500 bytes.
class FuzzTransport final : public device::Transport {
 public:
  explicit FuzzTransport(protocol::ByteView data) : in_(data) {
    max_fragment_ = 20 + 2 * std::size_t{in_.U8()} % 481;
  }

  Result<void> Write(std::span<const std::uint8_t> bytes, device::Deadline) override {
    if (bytes.empty() || bytes.size() > max_fragment_) std::abort();
    const std::scoped_lock lock(mutex_);
    protocol::BleFragment fragment;
    if (!protocol::BleFragment::Parse(bytes, fragment)) std::abort();
    if (fragment.first) {
      const auto command = static_cast<protocol::FrameCommand>(fragment.command);
      if (command == protocol::FrameCommand::kHs3) std::abort();  // the expected key has no HS2
      if (command == protocol::FrameCommand::kInit) {
        protocol::InitResponse answer;
        std::copy_n(fragment.data.begin(), answer.nonce.size(), answer.nonce.begin());
        const auto encoded = answer.Encode();
        protocol::BleSplitter splitter(max_fragment_, protocol::FrameCommand::kInit, encoded);
        std::vector<std::uint8_t> out(max_fragment_);
        while (const std::size_t size = splitter.Next(out)) {
          init_.emplace_back(out.begin(), out.begin() + static_cast<std::ptrdiff_t>(size));
        }
      }
    }
    asked_ = true;
    changed_.notify_all();
    return {};
  }

  Result<std::size_t> Read(std::span<std::uint8_t> buffer, device::Deadline) override {
    std::unique_lock lock(mutex_);
    // Nothing is said before it was asked, as the port drops what belongs to nobody.
    changed_.wait(lock, [this] { return cancelled_ || asked_; });
    if (cancelled_) return Fail(ErrorCode::kUnavailable, "gone");
    if (!init_.empty()) {
      const auto out = std::move(init_.front());
      init_.pop_front();
      if (init_.empty()) asked_ = false;
      std::copy(out.begin(), out.end(), buffer.begin());
      return out.size();
    }
    if (!in_.ok() || in_.remaining() == 0) return Fail(ErrorCode::kUnavailable, "end of input");
    const std::uint8_t control = in_.U8();
    if (control == 0) return Fail(ErrorCode::kProtocol, "empty");
    const auto given = in_.Take(std::min<std::size_t>(in_.remaining(), control));
    std::copy(given.begin(), given.end(), buffer.begin());
    return std::max<std::size_t>(1, given.size());
  }

  void Cancel() override {
    const std::scoped_lock lock(mutex_);
    cancelled_ = true;
    changed_.notify_all();
  }
  device::TransportInfo Describe() const override {
    return {device::TransportKind::kBle, "fuzz", max_fragment_};
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  protocol::Reader in_;
  std::size_t max_fragment_ = 20;
  std::deque<std::vector<std::uint8_t>> init_;
  bool asked_ = false;
  bool cancelled_ = false;
};

bool Ended(const Error& error) {
  if (error.code == ErrorCode::kDeadline) std::abort();
  return error.code == ErrorCode::kUnavailable;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto port =
      device::BlePort::Start(std::make_unique<FuzzTransport>(protocol::ByteView(data, size)), {});
  auto raw = port->OpenLink({});
  if (!raw) return Ended(raw.error()) ? 0 : (std::abort(), 0);
  auto second = port->OpenLink({});
  if (!second) return Ended(second.error()) ? 0 : (std::abort(), 0);
  device::KeyClient client(*std::move(second));
  const device::HostIdentity identity;
  const protocol::X25519Public expected{1};
  const device::Patience patience;
  while (true) {
    const auto answer = (*raw)->Transact(static_cast<std::uint8_t>(protocol::FrameCommand::kInfo),
                                         {}, patience, {});
    if (answer && answer->payload.size() > protocol::kMaxMessage) std::abort();
    if (!answer && Ended(answer.error())) return 0;
    const auto session = client.Handshake(identity, expected);
    if (session) std::abort();
    if (Ended(session.error())) return 0;
  }
}

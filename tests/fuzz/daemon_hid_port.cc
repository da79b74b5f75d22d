// LINKS: keyferry_device
// Reports of any content from a key against the port and its links: no crash, no hang, and no
// message longer than the protocol allows.

#include <algorithm>
#include <condition_variable>
#include <cstdlib>
#include <mutex>

#include "device/hid_port.h"
#include "protocol/framing.h"

namespace {

using namespace keyferry;

// Answers INIT rightly (so that there is a link to fuzz), everything else from the input; gone at
// its end.
class FuzzTransport final : public device::Transport {
 public:
  explicit FuzzTransport(protocol::ByteView data) : in_(data) {}

  Result<void> Write(std::span<const std::uint8_t> bytes, device::Deadline) override {
    const std::scoped_lock lock(mutex_);
    protocol::Report report{};
    std::copy(bytes.begin(), bytes.end(), report.begin());
    const auto frame = protocol::HidFrame::Parse(report);
    if (frame.first && frame.command == static_cast<std::uint8_t>(protocol::FrameCommand::kInit)) {
      protocol::InitResponse answer;
      std::copy_n(frame.data.begin(), answer.nonce.size(), answer.nonce.begin());
      answer.cid = 1;
      const auto encoded = answer.Encode();
      protocol::HidSplitter splitter(frame.cid, protocol::FrameCommand::kInit, encoded);
      init_pending_ = splitter.Next(init_);
    }
    ++writes_;
    changed_.notify_all();
    return {};
  }

  Result<std::size_t> Read(std::span<std::uint8_t> buffer, device::Deadline) override {
    std::unique_lock lock(mutex_);
    // Nothing is said before it was asked, as the port drops what belongs to nobody.
    changed_.wait(lock, [this] { return cancelled_ || writes_ > 0; });
    if (cancelled_) return Fail(ErrorCode::kUnavailable, "gone");
    if (init_pending_) {
      init_pending_ = false;
      writes_ = 0;
      std::copy(init_.begin(), init_.end(), buffer.begin());
      return init_.size();
    }
    if (!in_.ok() || in_.remaining() == 0) return Fail(ErrorCode::kUnavailable, "end of input");
    const std::uint8_t control = in_.U8();
    const std::size_t size = (control & 0x0F) == 0 ? control >> 2 : protocol::kReportSize;
    protocol::Report report{};
    protocol::Writer(report).U32(1);
    const auto given = in_.Take(std::min<std::size_t>(in_.remaining(), control >> 3));
    std::copy(given.begin(), given.end(), report.begin() + ((control & 1) != 0 ? 4 : 0));
    std::copy(report.begin(), report.end(), buffer.begin());
    return std::max<std::size_t>(1, size);
  }

  void Cancel() override {
    const std::scoped_lock lock(mutex_);
    cancelled_ = true;
    changed_.notify_all();
  }
  device::TransportInfo Describe() const override {
    return {device::TransportKind::kSocket, "fuzz", protocol::kReportSize};
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  protocol::Reader in_;
  protocol::Report init_{};
  bool init_pending_ = false;
  int writes_ = 0;
  bool cancelled_ = false;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto port =
      device::HidPort::Start(std::make_unique<FuzzTransport>(protocol::ByteView(data, size)), {});
  const auto link = port->OpenLink({});
  if (!link) std::abort();
  // Long enough that a machine that pauses is no finding; a hang is the fuzzer's own to report.
  const device::Patience patience{std::chrono::hours(1), std::chrono::hours(1),
                                  std::chrono::hours(1)};
  while (true) {
    const auto answer = (*link)->Transact(static_cast<std::uint8_t>(protocol::FrameCommand::kInfo),
                                          {}, patience, {});
    if (answer && answer->payload.size() > protocol::kMaxMessage) std::abort();
    if (!answer && answer.error().code == ErrorCode::kUnavailable) return 0;
    if (!answer && answer.error().code == ErrorCode::kDeadline) std::abort();
  }
}

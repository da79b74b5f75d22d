#include "device/hid_port.h"

#include <algorithm>
#include <array>
#include <random>
#include <utility>

#include "device/hid_link.h"
#include "protocol/framing.h"

namespace keyferry::device {
namespace {

constexpr std::chrono::hours kForever{24};

tl::unexpected<Error> Late() {
  return Fail(ErrorCode::kDeadline, "The security key did not answer in time.");
}

}  // namespace

// The right to use the key, in the order of asking.
class HidPort::Turn {
 public:
  Turn(HidPort& port, Deadline deadline) : port_(port) {
    std::unique_lock lock(port_.mutex_);
    ticket_ = port_.next_turn_++;
    port_.turns_.push_back(ticket_);
    port_.changed_.wait_until(
        lock, deadline, [&] { return port_.gone_ || port_.turns_.front() == ticket_; });
    mine_ = !port_.gone_ && port_.turns_.front() == ticket_;
  }

  ~Turn() {
    const std::scoped_lock lock(port_.mutex_);
    port_.turns_.erase(std::find(port_.turns_.begin(), port_.turns_.end(), ticket_));
    port_.changed_.notify_all();
  }

  Turn(const Turn&) = delete;
  Turn& operator=(const Turn&) = delete;

  Result<void> Check() const {
    if (mine_) return {};
    const std::scoped_lock lock(port_.mutex_);
    if (port_.gone_) return tl::unexpected(*port_.gone_);
    return Fail(ErrorCode::kDeadline, "The security key is busy with another program.");
  }

 private:
  HidPort& port_;
  std::uint64_t ticket_ = 0;
  bool mine_ = false;
};

// Reports of `cid` are kept for us as long as this lives.
class HidPort::Listening {
 public:
  Listening(HidPort& port, std::uint32_t cid) : port_(port) {
    const std::scoped_lock lock(port_.mutex_);
    port_.listening_ = cid;
    port_.reports_.clear();
  }
  ~Listening() {
    const std::scoped_lock lock(port_.mutex_);
    port_.listening_.reset();
    port_.reports_.clear();
    port_.changed_.notify_all();
  }
  Listening(const Listening&) = delete;
  Listening& operator=(const Listening&) = delete;

 private:
  HidPort& port_;
};

std::shared_ptr<HidPort> HidPort::Start(std::unique_ptr<Transport> transport,
                                        std::function<void(const Error&)> on_gone) {
  std::shared_ptr<HidPort> port(new HidPort(std::move(transport), std::move(on_gone)));
  port->reader_ = std::thread([raw = port.get()] { raw->ReadLoop(); });
  return port;
}

HidPort::HidPort(std::unique_ptr<Transport> transport, std::function<void(const Error&)> on_gone)
    : transport_(std::move(transport)), on_gone_(std::move(on_gone)) {}

HidPort::~HidPort() {
  Close();
  reader_.join();
}

void HidPort::Close() {
  {
    const std::scoped_lock lock(mutex_);
    closed_ = true;
    if (!gone_) {
      gone_ = Error{ErrorCode::kUnavailable, "The connection to the key was closed.", {}, 0};
    }
    changed_.notify_all();
  }
  transport_->Cancel();
}

void HidPort::GiveUp(const Error& reason) {
  {
    const std::scoped_lock lock(mutex_);
    if (gone_) return;
    gone_ = reason;
    changed_.notify_all();
  }
  transport_->Cancel();
  if (on_gone_) on_gone_(reason);
}

void HidPort::ReadLoop() {
  std::array<std::uint8_t, kHidReportSize> buffer{};
  while (true) {
    const auto size = transport_->Read(buffer, Clock::now() + kForever);
    if (size) {
      if (!Deliver(Report(buffer.begin(), buffer.begin() + static_cast<std::ptrdiff_t>(*size)))) {
        return GiveUp({ErrorCode::kProtocol,
                       "The security key sends data without end that nobody asked for; unplug it.",
                       {},
                       0});
      }
    } else if (size.error().code == ErrorCode::kProtocol) {
      if (!Deliver({})) return GiveUp(size.error());
    } else if (size.error().code != ErrorCode::kDeadline) {
      return GiveUp(size.error());
    }
  }
}

// False when too many came in a row that belong to nobody. A report that cannot be one (wrong size)
// belongs to nobody.
bool HidPort::Deliver(Report report) {
  std::unique_lock lock(mutex_);
  const bool whole = report.size() == kHidReportSize;
  const std::uint32_t cid = whole ? protocol::ReadU32(report.data()) : 0;
  if (!whole || listening_ != cid) return ++stray_ < kMaxStray;
  stray_ = 0;
  // A taker that is slower than the key holds the key back, not the memory.
  changed_.wait(lock, [this] { return reports_.size() < 64 || !listening_ || gone_; });
  if (listening_ == cid) reports_.push_back(std::move(report));
  changed_.notify_all();
  return true;
}

Result<HidPort::Report> HidPort::Take(Deadline deadline) {
  std::unique_lock lock(mutex_);
  changed_.wait_until(lock, deadline, [this] { return gone_ || !reports_.empty(); });
  if (gone_) return tl::unexpected(*gone_);
  if (reports_.empty()) return Late();
  Report report = std::move(reports_.front());
  reports_.pop_front();
  changed_.notify_all();
  return report;
}

}  // namespace keyferry::device

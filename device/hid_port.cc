#include "device/hid_port.h"

#include <algorithm>
#include <array>
#include <utility>

#include "device/hid_link.h"
#include "device/hid_port_internal.h"
#include "protocol/secure/system_random.h"

namespace keyferry::device {
namespace {

constexpr std::chrono::hours kForever{24};
constexpr std::size_t kMaxWaiting = 64;

tl::unexpected<Error> Late() {
  return Fail(ErrorCode::kDeadline, "The security key did not answer in time.");
}

}  // namespace

std::shared_ptr<HidPort> HidPort::Start(std::unique_ptr<Transport> transport, OnGone on_gone) {
  std::shared_ptr<HidPort> port(new HidPort(std::move(transport), std::move(on_gone)));
  port->reader_ = std::thread([raw = port.get()] { raw->ReadLoop(); });
  return port;
}

HidPort::HidPort(std::unique_ptr<Transport> transport, OnGone on_gone)
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
    gone_ = Error{ErrorCode::kUnavailable, reason.message, reason.detail, 0};
    changed_.notify_all();
  }
  transport_->Cancel();
  if (on_gone_) on_gone_(reason);
}

void HidPort::ReadLoop() {
  std::array<std::uint8_t, protocol::kReportSize> buffer{};
  while (true) {
    const auto size = transport_->Read(buffer, Clock::now() + kForever);
    if (size) {
      if (!Deliver(std::span(buffer).first(*size))) {
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

bool HidPort::Wanted::Take(const protocol::HidFrame& frame) {
  const bool fits = frame.first ? left == 0 : left > 0 && frame.sequence == sequence;
  const std::size_t had = frame.first ? frame.length : left;
  left = had - std::min(had, frame.data.size());
  sequence = frame.first ? 0 : static_cast<std::uint8_t>(sequence + 1);
  return !fits || left == 0 || had > protocol::kMaxMessage;
}

// False when too many came in a row that belong to nobody. A report that cannot be one (wrong size)
// belongs to nobody.
bool HidPort::Deliver(std::span<const std::uint8_t> bytes) {
  Report report{};
  std::copy_n(bytes.begin(), std::min(bytes.size(), report.size()), report.begin());
  const auto frame = protocol::HidFrame::Parse(report);
  std::unique_lock lock(mutex_);
  if (bytes.size() != report.size() || listening_ != frame.cid) return ++stray_ < kMaxStray;
  stray_ = 0;
  // A taker that is slower than the key holds the key back, not the memory.
  changed_.wait(lock, [this] { return reports_.size() < kMaxWaiting || !listening_ || gone_; });
  if (listening_ != frame.cid) return true;
  reports_.push_back(report);
  // The taker sleeps until a message is whole, or cannot become so.
  const bool wake = wanted_.Take(frame);
  lock.unlock();  // whom it wakes would only wait for it
  if (wake) changed_.notify_all();
  return true;
}

Result<HidPort::Report> HidPort::Take(Deadline deadline) {
  std::unique_lock lock(mutex_);
  changed_.wait_until(lock, deadline, [this] { return gone_ || !reports_.empty(); });
  if (gone_) return tl::unexpected(*gone_);
  if (reports_.empty()) return Late();
  const Report report = reports_.front();
  const bool was_full = reports_.size() >= kMaxWaiting;
  reports_.pop_front();
  if (was_full) changed_.notify_all();
  return report;
}

Result<void> HidPort::Send(std::uint32_t cid, std::uint8_t command,
                           std::span<const std::uint8_t> payload, Deadline deadline) {
  const std::scoped_lock together(write_mutex_);
  protocol::HidSplitter splitter(cid, static_cast<protocol::FrameCommand>(command), payload);
  std::vector<Report> reports(1);
  while (splitter.Next(reports.back())) reports.emplace_back();
  reports.pop_back();
  return transport_->WriteAll(reports, deadline);
}

Result<std::uint32_t> HidPort::Init(std::uint32_t cid, Deadline deadline) {
  protocol::Bytes<8> nonce{};
  OsRandom().Fill(nonce);
  const Listening listening(*this, cid);
  const auto init = static_cast<std::uint8_t>(protocol::FrameCommand::kInit);
  if (auto sent = Send(cid, init, nonce, deadline); !sent) return tl::unexpected(sent.error());
  while (true) {
    const auto report = Take(deadline);
    if (!report) return tl::unexpected(report.error());
    const auto frame = protocol::HidFrame::Parse(*report);
    if (!frame.first) continue;  // what is left of the command before
    if (frame.command == static_cast<std::uint8_t>(protocol::FrameCommand::kError)) {
      const auto error = static_cast<protocol::FrameError>(frame.data[0]);
      if (error == protocol::FrameError::kInvalidChannel && cid != protocol::kBroadcastCid) {
        return Fail(ErrorCode::kConflict, "The security key gave our channel to another program.");
      }
      if (error == protocol::FrameError::kBusy && Clock::now() < deadline) {
        std::this_thread::sleep_for(std::chrono::milliseconds(20));
        if (auto sent = Send(cid, init, nonce, deadline); !sent) {
          return tl::unexpected(sent.error());
        }
      }
      continue;
    }
    if (frame.command != init || frame.length != protocol::kInitResponseSize) continue;
    const auto answer =
        protocol::InitResponse::Parse(frame.data.first(protocol::kInitResponseSize));
    if (!answer || answer->nonce != nonce) continue;
    if (answer->cid == 0 || answer->cid == protocol::kBroadcastCid ||
        (cid != protocol::kBroadcastCid && answer->cid != cid)) {
      return Fail(ErrorCode::kProtocol, "The security key gave out a channel that cannot be.");
    }
    if (answer->proto_min > 1 || answer->proto_max < 1) {
      return Fail(
          ErrorCode::kUnsupported,
          "The security key speaks another version of the protocol; update it or Keyferry.");
    }
    return answer->cid;
  }
}

Result<std::unique_ptr<MessageLink>> HidPort::OpenLink(const Patience& patience) {
  std::uint32_t on = protocol::kBroadcastCid;
  {
    const std::scoped_lock lock(mutex_);
    if (links_ >= protocol::kMaxChannels) {
      return Fail(ErrorCode::kRateLimited,
                  "Too many programs use the security key at once; close one and try again.");
    }
    ++links_;
    if (!free_cids_.empty()) {
      on = free_cids_.back();
      free_cids_.pop_back();
    }
  }
  const Turn turn(*this, Clock::now() + patience.turn);
  if (auto mine = turn.Check(); !mine) {
    LinkGone(on == protocol::kBroadcastCid ? std::nullopt : std::optional(on));
    return tl::unexpected(mine.error());
  }
  const Deadline deadline = Clock::now() + patience.answer;
  auto cid = Init(on, deadline);
  if (!cid && cid.error().code == ErrorCode::kConflict) {
    cid = Init(protocol::kBroadcastCid, deadline);
  }
  if (!cid) {
    LinkGone(std::nullopt);
    return tl::unexpected(cid.error());
  }
  return std::make_unique<HidLink>(shared_from_this(), *cid);
}

void HidPort::LinkGone(std::optional<std::uint32_t> cid) {
  const std::scoped_lock lock(mutex_);
  --links_;
  if (cid) free_cids_.push_back(*cid);
}

}  // namespace keyferry::device

#include "device/ble/ble_port.h"

#include <algorithm>
#include <array>
#include <utility>

#include "device/ble/ble_link.h"
#include "device/ble/ble_port_internal.h"
#include "device/ble/ble_transport.h"
#include "protocol/framing.h"
#include "protocol/secure/system_random.h"

namespace keyferry::device {
namespace {

using protocol::Assembler;
using protocol::FrameCommand;
using protocol::FrameError;

constexpr std::chrono::hours kForever{24};
constexpr std::size_t kMaxWaiting = 64;
constexpr std::size_t kMaxAttribute = 512;  // bytes of any GATT value

tl::unexpected<Error> BadFrame(const char* detail) {
  return Fail(ErrorCode::kProtocol, "The security key sent something that makes no sense.", detail);
}

}  // namespace

std::shared_ptr<BlePort> BlePort::Start(std::unique_ptr<Transport> transport, OnGone on_gone,
                                        BleHolding holding,
                                        std::shared_ptr<std::atomic<bool>> heard) {
  std::shared_ptr<BlePort> port(
      new BlePort(std::move(transport), std::move(on_gone), holding, std::move(heard)));
  port->reader_ = std::thread([raw = port.get()] { raw->ReadLoop(); });
  return port;
}

BlePort::BlePort(std::unique_ptr<Transport> transport, OnGone on_gone, BleHolding holding,
                 std::shared_ptr<std::atomic<bool>> heard)
    : transport_(std::move(transport)),
      on_gone_(std::move(on_gone)),
      holding_(holding),
      heard_(std::move(heard)) {}

BlePort::~BlePort() {
  Close();
  reader_.join();
}

void BlePort::Close() {
  {
    const std::scoped_lock lock(mutex_);
    if (!gone_) {
      gone_ = Error{ErrorCode::kUnavailable, "The connection to the key was closed.", {}, 0};
    }
    changed_.notify_all();
  }
  transport_->Cancel();
}

void BlePort::Lose(const Error& reason) {
  {
    const std::scoped_lock lock(mutex_);
    if (gone_) return;
    gone_ = Error{ErrorCode::kUnavailable, reason.message, reason.detail, 0};
    changed_.notify_all();
  }
  transport_->Cancel();
  if (on_gone_) on_gone_(reason);
}

void BlePort::ReadLoop() {
  std::array<std::uint8_t, kMaxAttribute> buffer{};
  while (true) {
    const auto size = transport_->Read(buffer, Clock::now() + kForever);
    if (size) {
      if (!Deliver(std::span(buffer).first(*size))) {
        return Lose({ErrorCode::kProtocol,
                     "The security key sends data without end that nobody asked for; take it away.",
                     {},
                     0});
      }
    } else if (size.error().code == ErrorCode::kProtocol) {
      if (!Deliver({})) return Lose(size.error());
    } else if (size.error().code != ErrorCode::kDeadline) {
      return Lose(size.error());
    }
  }
}

// False when too many came in a row that nobody asked for.
bool BlePort::Deliver(std::span<const std::uint8_t> fragment) {
  std::unique_lock lock(mutex_);
  if (fragment.empty() || !listening_) return ++stray_ < kMaxStray;
  stray_ = 0;
  // A taker that is slower than the key holds the key back, not the memory.
  changed_.wait(lock, [this] { return fragments_.size() < kMaxWaiting || !listening_ || gone_; });
  if (listening_) fragments_.emplace_back(fragment.begin(), fragment.end());
  changed_.notify_all();
  return true;
}

Clock::time_point BlePort::FreeFor(const BleLink* link, Clock::time_point since) const {
  if (owner_ == nullptr || owner_ == link) return {};
  const auto idle = turns_.Runs(owner_) || turns_.Waits(owner_) ? Clock::time_point::max()
                                                                : owner_spoke_ + holding_.idle;
  if (owner_in_handshake_) return idle;
  return std::min(idle, std::max(owner_since_, since) + holding_.longest);
}

Result<void> BlePort::Send(std::uint8_t command, std::span<const std::uint8_t> payload,
                           Deadline deadline) {
  const std::scoped_lock together(write_mutex_);
  std::array<std::uint8_t, kMaxBleFragment> fragment;
  const std::size_t limit = std::min(transport_->Describe().max_fragment, fragment.size());
  protocol::BleSplitter splitter(limit, static_cast<FrameCommand>(command), payload);
  while (const std::size_t size = splitter.Next(fragment)) {
    if (auto sent = transport_->Write(std::span(fragment).first(size), deadline); !sent) {
      return sent;
    }
  }
  return {};
}

Result<BlePort::Fragment> BlePort::Take(Deadline deadline) {
  std::unique_lock lock(mutex_);
  changed_.wait_until(lock, deadline, [this] { return gone_ || !fragments_.empty(); });
  if (gone_) return tl::unexpected(*gone_);
  if (fragments_.empty()) {
    return Fail(ErrorCode::kDeadline, "The security key did not answer in time.");
  }
  Fragment fragment = std::move(fragments_.front());
  fragments_.pop_front();
  changed_.notify_all();
  return fragment;
}

// Continuations that belong to no message are ignored (section 6); a fragment that claims more or
// carries more than its message has is refused.
Result<Message> BlePort::TakeMessage(Deadline deadline) {
  Assembler assembler;
  std::size_t left = 0;
  while (true) {
    const auto raw = Take(deadline);
    if (!raw) return tl::unexpected(raw.error());
    protocol::BleFragment fragment;
    if (!protocol::BleFragment::Parse(*raw, fragment)) return BadFrame("fragment");
    Assembler::Step step;
    if (fragment.first) {
      left = fragment.length;
      step = assembler.Begin(fragment.command, fragment.length, fragment.data);
    } else if (assembler.assembling()) {
      step = assembler.Continue(fragment.sequence, fragment.data);
    } else {
      continue;
    }
    if (fragment.data.size() > left) return BadFrame("fragment beyond its message");
    left -= fragment.data.size();
    if (step == Assembler::Step::kMore) continue;
    if (step != Assembler::Step::kComplete) return BadFrame("fragment sequence or length");
    const auto message = assembler.message();
    return Message{assembler.command(), {message.begin(), message.end()}};
  }
}

Result<void> BlePort::GetInStep(Deadline deadline) {
  if (in_step_) return {};
  protocol::Bytes<8> nonce{};
  OsRandom().Fill(nonce);
  const Listening listening(*this);
  const auto init = static_cast<std::uint8_t>(FrameCommand::kInit);
  if (auto sent = Send(init, nonce, deadline); !sent) return sent;
  while (true) {
    const auto message = TakeMessage(deadline);
    if (!message) {
      if (message.error().code == ErrorCode::kProtocol) continue;  // left of the command before
      return tl::unexpected(message.error());
    }
    if (message->command == static_cast<std::uint8_t>(FrameCommand::kError) &&
        message->payload.size() == 1 &&
        message->payload[0] == static_cast<std::uint8_t>(FrameError::kBusy) &&
        Clock::now() < deadline) {
      std::this_thread::sleep_for(kBusyPause);
      if (auto sent = Send(init, nonce, deadline); !sent) return sent;
      continue;
    }
    if (message->command != init) continue;
    const auto answer = protocol::InitResponse::Parse(message->payload);
    if (!answer || answer->nonce != nonce) continue;
    if (answer->proto_min > 1 || answer->proto_max < 1) {
      return Fail(
          ErrorCode::kUnsupported,
          "The security key speaks another version of the protocol; update it or Keyferry.");
    }
    in_step_ = true;
    if (heard_) *heard_ = true;
    return {};
  }
}

Result<void> BlePort::Possess(const BleLink* link, Deadline deadline) {
  {
    const std::scoped_lock lock(mutex_);
    // Ends the former session on the key. Also when it is the link's own: it would not begin anew
    // if the last one had not gone wrong, perhaps by an answer that came twice or late.
    if (used_) in_step_ = false;
    used_ = false;
    if (owner_ != link) owner_ = nullptr;
    owner_in_handshake_ = false;
  }
  if (auto ready = GetInStep(deadline); !ready) return ready;
  const std::scoped_lock lock(mutex_);
  if (owner_ != link) owner_since_ = Clock::now();
  owner_ = link;
  used_ = true;
  return {};
}

Result<std::unique_ptr<MessageLink>> BlePort::OpenLink(const Patience& patience) {
  {
    const std::scoped_lock lock(mutex_);
    if (links_ >= protocol::kMaxChannels) {
      return Fail(ErrorCode::kRateLimited,
                  "Too many programs use the security key at once; close one and try again.");
    }
    ++links_;
  }
  auto link = std::make_unique<BleLink>(shared_from_this());
  const Turn turn(*this, link.get(), false, false, Clock::now() + patience.turn);
  if (auto mine = turn.Check(); !mine) return tl::unexpected(mine.error());
  if (auto ready = GetInStep(Clock::now() + patience.answer); !ready) {
    return tl::unexpected(ready.error());
  }
  return Result<std::unique_ptr<MessageLink>>(std::move(link));
}

void BlePort::LinkGone(const BleLink* link) {
  const std::scoped_lock lock(mutex_);
  --links_;
  if (owner_ == link) owner_ = nullptr;
  changed_.notify_all();
}

}  // namespace keyferry::device

#include "device/hid_link.h"

#include <thread>
#include <utility>

#include "device/hid_port_internal.h"
#include "protocol/framing.h"

namespace keyferry::device {
namespace {

using protocol::Assembler;
using protocol::FrameCommand;
using protocol::FrameError;

constexpr std::chrono::milliseconds kBusyPause{20};

bool IsError(const Message& message, FrameError error) {
  return message.command == static_cast<std::uint8_t>(FrameCommand::kError) &&
         message.payload.size() == 1 && message.payload[0] == static_cast<std::uint8_t>(error);
}

tl::unexpected<Error> BadFrame(const char* detail) {
  return Fail(ErrorCode::kProtocol, "The security key sent something that makes no sense.", detail);
}

}  // namespace

HidLink::HidLink(std::shared_ptr<HidPort> port, std::uint32_t cid)
    : port_(std::move(port)), cid_(cid) {}

HidLink::~HidLink() { port_->LinkGone(lost_ ? std::nullopt : std::optional(cid())); }

TransportKind HidLink::Kind() const { return port_->Describe().kind; }

std::uint32_t HidLink::cid() const {
  const std::scoped_lock lock(mutex_);
  return cid_;
}

Result<void> HidLink::BringInStep(Deadline deadline) {
  auto fresh = port_->Init(lost_ ? protocol::kBroadcastCid : cid(), deadline);
  if (!fresh && fresh.error().code == ErrorCode::kConflict) {
    fresh = port_->Init(protocol::kBroadcastCid, deadline);
  }
  if (!fresh) return tl::unexpected(fresh.error());
  const std::scoped_lock lock(mutex_);
  cid_ = *fresh;
  lost_ = false;
  out_of_step_ = false;
  return {};
}

Result<Message> HidLink::Transact(std::uint8_t command, std::span<const std::uint8_t> payload,
                                  const Patience& patience, const KeepaliveHandler& on_keepalive) {
  if (!protocol::IsHostLength(command, payload.size())) {
    return Fail(ErrorCode::kInvalidArgument, "The message does not fit into the protocol.");
  }
  const std::scoped_lock one(transaction_);
  const Deadline turn_deadline = Clock::now() + patience.turn;
  while (true) {
    const HidPort::Turn turn(*port_, turn_deadline);
    if (auto mine = turn.Check(); !mine) return tl::unexpected(mine.error());
    const auto start = Clock::now();
    if (out_of_step_ || lost_) {
      if (auto back = BringInStep(start + patience.answer); !back) {
        return tl::unexpected(back.error());
      }
    }
    const HidPort::Listening listening(*port_, cid());
    out_of_step_ = true;  // until the answer is whole
    if (auto sent = port_->Send(cid(), command, payload, start + patience.answer); !sent) {
      return tl::unexpected(sent.error());
    }
    auto answer = Await(start, patience, on_keepalive);
    if (!answer) {
      // Frees the key at once: nobody waits for this command any more.
      [[maybe_unused]] const auto cancelled = port_->Send(
          cid(), static_cast<std::uint8_t>(FrameCommand::kCancel), {}, Clock::now() + kBusyPause);
      return answer;
    }
    out_of_step_ = false;
    if (IsError(*answer, FrameError::kInvalidChannel)) lost_ = true;
    if (!IsError(*answer, FrameError::kBusy) || Clock::now() > turn_deadline) return answer;
    std::this_thread::sleep_for(kBusyPause);  // somebody else's command on another connection
  }
}

Result<Message> HidLink::Await(Clock::time_point start, const Patience& patience,
                               const KeepaliveHandler& on_keepalive) {
  Deadline deadline = start + patience.answer;
  Assembler assembler;
  while (true) {
    const auto report = port_->Take(deadline);
    if (!report) return tl::unexpected(report.error());
    const auto frame = protocol::HidFrame::Parse(*report);
    Assembler::Step step;
    if (frame.first) {
      step = assembler.Begin(frame.command, frame.length, frame.data);
    } else if (assembler.assembling()) {
      step = assembler.Continue(frame.sequence, frame.data);
    } else {
      continue;  // a continuation of nothing is ignored (section 6)
    }
    if (step == Assembler::Step::kMore) continue;
    if (step != Assembler::Step::kComplete) return BadFrame("frame sequence or length");
    if (assembler.command() != static_cast<std::uint8_t>(FrameCommand::kKeepalive)) {
      const auto message = assembler.message();
      return Message{assembler.command(), {message.begin(), message.end()}};
    }
    if (assembler.message().size() != 1) return BadFrame("KEEPALIVE length");
    const auto state = static_cast<Keepalive>(assembler.message()[0]);
    if (state != Keepalive::kProcessing && state != Keepalive::kTouchNeeded) {
      return BadFrame("KEEPALIVE value");
    }
    assembler.Reset();
    if (state == Keepalive::kTouchNeeded) deadline = start + patience.touch;
    if (on_keepalive) on_keepalive(state);
  }
}

Result<void> HidLink::Post(std::uint8_t command, std::span<const std::uint8_t> payload) {
  if (!protocol::IsHostLength(command, payload.size())) {
    return Fail(ErrorCode::kInvalidArgument, "The message does not fit into the protocol.");
  }
  return port_->Send(cid(), command, payload, Clock::now() + std::chrono::milliseconds(500));
}

}  // namespace keyferry::device

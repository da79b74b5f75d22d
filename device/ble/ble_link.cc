#include "device/ble/ble_link.h"

#include <thread>
#include <utility>

#include "device/ble/ble_port_internal.h"
#include "protocol/framing.h"

namespace keyferry::device {
namespace {

using protocol::FrameCommand;
using protocol::FrameError;

bool IsError(const Message& message, FrameError error) {
  return message.command == static_cast<std::uint8_t>(FrameCommand::kError) &&
         message.payload.size() == 1 && message.payload[0] == static_cast<std::uint8_t>(error);
}

Message MakeError(FrameError error) {
  return {static_cast<std::uint8_t>(FrameCommand::kError), {static_cast<std::uint8_t>(error)}};
}

bool Is(std::uint8_t command, FrameCommand which) {
  return command == static_cast<std::uint8_t>(which);
}

// What a key may answer to a command. All else was the answer to one before.
bool Answers(std::uint8_t command, std::uint8_t answer) {
  if (Is(answer, FrameCommand::kError)) return true;
  if (Is(command, FrameCommand::kHs1)) return Is(answer, FrameCommand::kHs2);
  if (Is(command, FrameCommand::kHs3)) return Is(answer, FrameCommand::kHs4);
  if (Is(command, FrameCommand::kMsg)) return Is(answer, FrameCommand::kMsgResp);
  return answer == command;
}

}  // namespace

BleLink::~BleLink() { port_->LinkGone(this); }

Result<Message> BleLink::Transact(std::uint8_t command, std::span<const std::uint8_t> payload,
                                  const Patience& patience, const KeepaliveHandler& on_keepalive) {
  if (!protocol::IsHostLength(command, payload.size()) || Is(command, FrameCommand::kInit)) {
    return Fail(ErrorCode::kInvalidArgument, "The message does not fit into the protocol.");
  }
  const bool bound = Is(command, FrameCommand::kHs3) || Is(command, FrameCommand::kMsg);
  const std::scoped_lock one(transaction_);
  const Deadline turn_deadline = Clock::now() + patience.turn;
  while (true) {
    const BlePort::Turn turn(*port_, this, bound || Is(command, FrameCommand::kHs1), bound,
                             turn_deadline);
    if (turn.lost()) {
      return MakeError(Is(command, FrameCommand::kHs3) ? FrameError::kHandshake
                                                       : FrameError::kNoSession);
    }
    if (auto mine = turn.Check(); !mine) return tl::unexpected(mine.error());
    auto answer = Run(command, payload, patience, on_keepalive);
    if (!answer || !IsError(*answer, FrameError::kBusy) || Clock::now() > turn_deadline) {
      return answer;
    }
    std::this_thread::sleep_for(kBusyPause);  // the key's other transport is at work
  }
}

Result<Message> BleLink::Run(std::uint8_t command, std::span<const std::uint8_t> payload,
                             const Patience& patience, const KeepaliveHandler& on_keepalive) {
  const auto start = Clock::now();
  const Deadline first_deadline = start + patience.answer;
  if (Is(command, FrameCommand::kHs3)) {
    const std::scoped_lock lock(port_->mutex_);
    port_->owner_in_handshake_ = false;
  }
  const auto ready = Is(command, FrameCommand::kHs1) ? port_->Possess(this, first_deadline)
                                                     : port_->GetInStep(first_deadline);
  if (!ready) return tl::unexpected(ready.error());
  const BlePort::Listening listening(*port_);
  port_->in_step_ = false;  // until the answer is whole
  if (auto sent = port_->Send(command, payload, first_deadline); !sent) {
    return tl::unexpected(sent.error());
  }
  Deadline deadline = first_deadline;
  while (true) {
    auto answer = port_->TakeMessage(deadline);
    if (answer && Is(answer->command, FrameCommand::kKeepalive)) {
      const auto state =
          answer->payload.size() == 1 ? static_cast<Keepalive>(answer->payload[0]) : Keepalive{};
      if (state == Keepalive::kProcessing || state == Keepalive::kTouchNeeded) {
        if (state == Keepalive::kTouchNeeded) deadline = start + patience.touch;
        if (on_keepalive) on_keepalive(state);
        continue;
      }
      answer = Fail(ErrorCode::kProtocol, "The security key sent something that makes no sense.",
                    "KEEPALIVE");
    }
    if (!answer) {
      // Frees the key at once: nobody waits for this command any more.
      [[maybe_unused]] const auto cancelled = port_->Send(
          static_cast<std::uint8_t>(FrameCommand::kCancel), {}, Clock::now() + kBusyPause);
      return answer;
    }
    if (!Answers(command, answer->command)) continue;
    port_->in_step_ = true;
    if (Is(answer->command, FrameCommand::kHs2)) {
      const std::scoped_lock lock(port_->mutex_);
      port_->owner_in_handshake_ = true;
    }
    return answer;
  }
}

Result<void> BleLink::Post(std::uint8_t command, std::span<const std::uint8_t> payload) {
  if (!Is(command, FrameCommand::kCancel) || !payload.empty()) {
    return Fail(ErrorCode::kInvalidArgument, "The message does not fit into the protocol.");
  }
  {
    const std::scoped_lock lock(port_->mutex_);
    if (port_->gone_) return tl::unexpected(*port_->gone_);
    if (!port_->turns_.Runs(this)) return {};
  }
  return port_->Send(command, payload, Clock::now() + std::chrono::milliseconds(500));
}

}  // namespace keyferry::device

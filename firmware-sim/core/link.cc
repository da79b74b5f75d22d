#include "firmware-sim/core/link.h"

#include <algorithm>

namespace keyferry::sim {

using protocol::FrameCommand;
using protocol::FrameError;

Link::Link(Hal& hal, std::uint32_t firmware_version, LinkClient& client)
    : hal_(hal), firmware_version_(firmware_version), client_(client) {}

Link::Channel* Link::Find(std::uint32_t cid) {
  if (cid == 0) return nullptr;
  for (Channel& channel : channels_) {
    if (channel.cid == cid) return &channel;
  }
  return nullptr;
}

// A channel is its plug's: elsewhere the cid is not allocated.
Link::Channel* Link::Find(const Peer& peer) {
  Channel* channel = Find(peer.cid);
  return channel != nullptr && channel->plug == peer.origin.plug ? channel : nullptr;
}

// The peer is the one whose message is being assembled or whose command runs.
bool Link::IsRunning(const Peer& peer) const {
  return peer.cid == peer_.cid && peer.origin.plug == peer_.origin.plug;
}

void Link::OnFrame(protocol::ByteView bytes, const Origin& origin) {
  Tick();
  protocol::HidFrame frame;
  if (origin.transport == protocol::Transport::kBle) {
    protocol::BleFragment fragment;
    if (Find({kBleCid, origin}) == nullptr || !protocol::BleFragment::Parse(bytes, fragment))
      return;
    frame = {kBleCid,         fragment.first,    fragment.command,
             fragment.length, fragment.sequence, fragment.data};
  } else {
    protocol::Report report;
    if (bytes.size() != report.size()) return;
    std::copy(bytes.begin(), bytes.end(), report.begin());
    frame = protocol::HidFrame::Parse(report);
    frame.data = bytes.last(frame.data.size());
  }
  const Peer peer{frame.cid, origin};
  if (Channel* channel = Find(peer)) channel->used = ++uses_;
  if (frame.first) {
    OnFirst(peer, frame);
  } else {
    OnContinuation(peer, frame);
  }
}

// The order of the checks is the specification's.
void Link::OnFirst(const Peer& peer, const protocol::HidFrame& frame) {
  const auto command = static_cast<FrameCommand>(frame.command);
  const bool init = command == FrameCommand::kInit;
  if (peer.cid == protocol::kBroadcastCid ? !init : Find(peer) == nullptr) {
    return SendError(peer, FrameError::kInvalidChannel);
  }
  const bool same = IsRunning(peer);
  if (message_.assembling() && !same) return SendError(peer, FrameError::kBusy);
  if (busy_ && !(same && (init || command == FrameCommand::kCancel)))
    return SendError(peer, FrameError::kBusy);
  if (message_.assembling() && !init) {
    message_.Reset();
    return SendError(peer, FrameError::kInvalidSequence);
  }
  if (!protocol::IsHostCommand(frame.command)) return SendError(peer, FrameError::kInvalidCommand);
  if (!protocol::IsHostLength(frame.command, frame.length))
    return SendError(peer, FrameError::kInvalidLength);
  if (init) return OnInit(peer, frame.data.first(8));
  if (command == FrameCommand::kCancel) {
    if (busy_) client_.OnCancel();
    return;
  }
  peer_ = peer;
  last_frame_ms_ = hal_.clock.NowMs();
  if (message_.Begin(frame.command, frame.length, frame.data) ==
      protocol::Assembler::Step::kComplete)
    Dispatch();
}

void Link::OnContinuation(const Peer& peer, const protocol::HidFrame& frame) {
  if (!message_.assembling() || !IsRunning(peer)) return;
  last_frame_ms_ = hal_.clock.NowMs();
  switch (message_.Continue(frame.sequence, frame.data)) {
    case protocol::Assembler::Step::kComplete:
      return Dispatch();
    case protocol::Assembler::Step::kMore:
      return;
    case protocol::Assembler::Step::kBadSequence:
    case protocol::Assembler::Step::kBadLength:
      return SendError(peer, FrameError::kInvalidSequence);
  }
}

void Link::OnInit(const Peer& peer, protocol::ByteView nonce) {
  protocol::InitResponse answer;
  answer.cid = peer.cid == kBleCid ? 0 : peer.cid;
  answer.firmware = firmware_version_;
  std::copy(nonce.begin(), nonce.end(), answer.nonce.begin());
  if (peer.cid == protocol::kBroadcastCid) {
    answer.cid = Allocate(peer.origin.plug);
  } else {
    Abort();  // only this cid's own message or command can be there: others were answered 06
    client_.OnChannelReset(peer.cid);
  }
  SendMessage(peer, FrameCommand::kInit, answer.Encode());
}

void Link::Abort() {
  message_.Reset();
  if (!busy_) return;
  busy_ = held_ = touch_needed_ = false;
  client_.OnAbort();
}

void Link::OnBleLink(std::uint8_t plug, std::size_t max_fragment) {
  max_fragment_ = std::clamp(max_fragment, protocol::kMinFragment, protocol::kMaxFragment);
  channels_.back() = {kBleCid, plug, ++uses_};
}

void Link::OnHostGone(std::uint8_t plug) {
  if (peer_.origin.plug == plug) Abort();
  for (Channel& channel : channels_) {
    if (channel.cid == 0 || channel.plug != plug) continue;
    client_.OnChannelReset(channel.cid);
    channel = {};
  }
}

std::uint32_t Link::Allocate(std::uint8_t plug) {
  Channel* oldest = &channels_[0];
  for (std::size_t i = 1; i < protocol::kMaxChannels; ++i) {
    if (channels_[i].used < oldest->used) oldest = &channels_[i];
  }
  if (oldest->cid != 0) client_.OnChannelReset(oldest->cid);
  oldest->cid = 0;
  std::uint32_t cid = 0;
  while (cid == 0 || cid == protocol::kBroadcastCid || cid == kBleCid || Find(cid) != nullptr) {
    protocol::Bytes<4> random{};
    if (!hal_.random.Fill(random)) random = {0, 0, 0, static_cast<std::uint8_t>(uses_)};
    cid = protocol::Reader(random).U32();
    ++uses_;
  }
  *oldest = {cid, plug, uses_};
  return cid;
}

void Link::Dispatch() {
  busy_ = true;
  held_ = touch_needed_ = false;
  keepalive_ms_ = hal_.clock.NowMs();
  const auto command = static_cast<FrameCommand>(message_.command());
  if (command == FrameCommand::kPing) {
    Answer(FrameCommand::kPing, message_.message());
  } else {
    client_.OnMessage(peer_.cid, command, message_.message());
  }
}

void Link::Answer(FrameCommand command, protocol::ByteView payload, std::uint32_t delay_ms) {
  if (!busy_) return;
  touch_needed_ = false;
  if (delay_ms != 0) {
    held_ = true;
    due_ms_ = hal_.clock.NowMs() + delay_ms;
    held_command_ = command;
    held_length_ = std::min(payload.size(), held_answer_.size());
    std::copy_n(payload.begin(), held_length_, held_answer_.begin());
    return;
  }
  busy_ = false;
  SendMessage(peer_, command, payload);
}

void Link::Error(FrameError error, std::uint32_t delay_ms) {
  const protocol::Bytes<1> code{static_cast<std::uint8_t>(error)};
  Answer(FrameCommand::kError, code, delay_ms);
}

void Link::KeepAlive() {
  if (!busy_) return;
  const std::uint64_t now = hal_.clock.NowMs();
  const std::uint64_t since = now - keepalive_ms_;
  if (since < protocol::kKeepaliveMillis) return;
  keepalive_ms_ =
      now - since % protocol::kKeepaliveMillis;  // in step with the clock, never in a burst
  const protocol::Bytes<1> state{touch_needed_ ? protocol::kKeepaliveTouch
                                               : protocol::kKeepaliveProcessing};
  SendMessage(peer_, FrameCommand::kKeepalive, state);
}

void Link::Tick() {
  const std::uint64_t now = hal_.clock.NowMs();
  if (message_.assembling() && now - last_frame_ms_ >= protocol::kContinuationMillis) {
    message_.Reset();
    SendError(peer_, FrameError::kTimeout);
  }
  if (!busy_) return;
  if (held_ && now >= due_ms_) {
    held_ = busy_ = false;
    SendMessage(peer_, held_command_, protocol::ByteView(held_answer_).first(held_length_));
    return;
  }
  KeepAlive();
}

void Link::SendError(const Peer& peer, FrameError error) {
  const protocol::Bytes<1> code{static_cast<std::uint8_t>(error)};
  SendMessage(peer, FrameCommand::kError, code);
}

void Link::SendMessage(const Peer& peer, FrameCommand command, protocol::ByteView payload) {
  if (peer.origin.transport == protocol::Transport::kBle) {
    protocol::BleSplitter splitter(max_fragment_, command, payload);
    protocol::Bytes<protocol::kMaxFragment> fragment;
    while (const std::size_t size = splitter.Next(fragment))
      hal_.frames.Send(protocol::ByteView(fragment).first(size), peer.origin);
    return;
  }
  protocol::HidSplitter splitter(peer.cid, command, payload);
  protocol::Report report;
  while (splitter.Next(report)) hal_.frames.Send(report, peer.origin);
}

}  // namespace keyferry::sim

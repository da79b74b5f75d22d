#include "tests/unit/device/ble_face.h"

#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>

namespace keyferry::test {

using protocol::Assembler;
using protocol::FrameCommand;

BleFace::BleFace(FakeKey& key, std::size_t max_fragment)
    : hid_(key.Connect()), max_fragment_(max_fragment) {
  key.transport = protocol::Transport::kBle;
}

Result<void> BleFace::Write(std::span<const std::uint8_t> bytes, device::Deadline deadline) {
  ++fragments;
  protocol::BleFragment fragment;
  if (!protocol::BleFragment::Parse(bytes, fragment)) return {};
  const auto step = fragment.first ? in_.Begin(fragment.command, fragment.length, fragment.data)
                                   : in_.Continue(fragment.sequence, fragment.data);
  if (step != Assembler::Step::kComplete) return {};
  const auto command = static_cast<FrameCommand>(in_.command());
  if (command == FrameCommand::kInit) ++inits;
  const std::vector<std::uint8_t> message(in_.message().begin(), in_.message().end());
  protocol::HidSplitter splitter(cid_, command, message);
  protocol::Report report{};
  while (splitter.Next(report)) {
    if (auto written = hid_->Write(report, deadline); !written) return written;
  }
  return {};
}

Result<std::size_t> BleFace::Read(std::span<std::uint8_t> buffer, device::Deadline deadline) {
  while (ready_.empty()) {
    protocol::Report report{};
    const auto size = hid_->Read(report, deadline);
    if (!size) return size;
    const auto frame = protocol::HidFrame::Parse(report);
    const auto step = frame.first ? out_.Begin(frame.command, frame.length, frame.data)
                                  : out_.Continue(frame.sequence, frame.data);
    if (step != Assembler::Step::kComplete) continue;
    std::vector<std::uint8_t> message(out_.message().begin(), out_.message().end());
    const auto command = static_cast<FrameCommand>(out_.command());
    if (command == FrameCommand::kInit) {
      auto answer = *protocol::InitResponse::Parse(message);
      cid_ = answer.cid;
      answer.cid = 0;
      const auto encoded = answer.Encode();
      message.assign(encoded.begin(), encoded.end());
    }
    ready_ = std::exchange(again_, {});
    protocol::BleSplitter splitter(max_fragment_, command, message);
    std::vector<std::uint8_t> fragment(max_fragment_);
    while (const std::size_t n = splitter.Next(fragment)) {
      ready_.emplace_back(fragment.begin(), fragment.begin() + static_cast<std::ptrdiff_t>(n));
      if (twice > 0) again_.push_back(ready_.back());
    }
    if (twice > 0) --twice;
  }
  const auto fragment = std::move(ready_.front());
  ready_.pop_front();
  std::copy(fragment.begin(), fragment.end(), buffer.begin());
  return fragment.size();
}

BlePump::BlePump(FakeKey& key, std::size_t max_fragment) : face(key, max_fragment) {
  int pair[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0) std::abort();
  host_write_ = pair[0];
  key_write_ = pair[1];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0) std::abort();
  host_notify_ = pair[0];
  key_notify_ = pair[1];
  Start();
}

BlePump::BlePump(FakeKey& key, std::size_t max_fragment, int key_write, int key_notify)
    : face(key, max_fragment), key_write_(key_write), key_notify_(key_notify) {
  Start();
}

void BlePump::Start() {
  const auto forever = device::Clock::now() + std::chrono::hours(1);
  in_ = std::thread([this, forever] {
    std::array<std::uint8_t, 512> buffer;
    while (true) {
      const ssize_t n = recv(key_write_, buffer.data(), buffer.size(), 0);
      if (n <= 0 || !face.Write(std::span(buffer).first(static_cast<std::size_t>(n)), forever)) {
        return;
      }
    }
  });
  out_ = std::thread([this, forever] {
    std::array<std::uint8_t, 512> buffer;
    while (const auto n = face.Read(buffer, forever)) {
      if (send(key_notify_, buffer.data(), *n, MSG_NOSIGNAL) < 0) return;
    }
  });
}

BlePump::~BlePump() {
  HangUp();
  in_.join();
  out_.join();
  close(key_write_);
  close(key_notify_);
}

void BlePump::HangUp() {
  HangUpWriteOnly();
  shutdown(key_notify_, SHUT_RDWR);
  face.Cancel();
}

void BlePump::HangUpWriteOnly() { shutdown(key_write_, SHUT_RDWR); }

void BlePump::Spill(std::span<const std::uint8_t> fragment) {
  if (send(key_notify_, fragment.data(), fragment.size(), MSG_NOSIGNAL) < 0) return;
}

}  // namespace keyferry::test

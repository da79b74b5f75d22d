// PROTOCOL.md section 6: frames, channels, errors.
#include <catch2/catch.hpp>
#include <set>

#include "tests/conformance/driver.h"

namespace keyferry::conformance {
namespace {

Report First(std::uint32_t cid, std::uint8_t command, std::uint16_t length, std::uint8_t fill = 0) {
  Report report{};
  Writer(report).U32(cid).U8(static_cast<std::uint8_t>(0x80 | command)).U16(length);
  std::fill(report.begin() + 7, report.end(), fill);
  return report;
}

Report Continuation(std::uint32_t cid, std::uint8_t sequence) {
  Report report{};
  Writer(report).U32(cid).U8(sequence);
  return report;
}

// The next report has to be this error on this channel.
void ExpectError(Wire& wire, std::uint32_t cid, FrameError error) {
  const auto report = wire.Receive();
  REQUIRE(report);
  const HidFrame frame = HidFrame::Parse(*report);
  CHECK(frame.cid == cid);
  CHECK(frame.command == kError);
  CHECK(frame.length == 1);
  CHECK(frame.data[0] == static_cast<std::uint8_t>(error));
}

void ExpectPing(Wire& wire, std::uint32_t cid) {
  const Blob data = {1, 2, 3};
  const Message echo = wire.Exchange(cid, FrameCommand::kPing, data);
  CHECK(echo.command == static_cast<std::uint8_t>(FrameCommand::kPing));
  CHECK(echo.data == data);
}

struct OpenChannel {
  Simulator simulator;
  Wire wire{simulator.socket()};
  std::uint32_t cid = wire.Open();
};

TEST_CASE_METHOD(OpenChannel,
                 "framing: INIT gives four different channels, none broadcast or zero") {
  std::set<std::uint32_t> cids = {cid};
  for (int i = 0; i < 3; ++i) cids.insert(wire.Open());
  CHECK(cids.size() == 4);
  CHECK(cids.count(0) == 0);
  CHECK(cids.count(kBroadcastCid) == 0);
  for (const std::uint32_t one : cids) ExpectPing(wire, one);
}

TEST_CASE_METHOD(OpenChannel, "framing: a fifth channel evicts the least recently used") {
  const std::uint32_t second = wire.Open();
  wire.Open();
  wire.Open();
  ExpectPing(wire, cid);  // now `second` is the oldest
  wire.Open();
  ExpectPing(wire, cid);
  wire.Send(First(second, 0x01, 0));
  ExpectError(wire, second, FrameError::kInvalidChannel);
}

TEST_CASE_METHOD(OpenChannel, "framing: PING of every boundary length is echoed") {
  for (const std::size_t size : {0u, 1u, 57u, 58u, 116u, 117u, 1023u, 1024u}) {
    Blob data(size);
    Random().Fill(data);
    CHECK(wire.Exchange(cid, FrameCommand::kPing, data).data == data);
  }
}

TEST_CASE_METHOD(OpenChannel, "framing: padding in requests is ignored, in answers zero") {
  wire.Send(First(cid, 0x01, 3, 0x5A));
  const auto report = wire.Receive();
  REQUIRE(report);
  CHECK((*report)[7] == 0x5A);
  CHECK(IsAllZero(ByteView(*report).subspan(10)));
}

TEST_CASE_METHOD(OpenChannel, "framing: a message over 1024 bytes is INVALID_LEN") {
  for (const std::uint16_t length : {std::uint16_t{1025}, std::uint16_t{65535}}) {
    wire.Send(First(cid, 0x01, length));
    ExpectError(wire, cid, FrameError::kInvalidLength);
  }
  ExpectPing(wire, cid);
}

TEST_CASE_METHOD(OpenChannel, "framing: lengths that a command does not have are INVALID_LEN") {
  for (const auto& [command, length] :
       {std::pair<int, int>{0x06, 7}, {0x06, 9}, {0x08, 1}, {0x09, 1}, {0x11, 1}, {0x30, 1}}) {
    wire.Send(First(cid, static_cast<std::uint8_t>(command), static_cast<std::uint16_t>(length)));
    ExpectError(wire, cid, FrameError::kInvalidLength);
  }
}

TEST_CASE_METHOD(OpenChannel, "framing: unknown commands and the key's own are INVALID_CMD") {
  for (const int command : {0x00, 0x02, 0x07, 0x21, 0x23, 0x25, 0x3B, 0x3F, 0x7F}) {
    wire.Send(First(cid, static_cast<std::uint8_t>(command), 0));
    ExpectError(wire, cid, FrameError::kInvalidCommand);
  }
}

TEST_CASE_METHOD(OpenChannel, "framing: the command is looked at before the length") {
  wire.Send(First(cid, 0x7E, 1025));
  ExpectError(wire, cid, FrameError::kInvalidCommand);
}

TEST_CASE_METHOD(OpenChannel,
                 "framing: a channel that was never given is INVALID_CID, whatever else is wrong") {
  const std::uint32_t wrong = cid ^ 0x00010000;
  for (const int command : {0x01, 0x06, 0x7E}) {
    wire.Send(First(wrong, static_cast<std::uint8_t>(command), command == 0x7E ? 1025 : 8));
    ExpectError(wire, wrong, FrameError::kInvalidChannel);
  }
}

TEST_CASE_METHOD(OpenChannel, "framing: only INIT may use the broadcast channel") {
  for (const int command : {0x01, 0x09, 0x30}) {
    wire.Send(First(kBroadcastCid, static_cast<std::uint8_t>(command), 0));
    ExpectError(wire, kBroadcastCid, FrameError::kInvalidChannel);
  }
}

TEST_CASE_METHOD(OpenChannel,
                 "framing: a wrong sequence number is INVALID_SEQ and frees the buffer") {
  wire.Send(First(cid, 0x01, 200));
  wire.Send(Continuation(cid, 1));
  ExpectError(wire, cid, FrameError::kInvalidSequence);
  wire.Send(Continuation(cid, 0));  // belongs to nothing: no answer
  ExpectPing(wire, cid);
}

TEST_CASE_METHOD(OpenChannel, "framing: a first frame in mid-message is INVALID_SEQ") {
  wire.Send(First(cid, 0x01, 200));
  wire.Send(First(cid, 0x01, 3));
  ExpectError(wire, cid, FrameError::kInvalidSequence);
  ExpectPing(wire, cid);
}

TEST_CASE_METHOD(OpenChannel,
                 "framing: another channel in mid-message is BUSY, and the first one completes") {
  const std::uint32_t other = wire.Open();
  wire.Send(First(cid, 0x01, 60));
  wire.Send(First(other, 0x01, 0));
  ExpectError(wire, other, FrameError::kBusy);
  wire.Send(First(kBroadcastCid, 0x06, 8));
  ExpectError(wire, kBroadcastCid, FrameError::kBusy);
  wire.Send(Continuation(cid, 0));
  CHECK(wire.ReceiveMessage(cid).data.size() == 60);
}

TEST_CASE_METHOD(OpenChannel, "framing: no continuation for 500 ms is TIMEOUT") {
  wire.Send(First(cid, 0x01, 200));
  ExpectError(wire, cid, FrameError::kTimeout);
  ExpectPing(wire, cid);
}

TEST_CASE_METHOD(
    OpenChannel,
    "framing: INIT on an own channel in mid-message aborts it and answers the same channel") {
  wire.Send(First(cid, 0x01, 200));
  const Message answer = wire.Exchange(cid, FrameCommand::kInit, Blob(8, 7));
  const auto init = InitResponse::Parse(answer.data);
  REQUIRE(init);
  CHECK(init->cid == cid);
  wire.Send(Continuation(cid, 0));
  ExpectPing(wire, cid);
}

TEST_CASE_METHOD(
    OpenChannel,
    "framing: a continuation without a message and CANCEL without a command are not answered") {
  wire.Send(Continuation(cid, 0));
  wire.SendMessage(cid, 0x11, {});
  ExpectPing(wire, cid);
}

TEST_CASE_METHOD(OpenChannel,
                 "framing: WINK answers in kind, INFO gives the same as another channel") {
  CHECK(wire.Exchange(cid, FrameCommand::kWink, {}).command == 0x08);
  const Info info = wire.ReadInfo(cid);
  CHECK(info.simulator);
  CHECK(info.state == KeyState::kProvisioned);
  CHECK(info.proto_min == 1);
  CHECK(info.max_message == 1024);
  CHECK((info.suites & 1) == 1);
  CHECK(wire.ReadInfo(wire.Open()).Encode() == info.Encode());
}

TEST_CASE_METHOD(OpenChannel, "framing: MSG without a session is NO_SESSION") {
  const Message answer = wire.Exchange(cid, FrameCommand::kMsg, Blob(20, 1));
  CHECK(answer.command == kError);
  CHECK(answer.data == Blob{static_cast<std::uint8_t>(FrameError::kNoSession)});
}

TEST_CASE_METHOD(OpenChannel, "framing: two connections have channels of their own") {
  Wire other(simulator.socket());
  const std::uint32_t theirs = other.Open();
  CHECK(theirs != cid);
  ExpectPing(wire, cid);
  ExpectPing(other, theirs);
}

TEST_CASE_METHOD(OpenChannel,
                 "framing: RESET of a key that is not enrolled changes nothing and answers OK") {
  const Message answer = wire.Exchange(cid, FrameCommand::kReset, {});
  CHECK(answer.command == static_cast<std::uint8_t>(FrameCommand::kReset));
  CHECK(answer.data == Blob{0});
  CHECK(wire.ReadInfo(cid).state == KeyState::kProvisioned);
}

}  // namespace
}  // namespace keyferry::conformance

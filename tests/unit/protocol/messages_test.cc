// Bytes, frames and the messages of a session: what goes out is what the layout says, and comes
// back.
#include "protocol/messages.h"

#include <catch2/catch.hpp>
#include <new>

#include "protocol/framing.h"
#include "protocol/noise.h"
#include "tests/unit/protocol/hex.h"

namespace keyferry::protocol {
namespace {

using test::Hex;
using test::Unhex;

TEST_CASE("a reader that runs out stays failed and yields zeros") {
  const auto data = Unhex("0102030405060708090a0b");
  Reader in(data);
  CHECK(in.U8() == 0x01);
  CHECK(in.U16() == 0x0203);
  CHECK(in.U32() == 0x04050607);
  CHECK(in.ok());
  CHECK(in.U64() == 0);  // three bytes are left
  CHECK_FALSE(in.ok());
  CHECK(in.U8() == 0);
  CHECK(in.Take(0).empty());
  CHECK_FALSE(in.AtEnd());
  Reader exact(data);
  exact.Take(data.size());
  CHECK(exact.AtEnd());
  CHECK(exact.Take(SIZE_MAX).empty());
  CHECK_FALSE(exact.ok());
}

TEST_CASE("a reader's zeros have to be zero") {
  const auto data = Unhex("000001");
  Reader good(data);
  good.Zero(2);
  CHECK(good.ok());
  good.Zero(1);
  CHECK_FALSE(good.ok());
  Reader longer(data);
  longer.Zero(4);
  CHECK_FALSE(longer.ok());
}

TEST_CASE("a writer never writes past its end") {
  Bytes<8> out{};
  out.fill(0xEE);
  Writer writer(MutableBytes(out).first(7));
  writer.U16(0x0102).U32(0x03040506);
  CHECK(writer.ok());
  writer.U16(0xFFFF);
  CHECK_FALSE(writer.ok());
  writer.U8(1);  // would fit, but the message is spoilt
  CHECK(writer.size() == 6);
  CHECK(Hex(out) == "010203040506eeee");
  CHECK_FALSE(Writer(out).Zero(9).ok());
  CHECK_FALSE(Writer(out).Put(Bytes<9>{}).ok());
  CHECK(Hex(out) == "010203040506eeee");
}

TEST_CASE("comparisons look at every byte") {
  for (std::size_t i = 0; i < 33; ++i) {
    Bytes<33> a{};
    Bytes<33> b{};
    CHECK(ConstantTimeEquals(a, b));
    b[i] = 0x80;
    CHECK_FALSE(ConstantTimeEquals(a, b));
    CHECK_FALSE(IsAllZero(b));
  }
  CHECK_FALSE(ConstantTimeEquals(Bytes<3>{}, Bytes<4>{}));
  CHECK(ConstantTimeEquals({}, {}));
  CHECK(IsAllZero({}));
}

TEST_CASE("a secret is gone when its owner is") {
  using Key = Secret<32>;
  alignas(Key) unsigned char memory[sizeof(Key)];
  Key* key = new (memory) Key();
  key->bytes.fill(0xA7);
  const Key copy = *key;
  CHECK(memory[5] == 0xA7);
  key->~Key();
  CHECK(IsAllZero(memory));
  CHECK(copy.bytes[5] == 0xA7);

  alignas(HopSession) unsigned char session_memory[sizeof(HopSession)];
  auto* session = new (session_memory) HopSession();
  Bytes<32> bytes;
  bytes.fill(0xA7);
  session->send = CipherState(Secret<32>(bytes));
  session->~HopSession();
  CHECK(std::count(std::begin(session_memory), std::end(session_memory), 0xA7) == 0);
}

TEST_CASE("which frame commands a host may send, and how long") {
  std::string accepted;
  for (int command = 0; command < 128; ++command) {
    if (IsHostCommand(static_cast<std::uint8_t>(command)))
      accepted += Hex(Bytes<1>{static_cast<std::uint8_t>(command)}) + " ";
  }
  CHECK(accepted == "01 06 08 09 11 20 22 24 30 ");
  CHECK(IsHostLength(0x06, 8));
  CHECK_FALSE(IsHostLength(0x06, 7));
  CHECK_FALSE(IsHostLength(0x06, 9));
  for (const std::uint8_t command : Bytes<4>{0x08, 0x09, 0x11, 0x30}) {
    CHECK(IsHostLength(command, 0));
    CHECK_FALSE(IsHostLength(command, 1));
  }
  CHECK(IsHostLength(0x24, 1024));
  CHECK_FALSE(IsHostLength(0x24, 1025));
  CHECK(std::string(Name(FrameError::kInvalidChannel)) == "INVALID_CID");
  CHECK(std::string(Name(static_cast<FrameError>(0x12))) == "UNKNOWN");
}

TEST_CASE("BLE fragments below the smallest MTU are not made") {
  Bytes<64> out{};
  for (std::size_t size = 0; size < kMinFragment; ++size) {
    CHECK(BleSplitter(size, FrameCommand::kPing, Bytes<30>{}).Next(out) == 0);
  }
  const Bytes<kMaxMessage> longest{};
  BleSplitter splitter(kMinFragment, FrameCommand::kPing, longest);
  std::size_t fragments = 0;
  while (splitter.Next(out) != 0) ++fragments;
  CHECK(fragments == 54);
  BleFragment fragment;
  CHECK_FALSE(BleFragment::Parse({}, fragment));
  CHECK_FALSE(BleFragment::Parse(Unhex("8100"), fragment));  // a first one needs its length
  CHECK(BleFragment::Parse(Unhex("00"), fragment));
}

TEST_CASE("messages of a session are laid out as section 5 says") {
  CHECK(Hex(MessageHeader{0x41, 0, 0x0102}.Encode()) == "41000102");
  CHECK_FALSE(MessageHeader::Parse(Unhex("410001")));
  CHECK(MessageHeader::Parse(Unhex("4132ffffaa"))->req_id == 0xFFFF);

  KeyStatus status;
  status.role = 2;
  status.state = KeyState::kReady;
  status.tries = 8;
  status.slots = 5;
  status.epoch = 0x01020304;
  status.last_seq = 9;
  status.receipt_ctr = 10;
  status.recipient_pub.fill(0xCC);
  status.boot = 11;
  status.firmware = 0x00010203;
  const auto raw = status.Encode();
  CHECK(Hex(raw) == "02020805010203040000000000000009000000000000000a" + std::string(64, 'c') +
                        "0000000b00010203");
  const auto parsed = KeyStatus::Parse(raw);
  REQUIRE(parsed);
  CHECK(Hex(parsed->Encode()) == Hex(raw));
  for (const auto& [at, value] : {std::pair{0, 8}, {1, 7}, {3, 8}}) {
    auto bad = raw;
    bad[static_cast<std::size_t>(at)] = static_cast<std::uint8_t>(value);
    CHECK_FALSE(KeyStatus::Parse(bad));
  }

  AssertRequest request;
  request.want = 3;
  auto assert_raw = request.Encode();
  CHECK(AssertRequest::Parse(assert_raw)->want == 3);
  assert_raw[64] = 4;
  CHECK_FALSE(AssertRequest::Parse(assert_raw));
}

TEST_CASE("a released password fills its 384 bytes whatever its length") {
  Bytes<kReleaseBodySize> body{};
  REQUIRE(Released{7, AsBytes("taras"), AsBytes("Kobzar")}.Encode(body));
  CHECK(Hex(ByteView(body).first(22)) == "000000000000000705000674617261734b6f627a6172");
  CHECK(IsAllZero(ByteView(body).subspan(22)));
  const auto released = Released::Parse(body);
  REQUIRE(released);
  CHECK(released->seq == 7);
  CHECK(std::string(released->password.begin(), released->password.end()) == "Kobzar");
  body[383] = 1;
  CHECK_FALSE(Released::Parse(body));
  CHECK_FALSE(Released::Parse(ByteView(body).first(383)));
  const std::string longest_login(kMaxLogin, 'l');
  const std::string longest_password(kMaxPassword, 'p');
  REQUIRE(Released{1, AsBytes(longest_login), AsBytes(longest_password)}.Encode(body));
  CHECK(Released::Parse(body)->password.size() == kMaxPassword);
  body[8] = 105;
  CHECK_FALSE(Released::Parse(body));
  CHECK_FALSE(Released{1, AsBytes(longest_login + "l"), AsBytes("p")}.Encode(body));
  CHECK_FALSE(Released{1, AsBytes("l"), AsBytes("p")}.Encode(MutableBytes(body).first(383)));
}

}  // namespace
}  // namespace keyferry::protocol

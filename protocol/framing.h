#pragma once

#include <cstddef>
#include <cstdint>

#include "protocol/bytes.h"
#include "protocol/limits.h"
#include "protocol/status.h"

// Frames on the wire (PROTOCOL.md section 6): how a message of up to 1024 bytes is split into HID
// reports or BLE fragments and put together again. Pure: the caller moves the bytes and keeps the
// time.
namespace keyferry::protocol {

enum class FrameCommand : std::uint8_t {
  kPing = 0x01,
  kInit = 0x06,
  kWink = 0x08,
  kReset = 0x09,
  kCancel = 0x11,
  kHs1 = 0x20,
  kHs2 = 0x21,
  kHs3 = 0x22,
  kHs4 = 0x23,
  kMsg = 0x24,
  kMsgResp = 0x25,
  kInfo = 0x30,
  kKeepalive = 0x3B,
  kError = 0x3F,
};

// True for the commands that a host may send (section 6: "unknown or key's command ⇒ 01"
// otherwise).
bool IsHostCommand(std::uint8_t command);
// True when section 6 allows this length for a host's command (INIT 8; WINK, RESET, CANCEL, INFO 0;
// none over 1024).
bool IsHostLength(std::uint8_t command, std::size_t length);

inline constexpr std::uint8_t kKeepaliveProcessing = 1;
inline constexpr std::uint8_t kKeepaliveTouch = 2;

inline constexpr std::uint32_t kBroadcastCid = 0xFFFFFFFF;
inline constexpr std::size_t kInitPayload = 57;  // data bytes of a first report
inline constexpr std::size_t kContPayload = 59;  // data bytes of a continuation
inline constexpr std::size_t kInitResponseSize = 18;

using Report = Bytes<kReportSize>;

// How many reports a message of `length` bytes takes.
constexpr std::size_t HidReportCount(std::size_t length) {
  return length <= kInitPayload ? 1 : 1 + (length - kInitPayload + kContPayload - 1) / kContPayload;
}

// Splits one message into reports, one at a time. `data` must outlive the splitter.
class HidSplitter {
 public:
  HidSplitter(std::uint32_t cid, FrameCommand command, ByteView data)
      : cid_(cid), command_(command), data_(data) {}
  // False when all has been given.
  bool Next(Report& report);

 private:
  std::uint32_t cid_;
  FrameCommand command_;
  ByteView data_;
  std::size_t offset_ = 0;
  std::uint8_t sequence_ = 0;
  bool started_ = false;
};

// The fields of one report; `data` is the report's whole data area (padding included).
struct HidFrame {
  std::uint32_t cid = 0;
  bool first = false;
  std::uint8_t command = 0;   // first frame
  std::uint16_t length = 0;   // first frame
  std::uint8_t sequence = 0;  // continuation
  ByteView data;

  static HidFrame Parse(const Report& report);
};

// Puts one channel's message together. The rules about whose turn it is (busy, other cids) are the
// endpoint's.
class Assembler {
 public:
  enum class Step { kMore, kComplete, kBadSequence, kBadLength };

  // `length` is what the first frame claims, `data` what it carries (at most `length` bytes of it
  // are used).
  Step Begin(std::uint8_t command, std::size_t length, ByteView data);
  Step Continue(std::uint8_t sequence, ByteView data);
  void Reset();

  bool assembling() const { return assembling_; }
  std::uint8_t command() const { return command_; }
  ByteView message() const { return ByteView(buffer_).first(received_); }

 private:
  Step Append(ByteView data);

  Bytes<kMaxMessage> buffer_{};
  std::size_t expected_ = 0;
  std::size_t received_ = 0;
  std::uint8_t command_ = 0;
  std::uint8_t sequence_ = 0;
  bool assembling_ = false;
};

// ATT_MTU is 23 at least, so a fragment takes 20 bytes; longer ones than 500 are never made.
inline constexpr std::size_t kMinFragment = 20;
inline constexpr std::size_t kMaxFragment = 500;

// BLE: fragments of at most `max_fragment` bytes (ATT_MTU - 3): 0x80|cmd len(2) data, then seq
// data; the last is not padded. With less than kMinFragment nothing is given.
class BleSplitter {
 public:
  BleSplitter(std::size_t max_fragment, FrameCommand command, ByteView data)
      : max_fragment_(max_fragment), command_(command), data_(data) {}
  // Writes the next fragment into `out` (at least max_fragment bytes) and returns its size; 0 when
  // all has been given.
  std::size_t Next(MutableBytes out);

 private:
  std::size_t max_fragment_;
  FrameCommand command_;
  ByteView data_;
  std::size_t offset_ = 0;
  std::uint8_t sequence_ = 0;
  bool started_ = false;
};

// The fields of one fragment; false for one that is too short to be any.
struct BleFragment {
  bool first = false;
  std::uint8_t command = 0;
  std::uint16_t length = 0;
  std::uint8_t sequence = 0;
  ByteView data;

  static bool Parse(ByteView raw, BleFragment& out);
};

// INIT's answer: nonce(8) cid(4) proto_min(1) proto_max(1) fw(4).
struct InitResponse {
  Bytes<8> nonce{};
  std::uint32_t cid = 0;
  std::uint8_t proto_min = 1;
  std::uint8_t proto_max = 1;
  std::uint32_t firmware = 0;

  static Parsed<InitResponse> Parse(ByteView data);
  Bytes<kInitResponseSize> Encode() const;
};

}  // namespace keyferry::protocol

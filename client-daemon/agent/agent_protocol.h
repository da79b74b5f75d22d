#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "client-daemon/agent/wiped_buffer.h"

// What passes keyferry-agent's socket (docs/local-ipc.md section 2): AF_UNIX SOCK_SEQPACKET, one
// message a datagram, big-endian, fixed layouts. Every message begins with version(1)=1 type(1).
//
//   client → agent
//     01 HELLO       purpose user service tty
//     02 PIN         pin(64)
//     03 PIN_SET     code(32) pin(64)
//     04 PIN_CHANGE  old pin(64) new pin(64)
//     05 CONFIRM     seq(8)
//     06 CANCEL
//     07 DENY
//     08 PROVE       number(3) pin(64)
//   agent → client
//     81 READY       tries, PIN set, name of the key
//     82 TOUCH       touch the key now
//     83 RELEASED    seq, password(256): root only
//     84 YES         proved, no password is given
//     85 DONE        PIN set or changed, login confirmed, answer taken
//     86 ERROR       code, tries, one sentence
//     87 QUESTION    who asks, ticket, reason
//
// A connection is one attempt: HELLO → READY → one of PIN, PIN_SET, PIN_CHANGE, as HELLO's purpose
// says, → TOUCH when the key waits for it → RELEASED, YES or DONE. Purpose CONFIRM: HELLO → READY →
// CONFIRM → DONE. Purpose CALLER: HELLO → QUESTION → DENY → DONE, or → PROVE → TOUCH → DONE; the
// key is looked for once PROVE has come, so that who has none can deny. ERROR may come instead of
// any answer and ends the attempt; so does either side by closing. CANCEL, or closing, also ends a
// wait for touch.
//
// Lengths are checked exactly and padding must be zero, so that a message's length tells nothing of
// a secret's. Parsers return views into the datagram: the caller keeps it, in memory that is wiped,
// for as long as the views live. No allocation, no exceptions: the PAM module compiles this file
// too.
namespace keyferry::daemon::login {

inline constexpr std::uint8_t kVersion = 1;
inline constexpr std::size_t kMaxMessage = 512;  // no message is longer
inline constexpr std::size_t kMaxLogin = 104;
inline constexpr std::size_t kMaxService = 64;  // service and tty, for the agent's log only
inline constexpr std::size_t kMaxKeyName = 64;
inline constexpr std::size_t kMaxPassword = 256;
inline constexpr std::size_t kMaxSentence = 300;
inline constexpr std::size_t kMaxAsker = 128;  // of QUESTION, as protocol/caller_proof.h has them
inline constexpr std::size_t kMaxTicket = 40;
inline constexpr std::size_t kMaxReason = 300;
inline constexpr std::size_t kNumberDigits = 3;
inline constexpr std::size_t kPinField = 64;  // PROTOCOL.md section 5: len(1) pin zeros
inline constexpr std::size_t kCodeField = 32;
inline constexpr std::size_t kMinPin = 4;
inline constexpr std::size_t kMaxPin = kPinField - 1;
inline constexpr std::size_t kMaxCode = kCodeField - 1;
inline constexpr std::uint8_t kTriesUnknown = 0xFF;

using Buffer = WipedBuffer<kMaxMessage>;

enum class Type : std::uint8_t {
  kHello = 0x01,
  kPin = 0x02,
  kPinSet = 0x03,
  kPinChange = 0x04,
  kConfirm = 0x05,
  kCancel = 0x06,
  kDeny = 0x07,
  kProve = 0x08,
  kReady = 0x81,
  kTouch = 0x82,
  kReleased = 0x83,
  kYes = 0x84,
  kDone = 0x85,
  kError = 0x86,
  kQuestion = 0x87,
};

enum class Purpose : std::uint8_t {
  kLogin = 1,      // → RELEASED; callers with uid 0 only
  kUnlock = 2,     // → YES
  kPinSet = 3,     // → DONE
  kPinChange = 4,  // → DONE
  kConfirm = 5,    // → DONE; callers with uid 0 only
  kCaller = 6,     // → DONE: the help desk knows who is on the telephone
};

// Why an attempt ended. A client decides by these numbers alone; the sentence is for the person.
enum class Problem : std::uint8_t {
  kNoKey = 1,        // no key at this workstation is assigned to this person
  kUnavailable = 2,  // daemon or key is gone, or did not answer in time
  kBusy = 3,         // the key or the agent serves somebody else
  kWrongPin = 4,     // wrong PIN (or activation code); tries are left
  kBlocked = 5,      // three wrong PINs: pull the key out and plug it in again
  kLocked = 6,       // no tries left
  kNoPin = 7,        // no PIN has been set yet
  kPinRules = 8,     // the new PIN (or code) is too short or too long
  kPinIsSet = 9,     // there is a PIN already; change it instead
  kTouchTimeout = 10,
  kCancelled = 11,
  kNoPassword = 12,    // the key holds no password yet
  kDenied = 13,        // the caller may not ask this
  kUntrusted = 14,     // the key could not prove that it is the one that was enrolled
  kWrongAccount = 15,  // the password on the key belongs to another login
  kFailed = 16,        // the key refused, or something inside went wrong; the agent's log says what
  kAlarm = 17,         // the organisation's alarm stands: no key is used; another way in has to do
  kNoQuestion = 18,    // the help desk asks this person nothing
  kNotTaken = 19,      // the server did not take the answer
};

struct Hello {
  Purpose purpose = Purpose::kLogin;
  std::string_view user;     // 1 … 104 bytes
  std::string_view service;  // 0 … 64 bytes
  std::string_view tty;      // 0 … 64 bytes
};
struct PinSet {
  std::string_view code;
  std::string_view pin;
};
struct PinChange {
  std::string_view old_pin;
  std::string_view new_pin;
};
struct Ready {
  std::uint8_t tries = kTriesUnknown;  // of the PIN, before one is set of the activation code
  bool pin_set = false;
  std::string_view key_name;  // 0 … 64 bytes
};
struct Released {
  std::uint64_t seq = 0;
  std::string_view password;  // 1 … 256 bytes, without NUL
};
// The agent's person at the help desk, and why; each 1 byte at least.
struct Question {
  std::string_view asker;
  std::string_view ticket;
  std::string_view reason;
};
struct Prove {
  std::string_view number;  // the digits that the help desk reads out
  std::string_view pin;
};
struct Refusal {
  Problem problem = Problem::kFailed;
  std::uint8_t tries = kTriesUnknown;
  std::string_view sentence;  // 1 … 300 bytes
};

// Text that may be shown on a terminal or logged: `max` bytes at most, no control characters (C0,
// DEL, and C1 in their UTF-8 form).
bool IsText(std::string_view text, std::size_t max);

// The type of a datagram that has the right version and a length that this type may have; else
// nothing.
std::optional<Type> TypeOf(std::span<const std::uint8_t> datagram);

// Each refuses (nothing) a datagram of another type or that breaks any rule of its layout.
std::optional<Hello> ParseHello(std::span<const std::uint8_t> datagram);
std::optional<std::string_view> ParsePin(std::span<const std::uint8_t> datagram);
std::optional<PinSet> ParsePinSet(std::span<const std::uint8_t> datagram);
std::optional<PinChange> ParsePinChange(std::span<const std::uint8_t> datagram);
std::optional<std::uint64_t> ParseConfirm(std::span<const std::uint8_t> datagram);
std::optional<Prove> ParseProve(std::span<const std::uint8_t> datagram);
std::optional<Question> ParseQuestion(std::span<const std::uint8_t> datagram);
std::optional<Ready> ParseReady(std::span<const std::uint8_t> datagram);
std::optional<Released> ParseReleased(std::span<const std::uint8_t> datagram);
std::optional<Refusal> ParseRefusal(std::span<const std::uint8_t> datagram);

// Each writes one datagram to `out` (kMaxMessage bytes are always enough) and returns its length,
// or 0 when a field breaks the rules above or `out` is too small. An over-long sentence, service or
// tty is cut; what IsText would refuse in them becomes '?'.
std::size_t Write(const Hello& hello, std::span<std::uint8_t> out);
std::size_t WritePin(std::string_view pin, std::span<std::uint8_t> out);
std::size_t Write(const PinSet& request, std::span<std::uint8_t> out);
std::size_t Write(const PinChange& request, std::span<std::uint8_t> out);
std::size_t Write(const Prove& request, std::span<std::uint8_t> out);
std::size_t Write(const Question& question, std::span<std::uint8_t> out);
std::size_t WriteConfirm(std::uint64_t seq, std::span<std::uint8_t> out);
std::size_t Write(const Ready& ready, std::span<std::uint8_t> out);
std::size_t Write(const Released& released, std::span<std::uint8_t> out);
std::size_t Write(const Refusal& refusal, std::span<std::uint8_t> out);
// CANCEL, DENY, TOUCH, YES and DONE have no body.
std::size_t WriteBare(Type type, std::span<std::uint8_t> out);

}  // namespace keyferry::daemon::login

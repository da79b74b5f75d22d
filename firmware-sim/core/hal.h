#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "protocol/crypto.h"
#include "protocol/framing.h"
#include "protocol/noise.h"

namespace keyferry::sim {

// The hardware under the key: six small ports (random numbers come through protocol::RandomSource).
// A port for real silicon implements these and nothing else; the simulator's are in flash/ and
// endpoint/. All calls are made from the one thread that calls the Key, none may throw, and none
// may call back into the Key.

// One flash word: the unit of programming (128 bits, as on current secure microcontrollers with
// flash ECC).
inline constexpr std::size_t kFlashWord = 16;
inline constexpr std::uint8_t kFlashBlank = 0xFF;

enum class FlashResult : std::uint8_t {
  kOk,
  kFault,    // the controller reported an error; what is in the word or page now is unknown
  kWornOut,  // the page has no erase cycles left
};

// NOR flash: erased bytes read FF. A word may be programmed once after its page was erased.
// Programming and erasing are not atomic: after a power cut the word or page may hold anything
// between old and new.
class Flash {
 public:
  virtual ~Flash() = default;
  virtual std::uint32_t PageSize() const = 0;   // bytes, a multiple of kFlashWord
  virtual std::uint32_t PageCount() const = 0;  // see flash_map.h for what the key needs
  // `address` is a multiple of kFlashWord.
  virtual FlashResult Program(std::uint32_t address,
                              std::span<const std::uint8_t, kFlashWord> word) = 0;
  virtual FlashResult ErasePage(std::uint32_t page) = 0;
  virtual void Read(std::uint32_t address, std::span<std::uint8_t> out) const = 0;
};

// One counter per record that must not be rolled back. They live apart from the flash (one-time
// programmable fuses, a secure element, a replay-protected block) so that a copy of the flash
// cannot carry them along. An increment is atomic: after a power cut it has happened or it has not.
enum class CounterId : std::uint8_t { kState = 0, kTries = 1 };
inline constexpr std::size_t kCounters = 2;

class MonotonicCounters {
 public:
  virtual ~MonotonicCounters() = default;
  virtual std::uint64_t Read(CounterId id) const = 0;
  // False when the counter is used up or broken; its value is then unchanged.
  virtual bool Increment(CounterId id) = 0;
};

// Milliseconds since some moment before power-on; never goes backwards. Not a date: the key trusts
// no clock.
class Clock {
 public:
  virtual ~Clock() = default;
  virtual std::uint64_t NowMs() const = 0;
};

// The lamp and the button. The key says when it waits; the port reports presses through
// Key::OnTouch.
class TouchPort {
 public:
  virtual ~TouchPort() = default;
  // A wait began (lamp on). `held`: it asks for a touch of ten seconds.
  virtual void WaitBegan(bool held) = 0;
  virtual void WaitEnded() = 0;
  virtual void Wink() = 0;
};

// Where a frame came from. A key may have several plugs at once (USB and Bluetooth); a channel
// belongs to the plug that it was made on. The answer goes back to the same origin.
struct Origin {
  protocol::Transport transport = protocol::Transport::kSocket;  // says the form of the frames
  std::uint8_t plug = 0;
  // Which host on that plug, where the port can tell. Handed back, without any other meaning.
  std::uint32_t host = 0;
  bool operator==(const Origin&) const = default;
};

// The way out for frames: HID reports (interrupt IN, always 64 bytes) or, over Bluetooth,
// notifications of at most the link's fragment size.
class FrameSink {
 public:
  virtual ~FrameSink() = default;
  // `frame` is valid during the call.
  virtual void Send(protocol::ByteView frame, const Origin& origin) = 0;
};

struct Hal {
  Flash& flash;
  MonotonicCounters& counters;
  protocol::RandomSource& random;  // the hardware's source, already conditioned
  Clock& clock;
  TouchPort& touch;
  FrameSink& frames;
};

}  // namespace keyferry::sim

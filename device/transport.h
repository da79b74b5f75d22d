#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "protocol/framing.h"
#include "protocol/result.h"

namespace keyferry::device {

using Clock = std::chrono::steady_clock;
using Deadline = Clock::time_point;

// How a key is attached. The value is the transport byte of the hop prologue (PROTOCOL.md section
// 5).
enum class TransportKind : std::uint8_t { kHid = 1, kBle = 2, kSocket = 3 };

// "hid", "ble" or "socket": the names of docs/workstation-api.md.
const char* Name(TransportKind kind);

struct TransportInfo {
  TransportKind kind = TransportKind::kSocket;
  std::string path;              // device node, D-Bus path or socket path, for people and logs
  std::size_t max_fragment = 0;  // bytes of one report: 64 for HID and socket, ATT_MTU - 3 for BLE
};

// The one seam between the host and whatever carries reports to a key: hardware, simulator, a
// test's scripted key, a fuzzer. Four functions to write, no knowledge of commands. Errors:
//   kDeadline     nothing could be read (written) in time; the transport is still good
//   kUnavailable  the key is gone or Cancel was called; every later call fails the same way
//   kIo           the operating system refused; treat as gone
// Threads: one reader and one writer at a time (they may be different threads); Cancel and Describe
// from any thread, at any time.
class Transport {
 public:
  virtual ~Transport() = default;

  // Sends one report, whole or not at all. `report` is 1 … max_fragment bytes.
  virtual Result<void> Write(std::span<const std::uint8_t> report, Deadline deadline) = 0;

  // Sends the reports of one message, as Write does each; those before an error stay sent. A
  // transport that has a thread for sending wakes it once.
  virtual Result<void> WriteAll(std::span<const protocol::Report> reports, Deadline deadline);

  // Waits for one report and returns its length, 1 … buffer.size(). A report that is longer than
  // `buffer` (which holds at least max_fragment bytes) is a fault of the key and comes back as
  // kProtocol; the next call reads the next one.
  virtual Result<std::size_t> Read(std::span<std::uint8_t> buffer, Deadline deadline) = 0;

  // Ends every waiting and later call with kUnavailable. Cannot be undone.
  virtual void Cancel() = 0;

  virtual TransportInfo Describe() const = 0;
};

}  // namespace keyferry::device

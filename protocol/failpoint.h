#pragma once

// Named places at which a test ends the process as a power cut would: KEYFERRY_FAILPOINT=NAME or
// NAME:N in the environment kills the program (SIGKILL) when it comes to that place for the first,
// or the N-th, time. Only the programs of the CMake target failpoints know them; from what ships
// the names and the code are gone. `scripts/test faults` dies at every one of them.
#ifdef KEYFERRY_FAILPOINTS
#include <signal.h>

#include <atomic>
#include <cstdlib>
#include <cstring>

namespace keyferry {

inline void Failpoint(const char* name) {
  static const char* const wanted = std::getenv("KEYFERRY_FAILPOINT");
  static std::atomic<unsigned long> passed{0};
  if (wanted == nullptr) return;
  const char* const colon = std::strchr(wanted, ':');
  const std::size_t length = colon ? static_cast<std::size_t>(colon - wanted) : std::strlen(wanted);
  if (std::strlen(name) != length || std::strncmp(name, wanted, length) != 0) return;
  const unsigned long at = colon ? std::strtoul(colon + 1, nullptr, 10) : 1;
  if (++passed != at) return;
  // KEYFERRY_FAILPOINT_STOP: it only stands still there, until it gets SIGCONT. To this very
  // thread: another one would take the signal a moment later, when this one has gone on.
  raise(std::getenv("KEYFERRY_FAILPOINT_STOP") == nullptr ? SIGKILL : SIGSTOP);
}

}  // namespace keyferry

#define KEYFERRY_FAILPOINT(name) ::keyferry::Failpoint(name)
#else
#define KEYFERRY_FAILPOINT(name) static_cast<void>(0)
#endif

#include "server/directory/stack.h"

#include <array>
#include <cstdint>

#include "protocol/secure/secure_bytes.h"

namespace keyferry::server {

[[gnu::noinline]] void ScrubStack() {
  std::array<std::uint8_t, 32 * 1024> frame;
  Wipe(frame.data(), frame.size());
}

}  // namespace keyferry::server

#include "protocol/secure/system_random.h"

#include <sodium.h>

namespace keyferry {

bool SystemRandom::Fill(protocol::MutableBytes out) {
  static const bool ready = sodium_init() >= 0;
  if (!ready) return false;
  randombytes_buf(out.data(), out.size());
  return true;
}

SystemRandom& OsRandom() {
  static SystemRandom random;
  return random;
}

}  // namespace keyferry

#include "protocol/secure/system_random.h"

namespace keyferry {

SystemRandom& OsRandom() {
  static SystemRandom random;
  return random;
}

}  // namespace keyferry

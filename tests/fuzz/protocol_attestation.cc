// LINKS: keyferry_attestation
// Certificates that a key may send as its attestation: whatever is read names a point of the curve.
#include <cstdlib>

#include "protocol/attestation.h"

using namespace keyferry::protocol;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto read = ReadAttestation(ByteView(data, size));
  if (read && (size > kMaxAttestation || !P256IsOnCurve(read->pub))) std::abort();
  return 0;
}

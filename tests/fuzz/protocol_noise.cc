// LINKS: keyferry_protocol
// Handshake messages and transport messages of any content against both ends; none may be accepted,
// none may crash.
#include <cstdlib>
#include <vector>

#include "protocol/noise.h"

using namespace keyferry::protocol;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  X25519Private a;
  X25519Private b;
  a.bytes.fill(1);
  b.bytes.fill(2);
  const auto prologue = HopPrologue(Transport::kSocket, {});
  const ByteView input(data + 1, size - 1);
  if (data[0] % 3 == 0) {
    NoiseInitiator host(a, b, prologue);
    Bytes<kHs1Size> hs1{};
    if (!host.WriteHs1(hs1)) std::abort();
    if (host.ReadHs2(input)) std::abort();  // it would need a tag under a secret key
  } else if (data[0] % 3 == 1) {
    NoiseResponder key(a, b, prologue);
    Bytes<kHs2Size> hs2{};
    Bytes<kHostCertSize> cert{};
    HopSession session;
    if (input.size() < kHs1Size || !key.ReadHs1(input.first(kHs1Size)) || !key.WriteHs2(hs2))
      return 0;
    if (key.ReadHs3(input.subspan(kHs1Size), cert, session)) std::abort();
  } else {
    CipherState state(Secret<32>(Bytes<32>{7}));
    std::vector<std::uint8_t> out(input.size() < kTagSize ? 0 : input.size() - kTagSize);
    if (state.Open(0x24, input, out)) std::abort();
  }
  return 0;
}

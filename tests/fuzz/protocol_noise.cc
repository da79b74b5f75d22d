// LINKS: keyferry_protocol
// A handshake and two session messages of which the input damages one, chosen by its first byte:
// the damage must be found by the end that reads it, and nothing else may fail.
#include <algorithm>
#include <cstdlib>
#include <vector>

#include "protocol/noise.h"

using namespace keyferry::protocol;

namespace {

X25519Pair Pair(std::uint8_t fill) {
  X25519Pair pair;
  pair.priv.bytes.fill(fill);
  if (!X25519DerivePublic(pair.priv, pair.pub)) std::abort();
  return pair;
}

// XORs the input over `message`; true when that changed it.
bool Damage(ByteView input, MutableBytes message) {
  bool changed = false;
  for (std::size_t i = 0; i < std::min(input.size(), message.size()); ++i) {
    message[i] = static_cast<std::uint8_t>(message[i] ^ input[i]);
    changed = changed || input[i] != 0;
  }
  return changed;
}

void Require(bool condition) {
  if (!condition) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const X25519Pair pairs[] = {Pair(1), Pair(2), Pair(3), Pair(4)};
  if (size == 0) return 0;
  const int target = data[0] % 5;
  const ByteView input(data + 1, size - 1);
  const auto prologue = HopPrologue(Transport::kSocket, {});
  NoiseInitiator host(pairs[0], pairs[1], prologue);
  NoiseResponder key(pairs[2], pairs[3], prologue);
  Bytes<kHs1Size> hs1{};
  Bytes<kHs2Size> hs2{};
  Bytes<kHs3Size> hs3{};
  Bytes<kHostCertSize> cert{};
  HopSession at_host;
  HopSession at_key;

  Require(host.WriteHs1(hs1));
  bool damaged = target == 0 && Damage(input, hs1);
  const bool hs1_taken = key.ReadHs1(hs1) && key.WriteHs2(hs2);
  Require(hs1_taken || damaged);  // an HS1 of low order may end it here
  damaged = damaged || (target == 1 && Damage(input, hs2));
  if (!hs1_taken) return 0;
  Require(host.ReadHs2(hs2) == !damaged);
  if (damaged) return 0;
  Require(host.WriteHs3(cert, hs3, at_host));
  damaged = target == 2 && Damage(input, hs3);
  Require(key.ReadHs3(hs3, cert, at_key) == !damaged);
  if (damaged) return 0;

  std::vector<std::uint8_t> plain(input.begin(), input.end());
  std::vector<std::uint8_t> sealed(plain.size() + kTagSize);
  std::vector<std::uint8_t> opened(plain.size());
  Require(at_host.send.Seal(0x24, plain, sealed));
  damaged = target == 3 && Damage(input, sealed);
  Require(at_key.receive.Open(0x24, sealed, opened) == !damaged);
  Require(damaged ? IsAllZero(opened) : opened == plain);
  // And bytes that nobody sealed.
  opened.resize(plain.size() < kTagSize ? 0 : plain.size() - kTagSize);
  Require(!at_host.receive.Open(0x25, plain, opened));
  return 0;
}

#pragma once

#include "protocol/crypto.h"
#include "protocol/info.h"

// Noise_XX_25519_ChaChaPoly_SHA256 (Noise specification revision 34) as the hop channel uses it
// (PROTOCOL.md section 5): the host is the initiator, HS1 and HS2 have empty payloads, HS3 carries
// the HostCert, and the key's first transport message (HS4) its status.
namespace keyferry::protocol {

enum class Transport : std::uint8_t { kHid = 1, kBle = 2, kSocket = 3 };

inline constexpr std::size_t kHs1Size = 32;
inline constexpr std::size_t kHs2Size = 96;
inline constexpr std::size_t kHs3Size = 208;
inline constexpr std::size_t kHs4Size = 80;
inline constexpr std::size_t kHostCertSize = 144;

// "keyferry/hop/v1\0" || transport || proto 1 || INFO.
Bytes<74> HopPrologue(Transport transport, const Bytes<kInfoSize>& info);

// One direction of a session: key and the implicit 64-bit nonce.
class CipherState {
 public:
  CipherState() = default;
  explicit CipherState(const Secret<32>& key) : key_(key) {}
  // `out` is plaintext + 16. `ad` is the frame command without its top bit.
  bool Seal(std::uint8_t ad, ByteView plaintext, MutableBytes out);
  // `out` is sealed - 16. After a failure the session must be dropped.
  bool Open(std::uint8_t ad, ByteView sealed, MutableBytes out);
  std::uint64_t nonce() const { return nonce_; }
  const Secret<32>& key() const { return key_; }

 private:
  Secret<32> key_;
  std::uint64_t nonce_ = 0;
};

// An open session. Initiator: `send` host→key, `receive` key→host; responder the other way round.
struct HopSession {
  CipherState send;
  CipherState receive;
  Hash handshake_hash{};
};

namespace noise_internal {
class Symmetric {
 public:
  explicit Symmetric(ByteView prologue);
  void MixHash(ByteView data);
  void MixKey(const Secret<32>& dh);
  bool EncryptAndHash(ByteView plaintext, MutableBytes out);
  bool DecryptAndHash(ByteView sealed, MutableBytes out);
  void Split(CipherState& first, CipherState& second) const;
  const Hash& hash() const { return h_; }

 private:
  Hash h_{};
  Secret<32> ck_;
  Secret<32> k_;
  std::uint64_t n_ = 0;
  bool has_key_ = false;
};
}  // namespace noise_internal

// The host's side. Call in order: WriteHs1, ReadHs2, (check key_static()), WriteHs3. Any false:
// give up; outsiders see no difference.
class NoiseInitiator {
 public:
  NoiseInitiator(const X25519Pair& own_static, const X25519Pair& ephemeral, ByteView prologue);
  // The same, for a caller without the public keys at hand (two multiplications more).
  NoiseInitiator(const X25519Private& own_static, const X25519Private& ephemeral,
                 ByteView prologue);
  bool WriteHs1(Bytes<kHs1Size>& out);
  bool ReadHs2(ByteView hs2);
  const X25519Public& key_static() const { return peer_static_; }
  bool WriteHs3(const Bytes<kHostCertSize>& host_cert, Bytes<kHs3Size>& out, HopSession& session);

 private:
  noise_internal::Symmetric symmetric_;
  X25519Pair static_;
  X25519Pair ephemeral_;
  X25519Public peer_ephemeral_{};
  X25519Public peer_static_{};
};

// The key's side: ReadHs1, WriteHs2, ReadHs3. The caller checks the HostCert and that its key is
// host_static().
class NoiseResponder {
 public:
  NoiseResponder(const X25519Pair& own_static, const X25519Pair& ephemeral, ByteView prologue);
  NoiseResponder(const X25519Private& own_static, const X25519Private& ephemeral,
                 ByteView prologue);
  bool ReadHs1(ByteView hs1);
  bool WriteHs2(Bytes<kHs2Size>& out);
  bool ReadHs3(ByteView hs3, Bytes<kHostCertSize>& host_cert, HopSession& session);
  const X25519Public& host_static() const { return peer_static_; }

 private:
  noise_internal::Symmetric symmetric_;
  X25519Pair static_;
  X25519Pair ephemeral_;
  X25519Public peer_ephemeral_{};
  X25519Public peer_static_{};
};

}  // namespace keyferry::protocol

#include "server/core/sealed_proof.h"

#include <sodium.h>

#include "server/core/totp.h"

namespace keyferry::server {
namespace {

constexpr std::size_t kSealNonce = crypto_aead_xchacha20poly1305_ietf_NPUBBYTES;
constexpr std::size_t kSealTag = crypto_aead_xchacha20poly1305_ietf_ABYTES;

}  // namespace

Result<Bytes> SealProof(const CorePorts& ports, std::span<const std::uint8_t> bound_to,
                        std::span<const std::uint8_t> secret) {
  protocol::Secret<32> key;
  if (auto made = ports.issuer.FactorKey(key); !made) return tl::unexpected(made.error());
  Bytes out(kSealNonce + secret.size() + kSealTag);
  if (!ports.random.Fill(std::span(out).first(kSealNonce))) {
    return Fail(ErrorCode::kInternal, "The system gave no random numbers.");
  }
  crypto_aead_xchacha20poly1305_ietf_encrypt(out.data() + kSealNonce, nullptr, secret.data(),
                                             secret.size(), bound_to.data(), bound_to.size(),
                                             nullptr, out.data(), key.view().data());
  return out;
}

Result<SecureBytes> OpenProof(const CorePorts& ports, std::span<const std::uint8_t> bound_to,
                              const Bytes& sealed, std::size_t size, const char* otherwise) {
  protocol::Secret<32> key;
  if (auto made = ports.issuer.FactorKey(key); !made) return tl::unexpected(made.error());
  SecureBytes secret(size);
  if (sealed.size() != kSealNonce + size + kSealTag ||
      crypto_aead_xchacha20poly1305_ietf_decrypt(
          secret.data(), nullptr, nullptr, sealed.data() + kSealNonce, sealed.size() - kSealNonce,
          bound_to.data(), bound_to.size(), sealed.data(), key.view().data()) != 0) {
    return Fail(ErrorCode::kInternal, otherwise);
  }
  return secret;
}

Result<SecureBytes> OpenAppSecret(const CorePorts& ports, const FactorRecord& factor) {
  return OpenProof(ports, factor.account.bytes, factor.sealed, kTotpSecretSize,
                   "Your second factor was made with another issuer.key and cannot be read; let an "
                   "administrator reset it.");
}

}  // namespace keyferry::server

#include "test_authenticator.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/rsa.h>

#include <stdexcept>

#include "server/core/encoding.h"

namespace keyferry::server::testing {
namespace {

void Must(bool good) {
  if (!good) throw std::runtime_error("OpenSSL refused");
}

void Append(FidoBytes& out, std::string_view text) {
  out.insert(out.end(), text.begin(), text.end());
}
void Append(FidoBytes& out, const FidoBytes& bytes) {
  out.insert(out.end(), bytes.begin(), bytes.end());
}

// A head of CBOR with a length of less than 64 KiB.
void Head(FidoBytes& out, unsigned major, std::size_t size) {
  const auto first = static_cast<std::uint8_t>(major << 5);
  if (size < 24) {
    out.push_back(static_cast<std::uint8_t>(first | size));
  } else if (size < 256) {
    out.push_back(first | 24);
    out.push_back(static_cast<std::uint8_t>(size));
  } else {
    out.push_back(first | 25);
    out.push_back(static_cast<std::uint8_t>(size >> 8));
    out.push_back(static_cast<std::uint8_t>(size));
  }
}

void PutText(FidoBytes& out, std::string_view text) {
  Head(out, 3, text.size());
  Append(out, text);
}

void PutBytes(FidoBytes& out, const FidoBytes& bytes) {
  Head(out, 2, bytes.size());
  Append(out, bytes);
}

}  // namespace

TestAuthenticator::TestAuthenticator(std::int64_t algorithm)
    : algorithm_(algorithm),
      key_(algorithm == -7   ? EVP_EC_gen("P-256")
           : algorithm == -8 ? EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519")
                             : EVP_RSA_gen(2048)) {
  Must(key_ != nullptr);
}

FidoBytes TestAuthenticator::CoseKey() const {
  if (algorithm_ == -7) {
    FidoBytes point(65);
    std::size_t size = 0;
    Must(EVP_PKEY_get_octet_string_param(key_.get(), OSSL_PKEY_PARAM_PUB_KEY, point.data(),
                                         point.size(), &size) == 1 &&
         size == point.size());
    FidoBytes out = {0xA5, 0x01, 0x02, 0x03, 0x26, 0x20, 0x01, 0x21};
    PutBytes(out, FidoBytes(point.begin() + 1, point.begin() + 33));
    out.push_back(0x22);
    PutBytes(out, FidoBytes(point.begin() + 33, point.end()));
    return out;
  }
  if (algorithm_ == -8) {
    FidoBytes raw(32);
    std::size_t size = raw.size();
    Must(EVP_PKEY_get_raw_public_key(key_.get(), raw.data(), &size) == 1);
    FidoBytes out = {0xA4, 0x01, 0x01, 0x03, 0x27, 0x20, 0x06, 0x21};
    PutBytes(out, raw);
    return out;
  }
  BIGNUM* modulus = nullptr;
  Must(EVP_PKEY_get_bn_param(key_.get(), OSSL_PKEY_PARAM_RSA_N, &modulus) == 1);
  FidoBytes n(256);
  BN_bn2binpad(modulus, n.data(), static_cast<int>(n.size()));
  BN_free(modulus);
  FidoBytes out = {0xA4, 0x01, 0x03, 0x03, 0x39, 0x01, 0x00, 0x20};
  PutBytes(out, n);
  Append(out, FidoBytes{0x21, 0x43, 0x01, 0x00, 0x01});
  return out;
}

std::string TestAuthenticator::ClientData(std::string_view type, std::string_view challenge) const {
  return "{\"type\":\"" + std::string(type) + "\",\"challenge\":\"" + std::string(challenge) +
         "\",\"origin\":\"" + origin + "\"" + more_client_data + "}";
}

FidoBytes TestAuthenticator::AuthenticatorData(bool with_credential) const {
  const auto hash = Sha256(relying_party);
  FidoBytes out(hash.begin(), hash.end());
  out.push_back(static_cast<std::uint8_t>((present ? 0x01 : 0) | (verified ? 0x04 : 0) |
                                          (with_credential ? 0x40 : 0) | more_flags));
  for (const int shift : {24, 16, 8, 0}) out.push_back(static_cast<std::uint8_t>(counter >> shift));
  if (!with_credential) return out;
  out.insert(out.end(), 16, 0);  // AAGUID
  out.push_back(static_cast<std::uint8_t>(id.size() >> 8));
  out.push_back(static_cast<std::uint8_t>(id.size()));
  Append(out, id);
  Append(out, CoseKey());
  return out;
}

FidoBytes TestAuthenticator::Sign(const FidoBytes& authenticator_data,
                                  std::string_view client_data) const {
  FidoBytes message = authenticator_data;
  const auto hash = Sha256(client_data);
  message.insert(message.end(), hash.begin(), hash.end());
  EVP_MD_CTX* const context = EVP_MD_CTX_new();
  const EVP_MD* const digest = algorithm_ == -8 ? nullptr : EVP_sha256();
  FidoBytes signature(512);
  std::size_t size = signature.size();
  Must(EVP_DigestSignInit(context, nullptr, digest, nullptr, key_.get()) == 1 &&
       EVP_DigestSign(context, signature.data(), &size, message.data(), message.size()) == 1);
  EVP_MD_CTX_free(context);
  signature.resize(size);
  return signature;
}

FidoBytes TestAuthenticator::AttestationObject(const FidoBytes& authenticator_data,
                                               std::string_view client_data) {
  FidoBytes out;
  Head(out, 5, 3);
  PutText(out, "fmt");
  PutText(out, self_attestation ? "packed" : "none");
  PutText(out, "attStmt");
  Head(out, 5, self_attestation ? 2 : 0);
  if (self_attestation) {
    PutText(out, "alg");
    if (algorithm_ == -257) {
      Append(out, FidoBytes{0x39, 0x01, 0x00});
    } else {
      Head(out, 1, static_cast<std::size_t>(-1 - algorithm_));
    }
    PutText(out, "sig");
    PutBytes(out, Sign(authenticator_data, client_data));
  }
  PutText(out, "authData");
  PutBytes(out, authenticator_data);
  return out;
}

std::string TestAuthenticator::Create(std::string_view challenge) {
  const std::string client = ClientData("webauthn.create", challenge);
  const FidoBytes object = AttestationObject(AuthenticatorData(true), client);
  return ToBase64Url(FidoBytes(client.begin(), client.end())) + "." + ToBase64Url(object);
}

std::string TestAuthenticator::Assert(std::string_view challenge) {
  if (counts) ++counter;
  const std::string client = ClientData("webauthn.get", challenge);
  const FidoBytes data = AuthenticatorData(false);
  return ToBase64Url(id) + "." + ToBase64Url(FidoBytes(client.begin(), client.end())) + "." +
         ToBase64Url(data) + "." + ToBase64Url(Sign(data, client)) + "." + ToBase64Url(user);
}

}  // namespace keyferry::server::testing

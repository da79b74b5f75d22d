#pragma once

#include <openssl/evp.h>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace keyferry::server::testing {

using FidoBytes = std::vector<std::uint8_t>;

// A FIDO2 key and the browser in front of it, in memory. Everything that it says can be bent.
class TestAuthenticator {
 public:
  // -7 ES256, -8 EdDSA, -257 RS256.
  explicit TestAuthenticator(std::int64_t algorithm = -7);

  // What the pages send: "CLIENT_DATA.ATTESTATION_OBJECT" and
  // "ID.CLIENT_DATA.AUTHENTICATOR_DATA.SIGNATURE.USER_HANDLE". Assert counts up first, where the
  // key counts.
  std::string Create(std::string_view challenge);
  std::string Assert(std::string_view challenge);

  // Their parts.
  std::string ClientData(std::string_view type, std::string_view challenge) const;
  FidoBytes AuthenticatorData(bool with_credential) const;
  FidoBytes AttestationObject(const FidoBytes& authenticator_data, std::string_view client_data);
  FidoBytes CoseKey() const;
  FidoBytes Sign(const FidoBytes& authenticator_data, std::string_view client_data) const;

  std::string origin = "https://keyferry.corp.example";
  std::string relying_party = "corp.example";
  std::string more_client_data = ",\"crossOrigin\":false";
  FidoBytes id = FidoBytes(32, 0x1D);
  FidoBytes user;  // of the assertion; usually none is told
  std::uint32_t counter = 0;
  bool counts = true;
  bool present = true;
  bool verified = false;
  bool self_attestation = false;
  std::uint8_t more_flags = 0;

 private:
  struct Free {
    void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
  };
  std::int64_t algorithm_;
  std::unique_ptr<EVP_PKEY, Free> key_;
};

}  // namespace keyferry::server::testing

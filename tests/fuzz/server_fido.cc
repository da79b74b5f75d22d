// LINKS: keyferry_fido
// What a browser may send of a FIDO2 key: the attestation object of a registration, down to the key
// that libfido2 reads, and the authenticator data of an authentication.
#include <cstdlib>

#include "server/core/encoding.h"
#include "server/fido/authenticator_data.h"
#include "server/fido/verifier.h"

using namespace keyferry::server;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const auto verifier = MakeFidoVerifier();
  static const std::string party = "corp.example";
  static const std::string client =
      R"({"type":"webauthn.create","challenge":"c","origin":"https://corp.example"})";
  const std::span<const std::uint8_t> client_data(
      reinterpret_cast<const std::uint8_t*>(client.data()), client.size());
  const std::span<const std::uint8_t> bytes(data, size);
  if (const auto created = verifier->ReadCreation(party, client_data, bytes)) {
    if (created->credential_id.empty() || created->credential_id.size() > kMaxCredentialId ||
        created->public_key.empty()) {
      std::abort();
    }
    // Nothing of it is signed by that key.
    if (verifier->ReadAssertion(party, created->algorithm, created->public_key,
                                {client_data, bytes.first(37), bytes.subspan(37)})) {
      std::abort();
    }
  }
  if (const auto parsed = ParseAuthenticatorData(bytes); parsed && parsed->credential) {
    if (parsed->credential->id.data() + parsed->credential->id.size() > data + size) std::abort();
  }
  return 0;
}

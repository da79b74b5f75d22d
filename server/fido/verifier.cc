#include "server/fido/verifier.h"

#include <fido.h>
#include <fido/eddsa.h>
#include <fido/es256.h>
#include <fido/rs256.h>

#include <boost/json/parse.hpp>
#include <boost/json/value.hpp>
#include <string_view>

#include "server/core/encoding.h"
#include "server/fido/authenticator_data.h"

namespace keyferry::server {
namespace {

namespace json = boost::json;
using Span = std::span<const std::uint8_t>;

constexpr std::size_t kMaxOrigin = 512;

tl::unexpected<Error> Refused(const char* message, int code = FIDO_OK) {
  return Fail(ErrorCode::kInvalidArgument, message, code == FIDO_OK ? "" : fido_strerr(code));
}

struct FreeCred {
  void operator()(fido_cred_t* cred) const { fido_cred_free(&cred); }
};
struct FreeAssert {
  void operator()(fido_assert_t* assertion) const { fido_assert_free(&assertion); }
};

// A public key in libfido2's form, of one of the algorithms.
class VerifyingKey {
 public:
  VerifyingKey(std::int64_t algorithm, const Bytes& bytes) : algorithm_(algorithm) {
    switch (algorithm) {
      case COSE_ES256:
        good_ =
            es256_ != nullptr && es256_pk_from_ptr(es256_, bytes.data(), bytes.size()) == FIDO_OK;
        break;
      case COSE_EDDSA:
        good_ =
            eddsa_ != nullptr && eddsa_pk_from_ptr(eddsa_, bytes.data(), bytes.size()) == FIDO_OK;
        break;
      case COSE_RS256:
        good_ =
            rs256_ != nullptr && rs256_pk_from_ptr(rs256_, bytes.data(), bytes.size()) == FIDO_OK;
        break;
      default:
        break;
    }
  }
  VerifyingKey(const VerifyingKey&) = delete;
  VerifyingKey& operator=(const VerifyingKey&) = delete;
  ~VerifyingKey() {
    es256_pk_free(&es256_);
    eddsa_pk_free(&eddsa_);
    rs256_pk_free(&rs256_);
  }

  bool good() const { return good_; }
  const void* get() const {
    return algorithm_ == COSE_ES256   ? static_cast<const void*>(es256_)
           : algorithm_ == COSE_EDDSA ? static_cast<const void*>(eddsa_)
                                      : static_cast<const void*>(rs256_);
  }

 private:
  std::int64_t algorithm_;
  es256_pk_t* es256_ = es256_pk_new();
  eddsa_pk_t* eddsa_ = eddsa_pk_new();
  rs256_pk_t* rs256_ = rs256_pk_new();
  bool good_ = false;
};

bool ReadText(const json::object& object, const char* name, std::size_t most, std::string* out) {
  const json::value* const value = object.if_contains(name);
  if (value == nullptr || !value->is_string() || value->as_string().size() > most) return false;
  out->assign(value->as_string().data(), value->as_string().size());
  return true;
}

// clientDataJSON (section 5.8.1). The browser wrote it and the signature covers it; members that
// this server does not know are for others.
Result<FidoClientData> ReadClientData(Span bytes) {
  if (bytes.size() > kMaxClientData) return Refused("The client data is too large.");
  json::parse_options options;
  options.max_depth = 4;
  json::error_code ec;
  const json::value value =
      json::parse(json::string_view(reinterpret_cast<const char*>(bytes.data()), bytes.size()), ec,
                  {}, options);
  if (ec || !value.is_object()) return Refused("The client data is no JSON object.");
  const json::object& object = value.as_object();
  FidoClientData out;
  if (!ReadText(object, "type", 64, &out.type) ||
      !ReadText(object, "challenge", 128, &out.challenge) ||
      !ReadText(object, "origin", kMaxOrigin, &out.origin)) {
    return Refused("The client data lacks its type, challenge or origin.");
  }
  if (const json::value* const crossed = object.if_contains("crossOrigin")) {
    if (!crossed->is_bool()) return Refused("The client data is damaged.");
    out.cross_origin = crossed->as_bool();
  }
  return out;
}

class LibfidoVerifier final : public FidoVerifier {
 public:
  LibfidoVerifier() { fido_init(0); }

  Result<FidoCreation> ReadCreation(const std::string& relying_party, Span client_data,
                                    Span attestation_object) override {
    auto client = ReadClientData(client_data);
    if (!client) return tl::unexpected(std::move(client.error()));
    const auto attestation = ParseAttestationObject(attestation_object);
    if (!attestation) return tl::unexpected(attestation.error());
    const auto parsed = ParseAuthenticatorData(attestation->authenticator_data);
    if (!parsed) return tl::unexpected(parsed.error());
    if (!parsed->credential) return Refused("The answer brings no credential.");

    const std::unique_ptr<fido_cred_t, FreeCred> cred(fido_cred_new());
    if (!cred) return Refused("There is no memory.");
    const Span data = attestation->authenticator_data;
    int code = fido_cred_set_type(cred.get(), static_cast<int>(parsed->credential->algorithm));
    if (code == FIDO_OK) code = fido_cred_set_authdata_raw(cred.get(), data.data(), data.size());
    if (code != FIDO_OK) return Refused("The credential's public key is damaged.", code);
    const std::uint8_t* const key = fido_cred_pubkey_ptr(cred.get());
    if (key == nullptr) return Refused("The credential's public key is damaged.");

    FidoCreation out;
    out.client = *std::move(client);
    out.authenticator = parsed->said;
    out.credential_id.assign(parsed->credential->id.begin(), parsed->credential->id.end());
    out.algorithm = parsed->credential->algorithm;
    out.public_key.assign(key, key + fido_cred_pubkey_len(cred.get()));
    // A point that is not on the curve is no key.
    if (!VerifyingKey(out.algorithm, out.public_key).good()) {
      return Refused("The credential's public key is none.");
    }
    if (attestation->self_signature.empty()) return out;
    if (attestation->algorithm != out.algorithm) {
      return Refused("The attestation is of another algorithm than the credential.");
    }
    const auto hash = Sha256(client_data);
    const Span signature = attestation->self_signature;
    code = fido_cred_set_rp(cred.get(), relying_party.c_str(), nullptr);
    if (code == FIDO_OK) {
      code = fido_cred_set_clientdata_hash(cred.get(), hash.data(), hash.size());
    }
    if (code == FIDO_OK) code = fido_cred_set_fmt(cred.get(), "packed");
    if (code == FIDO_OK) code = fido_cred_set_sig(cred.get(), signature.data(), signature.size());
    if (code == FIDO_OK) code = fido_cred_verify_self(cred.get());
    if (code != FIDO_OK) return Refused("The attestation's signature is wrong.", code);
    return out;
  }

  Result<FidoAssertion> ReadAssertion(const std::string& relying_party, std::int64_t algorithm,
                                      const Bytes& public_key, const Signed& given) override {
    auto client = ReadClientData(given.client_data);
    if (!client) return tl::unexpected(std::move(client.error()));
    const auto parsed = ParseAuthenticatorData(given.authenticator_data);
    if (!parsed) return tl::unexpected(parsed.error());
    if (parsed->credential) return Refused("The answer brings a credential, and was to use one.");
    if (given.signature.empty() || given.signature.size() > kMaxAssertionSignature) {
      return Refused("The signature has an impossible size.");
    }
    const VerifyingKey key(algorithm, public_key);
    if (!key.good()) return Refused("The key that is kept is none.");
    const std::unique_ptr<fido_assert_t, FreeAssert> assertion(fido_assert_new());
    if (!assertion) return Refused("There is no memory.");
    const auto hash = Sha256(given.client_data);
    int code = fido_assert_set_count(assertion.get(), 1);
    if (code == FIDO_OK) code = fido_assert_set_rp(assertion.get(), relying_party.c_str());
    if (code == FIDO_OK) {
      code = fido_assert_set_clientdata_hash(assertion.get(), hash.data(), hash.size());
    }
    if (code == FIDO_OK) {
      code = fido_assert_set_authdata_raw(assertion.get(), 0, given.authenticator_data.data(),
                                          given.authenticator_data.size());
    }
    if (code == FIDO_OK) {
      code =
          fido_assert_set_sig(assertion.get(), 0, given.signature.data(), given.signature.size());
    }
    if (code == FIDO_OK) {
      code = fido_assert_verify(assertion.get(), 0, static_cast<int>(algorithm), key.get());
    }
    if (code != FIDO_OK) return Refused("The signature is wrong.", code);
    return FidoAssertion{*std::move(client), parsed->said};
  }
};

}  // namespace

std::unique_ptr<FidoVerifier> MakeFidoVerifier() { return std::make_unique<LibfidoVerifier>(); }

}  // namespace keyferry::server

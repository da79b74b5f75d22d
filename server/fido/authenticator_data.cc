#include "server/fido/authenticator_data.h"

#include <algorithm>
#include <iterator>

#include "server/fido/cbor.h"

namespace keyferry::server {
namespace {

constexpr std::size_t kHashSize = 32, kAaguidSize = 16;
constexpr std::size_t kHeaderSize = kHashSize + 1 + 4;
constexpr std::uint8_t kUserPresent = 0x01, kUserVerified = 0x04, kHasCredential = 0x40,
                       kHasExtensions = 0x80;
constexpr std::int64_t kCoseAlgorithm = 3;  // label of RFC 9053
constexpr std::size_t kMostCoseLabels = 8;

tl::unexpected<Error> Bad(const char* message) {
  return Fail(ErrorCode::kInvalidArgument, message);
}

// Passes over a COSE key, and says of which algorithm it is.
std::optional<std::int64_t> SkipCoseKey(CborReader& in) {
  const auto pairs = in.Map();
  if (!pairs || *pairs > kMostCoseLabels) return std::nullopt;
  std::optional<std::int64_t> algorithm;
  for (std::size_t i = 0; i < *pairs; ++i) {
    const auto label = in.Integer();
    if (!label) return std::nullopt;
    if (*label == kCoseAlgorithm) {
      if (algorithm) return std::nullopt;
      algorithm = in.Integer();
      if (!algorithm) return std::nullopt;
    } else if (!in.Skip()) {
      return std::nullopt;
    }
  }
  return algorithm;
}

// {"alg": …, "sig": …} of a self attestation; anything else names somebody.
bool ReadSelfStatement(CborReader& in, ParsedAttestation& out) {
  const auto pairs = in.Map();
  if (!pairs || *pairs != 2) return false;
  bool algorithm = false, signature = false;
  for (std::size_t i = 0; i < 2; ++i) {
    const auto name = in.Text();
    if (name == "alg" && !algorithm) {
      const auto value = in.Integer();
      algorithm = value.has_value();
      out.algorithm = value.value_or(0);
    } else if (name == "sig" && !signature) {
      const auto value = in.Bytes();
      signature = value && !value->empty() && value->size() <= kMaxAssertionSignature;
      if (signature) out.self_signature = *value;
    } else {
      return false;
    }
  }
  return algorithm && signature;
}

}  // namespace

Result<ParsedAuthenticatorData> ParseAuthenticatorData(std::span<const std::uint8_t> bytes) {
  if (bytes.size() < kHeaderSize || bytes.size() > kMaxAuthenticatorData) {
    return Bad("The authenticator data has an impossible size.");
  }
  ParsedAuthenticatorData out;
  std::copy_n(bytes.begin(), kHashSize, out.said.relying_party.begin());
  const std::uint8_t flags = bytes[kHashSize];
  out.said.user_present = (flags & kUserPresent) != 0;
  out.said.user_verified = (flags & kUserVerified) != 0;
  for (std::size_t i = kHashSize + 1; i < kHeaderSize; ++i) {
    out.said.counter = out.said.counter << 8 | bytes[i];
  }
  auto rest = bytes.subspan(kHeaderSize);
  if ((flags & kHasCredential) != 0) {
    if (rest.size() < kAaguidSize + 2) return Bad("The attested credential data is cut off.");
    const std::size_t size = std::size_t{rest[kAaguidSize]} << 8 | rest[kAaguidSize + 1];
    rest = rest.subspan(kAaguidSize + 2);
    if (size == 0 || size > kMaxCredentialId || size > rest.size()) {
      return Bad("The credential identifier has an impossible size.");
    }
    out.credential.emplace();
    out.credential->id = rest.first(size);
    CborReader in(rest.subspan(size));
    const auto algorithm = SkipCoseKey(in);
    if (!algorithm) return Bad("The credential's public key is damaged.");
    if (std::find(std::begin(kFidoAlgorithms), std::end(kFidoAlgorithms), *algorithm) ==
        std::end(kFidoAlgorithms)) {
      return Bad("The credential's algorithm was not offered.");
    }
    out.credential->algorithm = *algorithm;
    rest = in.rest();
  }
  if ((flags & kHasExtensions) != 0) {
    CborReader in(rest);
    CborReader whole(rest);
    if (!in.Map() || !whole.Skip()) return Bad("The extensions are damaged.");
    rest = whole.rest();
  }
  if (!rest.empty()) return Bad("Something stands behind the authenticator data.");
  return out;
}

Result<ParsedAttestation> ParseAttestationObject(std::span<const std::uint8_t> bytes) {
  if (bytes.size() > kMaxAttestationObject) return Bad("The attestation object is too large.");
  CborReader in(bytes);
  ParsedAttestation out;
  std::optional<std::string_view> format;
  std::optional<std::span<const std::uint8_t>> statement;
  const auto pairs = in.Map();
  if (!pairs || *pairs != 3) return Bad("The attestation object is damaged.");
  bool data = false;
  for (std::size_t i = 0; i < 3; ++i) {
    const auto name = in.Text();
    if (name == "fmt" && !format) {
      format = in.Text();
      if (!format) return Bad("The attestation format is damaged.");
    } else if (name == "authData" && !data) {
      const auto value = in.Bytes();
      if (!value) return Bad("The authenticator data is damaged.");
      out.authenticator_data = *value;
      data = true;
    } else if (name == "attStmt" && !statement) {
      const auto before = in.rest();
      if (!in.Skip()) return Bad("The attestation statement is damaged.");
      statement = before.first(before.size() - in.rest().size());
    } else {
      return Bad("The attestation object has a member that it should not have.");
    }
  }
  if (!in.AtEnd()) return Bad("Something stands behind the attestation object.");
  CborReader inner(*statement);
  if (*format == "none") {
    const auto members = inner.Map();
    if (!members || *members != 0) return Bad("An attestation \"none\" has a statement.");
    return out;
  }
  if (*format != "packed" || !ReadSelfStatement(inner, out) || !inner.AtEnd()) {
    return Bad("It carries an attestation that was not asked for.");
  }
  return out;
}

}  // namespace keyferry::server

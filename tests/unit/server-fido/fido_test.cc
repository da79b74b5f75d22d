// What browsers and FIDO2 keys may send, and what they should not.
#include <catch2/catch.hpp>
#include <string>

#include "server/core/encoding.h"
#include "server/fido/authenticator_data.h"
#include "server/fido/cbor.h"
#include "server/fido/verifier.h"
#include "test_authenticator.h"

using namespace keyferry;
using namespace keyferry::server;
using testing::FidoBytes;
using testing::TestAuthenticator;

namespace {

const std::string kParty = "corp.example";
const std::string kChallenge(43, 'c');

FidoBytes Raw(std::string_view text) { return FidoBytes(text.begin(), text.end()); }

struct Bench {
  explicit Bench(std::int64_t algorithm = -7) : key(algorithm) {}

  Result<FidoCreation> Create(const FidoBytes& object, const std::string& client) {
    return verifier->ReadCreation(kParty, Raw(client), object);
  }
  FidoCreation Created() {
    const std::string client = key.ClientData("webauthn.create", kChallenge);
    return Create(key.AttestationObject(key.AuthenticatorData(true), client), client).value();
  }
  Result<FidoAssertion> Assert(const FidoCreation& by, const FidoBytes& data,
                               const std::string& client, const FidoBytes& signature) {
    const FidoBytes text = Raw(client);
    return verifier->ReadAssertion(kParty, by.algorithm, by.public_key, {text, data, signature});
  }

  TestAuthenticator key;
  std::unique_ptr<FidoVerifier> verifier = MakeFidoVerifier();
};

// An attestation object "none" around authenticator data.
FidoBytes Around(const FidoBytes& data) {
  TestAuthenticator any;
  return any.AttestationObject(data, "");
}

bool Reads(const FidoBytes& data) { return ParseAuthenticatorData(data).has_value(); }

}  // namespace

TEST_CASE("registration and authentication by each algorithm, with and without self attestation") {
  for (const std::int64_t algorithm : kFidoAlgorithms) {
    for (const bool self : {false, true}) {
      INFO(algorithm << (self ? " with self attestation" : ""));
      Bench bench(algorithm);
      bench.key.self_attestation = self;
      bench.key.counter = 7;
      bench.key.verified = true;
      const FidoCreation created = bench.Created();
      CHECK(created.algorithm == algorithm);
      CHECK(created.credential_id == bench.key.id);
      CHECK(created.client.type == "webauthn.create");
      CHECK(created.client.challenge == kChallenge);
      CHECK(created.client.origin == "https://keyferry.corp.example");
      CHECK(created.authenticator.counter == 7);
      CHECK(created.authenticator.user_present);
      CHECK(created.authenticator.user_verified);
      CHECK(created.authenticator.relying_party == Sha256(kParty));

      const std::string client = bench.key.ClientData("webauthn.get", kChallenge);
      const FidoBytes data = bench.key.AuthenticatorData(false);
      const FidoBytes signature = bench.key.Sign(data, client);
      const auto read = bench.Assert(created, data, client, signature);
      REQUIRE(read);
      CHECK(read->client.type == "webauthn.get");
      CHECK(read->authenticator.counter == 7);

      // Of whatever is signed no byte may differ.
      for (std::size_t i = 0; i < data.size(); ++i) {
        FidoBytes other = data;
        other[i] ^= 0x01;
        CHECK_FALSE(bench.Assert(created, other, client, signature));
      }
      std::string other_client = client;
      other_client.back() = ' ';
      CHECK_FALSE(bench.Assert(created, data, client + " ", signature));
      CHECK_FALSE(bench.Assert(created, data, other_client, signature));
      FidoBytes other_signature = signature;
      other_signature[signature.size() / 2] ^= 0x10;
      CHECK_FALSE(bench.Assert(created, data, client, other_signature));
      CHECK_FALSE(bench.Assert(created, data, client, {}));
      CHECK_FALSE(bench.Assert(created, data, client, FidoBytes(kMaxAssertionSignature + 1)));
      const FidoCreation stranger = Bench(algorithm).Created();
      CHECK_FALSE(bench.Assert(stranger, data, client, signature));
      for (const std::int64_t wrong : {-7, -8, -257, -35, 0}) {
        if (wrong == algorithm) continue;
        FidoCreation confused = created;
        confused.algorithm = wrong;
        CHECK_FALSE(bench.Assert(confused, data, client, signature));
      }
    }
  }
}

TEST_CASE("an authentication is for its relying party and brings no credential") {
  Bench bench;
  const FidoCreation created = bench.Created();
  const std::string client = bench.key.ClientData("webauthn.get", kChallenge);
  const FidoBytes with = bench.key.AuthenticatorData(true);
  CHECK_FALSE(bench.Assert(created, with, client, bench.key.Sign(with, client)));
  bench.key.relying_party = "evil.example";
  const FidoBytes evil = bench.key.AuthenticatorData(false);
  CHECK_FALSE(bench.Assert(created, evil, client, bench.key.Sign(evil, client)));
}

TEST_CASE("a self attestation has to be right") {
  Bench bench;
  bench.key.self_attestation = true;
  const std::string client = bench.key.ClientData("webauthn.create", kChallenge);
  const FidoBytes data = bench.key.AuthenticatorData(true);
  const FidoBytes object = bench.key.AttestationObject(data, client);
  CHECK(bench.Create(object, client));
  CHECK_FALSE(bench.Create(object, bench.key.ClientData("webauthn.create", "other")));
  FidoBytes other = data;
  other[40] ^= 1;  // in the AAGUID, which nothing else looks at
  CHECK_FALSE(bench.Create(
      [&] {
        FidoBytes changed = object;
        std::copy(other.begin(), other.end(), changed.end() - static_cast<long>(other.size()));
        return changed;
      }(),
      client));
}

TEST_CASE("authenticator data that is cut, longer, or lies about its sizes is refused") {
  TestAuthenticator key;
  const FidoBytes whole = key.AuthenticatorData(true);
  REQUIRE(Reads(whole));
  for (std::size_t size = 0; size < whole.size(); ++size) {
    INFO(size);
    CHECK_FALSE(Reads(FidoBytes(whole.begin(), whole.begin() + static_cast<long>(size))));
  }
  FidoBytes longer = whole;
  longer.push_back(0);
  CHECK_FALSE(Reads(longer));
  longer.resize(kMaxAuthenticatorData + 1);
  CHECK_FALSE(Reads(longer));
  for (const std::size_t size : {0u, 1024u, 0xFFFFu}) {
    FidoBytes lying = whole;
    lying[53] = static_cast<std::uint8_t>(size >> 8);
    lying[54] = static_cast<std::uint8_t>(size);
    CHECK_FALSE(Reads(lying));
  }
  key.id = FidoBytes(kMaxCredentialId, 1);
  CHECK(Reads(key.AuthenticatorData(true)));
  key.id.push_back(1);
  CHECK_FALSE(Reads(key.AuthenticatorData(true)));
  // The flag of extensions without any; and with some.
  key.id.resize(16);
  key.more_flags = 0x80;
  CHECK_FALSE(Reads(key.AuthenticatorData(true)));
  CHECK_FALSE(Reads(key.AuthenticatorData(false)));
  FidoBytes extended = key.AuthenticatorData(true);
  extended.insert(extended.end(), {0xA1, 0x61, 0x78, 0xF5});
  CHECK(Reads(extended));
  extended.back() = 0xFB;  // a floating-point number, and cut off
  CHECK_FALSE(Reads(extended));
}

TEST_CASE("a credential's key is of an algorithm that was offered, and a key") {
  Bench bench;
  const std::string client = bench.key.ClientData("webauthn.create", kChallenge);
  const FidoBytes data = bench.key.AuthenticatorData(true);
  const std::size_t cose = data.size() - bench.key.CoseKey().size();
  const auto with = [&](std::size_t at, std::uint8_t byte) {
    FidoBytes changed = data;
    changed[cose + at] = byte;
    return bench.Create(Around(changed), client).has_value();
  };
  REQUIRE(bench.Create(Around(data), client));
  CHECK_FALSE(with(4, 0x27));  // EdDSA, and a key of ES256
  CHECK_FALSE(with(4, 0x38));  // cut off
  CHECK_FALSE(with(4, 0x20));  // no such algorithm
  CHECK_FALSE(with(2, 0x01));  // another type of key
  CHECK_FALSE(with(6, 0x02));  // another curve
  CHECK_FALSE(with(3, 0x04));  // no algorithm at all
  CHECK_FALSE(with(0, 0xA6));  // a pair more than there is
  CHECK_FALSE(with(0, 0xBF));  // of indefinite length
  CHECK_FALSE(with(10, static_cast<std::uint8_t>(data[cose + 10] ^ 1)));  // not on the curve
}

TEST_CASE("attestation objects: no truncation, no surplus, nothing that was not asked for") {
  Bench bench;
  const std::string client = bench.key.ClientData("webauthn.create", kChallenge);
  const FidoBytes whole = bench.key.AttestationObject(bench.key.AuthenticatorData(true), client);
  for (std::size_t size = 0; size < whole.size(); ++size) {
    CHECK_FALSE(
        bench.Create(FidoBytes(whole.begin(), whole.begin() + static_cast<long>(size)), client));
  }
  // Whatever is bent, it is read within its bounds (this test runs under sanitizers too).
  for (std::size_t i = 0; i < whole.size(); ++i) {
    for (const int mask : {0x01, 0x20, 0x80, 0xFF}) {
      FidoBytes bent = whole;
      bent[i] = static_cast<std::uint8_t>(bent[i] ^ mask);
      (void)bench.Create(bent, client);
    }
  }
  FidoBytes longer = whole;
  longer.push_back(0xF6);
  CHECK_FALSE(bench.Create(longer, client));
  longer.resize(kMaxAttestationObject + 1);
  CHECK_FALSE(bench.Create(longer, client));
  const auto replaced = [&](std::string_view from, std::string_view to) {
    std::string text(whole.begin(), whole.end());
    const std::size_t at = text.find(from);
    REQUIRE(at != std::string::npos);
    text.replace(at, from.size(), to);
    return Raw(text);
  };
  const std::string statement =
      "\x67"
      "attStmt\xA0";
  REQUIRE(bench.Create(replaced(statement, statement), client));
  CHECK_FALSE(bench.Create(replaced("fmt", "fnt"), client));
  CHECK_FALSE(bench.Create(replaced("none", "tpm!"), client));
  CHECK_FALSE(bench.Create(replaced(statement,
                                    "\x67"
                                    "attStmt\xA1\x61x\x01"),
                           client));
  CHECK_FALSE(bench.Create(replaced(statement,
                                    "\x63"
                                    "fmt\x64none"),
                           client));  // twice
  // A maker's certificates.
  CHECK_FALSE(bench.Create(replaced("\x64none\x67"
                                    "attStmt\xA0",
                                    "\x66packed\x67"
                                    "attStmt\xA3\x63"
                                    "alg\x26\x63sig\x41z\x63x5c\x81\x41z"),
                           client));
  // Deeper than CTAP allows, and a length that no memory has.
  CHECK_FALSE(bench.Create(replaced(statement,
                                    "\x67"
                                    "attStmt\x81\x81\x81\x81\x81\x01"),
                           client));
  CHECK_FALSE(
      bench.Create(replaced(statement, std::string("\x67"
                                                   "attStmt\x9B\x7F\xFF\xFF\xFF\xFF\xFF\xFF\xFF",
                                                   17)),
                   client));
}

TEST_CASE("client data is a JSON object with type, challenge and origin, and small") {
  Bench bench;
  const FidoCreation created = bench.Created();
  const auto tell = [&](const std::string& client) {
    const FidoBytes data = bench.key.AuthenticatorData(false);
    return bench.Assert(created, data, client, bench.key.Sign(data, client));
  };
  const std::string good = bench.key.ClientData("webauthn.get", kChallenge);
  CHECK(tell(good));
  CHECK_FALSE(tell(good)->client.cross_origin);
  bench.key.more_client_data = "";
  CHECK(tell(bench.key.ClientData("webauthn.get", kChallenge)));
  bench.key.more_client_data = ",\"crossOrigin\":true,\"other\":{\"a\":[1]}";
  CHECK(tell(bench.key.ClientData("webauthn.get", kChallenge))->client.cross_origin);
  for (const std::string& bad :
       {std::string(), std::string("{}"), std::string("[]"), std::string("null"), good + good,
        good.substr(0, good.size() - 1), std::string(R"({"type":1,"challenge":"c","origin":"o"})"),
        std::string(R"({"type":"t","challenge":["c"],"origin":"o"})"),
        std::string(R"({"type":"t","challenge":"c"})"),
        std::string(R"({"type":"t","challenge":"c","origin":"o","crossOrigin":"no"})"),
        "{\"type\":\"t\",\"challenge\":\"c\",\"origin\":\"o\",\"x\":" + std::string(40, '[') +
            std::string(40, ']') + "}",
        "{\"type\":\"t\",\"challenge\":\"c\",\"origin\":\"" + std::string(600, 'o') + "\"}",
        "{\"type\":\"t\",\"challenge\":\"c\",\"origin\":\"o\",\"x\":\"" +
            std::string(kMaxClientData, 'x') + "\"}"}) {
    INFO(bad.substr(0, 80));
    CHECK_FALSE(tell(bad));
  }
}

TEST_CASE("CBOR is read within its bounds, and never again after a mistake") {
  const auto skips = [](const FidoBytes& bytes) {
    CborReader in(bytes);
    return in.Skip() && in.AtEnd();
  };
  CHECK(skips({0x00}));
  CHECK(skips({0x38, 0xFF}));
  CHECK(skips({0x83, 0x01, 0xA1, 0x61, 'a', 0x41, 0x00, 0xF5}));
  CHECK_FALSE(skips({}));
  CHECK_FALSE(skips({0x18}));
  CHECK_FALSE(skips({0x1C}));                 // reserved
  CHECK_FALSE(skips({0x5F, 0x41, 0, 0xFF}));  // indefinite
  CHECK_FALSE(skips({0x42, 0x00}));
  CHECK_FALSE(skips({0x9A, 0xFF, 0xFF, 0xFF, 0xFF}));
  CHECK_FALSE(skips({0xBB, 0x80, 0, 0, 0, 0, 0, 0, 0, 0}));
  CHECK_FALSE(skips({0xC0, 0x00}));        // a tag
  CHECK_FALSE(skips({0xF9, 0x3C, 0x00}));  // a floating-point number
  CHECK_FALSE(skips({0xF8, 0x18}));
  CHECK_FALSE(skips({0xE0}));
  CHECK(CborReader(FidoBytes{0x20}).Integer() == -1);
  CHECK(CborReader(FidoBytes{0x39, 0x01, 0x00}).Integer() == -257);
  CHECK_FALSE(CborReader(FidoBytes{0x1B, 0x80, 0, 0, 0, 0, 0, 0, 0}).Integer());
  CHECK_FALSE(CborReader(FidoBytes{0x41, 0x00}).Integer());
  const FidoBytes mixed = {0x41, 0x00, 0x01};
  CborReader in(mixed);
  CHECK_FALSE(in.Text());
  CHECK_FALSE(in.Integer());
  CHECK_FALSE(in.Skip());
  CHECK_FALSE(in.AtEnd());
}

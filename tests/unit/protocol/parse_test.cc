// Parsers against hostile bytes: every length, every single flipped byte, and the rules that the
// vectors do not reach.
#include <catch2/catch.hpp>
#include <set>

#include "protocol/certs.h"
#include "protocol/framing.h"
#include "protocol/job.h"
#include "protocol/messages.h"
#include "protocol/receipt.h"
#include "tests/unit/protocol/hex.h"

namespace keyferry::protocol {
namespace {

template <typename T>
std::size_t AcceptedLengths(std::size_t longest) {
  std::size_t accepted = 0;
  for (std::size_t size = 0; size <= longest; ++size) {
    accepted += T::Parse(std::vector<std::uint8_t>(size, 0)).has_value() ? 1u : 0u;
    accepted += T::Parse(std::vector<std::uint8_t>(size, 0xFF)).has_value() ? 1u : 0u;
  }
  return accepted;
}

TEST_CASE("zeros and ones of any length are no structure") {
  CHECK(AcceptedLengths<HostCert>(400) == 0);
  CHECK(AcceptedLengths<IssuerCert>(400) == 0);
  CHECK(AcceptedLengths<Statement>(400) == 0);
  CHECK(AcceptedLengths<EnrolGrant>(400) == 0);
  CHECK(AcceptedLengths<Assertion>(400) == 0);
  CHECK(AcceptedLengths<Receipt>(400) == 0);
  CHECK(AcceptedLengths<ParsedJob>(1100) == 0);
  CHECK(AcceptedLengths<Info>(100) == 0);
  CHECK(AcceptedLengths<Policy>(20) == 0);
  CHECK(AcceptedLengths<Released>(400) == 0);
}

TEST_CASE("statuses have the names of the specification, and only they do") {
  std::set<std::string> names;
  int known = 0;
  for (int value = 0; value < 256; ++value) {
    const auto byte = static_cast<std::uint8_t>(value);
    if (!IsKnownStatus(byte)) continue;
    ++known;
    names.insert(Name(static_cast<Status>(byte)));
  }
  CHECK(known == 30);
  CHECK(names.size() == 30);
  CHECK(std::string(Name(Status::kUnsupportedVersion)) == "UNSUPPORTED_VERSION");
  CHECK_FALSE(IsKnownStatus(0x1F));
}

TEST_CASE("a sealed job opens to what went in, and only for its key, header and signer") {
  const P256Private issuer(
      test::Fixed<32>("c9afa9d845ba75166b5c215767b1d6934e50c3db36e89b127b8a622b120f6721"));
  const X25519Private recipient(
      test::Fixed<32>("8057991eef8f1f1af18f4a9491d16a1ce333f695d4db8e38da75975c4478e0fb"));
  const X25519Private other(
      test::Fixed<32>("a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4"));
  P256Public issuer_pub{};
  X25519Public recipient_pub{};
  REQUIRE(P256DerivePublic(issuer, issuer_pub));
  REQUIRE(X25519DerivePublic(recipient, recipient_pub));
  Bytes<kMaxJobBody> body{};
  const std::size_t body_size =
      SetPasswordBody{AsBytes("taras"), AsBytes("Kobzar-1840")}.Encode(body);
  REQUIRE(body_size == 17);
  JobHeader header;
  header.seq = 1;
  Bytes<kMaxJobSize> raw{};
  const std::size_t size = SealJob(header, ByteView(body).first(body_size), recipient_pub, issuer,
                                   KidOf(issuer_pub), other, raw);
  REQUIRE(size == 336);
  const ByteView job = ByteView(raw).first(size);

  const auto parsed = ParsedJob::Parse(job);
  REQUIRE(parsed);
  CHECK(parsed->VerifySignature(issuer_pub));
  const auto opened = OpenJob(*parsed, recipient);
  REQUIRE(opened);
  const auto password = SetPasswordBody::Parse(opened->body());
  REQUIRE(password);
  CHECK(std::string(password->password.begin(), password->password.end()) == "Kobzar-1840");
  CHECK(OpenJob(*parsed, other).error() == Status::kOpenFailed);

  std::size_t survived = 0;
  for (std::size_t i = 0; i < size; ++i) {
    Bytes<kMaxJobSize> changed = raw;
    changed[i] = static_cast<std::uint8_t>(changed[i] ^ 0x40);
    const auto again = ParsedJob::Parse(ByteView(changed).first(size));
    if (again && (again->VerifySignature(issuer_pub) ||
                  (i < kJobOverhead - 64 && OpenJob(*again, recipient))))
      ++survived;
  }
  CHECK(survived == 0);
}

TEST_CASE("bodies out of range are never sealed") {
  Bytes<512> out{};
  const std::string long_login(kMaxLogin + 1, 'l');
  const std::string long_password(kMaxPassword + 1, 'p');
  CHECK(SetPasswordBody{AsBytes(""), AsBytes("p")}.Encode(out) == 0);
  CHECK(SetPasswordBody{AsBytes("l"), AsBytes("")}.Encode(out) == 0);
  CHECK(SetPasswordBody{AsBytes(long_login), AsBytes("p")}.Encode(out) == 0);
  CHECK(SetPasswordBody{AsBytes("l"), AsBytes(long_password)}.Encode(out) == 0);
  CHECK(
      SetPasswordBody{AsBytes(std::string(kMaxLogin, 'l')), AsBytes(std::string(kMaxPassword, 'p'))}
          .Encode(out) == 1 + kMaxLogin + kMaxPassword);
}

TEST_CASE("PIN and code fields: length and padding tell") {
  Bytes<kPinFieldSize> pin{};
  REQUIRE(EncodeField(AsBytes("246813"), pin));
  REQUIRE(ParsePinField(pin));
  CHECK(ParsePinField(pin)->size() == 6);
  CHECK_FALSE(ParsePinField(pin, 7));
  pin[63] = 1;
  CHECK_FALSE(ParsePinField(pin));
  CHECK_FALSE(ParsePinField(ByteView(pin).first(63)));
  pin = {};
  pin[0] = 64;
  CHECK_FALSE(ParsePinField(pin));
  Bytes<kCodeFieldSize> code{};
  REQUIRE(EncodeField(AsBytes("ABCDEFGH"), code));
  CHECK(ParseCodeField(code));
  code[3] = 0x20;
  CHECK_FALSE(ParseCodeField(code));
  CHECK_FALSE(EncodeField(AsBytes(std::string(32, 'x')), code));
}

TEST_CASE("a receipt's result is a status of the specification, its flags are the three") {
  Receipt receipt;
  std::size_t accepted = 0;
  for (int value = 0; value < 256; ++value) {
    receipt.result = static_cast<Status>(value);
    accepted += Receipt::Parse(receipt.Encode()) ? 1u : 0u;
  }
  CHECK(accepted == 30);
  receipt.result = Status::kOk;
  receipt.flags = 7;
  CHECK(Receipt::Parse(receipt.Encode()));
  receipt.flags = 8;
  CHECK(Receipt::Parse(receipt.Encode()).error() == Status::kBadFormat);
  receipt.flags = 0x0100;
  CHECK(Receipt::Parse(receipt.Encode()).error() == Status::kBadFormat);
}

TEST_CASE("assembler: sequence, claimed length, surplus") {
  Assembler assembler;
  CHECK(assembler.Begin(0x24, kMaxMessage + 1, {}) == Assembler::Step::kBadLength);
  CHECK(assembler.Begin(0x24, 100, Bytes<57>{}) == Assembler::Step::kMore);
  CHECK(assembler.Continue(1, Bytes<59>{}) == Assembler::Step::kBadSequence);
  CHECK_FALSE(assembler.assembling());
  CHECK(assembler.Continue(0, Bytes<59>{}) == Assembler::Step::kBadSequence);
  CHECK(assembler.Begin(0x24, 60, Bytes<57>{}) == Assembler::Step::kMore);
  CHECK(assembler.Continue(0, Bytes<59>{}) == Assembler::Step::kComplete);
  CHECK(assembler.message().size() == 60);
  CHECK(assembler.Begin(0x01, 0, Bytes<57>{}) == Assembler::Step::kComplete);
  CHECK(assembler.message().empty());
}

}  // namespace
}  // namespace keyferry::protocol

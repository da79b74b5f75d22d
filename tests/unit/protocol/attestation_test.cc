// Attestation certificates of our own making and, with OpenSSL, of a vendor's who takes liberties.
#include "protocol/attestation.h"

#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <catch2/catch.hpp>
#include <memory>

#include "tests/unit/protocol/hex.h"

namespace keyferry::protocol {
namespace {

constexpr char kName[] = "CN=Vendor CA,O=Vendor";
constexpr char kDevice[] = "36aa69c8b435b56d87e1ae05d4dedde1";

// Only blinds the signing, which is deterministic.
struct Blinding final : RandomSource {
  bool Fill(MutableBytes out) override {
    std::fill(out.begin(), out.end(), std::uint8_t{0x5A});
    return true;
  }
};

struct Maker {
  Blinding random;
  P256Private ca;
  P256Private device;
  P256Public device_pub{};
  explicit Maker(std::uint8_t seed = 1) {
    ca.bytes.fill(seed);
    device.bytes.fill(9);
    REQUIRE(P256DerivePublic(device, device_pub));
  }
  std::string Pem() { return MakeAttestationCa(ca, kName, random).value(); }
  std::vector<std::uint8_t> Der() {
    return MakeAttestation(ca, kName, test::Fixed<16>(kDevice), device_pub, random).value();
  }
};

TEST_CASE("an attestation certificate names its device and is verified under its CA alone") {
  Maker vendor;
  Maker stranger(2);
  const auto der = vendor.Der();
  CHECK(der.size() <= kMaxAttestation);
  const auto good = VerifyAttestation(der, vendor.Pem());
  REQUIRE(good);
  CHECK(test::Hex(good->device_id) == kDevice);
  CHECK(good->pub == vendor.device_pub);
  CHECK(VerifyAttestation(der, stranger.Pem() + vendor.Pem()));
  CHECK_FALSE(VerifyAttestation(der, stranger.Pem()));  // the same name, another key
  CHECK(VerifyAttestation(der, "").error().code == ErrorCode::kInvalidArgument);
  CHECK(VerifyAttestation(der, "-----BEGIN CERTIFICATE-----\nxx\n").error().code ==
        ErrorCode::kInvalidArgument);
}

TEST_CASE("no damaged, cut or extended certificate is verified") {
  Maker vendor;
  const auto der = vendor.Der();
  const std::string pem = vendor.Pem();
  std::size_t accepted = 0;
  for (std::size_t i = 0; i < der.size(); ++i) {
    auto bad = der;
    bad[i] = static_cast<std::uint8_t>(bad[i] ^ 0x10);
    accepted += VerifyAttestation(bad, pem) ? 1u : 0u;
    accepted += ReadAttestation(ByteView(der).first(i)) ? 1u : 0u;
  }
  auto longer = der;
  longer.push_back(0);
  accepted += ReadAttestation(longer) ? 1u : 0u;
  accepted += ReadAttestation(std::vector<std::uint8_t>(kMaxAttestation + 1, 0x30)) ? 1u : 0u;
  CHECK(accepted == 0);
}

struct X509Free {
  void operator()(X509* p) const { X509_free(p); }
};
struct KeyPairFree {
  void operator()(EVP_PKEY* p) const { EVP_PKEY_free(p); }
};
using Cert = std::unique_ptr<X509, X509Free>;
using KeyPair = std::unique_ptr<EVP_PKEY, KeyPairFree>;

Cert Sign(EVP_PKEY* subject_key, const std::vector<std::string>& names, EVP_PKEY* ca_key,
          X509_NAME* ca_name, bool is_ca) {
  Cert cert(X509_new());
  X509_set_version(cert.get(), 2);
  ASN1_INTEGER_set(X509_get_serialNumber(cert.get()), 7);
  X509_gmtime_adj(X509_getm_notBefore(cert.get()), 0);
  X509_gmtime_adj(X509_getm_notAfter(cert.get()), 86400);
  for (const std::string& name : names) {
    X509_NAME_add_entry_by_txt(X509_get_subject_name(cert.get()), "CN", MBSTRING_UTF8,
                               reinterpret_cast<const unsigned char*>(name.c_str()), -1, -1, 0);
  }
  X509_set_issuer_name(cert.get(), ca_name ? ca_name : X509_get_subject_name(cert.get()));
  X509_set_pubkey(cert.get(), subject_key);
  X509_EXTENSION* constraints = X509V3_EXT_conf_nid(
      nullptr, nullptr, NID_basic_constraints, is_ca ? "critical,CA:TRUE" : "critical,CA:FALSE");
  X509_add_ext(cert.get(), constraints, -1);
  X509_EXTENSION_free(constraints);
  X509_sign(cert.get(), ca_key, EVP_sha256());
  return cert;
}

std::vector<std::uint8_t> DerOf(X509* cert) {
  std::vector<std::uint8_t> der(static_cast<std::size_t>(i2d_X509(cert, nullptr)));
  unsigned char* out = der.data();
  i2d_X509(cert, &out);
  return der;
}

std::string PemOf(X509* cert) {
  const std::unique_ptr<BIO, decltype(&BIO_free)> bio(BIO_new(BIO_s_mem()), BIO_free);
  PEM_write_bio_X509(bio.get(), cert);
  char* data = nullptr;
  const auto size = static_cast<std::size_t>(BIO_get_mem_data(bio.get(), &data));
  return {data, size};
}

TEST_CASE("a vendor's certificate needs one CN, the device's, and a P-256 key") {
  const KeyPair ca_key(EVP_EC_gen("P-256"));
  const KeyPair key(EVP_EC_gen("P-256"));
  const Cert ca = Sign(ca_key.get(), {"Other vendor"}, ca_key.get(), nullptr, true);
  const std::string pem = PemOf(ca.get());
  X509_NAME* name = X509_get_subject_name(ca.get());
  const auto verified = [&](EVP_PKEY* subject, const std::vector<std::string>& names) {
    const Cert cert = Sign(subject, names, ca_key.get(), name, false);
    return VerifyAttestation(DerOf(cert.get()), pem).has_value();
  };
  CHECK(verified(key.get(), {kDevice}));
  CHECK_FALSE(verified(key.get(), {}));
  CHECK_FALSE(verified(key.get(), {kDevice, kDevice}));
  CHECK_FALSE(verified(key.get(), {"Acme", kDevice}));
  CHECK_FALSE(verified(key.get(), {"36AA69C8B435B56D87E1AE05D4DEDDE1"}));
  CHECK_FALSE(verified(key.get(), {"36aa69c8b435b56d87e1ae05d4dedde"}));
  CHECK_FALSE(verified(key.get(), {"36aa69c8b435b56d87e1ae05d4deddeg"}));
  const KeyPair p384(EVP_EC_gen("P-384"));
  const KeyPair k1(EVP_EC_gen("secp256k1"));
  const KeyPair rsa(EVP_RSA_gen(2048));
  CHECK_FALSE(verified(p384.get(), {kDevice}));
  CHECK_FALSE(verified(k1.get(), {kDevice}));
  CHECK_FALSE(verified(rsa.get(), {kDevice}));
}

TEST_CASE("a device's certificate signs no other certificate") {
  const KeyPair ca_key(EVP_EC_gen("P-256"));
  const KeyPair key(EVP_EC_gen("P-256"));
  const Cert ca = Sign(ca_key.get(), {"Other vendor"}, ca_key.get(), nullptr, true);
  const Cert device = Sign(key.get(), {"4e036ee27d62b1284196278158eb4e76"}, ca_key.get(),
                           X509_get_subject_name(ca.get()), false);
  const KeyPair forged_key(EVP_EC_gen("P-256"));
  const Cert forged =
      Sign(forged_key.get(), {kDevice}, key.get(), X509_get_subject_name(device.get()), false);
  CHECK(VerifyAttestation(DerOf(device.get()), PemOf(ca.get())));
  CHECK_FALSE(VerifyAttestation(DerOf(forged.get()), PemOf(ca.get())));
  CHECK_FALSE(VerifyAttestation(DerOf(forged.get()), PemOf(ca.get()) + PemOf(device.get())));
  const Cert self = Sign(key.get(), {kDevice}, key.get(), nullptr, false);
  CHECK_FALSE(VerifyAttestation(DerOf(self.get()), PemOf(ca.get())));
}

}  // namespace
}  // namespace keyferry::protocol

// The server's TLS authority, checked with OpenSSL's own verifier.
#include "server/tls/ca.h"

#include <openssl/ec.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <catch2/catch.hpp>
#include <memory>

#include "server/core/encoding.h"

using namespace keyferry;
using namespace keyferry::server;

namespace {

constexpr std::int64_t kFrom = 1'700'000'000;
constexpr std::int64_t kTo = 1'900'000'000;
constexpr std::int64_t kNow = 1'800'000'000;

struct Free {
  void operator()(BIO* object) const { BIO_free_all(object); }
  void operator()(EVP_PKEY* object) const { EVP_PKEY_free(object); }
  void operator()(X509* object) const { X509_free(object); }
  void operator()(X509_REQ* object) const { X509_REQ_free(object); }
  void operator()(X509_STORE* object) const { X509_STORE_free(object); }
  void operator()(X509_STORE_CTX* object) const { X509_STORE_CTX_free(object); }
};
template <typename T>
using Owned = std::unique_ptr<T, Free>;

Owned<X509> Parse(const std::string& pem) {
  const Owned<BIO> in(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  return Owned<X509>(PEM_read_bio_X509(in.get(), nullptr, nullptr, nullptr));
}

std::string Request(EVP_PKEY* key) {
  const Owned<X509_REQ> request(X509_REQ_new());
  X509_NAME_add_entry_by_txt(X509_REQ_get_subject_name(request.get()), "CN", MBSTRING_ASC,
                             reinterpret_cast<const unsigned char*>("administrator"), -1, -1, 0);
  X509_REQ_set_pubkey(request.get(), key);
  X509_REQ_sign(request.get(), key, EVP_sha256());
  const Owned<BIO> out(BIO_new(BIO_s_mem()));
  PEM_write_bio_X509_REQ(out.get(), request.get());
  char* data = nullptr;
  const long size = BIO_get_mem_data(out.get(), &data);
  return std::string(data, static_cast<std::size_t>(size));
}

int VerifyFor(const std::string& ca_pem, const std::string& pem, int purpose) {
  const Owned<X509_STORE> store(X509_STORE_new());
  const Owned<X509> ca = Parse(ca_pem);
  X509_STORE_add_cert(store.get(), ca.get());
  const Owned<X509> leaf = Parse(pem);
  const Owned<X509_STORE_CTX> context(X509_STORE_CTX_new());
  X509_STORE_CTX_init(context.get(), store.get(), leaf.get(), nullptr);
  X509_STORE_CTX_set_purpose(context.get(), purpose);
  X509_STORE_CTX_set_time(context.get(), X509_V_FLAG_X509_STRICT, kNow);
  X509_STORE_CTX_set_flags(context.get(), X509_V_FLAG_X509_STRICT);
  X509_verify_cert(context.get());
  return X509_STORE_CTX_get_error(context.get());
}

struct Ca {
  Ca() : made(MakeCa("Keyferry TLS", kFrom, kTo).value()) {
    authority = LoadCertificateAuthority(made.certificate_pem, made.key_pem).value();
  }
  CertificateAndKey made;
  std::unique_ptr<CertificateAuthority> authority;
};

}  // namespace

TEST_CASE("a server certificate holds for its names and serves only") {
  Ca ca;
  const auto server =
      MakeServerCertificate(ca.made.certificate_pem, ca.made.key_pem,
                            {"keyferry.corp.example", "127.0.0.1", "::1"}, kFrom, kTo);
  REQUIRE(server);
  CHECK(VerifyFor(ca.made.certificate_pem, server->certificate_pem, X509_PURPOSE_SSL_SERVER) ==
        X509_V_OK);
  CHECK(VerifyFor(ca.made.certificate_pem, server->certificate_pem, X509_PURPOSE_SSL_CLIENT) !=
        X509_V_OK);
  CHECK(VerifyFor(Ca().made.certificate_pem, server->certificate_pem, X509_PURPOSE_SSL_SERVER) !=
        X509_V_OK);
  const Owned<X509> leaf = Parse(server->certificate_pem);
  CHECK(X509_check_host(leaf.get(), "keyferry.corp.example", 0, 0, nullptr) == 1);
  CHECK(X509_check_host(leaf.get(), "other.corp.example", 0, 0, nullptr) == 0);
  CHECK(X509_check_ip_asc(leaf.get(), "127.0.0.1", 0) == 1);
  CHECK(X509_check_ip_asc(leaf.get(), "::1", 0) == 1);
  CHECK(X509_check_ip_asc(leaf.get(), "127.0.0.2", 0) == 0);
  const auto facts = InspectCertificate(server->certificate_pem);
  REQUIRE(facts);
  CHECK(facts->not_before == kFrom);
  CHECK(facts->not_after == kTo);
  CHECK(facts->names == std::vector<std::string>{"keyferry.corp.example", "127.0.0.1", "::1"});
  CHECK(facts->sha256.size() == 79);
  CHECK(server->key_pem.view().substr(0, 27) == "-----BEGIN PRIVATE KEY-----");
}

TEST_CASE("names that are none are refused") {
  Ca ca;
  for (const std::string& name :
       {std::string("a b"), std::string("x,DNS:evil"), std::string(""), std::string("1.2.3.4/8"),
        std::string("a\nb"), std::string(300, 'a')}) {
    INFO(name);
    const auto made =
        MakeServerCertificate(ca.made.certificate_pem, ca.made.key_pem, {"good", name}, kFrom, kTo);
    REQUIRE_FALSE(made);
    CHECK(made.error().code == ErrorCode::kInvalidArgument);
  }
  CHECK_FALSE(MakeServerCertificate(ca.made.certificate_pem, ca.made.key_pem, {}, kFrom, kTo));
}

TEST_CASE("a workstation gets a client certificate in its own name only") {
  Ca ca;
  const Owned<EVP_PKEY> key(EVP_EC_gen("P-256"));
  const std::string request = Request(key.get());
  const auto facts = ca.authority->Inspect(request);
  REQUIRE(facts);
  WorkstationId id;
  id.bytes.fill(0xAB);
  const auto issued = ca.authority->SignWorkstation(request, id, kFrom, kTo);
  REQUIRE(issued);
  CHECK(VerifyFor(ca.made.certificate_pem, issued->pem, X509_PURPOSE_SSL_CLIENT) == X509_V_OK);
  CHECK(VerifyFor(ca.made.certificate_pem, issued->pem, X509_PURPOSE_SSL_SERVER) != X509_V_OK);
  const Owned<X509> leaf = Parse(issued->pem);
  char name[64] = {};
  X509_NAME_get_text_by_NID(X509_get_subject_name(leaf.get()), NID_commonName, name, sizeof name);
  CHECK(std::string(name) == id.Hex());  // not what the request called itself
  CHECK(X509_check_private_key(leaf.get(), key.get()) == 1);
  std::array<std::uint8_t, 32> digest{};
  unsigned int size = 0;
  X509_digest(leaf.get(), EVP_sha256(), digest.data(), &size);
  CHECK(issued->sha256 == digest);
  unsigned char* der = nullptr;
  const int der_size = i2d_PUBKEY(key.get(), &der);
  CHECK(facts->spki_sha256 ==
        Sha256(std::span<const std::uint8_t>(der, static_cast<std::size_t>(der_size))));
  OPENSSL_free(der);
  CHECK(ca.authority->SignWorkstation(request, id, kFrom, kTo)->sha256 != digest);
}

TEST_CASE("hostile certificate requests are refused") {
  Ca ca;
  const Owned<EVP_PKEY> key(EVP_EC_gen("P-256"));
  std::string request = Request(key.get());
  SECTION("empty") { request.clear(); }
  SECTION("nonsense") { request = "-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n"; }
  SECTION("too long") { request += std::string(9000, ' '); }
  SECTION("another curve") {
    const Owned<EVP_PKEY> other(EVP_EC_gen("P-384"));
    request = Request(other.get());
  }
  SECTION("RSA") {
    const Owned<EVP_PKEY> other(EVP_RSA_gen(2048));
    request = Request(other.get());
  }
  SECTION("wrong signature") {
    // Any byte of the body in a valid alphabet: either the DER breaks or the signature does.
    const std::size_t at = request.size() / 2;
    request[at] = request[at] == 'A' ? 'B' : 'A';
  }
  SECTION("a certificate") { request = ca.made.certificate_pem; }
  const auto refused = ca.authority->Inspect(request);
  REQUIRE_FALSE(refused);
  CHECK(refused.error().code == ErrorCode::kInvalidArgument);
  CHECK_FALSE(ca.authority->SignWorkstation(request, {}, kFrom, kTo));
}

TEST_CASE("an authority loads only with its own key") {
  Ca one, two;
  CHECK_FALSE(LoadCertificateAuthority(one.made.certificate_pem, two.made.key_pem));
  CHECK_FALSE(LoadCertificateAuthority("", one.made.key_pem));
  CHECK_FALSE(LoadCertificateAuthority(one.made.certificate_pem, SecureBytes()));
  const auto leaf =
      MakeServerCertificate(one.made.certificate_pem, one.made.key_pem, {"a"}, kFrom, kTo);
  REQUIRE(leaf);
  CHECK_FALSE(LoadCertificateAuthority(leaf->certificate_pem, leaf->key_pem));
  CHECK_FALSE(InspectCertificate("nonsense"));
}

#include "server/tls/ca.h"

#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/pem.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <ctime>
#include <optional>
#include <utility>

#include "server/core/encoding.h"
#include "server/tls/openssl.h"

namespace keyferry::server {
namespace {

constexpr std::size_t kMaxRequest = 8192;

Result<std::array<std::uint8_t, 32>> DigestOf(const X509* certificate) {
  std::array<std::uint8_t, 32> digest{};
  unsigned int size = 0;
  if (X509_digest(certificate, EVP_sha256(), digest.data(), &size) != 1 || size != digest.size()) {
    return OpensslFailure("X509_digest");
  }
  return digest;
}

bool IsDnsName(std::string_view name) {
  if (name.empty() || name.size() > 253 || name.front() == '.' || name.front() == '-') return false;
  return std::all_of(name.begin(), name.end(), [](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '-' || c == '.';
  });
}

// The address in network order, 4 or 16 bytes.
std::optional<std::vector<std::uint8_t>> ParseAddress(const std::string& text) {
  std::array<std::uint8_t, 16> bytes{};
  if (inet_pton(AF_INET, text.c_str(), bytes.data()) == 1)
    return {{bytes.begin(), bytes.begin() + 4}};
  if (inet_pton(AF_INET6, text.c_str(), bytes.data()) == 1) return {{bytes.begin(), bytes.end()}};
  return std::nullopt;
}

bool AddName(GENERAL_NAMES* names, int type, const void* data, std::size_t size) {
  ASN1_STRING* text = type == GEN_DNS ? ASN1_IA5STRING_new() : ASN1_OCTET_STRING_new();
  GENERAL_NAME* name = GENERAL_NAME_new();
  if (text == nullptr || name == nullptr ||
      ASN1_STRING_set(text, data, static_cast<int>(size)) != 1) {
    ASN1_STRING_free(text);
    GENERAL_NAME_free(name);
    return false;
  }
  GENERAL_NAME_set0_value(name, type, text);
  if (sk_GENERAL_NAME_push(names, name) == 0) {
    GENERAL_NAME_free(name);
    return false;
  }
  return true;
}

Result<void> AddAlternativeNames(X509* certificate, const std::vector<std::string>& names) {
  const Owned<GENERAL_NAMES> list(GENERAL_NAMES_new());
  for (const std::string& name : names) {
    bool added = false;
    if (const auto address = ParseAddress(name)) {
      added = AddName(list.get(), GEN_IPADD, address->data(), address->size());
    } else if (IsDnsName(name)) {
      added = AddName(list.get(), GEN_DNS, name.data(), name.size());
    } else {
      return Fail(ErrorCode::kInvalidArgument,
                  "\"" + Presentable(name, 100) + "\" is neither a DNS name nor an IP address.");
    }
    if (!added) return OpensslFailure("subjectAltName");
  }
  if (X509_add1_ext_i2d(certificate, NID_subject_alt_name, list.get(), 0, 0) != 1) {
    return OpensslFailure("subjectAltName");
  }
  return {};
}

// End certificate by the CA, with the usage given as OpenSSL's extendedKeyUsage word.
Result<void> SignEnd(X509* certificate, EVP_PKEY* key, X509* ca, EVP_PKEY* ca_key,
                     const char* usage) {
  if (X509_set_pubkey(certificate, key) != 1 ||
      X509_set_issuer_name(certificate, X509_get_subject_name(ca)) != 1 ||
      !AddExtension(certificate, ca, NID_basic_constraints, "critical,CA:FALSE") ||
      !AddExtension(certificate, ca, NID_key_usage, "critical,digitalSignature") ||
      !AddExtension(certificate, ca, NID_ext_key_usage, usage) ||
      !AddExtension(certificate, ca, NID_subject_key_identifier, "hash") ||
      !AddExtension(certificate, ca, NID_authority_key_identifier, "keyid:always") ||
      X509_sign(certificate, ca_key, EVP_sha256()) == 0) {
    return OpensslFailure("X509_sign");
  }
  return {};
}

Result<Owned<X509_REQ>> ParseRequest(std::string_view pem) {
  if (pem.size() > kMaxRequest) {
    return Fail(ErrorCode::kInvalidArgument, "The certificate request is longer than 8 KiB.");
  }
  const Owned<BIO> in(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  Owned<X509_REQ> request(in ? PEM_read_bio_X509_REQ(in.get(), nullptr, nullptr, nullptr)
                             : nullptr);
  if (!request) {
    return OpensslRefusal(ErrorCode::kInvalidArgument,
                          "The certificate request is not PKCS#10 in PEM.");
  }
  EVP_PKEY* key = X509_REQ_get0_pubkey(request.get());
  if (!IsP256(key)) {
    return OpensslRefusal(ErrorCode::kInvalidArgument,
                          "The certificate request is not for a P-256 key.");
  }
  if (X509_REQ_verify(request.get(), key) != 1) {
    return OpensslRefusal(ErrorCode::kInvalidArgument,
                          "The certificate request has a wrong signature.");
  }
  return request;
}

class OpensslAuthority final : public CertificateAuthority {
 public:
  OpensslAuthority(Owned<X509> certificate, Owned<EVP_PKEY> key)
      : certificate_(std::move(certificate)), key_(std::move(key)) {}

  Result<RequestFacts> Inspect(std::string_view pem) override {
    const auto request = ParseRequest(pem);
    if (!request) return tl::unexpected(request.error());
    unsigned char* der = nullptr;
    const int size = i2d_PUBKEY(X509_REQ_get0_pubkey(request->get()), &der);
    if (size <= 0) return OpensslFailure("i2d_PUBKEY");
    RequestFacts facts;
    facts.spki_sha256 = Sha256(std::span<const std::uint8_t>(der, static_cast<std::size_t>(size)));
    OPENSSL_free(der);
    return facts;
  }

  Result<IssuedCertificate> SignWorkstation(std::string_view request_pem, const WorkstationId& id,
                                            std::int64_t not_before,
                                            std::int64_t not_after) override {
    const auto request = ParseRequest(request_pem);
    if (!request) return tl::unexpected(request.error());
    const auto certificate = NewCertificate(id.Hex(), not_before, not_after);
    if (!certificate) return tl::unexpected(certificate.error());
    const auto made = SignEnd(certificate->get(), X509_REQ_get0_pubkey(request->get()),
                              certificate_.get(), key_.get(), "clientAuth");
    if (!made) return tl::unexpected(made.error());
    auto pem = CertificateToPem(certificate->get());
    if (!pem) return tl::unexpected(std::move(pem.error()));
    const auto digest = DigestOf(certificate->get());
    if (!digest) return tl::unexpected(digest.error());
    return IssuedCertificate{*std::move(pem), *digest};
  }

 private:
  // OpenSSL reads both without changing them.
  Owned<X509> certificate_;
  Owned<EVP_PKEY> key_;
};

Result<std::int64_t> SecondsOf(const ASN1_TIME* time) {
  std::tm parts{};
  if (ASN1_TIME_to_tm(time, &parts) != 1) {
    return OpensslRefusal(ErrorCode::kInvalidArgument, "The certificate's dates are malformed.");
  }
  return static_cast<std::int64_t>(timegm(&parts));
}

std::string NameText(const GENERAL_NAME* name) {
  int type = 0;
  const auto* value = static_cast<const ASN1_STRING*>(GENERAL_NAME_get0_value(name, &type));
  if (value == nullptr || (type != GEN_DNS && type != GEN_IPADD)) return {};
  const unsigned char* data = ASN1_STRING_get0_data(value);
  const auto size = static_cast<std::size_t>(ASN1_STRING_length(value));
  if (type == GEN_DNS) return Presentable({reinterpret_cast<const char*>(data), size}, 253);
  char text[INET6_ADDRSTRLEN] = {};
  const int family = size == 4 ? AF_INET : AF_INET6;
  if ((size != 4 && size != 16) || inet_ntop(family, data, text, sizeof text) == nullptr) return {};
  return text;
}

}  // namespace

Result<CertificateAndKey> MakeCa(std::string_view name, std::int64_t not_before,
                                 std::int64_t not_after) {
  const auto key = MakeKey();
  if (!key) return tl::unexpected(key.error());
  const auto certificate = NewCertificate(name, not_before, not_after);
  if (!certificate) return tl::unexpected(certificate.error());
  X509* ca = certificate->get();
  if (X509_set_pubkey(ca, key->get()) != 1 ||
      X509_set_issuer_name(ca, X509_get_subject_name(ca)) != 1 ||
      !AddExtension(ca, ca, NID_basic_constraints, "critical,CA:TRUE,pathlen:0") ||
      !AddExtension(ca, ca, NID_key_usage, "critical,keyCertSign,cRLSign") ||
      !AddExtension(ca, ca, NID_subject_key_identifier, "hash") ||
      X509_sign(ca, key->get(), EVP_sha256()) == 0) {
    return OpensslFailure("CA certificate");
  }
  auto pem = CertificateToPem(ca);
  if (!pem) return tl::unexpected(std::move(pem.error()));
  auto key_pem = KeyToPem(key->get());
  if (!key_pem) return tl::unexpected(std::move(key_pem.error()));
  return CertificateAndKey{*std::move(pem), *std::move(key_pem)};
}

Result<CertificateAndKey> MakeServerCertificate(std::string_view ca_pem, const SecureBytes& ca_key,
                                                const std::vector<std::string>& names,
                                                std::int64_t not_before, std::int64_t not_after) {
  if (names.empty()) {
    return Fail(ErrorCode::kInvalidArgument, "A server certificate needs at least one name.");
  }
  const auto ca = CertificateFromPem(ca_pem);
  if (!ca) return tl::unexpected(ca.error());
  const auto signer = KeyFromPem(ca_key);
  if (!signer) return tl::unexpected(signer.error());
  const auto key = MakeKey();
  if (!key) return tl::unexpected(key.error());
  const auto certificate = NewCertificate(Presentable(names.front(), 64), not_before, not_after);
  if (!certificate) return tl::unexpected(certificate.error());
  if (auto named = AddAlternativeNames(certificate->get(), names); !named) {
    return tl::unexpected(std::move(named.error()));
  }
  const auto made = SignEnd(certificate->get(), key->get(), ca->get(), signer->get(), "serverAuth");
  if (!made) return tl::unexpected(made.error());
  auto pem = CertificateToPem(certificate->get());
  if (!pem) return tl::unexpected(std::move(pem.error()));
  auto key_pem = KeyToPem(key->get());
  if (!key_pem) return tl::unexpected(std::move(key_pem.error()));
  return CertificateAndKey{*std::move(pem), *std::move(key_pem)};
}

Result<CertificateFacts> InspectCertificate(std::string_view pem) {
  const auto certificate = CertificateFromPem(pem);
  if (!certificate) return tl::unexpected(certificate.error());
  CertificateFacts facts;
  const auto from = SecondsOf(X509_get0_notBefore(certificate->get()));
  if (!from) return tl::unexpected(from.error());
  const auto to = SecondsOf(X509_get0_notAfter(certificate->get()));
  if (!to) return tl::unexpected(to.error());
  facts.not_before = *from;
  facts.not_after = *to;
  const Owned<GENERAL_NAMES> names(static_cast<GENERAL_NAMES*>(
      X509_get_ext_d2i(certificate->get(), NID_subject_alt_name, nullptr, nullptr)));
  for (int i = 0; names && i < sk_GENERAL_NAME_num(names.get()); ++i) {
    std::string text = NameText(sk_GENERAL_NAME_value(names.get(), i));
    if (!text.empty()) facts.names.push_back(std::move(text));
  }
  const auto digest = DigestOf(certificate->get());
  if (!digest) return tl::unexpected(digest.error());
  facts.sha256 = ToFingerprint(*digest);
  ERR_clear_error();
  return facts;
}

Result<std::unique_ptr<CertificateAuthority>> LoadCertificateAuthority(std::string_view ca_pem,
                                                                       const SecureBytes& ca_key) {
  auto certificate = CertificateFromPem(ca_pem);
  if (!certificate) return tl::unexpected(std::move(certificate.error()));
  auto key = KeyFromPem(ca_key);
  if (!key) return tl::unexpected(std::move(key.error()));
  if (X509_check_private_key(certificate->get(), key->get()) != 1 ||
      X509_check_ca(certificate->get()) != 1) {
    return OpensslRefusal(ErrorCode::kInvalidArgument,
                          "The TLS CA's certificate and private key do not belong together.");
  }
  return std::make_unique<OpensslAuthority>(*std::move(certificate), *std::move(key));
}

}  // namespace keyferry::server

#include <openssl/bn.h>
#include <openssl/err.h>
#include <openssl/pem.h>

#include <climits>
#include <ctime>

#include "server/tls/openssl.h"

namespace keyferry::server {
namespace {

std::string DrainQueue() {
  std::string out;
  char line[256];
  for (unsigned long code = ERR_get_error(); code != 0; code = ERR_get_error()) {
    ERR_error_string_n(code, line, sizeof line);
    if (!out.empty()) out += "; ";
    out += line;
  }
  return out;
}

// PEM never asks on a terminal for the password of an encrypted key.
int NoPassword(char*, int, int, void*) { return -1; }

Owned<BIO> Reading(std::string_view text) {
  if (text.size() > INT_MAX) return nullptr;
  return Owned<BIO>(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
}

std::string_view Written(BIO* bio) {
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio, &data);
  return size > 0 ? std::string_view(data, static_cast<std::size_t>(size)) : std::string_view();
}

bool SetTime(ASN1_TIME* time, std::int64_t seconds) {
  return ASN1_TIME_set(time, static_cast<std::time_t>(seconds)) != nullptr;
}

}  // namespace

tl::unexpected<Error> OpensslFailure(const char* what) {
  return Fail(ErrorCode::kInternal, "The server could not make a certificate; see its log.",
              std::string(what) + ": " + DrainQueue());
}

tl::unexpected<Error> OpensslRefusal(ErrorCode code, std::string message) {
  return Fail(code, std::move(message), DrainQueue());
}

bool IsP256(const EVP_PKEY* key) {
  char group[64];
  std::size_t size = 0;
  return key != nullptr && EVP_PKEY_is_a(key, "EC") == 1 &&
         EVP_PKEY_get_group_name(key, group, sizeof group, &size) == 1 &&
         std::string_view(group, size) == "prime256v1";
}

Result<Owned<EVP_PKEY>> MakeKey() {
  Owned<EVP_PKEY> key(EVP_EC_gen("P-256"));
  if (!key) return OpensslFailure("EVP_EC_gen");
  return key;
}

Result<SecureBytes> KeyToPem(const EVP_PKEY* key) {
  Owned<BIO> out(BIO_new(BIO_s_secmem()));
  if (!out ||
      PEM_write_bio_PrivateKey(out.get(), key, nullptr, nullptr, 0, nullptr, nullptr) != 1) {
    return OpensslFailure("PEM_write_bio_PrivateKey");
  }
  const std::string_view text = Written(out.get());
  SecureBytes pem = SecureBytes::CopyOf(text);
  Wipe(const_cast<char*>(text.data()), text.size());
  return pem;
}

Result<Owned<EVP_PKEY>> KeyFromPem(const SecureBytes& pem) {
  const Owned<BIO> in = Reading(pem.view());
  Owned<EVP_PKEY> key(in ? PEM_read_bio_PrivateKey(in.get(), nullptr, NoPassword, nullptr)
                         : nullptr);
  if (!key) {
    return OpensslRefusal(ErrorCode::kInvalidArgument,
                          "The CA's private key file is not an unencrypted PEM key.");
  }
  if (!IsP256(key.get())) {
    return Fail(ErrorCode::kInvalidArgument, "The CA's private key is not a P-256 key.");
  }
  return key;
}

Result<Owned<X509>> CertificateFromPem(std::string_view pem) {
  const Owned<BIO> in = Reading(pem);
  Owned<X509> certificate(in ? PEM_read_bio_X509(in.get(), nullptr, NoPassword, nullptr) : nullptr);
  if (!certificate) {
    return OpensslRefusal(ErrorCode::kInvalidArgument, "The file is not a PEM certificate.");
  }
  return certificate;
}

Result<std::string> CertificateToPem(const X509* certificate) {
  Owned<BIO> out(BIO_new(BIO_s_mem()));
  if (!out || PEM_write_bio_X509(out.get(), certificate) != 1) {
    return OpensslFailure("PEM_write_bio_X509");
  }
  return std::string(Written(out.get()));
}

Result<Owned<X509>> NewCertificate(std::string_view name, std::int64_t not_before,
                                   std::int64_t not_after) {
  Owned<X509> certificate(X509_new());
  BIGNUM* serial = BN_new();
  // 20 octets at most, positive (RFC 5280 section 4.1.2.2).
  const bool numbered =
      certificate && serial != nullptr &&
      BN_rand(serial, 159, BN_RAND_TOP_ANY, BN_RAND_BOTTOM_ANY) == 1 &&
      BN_to_ASN1_INTEGER(serial, X509_get_serialNumber(certificate.get())) != nullptr;
  BN_free(serial);
  if (!numbered) return OpensslFailure("serial number");
  X509_NAME* subject = X509_get_subject_name(certificate.get());
  if (name.empty() || name.size() > 64 ||
      X509_set_version(certificate.get(), X509_VERSION_3) != 1 ||
      X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_UTF8,
                                 reinterpret_cast<const unsigned char*>(name.data()),
                                 static_cast<int>(name.size()), -1, 0) != 1 ||
      !SetTime(X509_getm_notBefore(certificate.get()), not_before) ||
      !SetTime(X509_getm_notAfter(certificate.get()), not_after)) {
    return OpensslFailure("certificate fields");
  }
  return certificate;
}

bool AddExtension(X509* certificate, X509* issuer, int nid, const char* value) {
  X509V3_CTX context;
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  X509V3_set_ctx_nodb(&context);
  const Owned<X509_EXTENSION> extension(X509V3_EXT_conf_nid(nullptr, &context, nid, value));
  return extension && X509_add_ext(certificate, extension.get(), -1) == 1;
}

}  // namespace keyferry::server

#pragma once

#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <memory>
#include <string>

#include "server/http/listener.h"

// Throw-away P-256 certificates for tests, made when they are needed.
namespace keyferry::server::test {

using KeyPtr = std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)>;
using CertificatePtr = std::unique_ptr<X509, decltype(&X509_free)>;

inline KeyPtr MakeKey() { return KeyPtr(EVP_EC_gen("P-256"), EVP_PKEY_free); }

inline void AddExtension(X509* certificate, int nid, const char* value) {
  X509V3_CTX context;
  X509V3_set_ctx(&context, certificate, certificate, nullptr, nullptr, 0);
  X509_EXTENSION* const extension = X509V3_EXT_conf_nid(nullptr, &context, nid, value);
  X509_add_ext(certificate, extension, -1);
  X509_EXTENSION_free(extension);
}

// Self-signed when `issuer` is null.
inline CertificatePtr MakeCertificate(EVP_PKEY* key, const char* name, bool ca,
                                      const char* usage = nullptr, X509* issuer = nullptr,
                                      EVP_PKEY* issuer_key = nullptr) {
  static long serial = 1;
  CertificatePtr certificate(X509_new(), X509_free);
  X509_set_version(certificate.get(), 2);
  ASN1_INTEGER_set(X509_get_serialNumber(certificate.get()), serial++);
  X509_gmtime_adj(X509_getm_notBefore(certificate.get()), -60);
  X509_gmtime_adj(X509_getm_notAfter(certificate.get()), 3600);
  X509_set_pubkey(certificate.get(), key);
  X509_NAME* const subject = X509_get_subject_name(certificate.get());
  X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_UTF8,
                             reinterpret_cast<const unsigned char*>(name), -1, -1, 0);
  X509_set_issuer_name(certificate.get(),
                       issuer == nullptr ? subject : X509_get_subject_name(issuer));
  AddExtension(certificate.get(), NID_basic_constraints, ca ? "critical,CA:TRUE" : "CA:FALSE");
  if (usage != nullptr) AddExtension(certificate.get(), NID_ext_key_usage, usage);
  if (!ca) AddExtension(certificate.get(), NID_subject_alt_name, "DNS:localhost,IP:127.0.0.1");
  X509_sign(certificate.get(), issuer_key == nullptr ? key : issuer_key, EVP_sha256());
  return certificate;
}

template <typename Write>
std::string ToPem(Write write) {
  BIO* const bio = BIO_new(BIO_s_mem());
  write(bio);
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio, &data);
  std::string pem(data, static_cast<std::size_t>(size));
  BIO_free(bio);
  return pem;
}
inline std::string CertificatePem(X509* certificate) {
  return ToPem([certificate](BIO* bio) { PEM_write_bio_X509(bio, certificate); });
}
inline std::string KeyPem(EVP_PKEY* key) {
  return ToPem([key](BIO* bio) {
    PEM_write_bio_PKCS8PrivateKey(bio, key, nullptr, nullptr, 0, nullptr, nullptr);
  });
}

// A self-signed server identity for localhost.
inline TlsIdentity MakeTestIdentity() {
  const KeyPtr key = MakeKey();
  const CertificatePtr certificate = MakeCertificate(key.get(), "localhost", false, "serverAuth");
  TlsIdentity identity;
  identity.certificate_pem = CertificatePem(certificate.get());
  identity.private_key_pem = SecureBytes::CopyOf(std::string_view(KeyPem(key.get())));
  return identity;
}

}  // namespace keyferry::server::test

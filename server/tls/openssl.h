#pragma once

#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <memory>
#include <string>
#include <string_view>

#include "protocol/result.h"
#include "protocol/secure/secure_bytes.h"

// Owners for OpenSSL's objects, and the little that this room needs of them. Internal to the room.
namespace keyferry::server {

struct OpensslDelete {
  void operator()(BIO* object) const { BIO_free_all(object); }
  void operator()(EVP_PKEY* object) const { EVP_PKEY_free(object); }
  void operator()(X509* object) const { X509_free(object); }
  void operator()(X509_REQ* object) const { X509_REQ_free(object); }
  void operator()(X509_EXTENSION* object) const { X509_EXTENSION_free(object); }
  void operator()(GENERAL_NAMES* object) const { GENERAL_NAMES_free(object); }
};
template <typename T>
using Owned = std::unique_ptr<T, OpensslDelete>;

// kInternal with OpenSSL's error queue as detail; empties the queue.
tl::unexpected<Error> OpensslFailure(const char* what);
// Any refusal of input: the queue is emptied and kept as detail.
tl::unexpected<Error> OpensslRefusal(ErrorCode code, std::string message);

bool IsP256(const EVP_PKEY* key);
Result<Owned<EVP_PKEY>> MakeKey();
Result<SecureBytes> KeyToPem(const EVP_PKEY* key);  // PKCS#8
Result<Owned<EVP_PKEY>> KeyFromPem(const SecureBytes& pem);
Result<Owned<X509>> CertificateFromPem(std::string_view pem);
Result<std::string> CertificateToPem(const X509* certificate);

// A version 3 certificate with a random serial number, subject CN `name` and these dates; issuer,
// key, extensions and signature are the caller's.
Result<Owned<X509>> NewCertificate(std::string_view name, std::int64_t not_before,
                                   std::int64_t not_after);
// Adds an extension in OpenSSL's configuration syntax. `value` must not come from outside.
bool AddExtension(X509* certificate, X509* issuer, int nid, const char* value);

}  // namespace keyferry::server

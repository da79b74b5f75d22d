#include "client-daemon/uplink/tls_identity.h"

#include <openssl/bio.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/sha.h>
#include <openssl/x509.h>

#include <ctime>
#include <memory>
#include <vector>

#include "client-daemon/core/encoding.h"
#include "client-daemon/core/files.h"

namespace keyferry::daemon {
namespace {

constexpr const char* kNext = ".next";  // of a file that is to take another one's place

struct Free {
  void operator()(EVP_PKEY* p) const { EVP_PKEY_free(p); }
  void operator()(X509_REQ* p) const { X509_REQ_free(p); }
  void operator()(X509* p) const { X509_free(p); }
  void operator()(BIO* p) const { BIO_free_all(p); }
};
template <typename T>
using Owned = std::unique_ptr<T, Free>;

tl::unexpected<Error> OpensslError(const std::string& message) {
  char text[256] = "";
  ERR_error_string_n(ERR_get_error(), text, sizeof text);
  ERR_clear_error();
  return Fail(ErrorCode::kInternal, message, text);
}

std::span<const std::uint8_t> Contents(BIO* bio) {
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio, &data);
  return {reinterpret_cast<const std::uint8_t*>(data), static_cast<std::size_t>(size)};
}

Result<Owned<EVP_PKEY>> LoadKey(const std::string& key_file) {
  auto pem = ReadBounded(key_file, 8192);
  if (!pem) return tl::unexpected(pem.error());
  const Owned<BIO> in(BIO_new_mem_buf(pem->data(), static_cast<int>(pem->size())));
  Owned<EVP_PKEY> key(PEM_read_bio_PrivateKey(in.get(), nullptr, nullptr, nullptr));
  OPENSSL_cleanse(pem->data(), pem->size());
  if (!key) {
    return OpensslError("The workstation's TLS key " + key_file +
                        " cannot be read; remove it to register this workstation anew.");
  }
  return key;
}

Result<Owned<EVP_PKEY>> MakeKey(const std::string& key_file) {
  Owned<EVP_PKEY> key(EVP_EC_gen("P-256"));
  // A memory BIO of the secure kind wipes itself when it is freed.
  const Owned<BIO> out(BIO_new(BIO_s_secmem()));
  if (!key || !out ||
      PEM_write_bio_PrivateKey(out.get(), key.get(), nullptr, nullptr, 0, nullptr, nullptr) != 1) {
    return OpensslError("The workstation's TLS key cannot be made.");
  }
  if (auto written = WriteDurably(key_file, Contents(out.get())); !written) {
    return tl::unexpected(written.error());
  }
  return key;
}

Result<std::string> MakeRequest(EVP_PKEY* key, const std::string& name) {
  const Owned<X509_REQ> request(X509_REQ_new());
  const std::string common_name = Printable(name, 64);
  X509_NAME* subject = X509_REQ_get_subject_name(request.get());
  const Owned<BIO> out(BIO_new(BIO_s_mem()));
  if (!request || !out || X509_REQ_set_version(request.get(), 0) != 1 ||
      X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_UTF8,
                                 reinterpret_cast<const unsigned char*>(common_name.c_str()), -1,
                                 -1, 0) != 1 ||
      X509_REQ_set_pubkey(request.get(), key) != 1 ||
      X509_REQ_sign(request.get(), key, EVP_sha256()) <= 0 ||
      PEM_write_bio_X509_REQ(out.get(), request.get()) != 1) {
    return OpensslError("The certificate request cannot be made.");
  }
  const auto pem = Contents(out.get());
  return std::string(pem.begin(), pem.end());
}

Result<std::string> Fingerprint(EVP_PKEY* key) {
  unsigned char* der = nullptr;
  const int size = i2d_PUBKEY(key, &der);
  if (size <= 0) return OpensslError("The fingerprint cannot be computed.");
  unsigned char digest[SHA256_DIGEST_LENGTH];
  SHA256(der, static_cast<std::size_t>(size), digest);
  OPENSSL_free(der);
  const std::string hex = Hex(digest);
  std::string grouped;
  for (std::size_t i = 0; i < hex.size(); i += 4) {
    if (i != 0) grouped += ' ';
    grouped += hex.substr(i, 4);
  }
  return grouped;
}

}  // namespace

Result<TlsRequest> LoadOrMakeTlsKey(const std::string& key_file, const std::string& name) {
  auto key = LoadKey(key_file);
  if (!key && key.error().code == ErrorCode::kNotFound) key = MakeKey(key_file);
  if (!key) return tl::unexpected(key.error());
  auto csr = MakeRequest(key->get(), name);
  if (!csr) return tl::unexpected(csr.error());
  auto fingerprint = Fingerprint(key->get());
  if (!fingerprint) return tl::unexpected(fingerprint.error());
  return TlsRequest{*std::move(csr), *std::move(fingerprint)};
}

bool CertificateDue(const std::string& file, std::int64_t now) {
  const auto pem = ReadBounded(file, 16 * 1024);
  if (!pem) return false;
  const Owned<BIO> in(BIO_new_mem_buf(pem->data(), static_cast<int>(pem->size())));
  const Owned<X509> certificate(PEM_read_bio_X509(in.get(), nullptr, nullptr, nullptr));
  std::tm from{}, until{};
  if (!certificate || ASN1_TIME_to_tm(X509_get0_notBefore(certificate.get()), &from) != 1 ||
      ASN1_TIME_to_tm(X509_get0_notAfter(certificate.get()), &until) != 1) {
    ERR_clear_error();
    return false;
  }
  const std::int64_t begin = timegm(&from), end = timegm(&until);
  return end - now < (end - begin) / 3;
}

Result<TlsRequest> PrepareRenewal(const std::string& key_file, const std::string& name) {
  if (auto gone = RemoveDurably(key_file + kNext); !gone) return tl::unexpected(gone.error());
  return LoadOrMakeTlsKey(key_file + kNext, name);
}

Result<void> CompleteRenewal(const std::string& certificate_pem, const std::string& key_file,
                             const std::string& certificate_file) {
  if (auto own = CheckCertificate(certificate_pem, key_file + kNext); !own) return own;
  const std::span<const std::uint8_t> bytes(
      reinterpret_cast<const std::uint8_t*>(certificate_pem.data()), certificate_pem.size());
  if (auto written = WriteDurably(certificate_file + kNext, bytes); !written) return written;
  return FinishRenewal(key_file, certificate_file);
}

Result<void> FinishRenewal(const std::string& key_file, const std::string& certificate_file) {
  const auto pem = ReadBounded(certificate_file + kNext, 16 * 1024);
  if (!pem) {  // no certificate came for the new key
    if (pem.error().code != ErrorCode::kNotFound) return tl::unexpected(pem.error());
    return RemoveDurably(key_file + kNext);
  }
  const std::string text(pem->begin(), pem->end());
  if (CheckCertificate(text, key_file + kNext)) {
    if (auto moved = MoveDurably(key_file + kNext, key_file); !moved) return moved;
  }
  if (CheckCertificate(text, key_file)) {
    return MoveDurably(certificate_file + kNext, certificate_file);
  }
  if (auto gone = RemoveDurably(certificate_file + kNext); !gone) return gone;
  return RemoveDurably(key_file + kNext);
}

Result<void> CheckCertificate(const std::string& certificate_pem, const std::string& key_file) {
  auto key = LoadKey(key_file);
  if (!key) return tl::unexpected(key.error());
  const Owned<BIO> in(
      BIO_new_mem_buf(certificate_pem.data(), static_cast<int>(certificate_pem.size())));
  const Owned<X509> certificate(PEM_read_bio_X509(in.get(), nullptr, nullptr, nullptr));
  if (!certificate || X509_check_private_key(certificate.get(), key->get()) != 1) {
    ERR_clear_error();
    return Fail(ErrorCode::kProtocol,
                "The server issued a certificate that does not belong to this workstation.");
  }
  return {};
}

}  // namespace keyferry::daemon

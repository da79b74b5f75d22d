#include "server/http/tls_context.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>

#include <memory>
#include <span>

namespace keyferry::server {
namespace {

using BioPtr = std::unique_ptr<BIO, decltype(&BIO_free)>;
using KeyPtr = std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)>;
using CertificatePtr = std::unique_ptr<X509, decltype(&X509_free)>;

BioPtr Reading(std::span<const char> bytes) {
  return BioPtr(BIO_new_mem_buf(bytes.data(), static_cast<int>(bytes.size())), BIO_free);
}

// Never asks a terminal for a pass phrase.
int NoPassPhrase(char*, int, int, void*) { return 0; }

CertificatePtr Next(BIO* bio) {
  return CertificatePtr(PEM_read_bio_X509(bio, nullptr, NoPassPhrase, nullptr), X509_free);
}

tl::unexpected<Error> BadTls(std::string message) {
  char text[256] = "";
  ERR_error_string_n(ERR_get_error(), text, sizeof text);
  ERR_clear_error();
  return Fail(ErrorCode::kInvalidArgument, std::move(message), text);
}

int ChooseProtocol(SSL*, const unsigned char** out, unsigned char* out_size,
                   const unsigned char* offered, unsigned int offered_size, void*) {
  static constexpr unsigned char kHttp11[] = "\x08http/1.1";
  unsigned char* chosen = nullptr;
  if (SSL_select_next_proto(&chosen, out_size, kHttp11, sizeof kHttp11 - 1, offered,
                            offered_size) != OPENSSL_NPN_NEGOTIATED) {
    return SSL_TLSEXT_ERR_ALERT_FATAL;
  }
  *out = chosen;
  return SSL_TLSEXT_ERR_OK;
}

Result<void> UseCertificate(SSL_CTX* context, const std::string& pem) {
  const BioPtr bio = Reading(pem);
  const CertificatePtr leaf = Next(bio.get());
  if (!leaf || SSL_CTX_use_certificate(context, leaf.get()) != 1) {
    return BadTls("The server's certificate cannot be read.");
  }
  while (CertificatePtr more = Next(bio.get())) {
    if (SSL_CTX_add1_chain_cert(context, more.get()) != 1) {
      return BadTls("The server's certificate chain cannot be used.");
    }
  }
  ERR_clear_error();  // the end of the file
  return {};
}

Result<void> UseKey(SSL_CTX* context, const SecureBytes& pem) {
  const std::string_view text = pem.view();
  const BioPtr bio = Reading(text);
  const KeyPtr key(PEM_read_bio_PrivateKey(bio.get(), nullptr, NoPassPhrase, nullptr),
                   EVP_PKEY_free);
  if (!key || SSL_CTX_use_PrivateKey(context, key.get()) != 1 ||
      SSL_CTX_check_private_key(context) != 1) {
    return BadTls("The server's private key cannot be read or does not fit its certificate.");
  }
  return {};
}

Result<void> DemandClients(SSL_CTX* context, const std::string& ca_pem) {
  const BioPtr bio = Reading(ca_pem);
  const CertificatePtr ca = Next(bio.get());
  if (!ca || X509_STORE_add_cert(SSL_CTX_get_cert_store(context), ca.get()) != 1 ||
      SSL_CTX_add_client_CA(context, ca.get()) != 1) {
    return BadTls("The CA of the workstations cannot be read.");
  }
  SSL_CTX_set_verify(context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
  return {};
}

}  // namespace

Result<void> ConfigureTls(SSL_CTX* context, const TlsIdentity& identity) {
  SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION);
  SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_CLEANSE_PLAINTEXT |
                                   SSL_OP_NO_COMPRESSION | SSL_OP_NO_TICKET |
                                   SSL_OP_CIPHER_SERVER_PREFERENCE);
  SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS);
  SSL_CTX_set_num_tickets(context, 0);
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_alpn_select_cb(context, ChooseProtocol, nullptr);
  if (auto done = UseCertificate(context, identity.certificate_pem); !done) return done;
  if (auto done = UseKey(context, identity.private_key_pem); !done) return done;
  if (identity.client_ca_pem.empty()) return {};
  return DemandClients(context, identity.client_ca_pem);
}

}  // namespace keyferry::server

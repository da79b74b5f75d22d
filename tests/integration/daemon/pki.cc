#include "tests/integration/daemon/pki.h"

#include <openssl/bio.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>

namespace keyferry::test {
namespace {

std::string ToPem(X509* certificate) {
  BIO* out = BIO_new(BIO_s_mem());
  PEM_write_bio_X509(out, certificate);
  char* data = nullptr;
  const long size = BIO_get_mem_data(out, &data);
  std::string pem(data, static_cast<std::size_t>(size));
  BIO_free(out);
  return pem;
}

void AddExtension(X509* certificate, X509* issuer, int nid, const char* value) {
  X509V3_CTX context;
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, &context, nid, value);
  X509_add_ext(certificate, extension, -1);
  X509_EXTENSION_free(extension);
}

Certificate Begin(EVP_PKEY* subject_key, const std::string& name) {
  Certificate certificate(X509_new());
  X509_set_version(certificate.get(), 2);
  std::uint64_t serial = 0;
  RAND_bytes(reinterpret_cast<unsigned char*>(&serial), 7);
  ASN1_INTEGER_set_uint64(X509_get_serialNumber(certificate.get()), serial);
  X509_gmtime_adj(X509_getm_notBefore(certificate.get()), -3600);
  X509_gmtime_adj(X509_getm_notAfter(certificate.get()), 86400);
  X509_NAME_add_entry_by_txt(X509_get_subject_name(certificate.get()), "CN", MBSTRING_UTF8,
                             reinterpret_cast<const unsigned char*>(name.c_str()), -1, -1, 0);
  X509_set_pubkey(certificate.get(), subject_key);
  return certificate;
}

}  // namespace

Pki::Pki() : ca_key_(EVP_EC_gen("P-256")) {
  ca_ = Begin(ca_key_.get(), "test CA");
  X509_set_issuer_name(ca_.get(), X509_get_subject_name(ca_.get()));
  AddExtension(ca_.get(), ca_.get(), NID_basic_constraints, "critical,CA:TRUE");
  AddExtension(ca_.get(), ca_.get(), NID_key_usage, "critical,keyCertSign");
  X509_sign(ca_.get(), ca_key_.get(), EVP_sha256());
  ca_pem_ = ToPem(ca_.get());
}

Certificate Pki::Issue(EVP_PKEY* subject_key, const std::string& name, bool server) const {
  Certificate certificate = Begin(subject_key, name);
  X509_set_issuer_name(certificate.get(), X509_get_subject_name(ca_.get()));
  AddExtension(certificate.get(), ca_.get(), NID_ext_key_usage,
               server ? "serverAuth" : "clientAuth");
  if (server) {
    const std::string names = "DNS:" + name + (name == "localhost" ? ",IP:127.0.0.1" : "");
    AddExtension(certificate.get(), ca_.get(), NID_subject_alt_name, names.c_str());
  }
  X509_sign(certificate.get(), ca_key_.get(), EVP_sha256());
  return certificate;
}

Certificate Pki::IssueServer(EVP_PKEY* key, const std::string& name) const {
  return Issue(key, name, true);
}

std::string Pki::IssueClient(const std::string& csr_pem, const std::string& name) const {
  BIO* in = BIO_new_mem_buf(csr_pem.data(), static_cast<int>(csr_pem.size()));
  X509_REQ* request = PEM_read_bio_X509_REQ(in, nullptr, nullptr, nullptr);
  BIO_free(in);
  if (request == nullptr) return {};
  EVP_PKEY* key = X509_REQ_get0_pubkey(request);
  std::string pem;
  if (X509_REQ_verify(request, key) == 1) pem = ToPem(Issue(key, name, false).get());
  X509_REQ_free(request);
  return pem;
}

}  // namespace keyferry::test

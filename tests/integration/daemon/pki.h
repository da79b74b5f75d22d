#pragma once

#include <openssl/evp.h>
#include <openssl/x509.h>

#include <memory>
#include <string>

namespace keyferry::test {

struct OpensslFree {
  void operator()(EVP_PKEY* p) const { EVP_PKEY_free(p); }
  void operator()(X509* p) const { X509_free(p); }
};
using Pkey = std::unique_ptr<EVP_PKEY, OpensslFree>;
using Certificate = std::unique_ptr<X509, OpensslFree>;

// A certificate authority of its own for one test.
class Pki {
 public:
  Pki();
  const std::string& ca_pem() const { return ca_pem_; }
  X509* ca() const { return ca_.get(); }
  // For 127.0.0.1 and localhost.
  Certificate IssueServer(EVP_PKEY* key, const std::string& name = "localhost") const;
  // A client certificate for a PKCS#10 request; empty when the request is not one.
  std::string IssueClient(const std::string& csr_pem, const std::string& name) const;

 private:
  Certificate Issue(EVP_PKEY* subject_key, const std::string& name, bool server) const;

  Pkey ca_key_;
  Certificate ca_;
  std::string ca_pem_;
};

}  // namespace keyferry::test

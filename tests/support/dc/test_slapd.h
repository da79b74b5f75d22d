#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <string_view>

#include "tests/support/dc/process.h"

namespace keyferry::testing {

// A real OpenLDAP server of this process' own: LDAPS on a free port of 127.0.0.1 with a certificate
// authority of its own, the ppolicy overlay, argon2 hashes, access rules as docs/operations.md
// tells administrators to set. It dies with the process; the destructor removes its folder. Throws
// std::runtime_error when it cannot be had.
//
// People (below ou=people, unless said otherwise; the password is "<uid>-first-1"): alice, bob and
// carol, ordinary; dave, in cn=guarded through cn=inner; root, uidNumber 0; uma outside (ou=other);
// strict, under cn=strict (minimum age one day, length 14); grace, under cn=lax (pwdMustChange
// off); frozen in ou=frozen, which the service account may only read.
class TestSlapd {
 public:
  TestSlapd();
  ~TestSlapd();
  TestSlapd(const TestSlapd&) = delete;
  TestSlapd& operator=(const TestSlapd&) = delete;

  static TestSlapd& Shared();

  void Stop();
  void Start();  // on the same port, with the same data

  static std::string Dn(std::string_view uid);
  // LDIF as the server's root. Throws with the tool's words when it is refused.
  void Apply(const std::string& ldif);
  // One attribute, operational ones too, as root sees it; empty when absent.
  std::string Attribute(const std::string& dn, const std::string& name);
  // The answer of one bind by a foreign client (ldapwhoami): exit status and words.
  ProcessResult Bind(const std::string& dn, const std::string& password);
  bool Binds(const std::string& dn, const std::string& password) {
    return Bind(dn, password).status == 0;
  }

  std::string folder;
  std::string uri;
  std::uint16_t port = 0;
  std::string ca_file;
  const std::string base_dn = "dc=example,dc=org";
  const std::string people_dn = "ou=people,dc=example,dc=org";
  const std::string service_dn = "cn=keyferry,ou=services,dc=example,dc=org";
  const std::string service_password = "service-secret-1";
  const std::string root_dn = "cn=root,dc=example,dc=org";
  const std::string root_password = "root-secret-1";
  const std::string default_policy = "cn=default,ou=policies,dc=example,dc=org";
  const std::string administrators = "cn=admins,ou=groups,dc=example,dc=org";
  const std::string guarded = "cn=guarded,ou=groups,dc=example,dc=org";

 private:
  ProcessResult Tool(std::initializer_list<std::string> argv, std::string_view input = {});
  void Write(const std::string& name, const std::string& text) const;
  void MakeCertificates() const;

  pid_t server_ = -1;
};

}  // namespace keyferry::testing

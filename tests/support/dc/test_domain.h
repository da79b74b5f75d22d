#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "tests/support/dc/process.h"

namespace keyferry::testing {

// One of the sample people (scripts/lib/dc/populate.py).
struct SamplePerson {
  std::string
      role;  // administrator, help_desk, locked, disabled, must_change, expired, protected …
  std::string login;
  std::string upn;
  std::string display_name;
  std::string dn;
  std::string password;
  std::string id;  // objectGUID, 32 hex digits as AccountId::Parse takes them
};

// A Samba domain controller of this process' own, made from the cached template by scripts/dc in
// about half a second. It ends with the process, however that ends; the destructor removes its
// directory too. Throws std::runtime_error when it cannot be had.
class TestDomain {
 public:
  TestDomain();
  ~TestDomain();
  TestDomain(const TestDomain&) = delete;
  TestDomain& operator=(const TestDomain&) = delete;

  // The one that all test cases of a program share; started on first use.
  static TestDomain& Shared();

  void Stop();
  void Start();  // on the same address, with the same data

  const SamplePerson& Person(std::string_view role) const;  // the first of that role
  const std::vector<SamplePerson>& people() const { return people_; }

  // One line of LDIF, any bytes in it ("name:: base64").
  static std::string Line(const std::string& name, std::string_view value);
  // LDIF as the domain's Administrator over LDAPS (changetype lines decide; default is add). Throws
  // with the tool's words when it is refused.
  void Apply(const std::string& ldif);
  // The same past all rules of LDAP, straight into the controller's database (SID history, machine
  // flags …). `raw` also passes the schema's computed attributes.
  void Offline(const std::string& ldif, bool raw = false);
  // Adds access control entries (SDDL) to an entry of the running domain.
  void AddAces(const std::string& dn, const std::string& sddl);
  // One attribute of every entry below `base` that the filter finds, as ldapsearch prints it.
  std::string Listing(const std::string& base, const std::string& filter,
                      const std::vector<std::string>& attributes);
  // Whether the directory takes name and password: an LDAPS bind by a foreign client (ldapsearch).
  bool Binds(const std::string& name, const std::string& password);
  // One attribute of an entry, as the Administrator sees it; empty when absent.
  std::string Attribute(const std::string& dn, const std::string& name);

  std::string directory;  // of the controller, removed at the end
  std::string ip;
  std::string ldaps_uri;
  std::string ca_file;
  std::string base_dn;
  std::string people_dn;
  std::string groups_dn;
  std::string service_dn;
  std::string service_upn;
  std::string service_password;
  std::string administrators_group;
  std::string help_desk_group;
  std::string admin_upn;  // the domain's Administrator
  std::string admin_password;
  std::string smb_conf;
  std::string sam_ldb;

 private:
  void ReadFacts();
  ProcessResult Ldap(std::vector<std::string> argv, std::string_view input);

  int lifeline_ = -1;  // write end of the pipe that the controller watches
  std::vector<SamplePerson> people_;
};

}  // namespace keyferry::testing

#include "server/directory/protection.h"

#include <catch2/catch.hpp>

#include "server/directory/person.h"
#include "server/directory/text.h"
#include "tests/unit/directory/values.h"

namespace keyferry::server {
namespace {

LdapEntry Employee(const std::string& rid = "1105") {
  LdapEntry entry;
  entry.dn = "CN=Anna,OU=People,DC=x";
  entry.attributes["objectclass"] = {"top", "person", "organizationalPerson", "user"};
  entry.attributes["objectsid"] = {SidBinary(kDomain + rid)};
  entry.attributes["samaccounttype"] = {"805306368"};
  entry.attributes["useraccountcontrol"] = {"512"};
  entry.attributes["primarygroupid"] = {"513"};
  entry.attributes["tokengroups"] = {SidBinary(std::string(kDomain) + "513")};
  return entry;
}

std::string Reason(const LdapEntry& entry, const ProtectionContext& context = {},
                   const std::vector<std::string>& foreign = {}) {
  const auto found = JudgeProtection(entry, foreign, context);
  if (!found) return {};
  CHECK_FALSE(found->advice.empty());
  CHECK(found->advice.back() == '.');
  return found->reason;
}

}  // namespace

TEST_CASE("the protected set is known by SID, in any domain, and nothing else is") {
  for (const char* rid : {"498", "500", "501", "502", "503", "512", "516", "517", "518", "519",
                          "520", "521", "522", "525", "526", "527"}) {
    CHECK(ProtectedName(std::string(kDomain) + rid));
    CHECK(ProtectedName("S-1-5-21-9-8-7-" + std::string(rid)));
  }
  for (const char* rid : {"544", "548", "549", "550", "551", "552", "557"}) {
    CHECK(ProtectedName("S-1-5-32-" + std::string(rid)));
    CHECK_FALSE(ProtectedName(std::string(kDomain) + rid));
  }
  CHECK(ProtectedName("S-1-5-9"));
  for (const char* other :
       {"S-1-5-32-545", "S-1-5-32-512", "S-1-5-21-512", "S-1-5-21-1-2-512", "S-1-5-21-1-2-3-4-512",
        "S-1-5-21-1-2-3-513", "S-1-5-21-1-2-3-5120", "S-1-5-11", "", "-", "512"}) {
    INFO(other);
    CHECK_FALSE(ProtectedName(other));
  }
}

TEST_CASE("every way into the protected set is seen") {
  CHECK(Reason(Employee()).empty());
  CHECK(Reason(Employee("500")) == "the built-in account Administrator");
  LdapEntry nested = Employee();
  nested.attributes["tokengroups"].push_back(SidBinary(std::string(kDomain) + "519"));
  CHECK(Reason(nested) == "member of Enterprise Admins");
  LdapEntry primary = Employee();
  primary.attributes["primarygroupid"] = {"512"};
  CHECK(Reason(primary) == "member of Domain Admins");
  LdapEntry history = Employee();
  history.attributes["sidhistory"] = {SidBinary("S-1-5-21-7-7-7-1000"),
                                      SidBinary("S-1-5-21-7-7-7-512")};
  CHECK(Reason(history) == "SID history of Domain Admins");
  CHECK(Reason(Employee(), {}, {"S-1-5-32-551"}) ==
        "member of Backup Operators by its SID history");
  LdapEntry marked = Employee();
  marked.attributes["admincount"] = {"1"};
  CHECK_FALSE(Reason(marked).empty());
  marked.attributes["admincount"] = {"0"};
  CHECK(Reason(marked).empty());

  ProtectionContext context;
  context.own_token = {std::string(kDomain) + "1105", std::string(kDomain) + "513"};
  CHECK(Reason(Employee(), context) == "Keyferry's own service account");
  CHECK(Reason(Employee("1106"), context).empty());  // a group in common is no reason
  context.own_token.clear();
  context.configured = {{std::string(kDomain) + "513", "CN=Staff,DC=x"}};
  CHECK(Reason(Employee(), context) == "member of CN=Staff,DC=x, which this server protects");
  context.configured.clear();
  context.everyones = {"S-1-5-32-545", "S-1-5-32-544"};
  CHECK(Reason(Employee(), context) == "everybody is a member of Administrators");
}

TEST_CASE("machines and trusts are told by class, type and flags") {
  for (const auto& [name, value, words] :
       std::vector<std::tuple<std::string, std::string, std::string>>{
           {"samaccounttype", "805306369", "computer"},
           {"samaccounttype", "805306370", "trust"},
           {"samaccounttype", "268435456", "computer"},
           {"useraccountcontrol", "4096", "computer"},
           {"useraccountcontrol", "8192", "computer"},
           {"useraccountcontrol", "67108864", "computer"},
           {"useraccountcontrol", "2048", "trust"},
           {"objectclass", "computer", "computer"},
           {"objectclass", "msDS-GroupManagedServiceAccount", "managed service"},
           {"objectclass", "MSDS-MANAGEDSERVICEACCOUNT", "managed service"},
           {"objectclass", "foreignSecurityPrincipal", "another domain"},
           {"msds-secondarykrbtgtnumber", "1", "krbtgt"},
           {"iscriticalsystemobject", "TRUE", "isCriticalSystemObject"}}) {
    INFO(name << ": " << value);
    LdapEntry entry = Employee();
    entry.attributes[name] = {value};
    CHECK_THAT(Reason(entry), Catch::Matchers::Contains(words));
  }
}

TEST_CASE("a fact that is missing or malformed counts as protected") {
  for (const char* name : {"objectclass", "objectsid", "samaccounttype", "useraccountcontrol",
                           "primarygroupid", "tokengroups"}) {
    INFO(name);
    LdapEntry entry = Employee();
    entry.attributes.erase(name);
    CHECK_THAT(Reason(entry), Catch::Matchers::Contains("cannot be read"));
    entry.attributes[name] = {};
    CHECK_THAT(Reason(entry), Catch::Matchers::Contains("cannot be read"));
  }
  for (const auto& [name, value] :
       std::vector<std::pair<std::string, std::string>>{{"objectsid", "x"},
                                                        {"samaccounttype", "805306368 "},
                                                        {"useraccountcontrol", "0x200"},
                                                        {"primarygroupid", "many"},
                                                        {"tokengroups", "S-1-5-32-544"},
                                                        {"sidhistory", std::string(28, '\0')},
                                                        {"admincount", "yes"}}) {
    INFO(name);
    LdapEntry entry = Employee();
    entry.attributes[name] = {value};
    CHECK_THAT(Reason(entry), Catch::Matchers::Contains("cannot be read"));
  }
}

}  // namespace keyferry::server

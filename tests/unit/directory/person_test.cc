#include "server/directory/person.h"

#include <catch2/catch.hpp>

#include "server/directory/text.h"
#include "tests/unit/directory/values.h"

namespace keyferry::server {
namespace {

const std::string kGuid(16, '\x11');

LdapEntry User(const std::string& rid = "1105") {
  LdapEntry entry;
  entry.dn = "CN=Anna,OU=People,DC=x";
  entry.attributes["objectguid"] = {kGuid};
  entry.attributes["objectsid"] = {SidBinary(kDomain + rid)};
  entry.attributes["primarygroupid"] = {"513"};
  entry.attributes["samaccountname"] = {"anna"};
  return entry;
}

}  // namespace

TEST_CASE("SID text and binary are each other's inverse") {
  for (const char* sid :
       {"S-1-5-32-544", "S-1-5-21-1-2-3-512", "S-1-5-21-4294967295-0-1-500", "S-1-1-0"}) {
    CHECK(SidText(SidBinary(sid)) == std::string(sid));
  }
  for (const char* bad :
       {"", "S-1-", "S-2-5-1", "S-1-5", "S-1-5-x", "S-1-5-99999999999", "S-1-5--1", "S-1-5-1-"}) {
    INFO(bad);
    CHECK((std::string(bad) == "S-1-5-1-" || SidBinary(bad).empty()));
  }
}

TEST_CASE("account state comes from the computed attributes") {
  LdapEntry entry = User();
  entry.attributes["useraccountcontrol"] = {"512"};
  entry.attributes["pwdlastset"] = {"133000000000000000"};
  entry.attributes["accountexpires"] = {"9223372036854775807"};
  AccountState state = ReadState(entry, 133500000000000000);
  CHECK_FALSE((state.disabled || state.locked || state.must_change || state.password_expired ||
               state.account_expired || state.smartcard_required || state.password_never_expires));
  CHECK(state.password_last_set == 133000000000000000);

  entry.attributes["useraccountcontrol"] = {std::to_string(0x200 | 0x2 | 0x10000 | 0x40000)};
  entry.attributes["msds-user-account-control-computed"] = {std::to_string(0x10 | 0x800000)};
  entry.attributes["accountexpires"] = {"133499999999999999"};
  state = ReadState(entry, 133500000000000000);
  CHECK((state.disabled && state.locked && state.password_expired && state.account_expired &&
         state.smartcard_required && state.password_never_expires));
  entry.attributes["pwdlastset"] = {"0"};
  state = ReadState(entry, 133500000000000000);
  CHECK(state.must_change);
  CHECK_FALSE(state.password_expired);
  entry.attributes["accountexpires"] = {"0"};
  CHECK_FALSE(ReadState(entry, 133500000000000000).account_expired);
}

TEST_CASE("malformed attributes are nobody, or nothing") {
  LdapEntry entry = User();
  CHECK(ReadPerson(entry)->display_name == "anna");
  entry.attributes["cn"] = {"Anna M."};
  CHECK(ReadPerson(entry)->display_name == "Anna M.");
  entry.attributes["displayname"] = {"Anna \xff"};
  CHECK(ReadPerson(entry)->display_name == "Anna \xEF\xBF\xBD");
  for (const char* bad : {"", "x", "1x", "99999999999999999999", " 1"}) {
    entry.attributes["pwdlastset"] = {bad};
    CHECK(ReadInteger(entry, "pwdlastset") == 0);
  }
  entry.attributes["pwdlastset"] = {"-1"};
  CHECK(ReadInteger(entry, "pwdlastset") == -1);
  entry.attributes["objectguid"] = {std::string(15, 'x')};
  CHECK_FALSE(ReadPerson(entry));
  entry.attributes.erase("objectguid");
  CHECK_FALSE(ReadPerson(entry));
}

}  // namespace keyferry::server

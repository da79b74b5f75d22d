#include "server/directory/openldap_person.h"

#include <catch2/catch.hpp>
#include <string>
#include <utility>

namespace keyferry::server {
namespace {

constexpr const char* kOwn = "cn=keyferry,ou=services,dc=lab,dc=test";
using Writer = PasswordStamp::Writer;

LdapEntry Written(std::string changed, std::string modified, std::string by) {
  LdapEntry entry;
  entry.attributes["pwdchangedtime"] = {std::move(changed)};
  entry.attributes["modifytimestamp"] = {std::move(modified)};
  entry.attributes["modifiersname"] = {std::move(by)};
  return entry;
}

}  // namespace

TEST_CASE("who set a password in OpenLDAP is known while nothing else touched the entry") {
  struct Case {
    const char* changed;
    const char* modified;
    const char* by;
    Writer writer;
  };
  for (const Case& one : {
           Case{"20261123043158Z", "20261123043158Z", kOwn, Writer::kHere},
           Case{"20261123043158Z", "20261123043158Z", "CN=Keyferry, ou=services,dc=lab,dc=test",
                Writer::kHere},
           // Seen of slapd 2.5: the overlay's time, and that of the write itself.
           Case{"20261123043158Z", "20261123043159Z", kOwn, Writer::kHere},
           Case{"20261123043159Z", "20261123043200Z", kOwn, Writer::kHere},
           Case{"20261231235959Z", "20270101000000Z", kOwn, Writer::kHere},
           Case{"20261123043158Z", "20261123043200Z", kOwn, Writer::kUnknown},
           Case{"20261123043158Z", "20261123043157Z", kOwn, Writer::kUnknown},
           Case{"20261123043158Z", "20261123043158Z", "cn=other,dc=lab,dc=test", Writer::kUnknown},
           Case{"20261123043158Z", "20261123043159Z", "cn=other,dc=lab,dc=test", Writer::kUnknown},
           Case{"20261123043158Z", "", kOwn, Writer::kUnknown},
           Case{"", "20261123043158Z", kOwn, Writer::kUnknown},
       }) {
    INFO(one.changed << " " << one.modified << " " << one.by);
    const PasswordStamp stamp = ReadOpenLdapStamp(Written(one.changed, one.modified, one.by), kOwn);
    CHECK(stamp.named_writer);
    CHECK((stamp.last_set == 0) == std::string(one.changed).empty());
    CHECK(stamp.writer == one.writer);
  }
}

}  // namespace keyferry::server

#include "server/directory/access.h"

#include <catch2/catch.hpp>

#include "server/directory/person.h"
#include "tests/unit/directory/values.h"

namespace keyferry::server {
namespace {

constexpr const char* kMe = "S-1-5-21-1-2-3-1105";
constexpr const char* kOther = "S-1-5-21-1-2-3-1106";
const std::string kReset("\x70\x95\x29\x00\x6d\x24\xd0\x11\xa7\x68\x00\xaa\x00\x6e\x05\x29", 16);
const std::set<std::string, std::less<>> kToken{kMe, "S-1-5-11"};

std::string Ace(int type, int flags, std::uint32_t mask, const std::string& sid,
                const std::string& object = {}) {
  std::string body = Little(mask, 4);
  if (type >= 5) body += Little(object.empty() ? 0 : 1, 4) + object;
  body += SidBinary(sid);
  return Little(static_cast<std::uint64_t>(type), 1) +
         Little(static_cast<std::uint64_t>(flags), 1) + Little(body.size() + 4, 2) + body;
}

std::string Descriptor(const std::vector<std::string>& aces, std::uint32_t control = 0x8004) {
  std::string list;
  for (const std::string& ace : aces) list += ace;
  return Little(1, 2) + Little(control, 2) + Little(0, 12) + Little(20, 4) + Little(4, 2) +
         Little(list.size() + 8, 2) + Little(aces.size(), 2) + Little(0, 2) + list;
}

bool May(const std::vector<std::string>& aces) {
  const auto facts = ReadAccess(Descriptor(aces), kToken);
  REQUIRE(facts);
  return facts->reset_password;
}

}  // namespace

TEST_CASE("the right to reset a password is read from the access control list") {
  CHECK_FALSE(May({}));
  CHECK(May({Ace(5, 0, 0x100, kMe, kReset)}));
  CHECK(May({Ace(5, 0x10, 0x100, "S-1-5-11", kReset)}));
  CHECK(May({Ace(5, 0, 0x100, kMe)}));  // every extended right
  CHECK(May({Ace(0, 0, 0x100, kMe)}));  // the same, without object
  CHECK(May({Ace(0, 0, 0x10000000, kMe)}));
  CHECK_FALSE(May({Ace(5, 0, 0x100, kOther, kReset)}));
  CHECK_FALSE(May({Ace(5, 0x08, 0x100, kMe, kReset)}));  // for children only
  CHECK_FALSE(May({Ace(5, 0, 0x30, kMe, kReset)}));      // other rights
  CHECK_FALSE(May({Ace(5, 0, 0x100, kMe, std::string(16, 'x'))}));
  CHECK_FALSE(May({Ace(6, 0, 0x100, kMe, kReset), Ace(5, 0, 0x100, kMe, kReset)}));
  CHECK_FALSE(May({Ace(1, 0, 0x100, "S-1-5-11"), Ace(5, 0, 0x100, kMe, kReset)}));
  CHECK(May({Ace(5, 0, 0x100, kMe, kReset), Ace(6, 0x10, 0x100, kMe, kReset)}));
  CHECK(May({Ace(2, 0, 0x100, kMe), Ace(5, 0, 0x100, kMe, kReset)}));
  CHECK(ReadAccess(Descriptor({}, 0x9004), kToken)->inheritance_blocked);
  CHECK(ReadAccess(Descriptor({}, 0x8000), kToken)->reset_password);  // no list
}

TEST_CASE("a malformed descriptor says nothing") {
  const std::string good = Descriptor({Ace(1, 0, 0x100, kOther), Ace(5, 0, 0x100, kMe, kReset)});
  REQUIRE(ReadAccess(good, kToken));
  for (std::size_t size = 0; size < good.size(); ++size) {
    CHECK_FALSE(ReadAccess(good.substr(0, size), kToken));
  }
  for (std::size_t at = 0; at < good.size(); ++at) {  // nothing of it reads past its end
    for (const char byte : {'\x00', '\x01', '\x7F', '\xFF'}) {
      std::string bad = good;
      bad[at] = byte;
      static_cast<void>(ReadAccess(bad, kToken));
    }
  }
}

}  // namespace keyferry::server

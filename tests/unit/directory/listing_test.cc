#include "server/directory/listing.h"

#include <algorithm>
#include <catch2/catch.hpp>

namespace keyferry::server {
namespace {

ListingPlace Place(const std::string& key, std::uint8_t id) {
  ListingPlace place{key, {}};
  place.id.bytes[15] = id;
  return place;
}

}  // namespace

TEST_CASE("a cursor brings back its place") {
  for (const std::string& key : {std::string(), std::string("anna"),
                                 std::string("\xd0\xb0\x00\xff", 4), std::string(96, 'z')}) {
    const auto parsed = ListingPlace::Parse(Place(key, 7).Cursor());
    REQUIRE(parsed.has_value());
    CHECK(*parsed == Place(key, 7));
  }
  for (const std::string& bad :
       {std::string(), std::string("0"), std::string(31, '0'), std::string(33, '0'),
        std::string(32, '0') + "0G", std::string(32, '0') + "AA", std::string(32 + 194, '0'),
        std::string(32, '-')}) {
    CHECK_FALSE(ListingPlace::Parse(bad).has_value());
  }
}

TEST_CASE("a listing is sorted by name, then identifier, and kept for its life") {
  ListingCache cache(std::chrono::hours(1));
  const auto kept = cache.Keep("q", {Place("b", 1), Place("a", 2), Place("a", 1)});
  CHECK(*kept == Listing{Place("a", 1), Place("a", 2), Place("b", 1)});
  CHECK(cache.Find("q") == kept);
  CHECK(cache.Find("other") == nullptr);
  for (int i = 0; i < 16; ++i) cache.Keep("q" + std::to_string(i), {});
  CHECK(cache.Find("q") == nullptr);  // bounded
  ListingCache forgetful(std::chrono::milliseconds(0));
  forgetful.Keep("q", {Place("a", 1)});
  CHECK(forgetful.Find("q") == nullptr);
}

}  // namespace keyferry::server

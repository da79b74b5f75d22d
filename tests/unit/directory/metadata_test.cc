#include "server/directory/metadata.h"

#include <catch2/catch.hpp>
#include <string>

#include "tests/unit/directory/values.h"

namespace keyferry::server {
namespace {

std::string Entry(std::uint32_t attribute, std::uint32_t version, std::uint64_t time) {
  return Little(attribute, 4) + Little(version, 4) + Little(time, 8) + std::string(16, '\x5A') +
         Little(7, 8) + Little(7, 8);
}

std::string Vector(std::uint32_t count, const std::string& entries) {
  return Little(1, 4) + Little(0, 4) + Little(count, 4) + Little(0, 4) + entries;
}

}  // namespace

TEST_CASE("the stamp of one attribute is found in the replication metadata") {
  const std::string data =
      Vector(3, Entry(0, 1, 5) + Entry(kUnicodePwd, 42, 13'439'718'586) + Entry(9, 3, 5));
  const auto stamp = ReadStamp(data, kUnicodePwd);
  REQUIRE(stamp);
  CHECK(stamp->version == 42);
  CHECK(stamp->written == 1'795'244'986);
  CHECK(stamp->writer[0] == 0x5A);
  CHECK_FALSE(ReadStamp(data, 10));
}

TEST_CASE("malformed metadata tells nothing") {
  const std::string good = Vector(1, Entry(kUnicodePwd, 2, 13'439'718'586));
  REQUIRE(ReadStamp(good, kUnicodePwd));
  for (std::size_t size = 0; size < good.size(); ++size) {
    CHECK_FALSE(ReadStamp(good.substr(0, size), kUnicodePwd));
  }
  CHECK_FALSE(ReadStamp(Little(2, 4) + good.substr(4), kUnicodePwd));
  CHECK_FALSE(ReadStamp(Vector(2, Entry(kUnicodePwd, 2, 5)), kUnicodePwd));
  CHECK_FALSE(ReadStamp(Vector(0xFFFFFFFF, Entry(kUnicodePwd, 2, 5)), kUnicodePwd));
  CHECK_FALSE(ReadStamp(Vector(0, ""), kUnicodePwd));
  CHECK_FALSE(ReadStamp(Vector(1, Entry(kUnicodePwd, 2, ~std::uint64_t{0})), kUnicodePwd));
}

TEST_CASE("generalized time is read, or is nothing") {
  CHECK(ReadGeneralizedTime("20261121095526.0Z") == 1'795'254'926);
  CHECK(ReadGeneralizedTime("19700101000000.0Z") == 0);
  CHECK(ReadGeneralizedTime("20240229120000Z") == 1'709'208'000);
  for (const char* bad :
       {"", "Z", "2026", "20261321095526.0Z", "20260230095526.0Z", "20261121255526.0Z",
        "2026112109552x.0Z", "20261121095526.0", "-0261121095526.0Z", "16001121095526.0Z"}) {
    INFO(bad);
    CHECK(ReadGeneralizedTime(bad) == 0);
  }
}

}  // namespace keyferry::server

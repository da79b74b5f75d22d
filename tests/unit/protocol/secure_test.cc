#include <algorithm>
#include <catch2/catch.hpp>
#include <string_view>
#include <utility>
#include <vector>

#include "protocol/secure/secure_bytes.h"
#include "protocol/secure/system_random.h"

using keyferry::SecureBytes;

TEST_CASE("a secret begins as zeros, moves, is cut and compared") {
  SecureBytes secret(33);
  CHECK(std::all_of(secret.span().begin(), secret.span().end(), [](auto b) { return b == 0; }));
  SecureBytes text = SecureBytes::CopyOf(std::string_view("correct horse"));
  CHECK(text.view() == "correct horse");
  CHECK(text.Equals(SecureBytes::CopyOf(std::string_view("correct horse"))));
  CHECK_FALSE(text.Equals(SecureBytes::CopyOf(std::string_view("correct horsf"))));
  CHECK_FALSE(text.Equals(SecureBytes::CopyOf(std::string_view("correct"))));
  CHECK(SecureBytes().Equals(SecureBytes(0)));
  text.Truncate(7);
  CHECK(text.view() == "correct");
  CHECK(text.data()[7] == 0);  // what was cut off is wiped
  const SecureBytes copy = text.Clone();
  const SecureBytes moved = std::move(text);
  CHECK(moved.Equals(copy));
  CHECK(text.empty());
}

TEST_CASE("as many secrets as a login needs find locked memory, of every size") {
  std::vector<SecureBytes> many;
  for (std::size_t size = 1; size <= 5000; size += 83) {
    many.emplace_back(size);
    many.back().span().front() = many.back().span().back() = 0x5a;
  }
  for (const SecureBytes& secret : many) CHECK(secret.span().back() == 0x5a);
}

TEST_CASE("the system's generator fills what it is given") {
  std::vector<std::uint8_t> a(4096), b(4096);
  REQUIRE(keyferry::OsRandom().Fill(a));
  REQUIRE(keyferry::OsRandom().Fill(b));
  CHECK(a != b);
  // A block of 32 zeros would be a part that was left out.
  const std::vector<std::uint8_t> zeros(32);
  CHECK(std::search(a.begin(), a.end(), zeros.begin(), zeros.end()) == a.end());
}

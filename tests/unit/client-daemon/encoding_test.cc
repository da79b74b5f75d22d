#include "client-daemon/core/encoding.h"

#include <catch2/catch.hpp>

using namespace keyferry::daemon;

TEST_CASE("base64 both ways") {
  Bytes data;
  for (int size = 0; size < 70; ++size) {
    const std::string text = Base64(data);
    CHECK(text.size() % 4 == 0);
    CHECK(DecodeBase64(text, 70) == data);
    data.push_back(static_cast<std::uint8_t>(size * 37 + 200));
  }
  CHECK(Base64(Bytes{'f', 'o', 'o', 'b'}) == "Zm9vYg==");
}

TEST_CASE("only canonical base64 of bounded size is taken") {
  for (const char* bad : {"Zg", "Zg=", "Zh==", "Zm9=", "Z===", "====", "Zm9v\n", " Zm9",
                          "Zm9v=", "Zm_v", "Zg==Zg=="}) {
    INFO(bad);
    CHECK_FALSE(DecodeBase64(bad, 100));
  }
  CHECK(DecodeBase64("Zm9v", 3));
  CHECK_FALSE(DecodeBase64("Zm9v", 2));
  CHECK_FALSE(DecodeBase64Exactly<4>("Zm9v"));
}

TEST_CASE("identifiers are 32 lower-case hex digits") {
  const std::string hex = "000102030405060708090a0b0c0d0eff";
  REQUIRE(ParseId(hex));
  CHECK(Hex(*ParseId(hex)) == hex);
  CHECK_FALSE(ParseId(hex.substr(1)));
  CHECK_FALSE(ParseId(hex + "0"));
  CHECK_FALSE(ParseId("000102030405060708090A0b0c0d0eff"));
  CHECK_FALSE(ParseId("000102030405060708090g0b0c0d0eff"));
}

TEST_CASE("lines for people hold no control characters") {
  CHECK(Printable("Grüße, Ä") == "Grüße, Ä");
  CHECK(Printable("a\r\nb\x1b[31mc") == "a??b?[31mc");
  CHECK(Printable("x\xE2\x80\xA8y\xE2\x80\xAEz") == "x?y?z");  // line separator, bidi override
  CHECK(Printable("\xC0\xAF\xED\xA0\x80\xF5") == "??????");    // overlong, surrogate, too high
  CHECK(Printable("ä", 1).empty());
  CHECK(Printable(std::string(1000, 'x')).size() == 200);
}

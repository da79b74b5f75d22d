#include "server/directory/text.h"

#include <catch2/catch.hpp>

namespace keyferry::server {
namespace {

std::string Units(std::string_view password) {
  const auto quoted = QuotedUtf16(SecureBytes::CopyOf(password));
  REQUIRE(quoted.has_value());
  return std::string(quoted->view());
}

ErrorCode Refusal(std::string_view password) {
  const auto quoted = QuotedUtf16(SecureBytes::CopyOf(password));
  REQUIRE_FALSE(quoted.has_value());
  return quoted.error().code;
}

}  // namespace

TEST_CASE("a filter value keeps letters and escapes every byte with a meaning") {
  CHECK(EscapeFilter("Anna Smith-1_2@corp.test") == "Anna Smith-1_2@corp.test");
  CHECK(EscapeFilter("*()\\") == "\\2a\\28\\29\\5c");
  CHECK(EscapeFilter(std::string_view("a\0b", 3)) == "a\\00b");
  CHECK(EscapeFilter("\xd0\x86") == "\\d0\\86");
  CHECK(EscapeFilter("!&|<>~:/\"'\n") == "\\21\\26\\7c\\3c\\3e\\7e\\3a\\2f\\22\\27\\0a");
  for (int c = 0; c < 256; ++c) {
    const std::string out = EscapeFilter(std::string(1, static_cast<char>(c)));
    CHECK(out.find_first_of(std::string("*()\0", 4)) == std::string::npos);
  }
}

TEST_CASE("unicodePwd is the quoted password in UTF-16LE") {
  using namespace std::string_literals;
  CHECK(Units("aB") == "\"\0a\0B\0\"\0"s);
  CHECK(Units("ї") == "\"\0\x57\x04\"\0"s);
  CHECK(Units("\xF0\x9F\x94\x91") == "\"\0\x3D\xD8\x11\xDD\"\0"s);  // U+1F511
  CHECK(Units("\xF4\x8F\xBF\xBF") == "\"\0\xFF\xDB\xFF\xDF\"\0"s);  // U+10FFFF
  CHECK(Units("\"") == "\"\0\"\0\"\0"s);
  CHECK(Units(std::string(256, 'x')).size() == 2 * 258);
}

TEST_CASE("what is no password is refused") {
  CHECK(Refusal("") == ErrorCode::kInvalidArgument);
  CHECK(Refusal(std::string_view("a\0b", 3)) == ErrorCode::kInvalidArgument);
  CHECK(Refusal(std::string(257, 'x')) == ErrorCode::kInvalidArgument);
  std::string keys;
  for (int i = 0; i < 129; ++i) keys += "\xF0\x9F\x94\x91";  // 258 units
  CHECK(Refusal(keys) == ErrorCode::kInvalidArgument);
  for (const char* bad : {"\x80", "\xC0\xAF", "\xC1\xBF", "\xE0\x80\x80", "\xED\xA0\x80",
                          "\xED\xBF\xBF", "\xF0\x80\x80\x80", "\xF4\x90\x80\x80",
                          "\xF5\x80\x80\x80", "\xFF", "a\xE2\x82", "\xE2\x28\xA1", "\xC3"}) {
    CHECK(Refusal(bad) == ErrorCode::kInvalidArgument);
  }
}

TEST_CASE("shown text is valid UTF-8 and bounded at a character") {
  CHECK(CleanText("Zoë") == "Zoë");
  CHECK(CleanText("a\xFFz") == "a\xEF\xBF\xBDz");
  CHECK(CleanText("ёёё", 5) == "ёё");
  CHECK(CleanText(std::string(5000, 'x')).size() == 1024);
}

TEST_CASE("names sort without regard to case and accents") {
  CHECK(SortKey("Åkerlund") == SortKey("AKERLUND"));
  CHECK(SortKey("Núñez") == SortKey("nunez"));
  CHECK(SortKey("Woźniak") == SortKey("wozniak"));
  CHECK(SortKey("Nguyễn") == SortKey("nguyen"));
  CHECK(SortKey("ШЕВЧУК") == SortKey("Шевчук"));
  CHECK(SortKey("Ірина") == SortKey("ірина"));
  CHECK(SortKey("Žižka") == SortKey("zizka"));
  CHECK(SortKey("\xFF") == "\xEF\xBF\xBD");
  CHECK(SortKey("anna") < SortKey("Ärmel"));
  CHECK(SortKey(std::string(1000, 'q')).size() <= 96);
}

TEST_CASE("a GUID is written for DN and filter in their byte orders") {
  const auto id = AccountId::Parse("33221100554477668899aabbccddeeff").value();
  CHECK(GuidDn(id) == "<GUID=00112233-4455-6677-8899-aabbccddeeff>");
  CHECK(GuidFilter(id) ==
        "(objectGUID=\\33\\22\\11\\00\\55\\44\\77\\66\\88\\99\\aa\\bb\\cc\\dd\\ee\\ff)");
}

TEST_CASE("SIDs are read only when they are whole") {
  const std::string admins("\x01\x02\x00\x00\x00\x00\x00\x05\x20\x00\x00\x00\x20\x02\x00\x00", 16);
  CHECK(SidText(admins) == "S-1-5-32-544");
  for (std::size_t size = 0; size < admins.size(); ++size)
    CHECK_FALSE(SidText(admins.substr(0, size)));
  CHECK_FALSE(SidText(admins + "x"));
  CHECK_FALSE(SidText("\x02" + admins.substr(1)));
  CHECK_FALSE(SidText(std::string("\x01\xff", 2) + std::string(6 + 4 * 255, 'x')));
}

TEST_CASE("the DNS name of a domain comes from its DN") {
  CHECK(DnsName("DC=corp,DC=example,DC=test") == "corp.example.test");
  CHECK(DnsName("OU=People, dc=a , DC=b").find("a") == 0);
  CHECK(DnsName("OU=People").empty());
  CHECK(EqualNoCase("AbC", "aBc"));
  CHECK_FALSE(EqualNoCase("abc", "abcd"));
}

}  // namespace keyferry::server

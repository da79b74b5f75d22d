#include <catch2/catch.hpp>
#include <vector>

#include "client-daemon/uplink/sse_parser.h"

using namespace keyferry::daemon;

namespace {

std::vector<ServerEvent> Parse(std::string_view text, std::size_t piece) {
  std::vector<ServerEvent> out;
  SseParser parser([&](ServerEvent event) { out.push_back(std::move(event)); });
  for (std::size_t at = 0; at < text.size(); at += piece) {
    REQUIRE(parser.Feed(text.substr(at, piece)));
  }
  return out;
}

}  // namespace

TEST_CASE("events in pieces of any size and with any line end") {
  const std::string text =
      "\xEF\xBB\xBF"
      "event: a\ndata: 1\n\n"
      ": a comment\r\nevent:b\r\ndata:x\r\ndata: y\r\nid: 7\r\nretry: 5\r\n\r\n"
      "data: only\r\r"
      "event: nothing\n\n"
      "data\n\n"
      "event: cut off\ndata: z\n";
  for (std::size_t piece : {1u, 2u, 3u, 7u, 1000u}) {
    const auto events = Parse(text, piece);
    REQUIRE(events.size() == 4);
    CHECK(events[0].name == "a");
    CHECK(events[0].data == "1");
    CHECK(events[1].name == "b");
    CHECK(events[1].data == "x\ny");
    CHECK(events[2].name == "message");
    CHECK(events[2].data == "only");
    CHECK(events[3].data.empty());
  }
}

TEST_CASE("lines and events are bounded") {
  SseParser line([](ServerEvent) {});
  CHECK_FALSE(line.Feed(std::string(SseParser::kMaxEvent + 1, 'x')));
  SseParser event([](ServerEvent) {});
  keyferry::Result<void> fed;
  for (int i = 0; i < 100 && fed; ++i) fed = event.Feed("data: " + std::string(1000, 'x') + "\n");
  CHECK_FALSE(fed);
}

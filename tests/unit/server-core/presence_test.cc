// What several servers together know of where workstations are and what they see.
#include "server/core/presence.h"

#include <catch2/catch.hpp>

#include "server/storage/rows.h"
#include "server/storage/seat_text.h"

using namespace keyferry;
using namespace keyferry::server;

namespace {

const WorkstationId kDesk{{1}};
const DeviceId kKey{{9}};

SeenKey Seen() { return {kKey, 2, "hid", 0x00010000, false}; }

// Two servers that tell each other everything at once.
struct Two {
  Two() {
    a.Observe([this](const Presence::Seat& seat) { from_a.push_back(seat); });
    b.Observe([this](const Presence::Seat& seat) { from_b.push_back(seat); });
  }
  void Exchange() {
    while (!from_a.empty() || !from_b.empty()) {
      for (const auto& seat : std::exchange(from_a, {})) {
        b.SetRemote("a", ReadSeat(seat.workstation.Hex(), WriteSeat(seat)));
      }
      for (const auto& seat : std::exchange(from_b, {})) {
        a.SetRemote("b", ReadSeat(seat.workstation.Hex(), WriteSeat(seat)));
      }
    }
  }
  Presence a, b;
  std::vector<Presence::Seat> from_a, from_b;
};

}  // namespace

TEST_CASE("a workstation at one server is seen by the other until it goes") {
  Two two;
  two.a.Connected(kDesk, "desk of \"Ann\", 1st floor");
  const std::vector<SeenKey> keys = {Seen()};
  CHECK(two.a.Replace(kDesk, "desk of \"Ann\", 1st floor", keys).size() == 1);
  two.Exchange();
  CHECK(two.b.IsConnected(kDesk));
  REQUIRE(two.b.Sightings(kKey).size() == 1);
  CHECK(two.b.Sightings(kKey)[0].workstation_name == "desk of \"Ann\", 1st floor");
  CHECK(two.b.Sightings(kKey)[0].key.transport == "hid");
  CHECK(two.b.Local().empty());
  CHECK(two.a.Disconnected(kDesk));
  two.Exchange();
  CHECK_FALSE(two.b.IsConnected(kDesk));
  CHECK(two.b.All().empty());
}

TEST_CASE("a list of keys may come to the server without the stream") {
  Two two;
  const std::vector<SeenKey> keys = {Seen()}, none;
  SECTION("after the stream is known there") {
    two.a.Connected(kDesk, "desk");
    two.Exchange();
    CHECK(two.b.Replace(kDesk, "desk", keys).size() == 1);
    CHECK(two.b.Replace(kDesk, "desk", keys).empty());
  }
  SECTION("before") {
    CHECK(two.b.Replace(kDesk, "desk", keys).size() == 1);
    two.a.Connected(kDesk, "desk");
  }
  two.Exchange();
  for (const Presence* server : {&two.a, &two.b}) {
    CHECK(server->Sightings(kKey).size() == 1);
    CHECK(server->KeysAt(kDesk).size() == 1);
  }
  CHECK(two.b.Replace(kDesk, "desk", none).empty());
  two.Exchange();
  CHECK(two.a.Sightings(kKey).empty());
  CHECK(two.a.IsConnected(kDesk));
  CHECK(two.b.IsConnected(kDesk));
}

TEST_CASE("a workstation moves, and the old stream's end comes last") {
  Two two;
  const std::vector<SeenKey> keys = {Seen()};
  two.a.Connected(kDesk, "desk");
  two.a.Replace(kDesk, "desk", keys);
  two.Exchange();
  two.b.Connected(kDesk, "desk");
  two.b.Replace(kDesk, "desk", keys);
  two.Exchange();
  CHECK(two.a.Sightings(kKey).size() == 1);  // once, though both have a stream
  two.a.Disconnected(kDesk);
  two.Exchange();
  CHECK(two.a.Sightings(kKey).size() == 1);
  CHECK(two.b.Sightings(kKey).size() == 1);
}

TEST_CASE("what a dead server told is forgotten") {
  Two two;
  two.a.Connected(kDesk, "desk");
  two.Exchange();
  CHECK_FALSE(two.b.KeepRemote({"a", "c"}));
  CHECK(two.b.IsConnected(kDesk));
  CHECK(two.b.KeepRemote({"c"}));
  CHECK_FALSE(two.b.IsConnected(kDesk));
}

TEST_CASE("seats that no server wrote are refused") {
  const std::string id = kDesk.Hex(), key = kKey.Hex();
  for (const std::string& text :
       std::vector<std::string>{"", "here", "here -", "there - desk", "here " + key + " desk",
                                "here " + key + ":2:hid:1 desk", "here " + key + ":x:hid:1:0 desk",
                                "here " + key + ":2:hid:-1:0 desk", "here 12:2:hid:1:0 desk"}) {
    CHECK_THROWS_AS(ReadSeat(id, text), DamagedRow);
  }
  CHECK_THROWS_AS(ReadSeat("12", "here - desk"), DamagedRow);
  CHECK(ReadSeat(id, "gone - ").kind == Presence::Seat::kGone);
}

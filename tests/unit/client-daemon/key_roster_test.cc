#include "client-daemon/core/key_roster.h"

#include <catch2/catch.hpp>

using namespace keyferry;
using namespace keyferry::daemon;
using device::KeyPlace;
using device::TransportKind;

namespace {
const Id kKey{1};
const KeyPlace kUsb{TransportKind::kHid, "/dev/hidraw0"};
const KeyPlace kUsb2{TransportKind::kHid, "/dev/hidraw1"};
const KeyPlace kBle{TransportKind::kBle, "/org/bluez/hci0/dev_1"};
}  // namespace

TEST_CASE("a device that proved its number cannot be pushed out, frozen or hidden") {
  KeyRoster roster;
  CHECK(roster.Claim(kKey, kUsb, Proof::kPending) == Standing::kUndecided);
  CHECK(roster.ActiveOf(kKey).empty());
  CHECK(roster.Claim(kKey, kUsb, Proof::kProven) == Standing::kActive);
  for (const Proof claim : {Proof::kPending, Proof::kNone, Proof::kContrary}) {
    for (const KeyPlace& place : {kUsb2, kBle}) {
      CHECK(roster.Claim(kKey, place, claim) ==
            (claim == Proof::kPending ? Standing::kUndecided : Standing::kDoubted));
      CHECK(roster.ActiveOf(kKey) == kUsb.path);
      CHECK(roster.TakeChanged().empty());
    }
  }
}

TEST_CASE("fakes that came first step aside for the key that proves itself") {
  KeyRoster roster;
  CHECK(roster.Claim(kKey, kUsb, Proof::kNone) == Standing::kActive);
  CHECK(roster.Claim(kKey, kUsb2, Proof::kNone) == Standing::kFrozen);
  CHECK(roster.TakeChanged() == std::map<std::string, Standing>{{kUsb.path, Standing::kFrozen}});
  CHECK(roster.Claim(kKey, kUsb2, Proof::kProven) == Standing::kActive);
  CHECK(roster.TakeChanged() == std::map<std::string, Standing>{{kUsb.path, Standing::kDoubted}});
}

TEST_CASE("clones freeze each other, and only each other") {
  KeyRoster roster;
  const Id other{2};
  CHECK(roster.Claim(other, {TransportKind::kHid, "/x"}, Proof::kProven) == Standing::kActive);
  CHECK(roster.Claim(kKey, kUsb, Proof::kProven) == Standing::kActive);
  CHECK(roster.Claim(kKey, kUsb2, Proof::kProven) == Standing::kFrozen);
  CHECK(roster.Claim(kKey, kUsb, Proof::kProven) == Standing::kFrozen);
  CHECK(roster.ActiveOf(kKey).empty());
  CHECK(roster.ActiveOf(other) == "/x");
  roster.Release(kUsb2.path);
  CHECK(roster.ActiveOf(kKey) == kUsb.path);
  CHECK(roster.TakeChanged() == std::map<std::string, Standing>{{kUsb.path, Standing::kActive}});
}

TEST_CASE("one key on two ways is one key; the better way takes over between two jobs") {
  KeyRoster roster;
  CHECK(roster.Claim(kKey, kBle, Proof::kProven) == Standing::kActive);
  CHECK(roster.Claim(kKey, kUsb, Proof::kProven) == Standing::kStandby);  // BLE may be at work
  CHECK(roster.TakeChanged() ==
        std::map<std::string, Standing>{{kBle.path, Standing::kActive}});  // it is to ask again
  CHECK(roster.ActiveOf(kKey) == kBle.path);
  CHECK(roster.Claim(kKey, kBle, Proof::kProven) == Standing::kStandby);
  CHECK(roster.TakeChanged() == std::map<std::string, Standing>{{kUsb.path, Standing::kActive}});
  CHECK(roster.Claim(kKey, kUsb, Proof::kProven) == Standing::kActive);
  roster.Release(kUsb.path);
  CHECK(roster.ActiveOf(kKey) == kBle.path);
}

TEST_CASE("a record that the device contradicts refuses it, until a newer one comes") {
  KeyRoster roster;
  CHECK(roster.Claim(kKey, kUsb, Proof::kContrary) == Standing::kRefused);
  CHECK(roster.Has(kKey, Standing::kRefused));
  CHECK(roster.Claim(kKey, kUsb, Proof::kProven) == Standing::kActive);
  CHECK_FALSE(roster.Has(kKey, Standing::kRefused));
  roster.Claim({9}, kUsb, Proof::kNone);  // it says another number now
  CHECK(roster.ActiveOf(kKey).empty());
}

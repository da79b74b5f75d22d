// BleHost and Pairing against BlueZ's mock (python-dbusmock).
#include <algorithm>
#include <catch2/catch.hpp>
#include <cstdlib>
#include <filesystem>
#include <future>
#include <set>

#include "device/ble/pairing.h"
#include "device/key_client.h"
#include "tests/integration/ble/mock_bluez.h"
#include "tests/unit/device/organisation.h"

using namespace keyferry;
using device::KeyPlace;
using device::TransportKind;
using test::HostLog;
using test::MockBluez;

namespace {

std::string PathOf(const char* number) {
  std::string address = test::AddressPrefix() + ":" + number;
  std::replace(address.begin(), address.end(), ':', '_');
  return "/org/bluez/hci0/dev_" + address;
}

constexpr device::BleKeeping kAtOnce{.away = std::chrono::milliseconds(1),
                                     .away_longest = std::chrono::milliseconds(2),
                                     .registration = std::chrono::milliseconds(1)};

const std::string kKey = PathOf("01");
const std::string kOther = PathOf("02");

using OpenResult = Result<std::shared_ptr<device::KeyPort>>;

std::future<OpenResult> OpenLater(HostLog& log, device::OnGone on_gone = {}) {
  return std::async(std::launch::async, [&log, on_gone] {
    return log.host().Open({TransportKind::kBle, kKey}, on_gone);
  });
}

OpenResult Refused(HostLog& log) { return log.host().Open({TransportKind::kBle, kKey}, {}); }

struct Rig {
  Rig() {
    mock.Do("adapter()");
    mock.ServeInfo(key, 514);
  }
  // One key, near and open.
  void Open(int mtu = 517) {
    mock.Do("mtu = " + std::to_string(mtu));
    auto opening = OpenLater(*log, [this](const Error& why) { gone.set_value(why); });
    pump = mock.Accept(key, static_cast<std::size_t>(std::min(500, mtu - 3)));
    port = *opening.get();
  }

  test::FakeKey key;
  MockBluez mock;
  std::unique_ptr<HostLog> log = std::make_unique<HostLog>(mock.address());
  std::promise<Error> gone;
  std::unique_ptr<test::BlePump> pump;
  std::shared_ptr<device::KeyPort> port;
};

}  // namespace

TEST_CASE("a bonded key appears, is talked to, and goes", "[ble]") {
  const int mtu = GENERATE(517, 100, 23);
  Rig rig;
  rig.mock.Do("key()");
  rig.mock.Do("near('" + kKey + "')");
  CHECK(rig.log->Appeared() == kKey);
  CHECK(rig.log->host().Check());
  rig.Open(mtu);
  CHECK(rig.port->Describe().kind == TransportKind::kBle);
  CHECK(rig.port->Describe().path == kKey);
  CHECK(rig.port->Describe().max_fragment == static_cast<std::size_t>(std::min(500, mtu - 3)));
  const test::Organisation organisation;
  device::KeyClient client(*rig.port->OpenLink({}));
  REQUIRE(client.Handshake(organisation.Host(1), rig.key.noise_public));
  CHECK(client.GetAttestation());
  // Told by D-Bus before the descriptors say it.
  rig.mock.Do("away('" + kKey + "')");
  CHECK(rig.gone.get_future().get().code == ErrorCode::kUnavailable);
  CHECK(rig.log->Vanished() == kKey);
  CHECK(client.GetStatus().error().code == ErrorCode::kUnavailable);
}

TEST_CASE("the profile is registered once, with an adapter that has a bonded key", "[ble]") {
  Rig rig;
  rig.log->Note("ready");
  rig.mock.Do("adapter('hci1')");
  rig.mock.Do("key(2, bonded=False)");
  rig.mock.Do("key(hci='hci1')");
  rig.mock.Do("wait_registered(1)");
  rig.mock.Do("service_ends()");
  rig.log->Note("has gone");
  rig.mock.Do("service_begins()");
  rig.mock.Do("wait_registered(2)");
  rig.mock.Do("key()");
  rig.mock.Do("near('" + kKey + "')");
  rig.log->Appeared();
  rig.Open();  // one more would have come by now
  rig.mock.Do("assert registered == ['hci1', 'hci1'], registered");
  // The one that it was registered with goes, and the registration with it.
  rig.mock.Do("objects['/'].RemoveAdapterWithDevices('hci1')");
  rig.mock.Do("wait_registered(3)");
  rig.mock.Do("assert registered == ['hci1', 'hci1', 'hci0'], registered");
}

TEST_CASE("bonded keys at two adapters are both called, with one registration", "[ble]") {
  Rig rig;
  rig.log.reset();  // another host, with less patience, comes when all is there
  rig.mock.Do("adapter('hci1')");
  std::string second = kOther;
  second.replace(second.find("hci0"), 4, "hci1");
  rig.mock.Do("key()");
  rig.mock.Do("key(2, hci='hci1')");
  rig.mock.Do("kept('" + kKey + "')");
  rig.mock.Do("kept('" + second + "')");
  rig.log = std::make_unique<HostLog>(rig.mock.address(), kAtOnce);
  const std::set<std::string> came{rig.log->Appeared(), rig.log->Appeared()};
  CHECK(came == std::set<std::string>{kKey, second});
  rig.mock.Do("wait_registered(1)");
  rig.mock.Do("assert registered == ['hci0'], registered");
}

TEST_CASE("an unbonded device with the key service is nobody", "[ble]") {
  Rig rig;
  rig.mock.Do("key(2, bonded=False)");
  rig.mock.Do("near('" + kOther + "')");
  rig.mock.Do("key()");
  rig.mock.Do("near('" + kKey + "')");
  CHECK(rig.log->Appeared() == kKey);
  CHECK(rig.log->host().Open({TransportKind::kBle, kOther}, {}).error().code ==
        ErrorCode::kUnavailable);
}

TEST_CASE("the adapter goes off, is removed and comes back", "[ble]") {
  Rig rig;
  rig.mock.Do("key()");
  rig.mock.Do("near('" + kKey + "')");
  rig.log->Appeared();
  rig.Open();
  rig.mock.Do("power(False)");
  CHECK(rig.log->Vanished() == kKey);
  CHECK(rig.log->Note("Bluetooth: ").find("adapter is off") != std::string::npos);
  CHECK(rig.log->host().Check().error().message.find("off") != std::string::npos);
  CHECK(rig.gone.get_future().get().code == ErrorCode::kUnavailable);
  rig.mock.Do("power(True)");
  CHECK(rig.log->Appeared() == kKey);
  rig.mock.Do("objects['/'].RemoveAdapterWithDevices('hci0')");
  CHECK(rig.log->Vanished() == kKey);
  rig.log->Note("no Bluetooth adapter");
}

TEST_CASE("bluetoothd restarts and the key comes back by itself", "[ble]") {
  Rig rig;
  rig.mock.Do("key()");
  rig.mock.Do("near('" + kKey + "')");
  rig.log->Appeared();
  rig.Open();
  rig.mock.Do("service_ends()");
  CHECK(rig.log->Vanished() == kKey);
  CHECK(rig.log->host().Check().error().message.find("not running") != std::string::npos);
  rig.mock.Do("service_begins()");
  CHECK(rig.log->Appeared() == kKey);
  rig.port->Close();
  rig.pump.reset();
  rig.gone = {};
  rig.Open();
  device::KeyClient client(*rig.port->OpenLink({}));
  CHECK(client.ReadInfo());
}

TEST_CASE("a registration that is refused is tried again", "[ble]") {
  Rig rig;
  rig.mock.Do("unwilling = 3");
  rig.mock.Do("key()");
  rig.log = std::make_unique<HostLog>(rig.mock.address(), kAtOnce);
  CHECK(rig.log->Note("will not connect by themselves").find("hci0") != std::string::npos);
  rig.mock.Do("wait_registered(1)");
  CHECK(rig.log->Waiting() == 0);
}

TEST_CASE("a key that stays away is called until it comes", "[ble]") {
  Rig rig;
  rig.mock.Do("key(2, bonded=False)");
  rig.mock.Do("kept('" + kOther + "')");
  rig.mock.Do("key()");
  rig.mock.Do("kept('" + kKey + "')");
  rig.mock.Do("deaf = 3");
  rig.log = std::make_unique<HostLog>(rig.mock.address(), kAtOnce);
  CHECK(rig.log->Appeared() == kKey);
  CHECK(rig.log->Note("cannot be called back").find(kKey) != std::string::npos);
  CHECK(rig.log->Note("did not come back by itself").find(kKey) != std::string::npos);
  rig.mock.Do("assert asked == ['Connect'] * 4, asked");
  // Somebody has disconnected it, which ends BlueZ's own connections.
  rig.mock.Do("away('" + kKey + "')");
  CHECK(rig.log->Vanished() == kKey);
  CHECK(rig.log->Appeared() == kKey);
  rig.mock.Do("assert asked == ['Connect'] * 5, asked");
  rig.mock.Do("mute = True");
  rig.mock.Do("away('" + kKey + "')");
  CHECK(rig.log->Vanished() == kKey);
  CHECK(rig.log->Appeared() == kKey);
}

TEST_CASE("a key whose services are not found is connected anew", "[ble]") {
  Rig rig;
  rig.mock.Do("key()");
  rig.mock.Do("kept('" + kKey + "')");
  rig.mock.Do("change('" + kKey + "', DEVICE, Connected=dbus.Boolean(True))");
  device::BleKeeping keeping;
  keeping.half = std::chrono::milliseconds(1);
  rig.log = std::make_unique<HostLog>(rig.mock.address(), keeping);
  CHECK(rig.log->Note("does not find its services").find(kKey) != std::string::npos);
  CHECK(rig.log->Appeared() == kKey);
  // At once, not after the pause that keys which are away have.
  rig.mock.Do("assert asked == ['Disconnect', 'Connect'], asked");
}

TEST_CASE("what helps is told when each connection is lost at once", "[ble]") {
  Rig rig;
  rig.mock.Do("key()");
  rig.log->Note("ready");
  const auto lose = [&] {
    rig.mock.Do("change('" + kKey + "', DEVICE, Connected=dbus.Boolean(True))");
    rig.mock.Do("away('" + kKey + "')");
  };
  for (int i = 0; i < 3; ++i) lose();
  rig.mock.Do("near('" + kKey + "')");
  CHECK(rig.log->Appeared() == kKey);
  rig.mock.Do("away('" + kKey + "')");
  CHECK(rig.log->Vanished() == kKey);
  for (int i = 0; i < 3; ++i) lose();
  rig.mock.Do("near('" + kKey + "')");
  CHECK(rig.log->Appeared() == kKey);
  rig.mock.Do("away('" + kKey + "')");
  CHECK(rig.log->Vanished() == kKey);
  CHECK(rig.log->Told("is connected and lost again") == 0);
  for (int i = 0; i < 9; ++i) lose();
  rig.log->Note("is connected and lost again");
  rig.mock.Do("near('" + kKey + "')");
  CHECK(rig.log->Appeared() == kKey);
  CHECK(rig.log->Told("is connected and lost again") == 0);  // not again
}

TEST_CASE("a key that is connected and says nothing is connected anew", "[ble]") {
  Rig rig;
  rig.mock.Do("key()");
  rig.mock.Do("kept('" + kKey + "')");
  rig.mock.Do("near('" + kKey + "')");
  rig.log->Appeared();
  SECTION("it cannot be opened") {
    rig.mock.Do("refusal = ('org.bluez.Error.Failed', 'Not connected')");
    for (int i = 0; i < 4; ++i) {
      CHECK(Refused(*rig.log).error().detail.find("Not connected") != std::string::npos);
    }
  }
  SECTION("it never answers") {
    for (int i = 0; i < 4; ++i) {
      rig.gone = {};
      rig.Open();
      rig.port.reset();
      rig.pump.reset();
    }
  }
  rig.mock.Do("assert asked == [], asked");
  CHECK(Refused(*rig.log).error().code == ErrorCode::kUnavailable);
  CHECK(rig.log->Note("says nothing").find(kKey) != std::string::npos);
  CHECK(rig.log->Vanished() == kKey);
  CHECK(rig.log->Appeared() == kKey);
  rig.mock.Do("assert asked == ['Disconnect', 'Connect'], asked");
  // One that answers may be opened as often as anybody likes.
  rig.mock.Do("refusal = None");
  for (int i = 0; i < 6; ++i) {
    rig.gone = {};
    rig.Open();
    CHECK(rig.port->OpenLink({}));
    rig.port.reset();
    rig.pump.reset();
  }
  rig.mock.Do("assert len(asked) == 2, asked");
}

TEST_CASE("answers of the wrong type are refused by name and nothing else suffers", "[ble]") {
  Rig rig;
  rig.mock.Do("key()");
  rig.mock.Do("near('" + kKey + "')");
  rig.log->Appeared();
  rig.mock.Do("key(2)");
  const std::string other = kOther;
  // A property of another type.
  rig.mock.Do(
      "raw('" + kKey +
      "', PROPERTIES, 'PropertiesChanged', 'sa{sv}as', DEVICE, {'Connected': 'perhaps'}, [])");
  CHECK(rig.log->Vanished() == kKey);
  CHECK(rig.log->Note("is refused").find(kKey) != std::string::npos);
  // Signals of another shape.
  rig.mock.Do("raw('" + other + "', PROPERTIES, 'PropertiesChanged', 'i', 5)");
  CHECK(rig.log->Note("is refused").find(other) != std::string::npos);
  rig.mock.Do("raw('/', MANAGER, 'InterfacesAdded', 's', 'x')");
  rig.log->Note("InterfacesAdded");
  rig.mock.Do("raw('/', MANAGER, 'InterfacesRemoved', 'oi', '/x', 1)");
  rig.log->Note("InterfacesRemoved");
  rig.mock.Do(
      "raw('/', MANAGER, 'InterfacesAdded', 'oa{sa{sv}}', '/org/bluez/hci0/dev_x', "
      "{DEVICE: {'Adapter': 5}})");
  rig.log->Note("/org/bluez/hci0/dev_x is refused");
  rig.mock.Do("added('" + kKey + "')");
  CHECK(rig.log->Appeared() == kKey);
}

TEST_CASE("objects that cannot be read are told, and Check says so", "[ble]") {
  MockBluez mock;
  mock.Do("objects['/'].AddMethod(MANAGER, 'GetManagedObjects', '', 'as', 'ret = [\"no\"]')");
  HostLog log(mock.address());
  log.Note("cannot be read");
  CHECK_FALSE(log.host().Check());
}

TEST_CASE("signals of others than bluetoothd are not heard", "[ble]") {
  Rig rig;
  rig.mock.Do("key()");
  rig.mock.Do("near('" + kKey + "')");
  rig.log->Appeared();
  rig.mock.Do("stranger_says('" + kKey + "', 'sa{sv}as', DEVICE, {'Connected': False}, [])");
  rig.mock.Do("stranger_says('" + kKey + "', 'i', 1)");
  rig.mock.Do("key(2)");
  rig.mock.Do("near('" + kOther + "')");
  CHECK(rig.log->Appeared() == kOther);
}

TEST_CASE("a device that is no key after all is refused when it is opened", "[ble]") {
  Rig rig;
  rig.mock.Do("key()");
  rig.mock.Do("near('" + kKey + "')");
  rig.log->Appeared();
  rig.mock.Do("info_bytes = b'nonsense'");
  CHECK(Refused(*rig.log).error().code == ErrorCode::kProtocol);
  CHECK(rig.log->Note("is refused").find(kKey) != std::string::npos);
  rig.mock.ServeInfo(rig.key, 19);
  CHECK(Refused(*rig.log).error().code == ErrorCode::kProtocol);
  rig.mock.ServeInfo(rig.key, 514);
  rig.mock.Do("mtu = 22");
  CHECK(Refused(*rig.log).error().code == ErrorCode::kProtocol);
  rig.mock.Do("refusal = ('org.bluez.Error.NotPermitted', 'Notify acquired')");
  CHECK(Refused(*rig.log).error().code == ErrorCode::kConflict);
  rig.mock.Do("refusal = ('org.bluez.Error.NotAuthorized', '')");
  CHECK(Refused(*rig.log).error().code == ErrorCode::kPermissionDenied);
  rig.mock.Do("refusal = ('org.bluez.Error.Failed', 'Not connected')");
  CHECK(Refused(*rig.log).error().code == ErrorCode::kUnavailable);
}

TEST_CASE("a second open of the same key names the one who has it", "[ble]") {
  Rig rig;
  rig.mock.Do("key()");
  rig.mock.Do("near('" + kKey + "')");
  rig.log->Appeared();
  rig.Open();
  const auto second = Refused(*rig.log);
  CHECK(second.error().code == ErrorCode::kConflict);
  CHECK(second.error().message.find(std::to_string(getpid())) != std::string::npos);
}

TEST_CASE("no system bus is waited for and named", "[ble]") {
  setenv("DBUS_SYSTEM_BUS_ADDRESS", "unix:path=/nonexistent/keyferry-bus", 1);
  {
    HostLog log("");
    log.Note("D-Bus");
    CHECK(log.host().Check().error().code == ErrorCode::kUnavailable);
    CHECK(device::Pairing::Open({}).error().code == ErrorCode::kUnavailable);
  }
  unsetenv("DBUS_SYSTEM_BUS_ADDRESS");
}

TEST_CASE("a hundred connections leave no descriptor behind", "[ble]") {
  Rig rig;
  rig.mock.Do("key()");
  const auto count = [] {
    return std::distance(std::filesystem::directory_iterator("/proc/self/fd"), {});
  };
  rig.log->Note("ready");
  const auto before = count();
  for (int i = 0; i < 100; ++i) {
    rig.mock.Do("near('" + kKey + "')");
    CHECK(rig.log->Appeared() == kKey);
    rig.gone = {};
    rig.Open();
    rig.mock.Do("away('" + kKey + "')");
    CHECK(rig.log->Vanished() == kKey);
    rig.gone.get_future().wait();
    rig.pump.reset();
    rig.port.reset();
  }
  // The last answers' descriptors go with their messages, on the host's thread.
  const auto deadline = device::Clock::now() + test::kPatience;
  while (count() > before && device::Clock::now() < deadline) std::this_thread::yield();
  CHECK(count() == before);
}

namespace {

struct PairingRig {
  explicit PairingRig(const std::string& question) {
    mock.Do("adapter()");
    mock.Do("key(bonded=False)");
    mock.Do("pairing(" + question + ")");
    pairing = *device::Pairing::Open({mock.address(), {}});
  }
  Result<device::BluetoothKey> Pair(bool answer) {
    return pairing->Pair(
        kKey,
        [&](const device::PairingQuestion& question, int) {
          asked.push_back(question.digits);
          return answer;
        },
        test::kPatience);
  }

  MockBluez mock;
  std::unique_ptr<device::Pairing> pairing;
  std::vector<std::string> asked;
};

}  // namespace

TEST_CASE("a key is found, paired by comparing numbers, listed and forgotten", "[ble]") {
  PairingRig rig("('RequestConfirmation', 'ou', 42)");
  const auto found = rig.pairing->Search(std::chrono::seconds(2));
  REQUIRE(found);
  REQUIRE(found->size() == 1);
  CHECK(found->front().address == test::AddressPrefix() + ":01");
  CHECK(rig.pairing->Bonded().empty());
  const auto paired = rig.Pair(true);
  REQUIRE(paired);
  CHECK(paired->bonded);
  CHECK(rig.asked == std::vector<std::string>{"000042"});
  REQUIRE(rig.pairing->Bonded().size() == 1);
  CHECK(rig.pairing->Forget(kKey));
  rig.mock.Do("assert '" + kKey + "' not in objects");
}

TEST_CASE("a key that was heard is found, whether or not BlueZ still says so", "[ble]") {
  PairingRig rig("None");
  rig.mock.Do("heard_once('" + kKey + "')");
  const auto found = rig.pairing->Search(std::chrono::seconds(2));
  REQUIRE(found);
  REQUIRE(found->size() == 1);
  CHECK(found->front().path == kKey);
}

TEST_CASE("other numbers pair nothing", "[ble]") {
  PairingRig rig("('RequestConfirmation', 'ou', 123456)");
  const auto paired = rig.Pair(false);
  REQUIRE_FALSE(paired);
  CHECK(paired.error().message.find("not confirmed") != std::string::npos);
  CHECK(rig.asked == std::vector<std::string>{"123456"});
}

TEST_CASE("weaker pairing is refused and undone", "[ble]") {
  const auto question = GENERATE(as<std::string>{}, "None", "('RequestAuthorization', 'o')",
                                 "('RequestPasskey', 'o')", "('DisplayPinCode', 'os', '1234')",
                                 "('RequestPinCode', 'o')");
  CAPTURE(question);
  PairingRig rig(question);
  const auto paired = rig.Pair(true);
  REQUIRE_FALSE(paired);
  CHECK(paired.error().code == ErrorCode::kPermissionDenied);
  CHECK(paired.error().message.find("instead of comparing numbers") != std::string::npos);
  CHECK(rig.asked.empty());
  rig.mock.Do("assert '" + kKey + "' not in objects or not objects['" + kKey +
              "'].props[DEVICE]['Bonded']");
}

TEST_CASE("an adapter that is off, or none, is named before anything is asked", "[ble]") {
  MockBluez mock;
  CHECK(device::Pairing::Open({mock.address(), {}}).error().message.find("no Bluetooth adapter") !=
        std::string::npos);
  mock.Do("adapter()");
  mock.Do("power(False)");
  CHECK(device::Pairing::Open({mock.address(), {}}).error().message.find("power on") !=
        std::string::npos);
  mock.Do("service_ends()");
  CHECK(device::Pairing::Open({mock.address(), {}}).error().message.find("not running") !=
        std::string::npos);
}

// What the thread is at when the program ends is another thing each time.
TEST_CASE("a program may end with a host at work", "[ble]") {
  MockBluez mock;
  mock.Do("adapter()");
  mock.Do("chatter()");
  for (int i = 0; i < 60; ++i) {
    INFO(i);
    REQUIRE(std::system((KEYFERRY_STATIC_HOST " " + mock.address()).c_str()) == 0);
  }
}

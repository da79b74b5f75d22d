#include "client-daemon/cli/desktop_question.h"

#include <catch2/catch.hpp>

#include "device/ble/event_flag.h"
#include "tests/integration/ble/mock_bluez.h"

using namespace keyferry;
using daemon::cli::DesktopQuestion;
using test::MockBluez;

namespace {

bool Ask(DesktopQuestion& desktop, std::chrono::milliseconds limit = test::kPatience) {
  const device::EventFlag moot;
  return desktop.Ask("Is it 123456?", "The key <b>\"A&B\"</b>", "Confirm", "Reject", limit,
                     moot.fd());
}

}  // namespace

TEST_CASE("only the button yes is a yes", "[ble]") {
  const auto [press, answer] = GENERATE(table<std::string, bool>(
      {{"yes", true}, {"no", false}, {"default", false}, {"close", false}}));
  CAPTURE(press);
  MockBluez mock;
  mock.Do("desktop('" + press + "')");
  const auto desktop = DesktopQuestion::Open(mock.address());
  REQUIRE(desktop);
  CHECK(Ask(**desktop) == answer);
  CHECK(Ask(**desktop) == answer);
  mock.Do(
      "assert len(shown) == 2 and shown[0] == ('Is it 123456?', "
      "'The key &lt;b&gt;\"A&amp;B\"&lt;/b&gt;', ['yes', 'Confirm', 'no', 'Reject']), shown");
}

TEST_CASE("a question that is moot or late is taken back", "[ble]") {
  MockBluez mock;
  mock.Do("desktop(None)");
  const auto desktop = DesktopQuestion::Open(mock.address());
  REQUIRE(desktop);
  device::EventFlag moot;
  // The mock answers Notify before it runs the next statement, so the notice is up by then.
  std::thread other([&] {
    mock.Do("wait_for(lambda: shown)");
    moot.Raise();
  });
  CHECK_FALSE((*desktop)->Ask("?", "", "y", "n", test::kPatience, moot.fd()));
  other.join();
  mock.Do("wait_for(lambda: taken_back == [7])");
}

TEST_CASE("a desktop without buttons, or none, is told", "[ble]") {
  MockBluez mock;
  CHECK(DesktopQuestion::Open(mock.address()).error().code == ErrorCode::kUnavailable);
  mock.Do("desktop('yes', ['body'])");
  CHECK(DesktopQuestion::Open(mock.address()).error().message.find("buttons") != std::string::npos);
}

// The hidraw transport over a socket pair that keeps report boundaries as a node does. The node
// itself is played by umockdev in tests/integration/hid, and real in the guest (tests/vm).
#include "device/hid/hidraw_transport.h"

#include <dirent.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <catch2/catch.hpp>
#include <csignal>
#include <future>
#include <utility>

#include "device/hid/libusb_transport.h"
#include "device/hid/open_hid.h"

using namespace keyferry;
using device::Clock;

namespace {

struct Pair {
  // Writing waits in the kernel, as it does at a node.
  Pair() {
    int fds[2];
    REQUIRE(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) == 0);
    transport = device::AdoptHidraw(fds[0], "/dev/hidraw7");
    key = fds[1];
  }
  ~Pair() { Unplug(); }
  void Unplug() {
    if (key >= 0) close(std::exchange(key, -1));
  }
  std::unique_ptr<device::Transport> transport;
  int key = -1;
};

Clock::time_point Soon() { return Clock::now() + std::chrono::seconds(20); }

using Report = std::array<std::uint8_t, 64>;

std::size_t OpenFiles() {
  std::size_t n = 0;
  DIR* directory = opendir("/proc/self/fd");
  REQUIRE(directory != nullptr);
  while (readdir(directory) != nullptr) ++n;
  closedir(directory);
  return n;
}

}  // namespace

TEST_CASE("hidraw: reports go out behind a zero report id and come in without one") {
  Pair pair;
  Report report{};
  report[0] = 9;
  report[63] = 7;
  REQUIRE(pair.transport->Write(report, Soon()));
  std::array<std::uint8_t, 100> seen{};
  REQUIRE(recv(pair.key, seen.data(), seen.size(), 0) == 65);
  CHECK(seen[0] == 0);
  CHECK(seen[1] == 9);
  CHECK(seen[64] == 7);
  REQUIRE(send(pair.key, report.data(), report.size(), 0) == 64);
  Report in{};
  REQUIRE(pair.transport->Read(in, Soon()).value() == 64);
  CHECK(in == report);
  CHECK(pair.transport->Describe().kind == device::TransportKind::kHid);
  CHECK(pair.transport->Describe().path == "/dev/hidraw7");
}

TEST_CASE("hidraw: the reports of a message go out in order, also more than wait at once") {
  Pair pair;
  std::vector<Report> reports(50);
  for (std::size_t i = 0; i < reports.size(); ++i) reports[i][0] = static_cast<std::uint8_t>(i);
  REQUIRE(pair.transport->WriteAll(reports, Soon()));
  for (std::size_t i = 0; i < reports.size(); ++i) {
    std::array<std::uint8_t, 100> seen{};
    REQUIRE(recv(pair.key, seen.data(), seen.size(), 0) == 65);
    CHECK(seen[1] == i);
  }
  pair.Unplug();
  Report in{};
  CHECK_FALSE(pair.transport->Read(in, Soon()));
  CHECK(pair.transport->WriteAll(reports, Soon()).error().code == ErrorCode::kUnavailable);
}

TEST_CASE("hidraw: only reports of 64 bytes go out") {
  Pair pair;
  const std::array<std::uint8_t, 65> bytes{};
  for (const std::size_t size : {0U, 1U, 63U, 65U}) {
    CHECK(pair.transport->Write(std::span(bytes).first(size), Soon()).error().code ==
          ErrorCode::kInvalidArgument);
  }
}

TEST_CASE("hidraw: short reports come with their length, long ones are the key's fault") {
  Pair pair;
  const std::array<std::uint8_t, 200> bytes{};
  Report in{};
  REQUIRE(send(pair.key, bytes.data(), 5, 0) == 5);
  CHECK(pair.transport->Read(in, Soon()).value() == 5);
  for (const std::size_t size : {65U, 200U}) {
    REQUIRE(send(pair.key, bytes.data(), size, 0) == static_cast<ssize_t>(size));
    CHECK(pair.transport->Read(in, Soon()).error().code == ErrorCode::kProtocol);
  }
  REQUIRE(send(pair.key, bytes.data(), 64, 0) == 64);
  CHECK(pair.transport->Read(in, Soon()).value() == 64);
}

TEST_CASE("hidraw: nothing to read is late, and the key is still good") {
  Pair pair;
  Report report{};
  CHECK(pair.transport->Read(report, Clock::now()).error().code == ErrorCode::kDeadline);
  REQUIRE(send(pair.key, report.data(), report.size(), 0) == 64);
  CHECK(pair.transport->Read(report, Soon()));
}

TEST_CASE("hidraw: a key that takes nothing makes the writer late; the next one still can") {
  Pair pair;
  const Report report{};
  int sent = 0;
  Result<void> last;
  while (last) {
    last = pair.transport->Write(report, Clock::now() + std::chrono::milliseconds(50));
    sent += last ? 1 : 0;
  }
  CHECK(last.error().code == ErrorCode::kDeadline);
  CHECK(sent > 0);
  CHECK(pair.transport->Write(report, Clock::now()).error().code == ErrorCode::kDeadline);
  auto next = std::async(std::launch::async, [&] { return pair.transport->Write(report, Soon()); });
  // What was late was not sent; all the rest is.
  std::array<std::uint8_t, 100> out{};
  for (int i = 0; i < sent + 1; ++i) REQUIRE(recv(pair.key, out.data(), out.size(), 0) == 65);
  CHECK(next.get());
  CHECK(recv(pair.key, out.data(), out.size(), MSG_DONTWAIT) < 0);
}

TEST_CASE("hidraw: Cancel ends a waiting read and all that come later, in both directions") {
  Pair pair;
  auto reader = std::async(std::launch::async, [&] {
    Report in{};
    return pair.transport->Read(in, Clock::now() + std::chrono::hours(1));
  });
  pair.transport->Cancel();
  CHECK(reader.get().error().code == ErrorCode::kUnavailable);
  Report report{};
  CHECK(pair.transport->Read(report, Soon()).error().code == ErrorCode::kUnavailable);
  CHECK(pair.transport->Write(report, Soon()).error().code == ErrorCode::kUnavailable);
}

TEST_CASE("hidraw: unplugging in mid-read ends it, and writing too") {
  Pair pair;
  auto reader = std::async(std::launch::async, [&] {
    Report in{};
    return pair.transport->Read(in, Clock::now() + std::chrono::hours(1));
  });
  pair.Unplug();
  CHECK(reader.get().error().code == ErrorCode::kUnavailable);
  Report report{};
  CHECK(pair.transport->Write(report, Soon()).error().code == ErrorCode::kUnavailable);
}

TEST_CASE("hidraw: what a write notices first ends a waiting read too") {
  int fds[2];
  REQUIRE(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds) == 0);
  // Half gone: writing fails, reading would wait for ever.
  REQUIRE(shutdown(fds[0], SHUT_WR) == 0);
  std::signal(SIGPIPE, SIG_IGN);
  const auto transport = device::AdoptHidraw(fds[0], "/dev/hidraw7");
  auto reader = std::async(std::launch::async, [&] {
    Report in{};
    return transport->Read(in, Clock::now() + std::chrono::hours(1));
  });
  const Report report{};
  CHECK(transport->Write(report, Soon()));
  CHECK(reader.get().error().code == ErrorCode::kUnavailable);
  CHECK(transport->Write(report, Soon()).error().code == ErrorCode::kUnavailable);
  close(fds[1]);
}

TEST_CASE("hidraw: transports that come and go leave no descriptor behind") {
  const std::size_t before = OpenFiles();
  for (int i = 0; i < 100; ++i) {
    Pair pair;
    Report report{};
    if (i % 2 == 0) pair.Unplug();
    static_cast<void>(pair.transport->Write(report, Soon()));
  }
  CHECK(OpenFiles() == before);
}

TEST_CASE("a place where nothing is cannot be opened") {
  CHECK(device::OpenHidraw("/dev/hidraw9999").error().code == ErrorCode::kUnavailable);
  CHECK(device::OpenHidraw("/dev/null").error().code == ErrorCode::kInvalidArgument);
  CHECK(device::OpenLibusb("usb:98-7").error().code == ErrorCode::kUnavailable);
  CHECK(device::OpenLibusb("/dev/hidraw0").error().code == ErrorCode::kInvalidArgument);
  CHECK(device::OpenHid("/dev/hidraw9999").error().code == ErrorCode::kUnavailable);
  CHECK(device::OpenHid("usb:98-7").error().code == ErrorCode::kUnavailable);
  CHECK(device::OpenHid("/tmp/key.sock").error().code == ErrorCode::kInvalidArgument);
}

#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <catch2/catch.hpp>
#include <future>

#include "device/socket/socket_transport.h"
#include "protocol/limits.h"

using namespace keyferry;
using device::Clock;

namespace {

struct Pair {
  Pair() {
    int fds[2];
    REQUIRE(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) == 0);
    transport = device::AdoptSocketTransport(fds[0], "test");
    peer = fds[1];
  }
  ~Pair() {
    if (peer >= 0) close(peer);
  }
  std::unique_ptr<device::Transport> transport;
  int peer = -1;
};

const auto kSoon = [] { return Clock::now() + std::chrono::seconds(5); };

}  // namespace

TEST_CASE("reports pass both ways") {
  Pair pair;
  std::array<std::uint8_t, 64> report{};
  report[3] = 7;
  REQUIRE(pair.transport->Write(report, kSoon()));
  std::array<std::uint8_t, 64> seen{};
  REQUIRE(recv(pair.peer, seen.data(), seen.size(), 0) == 64);
  CHECK(seen == report);
  REQUIRE(send(pair.peer, report.data(), report.size(), 0) == 64);
  const auto size = pair.transport->Read(seen, kSoon());
  REQUIRE(size);
  CHECK(*size == 64);
}

TEST_CASE("a report that is too long is the key's fault and is thrown away") {
  Pair pair;
  const std::array<std::uint8_t, 200> huge{};
  const std::array<std::uint8_t, 64> good{};
  REQUIRE(send(pair.peer, huge.data(), huge.size(), 0) == 200);
  REQUIRE(send(pair.peer, good.data(), good.size(), 0) == 64);
  std::array<std::uint8_t, 64> buffer{};
  CHECK(pair.transport->Read(buffer, kSoon()).error().code == ErrorCode::kProtocol);
  CHECK(pair.transport->Read(buffer, kSoon()));
}

TEST_CASE("nothing to read is a deadline, a closed peer is gone") {
  Pair pair;
  std::array<std::uint8_t, 64> buffer{};
  CHECK(pair.transport->Read(buffer, Clock::now()).error().code == ErrorCode::kDeadline);
  close(pair.peer);
  pair.peer = -1;
  CHECK(pair.transport->Read(buffer, kSoon()).error().code == ErrorCode::kUnavailable);
  CHECK(pair.transport->Write(buffer, kSoon()).error().code == ErrorCode::kUnavailable);
}

TEST_CASE("Cancel ends a waiting read and all that come later") {
  Pair pair;
  auto reader = std::async(std::launch::async, [&] {
    std::array<std::uint8_t, 64> buffer{};
    return pair.transport->Read(buffer, Clock::now() + std::chrono::hours(1));
  });
  pair.transport->Cancel();
  CHECK(reader.get().error().code == ErrorCode::kUnavailable);
  std::array<std::uint8_t, 64> buffer{};
  CHECK(pair.transport->Read(buffer, kSoon()).error().code == ErrorCode::kUnavailable);
}

TEST_CASE("a path where nobody listens is unavailable, an impossible one refused") {
  CHECK(device::OpenSocketTransport("/nonexistent/key.sock").error().code ==
        ErrorCode::kUnavailable);
  CHECK(device::OpenSocketTransport(std::string(200, 'x')).error().code ==
        ErrorCode::kInvalidArgument);
}

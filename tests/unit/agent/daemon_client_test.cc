// keyferryd's socket from the agent's side: honest answers, hostile ones, silence, and the relay.
#include "client-daemon/agent/daemon_client.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cstring>
#include <functional>
#include <thread>

#include "client-daemon/core/encoding.h"
#include "tests/unit/agent/attempt_fixture.h"

using namespace keyferry;
using namespace keyferry::test;
using login::Budget;
using login::DaemonClient;

namespace {

using std::chrono::milliseconds;

std::string Receive(int fd) {
  std::string text(4096, '\0');
  const ssize_t size = recv(fd, text.data(), text.size(), 0);
  text.resize(size > 0 ? static_cast<std::size_t>(size) : 0);
  return text;
}

void Send(int fd, const std::string& text) {
  [[maybe_unused]] const ssize_t n = send(fd, text.data(), text.size(), MSG_NOSIGNAL);
}

// Listens, serves one connection with `script`, and is gone.
class OneTimeDaemon {
 public:
  explicit OneTimeDaemon(std::function<void(int)> script) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, path.data(), path.size());
    listen_fd_ = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    REQUIRE(bind(listen_fd_, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
    REQUIRE(listen(listen_fd_, 4) == 0);
    thread_ = std::thread([this, script = std::move(script)] {
      const int fd = accept(listen_fd_, nullptr, nullptr);
      if (fd >= 0) script(fd);
      close(fd);
    });
  }
  ~OneTimeDaemon() {
    shutdown(listen_fd_, SHUT_RDWR);
    thread_.join();
    close(listen_fd_);
  }

  TemporaryDirectory directory;
  const std::string path = directory.path() + "/daemon.sock";

 private:
  int listen_fd_ = -1;
  std::thread thread_;
};

std::function<void(int)> Answers(const std::string& text) {
  return [text](int fd) {
    Receive(fd);
    Send(fd, text);
    Receive(fd);
  };
}

const std::string kRoot = daemon::Base64(std::vector<std::uint8_t>(65, 4));
const std::string kAgentAnswer =
    "{\"ok\":true,\"workstation_id\":\"000102030405060708090a0b0c0d0e0f\",\"login_cert\":null,"
    "\"issuer_cert\":\"\",\"root_pub\":\"" +
    kRoot + "\"}";
const std::string kRelayAnswer =
    "{\"ok\":true,\"device_id\":\"000102030405060708090a0b0c0d0e0f\",\"transport\":3,\"info\":\"\","
    "\"record\":null,\"login\":\"alice\",\"account_id\":null}";

}  // namespace

TEST_CASE("the agent introduces its key and learns what is certified") {
  std::string request;
  OneTimeDaemon keyferryd([&](int fd) {
    request = Receive(fd);
    Send(fd, kAgentAnswer);
    Receive(fd);
  });
  DaemonClient client(keyferryd.path);
  Budget budget(milliseconds(5000));
  const auto credentials = client.Register(protocol::X25519Public{1}, budget);
  REQUIRE(credentials);
  CHECK_FALSE(credentials->login_cert);
  CHECK(credentials->workstation[15] == 15);
  CHECK(request.find("\"op\":\"agent\"") != std::string::npos);
  CHECK(request.find(daemon::Base64(protocol::X25519Public{1})) != std::string::npos);
}

TEST_CASE("refusals of the daemon keep their meaning") {
  struct Case {
    const char* code;
    ErrorCode expected;
  };
  const Case c = GENERATE(
      Case{"not_found", ErrorCode::kNotFound}, Case{"busy", ErrorCode::kRateLimited},
      Case{"alarm", ErrorCode::kPolicyRefused},
      Case{"permission_denied", ErrorCode::kPermissionDenied},
      Case{"unavailable", ErrorCode::kUnavailable}, Case{"new_one", ErrorCode::kUnavailable});
  OneTimeDaemon keyferryd(
      Answers("{\"ok\":false,\"code\":\"" + std::string(c.code) + "\",\"message\":\"In words.\"}"));
  DaemonClient client(keyferryd.path);
  Budget budget(milliseconds(5000));
  const auto relay = client.OpenRelay("alice", budget);
  REQUIRE_FALSE(relay);
  CHECK(relay.error().code == c.expected);
  CHECK(relay.error().message == "In words.");
}

TEST_CASE("answers that make no sense are refused") {
  const std::string text = GENERATE(
      std::string("nonsense"), std::string("[]"), std::string("{}"), std::string("{\"ok\":1}"),
      std::string("{\"ok\":true}"), std::string("{\"ok\":false}"), std::string(4097, ' '),
      std::string(
          "{\"ok\":true,\"device_id\":\"00\",\"transport\":3,\"record\":null,\"login\":\"alice\"}"),
      std::string("{\"ok\":true,\"device_id\":\"000102030405060708090a0b0c0d0e0f\",\"transport\":4,"
                  "\"record\":null,\"login\":\"a\"}"),
      std::string("{\"ok\":true,\"device_id\":\"000102030405060708090a0b0c0d0e0f\",\"transport\":3,"
                  "\"record\":\"AA\",\"login\":\"a\"}"),
      std::string("{\"ok\":true,\"device_id\":\"000102030405060708090a0b0c0d0e0f\",\"transport\":3,"
                  "\"record\":null,\"login\":7}"));
  OneTimeDaemon keyferryd(Answers(text));
  DaemonClient client(keyferryd.path);
  Budget budget(milliseconds(5000));
  const auto relay = client.OpenRelay("alice", budget);
  REQUIRE_FALSE(relay);
  CHECK(relay.error().code == ErrorCode::kProtocol);
}

TEST_CASE("a daemon that is not there, closes, or keeps silent") {
  Budget budget(milliseconds(50));
  CHECK(DaemonClient("/nonexistent/daemon.sock").Used({1}, 1, budget).error().code ==
        ErrorCode::kUnavailable);
  CHECK(DaemonClient(std::string(200, 'x')).Used({1}, 1, budget).error().code ==
        ErrorCode::kUnavailable);
  {
    OneTimeDaemon closes([](int fd) { Receive(fd); });
    Budget enough(milliseconds(5000));
    CHECK(DaemonClient(closes.path).Used({1}, 1, enough).error().code == ErrorCode::kUnavailable);
  }
  OneTimeDaemon silent([](int fd) {
    Receive(fd);
    Receive(fd);
  });
  CHECK(DaemonClient(silent.path).Used({1}, 1, budget).error().code == ErrorCode::kDeadline);
  CHECK(budget.left().count() == 0);  // and the next one does not even wait
}

TEST_CASE("the relay carries commands, KEEPALIVEs and CANCEL") {
  std::vector<std::string> seen;
  OneTimeDaemon keyferryd([&](int fd) {
    Receive(fd);
    Send(fd, kRelayAnswer);
    seen.push_back(Receive(fd));
    Send(fd, std::string("\x3B\x01", 2));
    Send(fd, std::string("\x3B\x02", 2));
    seen.push_back(Receive(fd));  // CANCEL
    Send(fd, std::string("\x25") + "answer");
    Receive(fd);
  });
  DaemonClient client(keyferryd.path);
  Budget budget(milliseconds(5000));
  auto relay = client.OpenRelay("alice", budget);
  REQUIRE(relay);
  CHECK(relay->login == "alice");
  CHECK(relay->link->Kind() == device::TransportKind::kSocket);
  std::vector<device::Keepalive> keepalives;
  const std::uint8_t body[] = {7};
  const auto answer = relay->link->Transact(0x24, body, {}, [&](device::Keepalive state) {
    keepalives.push_back(state);
    if (state == device::Keepalive::kTouchNeeded) REQUIRE(relay->link->Post(0x11, {}));
  });
  REQUIRE(answer);
  CHECK(answer->command == 0x25);
  CHECK(std::string(answer->payload.begin(), answer->payload.end()) == "answer");
  CHECK(keepalives == std::vector{device::Keepalive::kProcessing, device::Keepalive::kTouchNeeded});
  REQUIRE(seen.size() == 2);
  CHECK(seen[0] == std::string("\x24\x07"));
  CHECK(seen[1] == std::string("\x11"));
}

TEST_CASE("a relay that broke its rules once is not used again") {
  struct Case {
    std::string datagram;  // empty: closes
    ErrorCode expected;
  };
  const Case c = GENERATE(
      Case{"", ErrorCode::kUnavailable}, Case{std::string("\x3B"), ErrorCode::kProtocol},
      Case{std::string("\x3B\x03"), ErrorCode::kProtocol},
      Case{std::string("\x3B\x01\x01"), ErrorCode::kProtocol},
      Case{std::string(1026, 'x'), ErrorCode::kProtocol}, Case{"silence", ErrorCode::kDeadline});
  OneTimeDaemon keyferryd([&](int fd) {
    Receive(fd);
    Send(fd, kRelayAnswer);
    Receive(fd);
    if (c.datagram.empty()) return;
    if (c.datagram != "silence") Send(fd, c.datagram);
    Receive(fd);
  });
  DaemonClient client(keyferryd.path);
  Budget budget(milliseconds(c.datagram == "silence" ? 200 : 5000));
  auto relay = client.OpenRelay("alice", budget);
  REQUIRE(relay);
  const auto answer = relay->link->Transact(0x24, {}, {}, {});
  REQUIRE_FALSE(answer);
  CHECK(answer.error().code == c.expected);
  const auto next = relay->link->Transact(0x24, {}, {}, {});
  REQUIRE_FALSE(next);
  CHECK(next.error().code == ErrorCode::kUnavailable);
}

TEST_CASE("what the help desk asks, as the daemon says it") {
  const std::string good =
      "{\"ok\":true,\"request_id\":\"000102030405060708090a0b0c0d0e0f\",\"challenge\":\"" +
      daemon::Base64(std::vector<std::uint8_t>(32, 7)) +
      "\",\"agent\":\"Anna (anna)\",\"ticket\":\"INC-1\",\"reason\":\"forgot it\"}";
  const auto ask = [](const std::string& answer) {
    OneTimeDaemon keyferryd(Answers(answer));
    DaemonClient client(keyferryd.path);
    Budget budget(milliseconds(5000));
    return client.Question("alice", budget);
  };
  const auto question = ask(good);
  REQUIRE(question);
  CHECK(question->request[15] == 15);
  CHECK(question->challenge[31] == 7);
  CHECK(question->agent == "Anna (anna)");
  for (const auto& [from, to] :
       std::vector<std::pair<std::string, std::string>>{{"Anna (anna)", "Anna\\n(anna)"},
                                                        {"Anna (anna)", ""},
                                                        {"INC-1", std::string(41, 'x')},
                                                        {"forgot it", std::string(301, 'x')},
                                                        {"\"reason\"", "\"why\""},
                                                        {"000102", "00010"}}) {
    std::string bad = good;
    bad.replace(bad.find(from), from.size(), to);
    INFO(bad);
    CHECK(ask(bad).error().code == ErrorCode::kProtocol);
  }
  CHECK(ask("{\"ok\":false,\"code\":\"not_found\",\"message\":\"Nothing.\"}").error().code ==
        ErrorCode::kNotFound);
}

TEST_CASE("an answer counts only when the server says so") {
  const auto answer = [](const std::string& said, bool proof) {
    OneTimeDaemon keyferryd(Answers(said));
    DaemonClient client(keyferryd.path);
    Budget budget(milliseconds(5000));
    std::optional<protocol::Bytes<protocol::kAssertionSize>> bytes;
    if (proof) bytes.emplace();
    return client.Answer({1}, bytes, budget);
  };
  const std::string passed = "{\"ok\":true,\"passed\":true,\"reason\":\"\"}",
                    failed = "{\"ok\":true,\"passed\":false,\"reason\":\"\"}",
                    reason = "{\"ok\":true,\"passed\":false,\"reason\":\"Another number.\"}";
  CHECK(answer(passed, true));
  CHECK(answer(failed, false));
  CHECK(answer(failed, true).error().code == ErrorCode::kConflict);
  CHECK(answer(passed, false).error().code == ErrorCode::kConflict);
  CHECK(answer(reason, true).error().message == "Another number.");
  CHECK(answer(reason, false).error().code == ErrorCode::kConflict);
  CHECK(answer("{\"ok\":true}", true).error().code == ErrorCode::kProtocol);
  CHECK(answer("{\"ok\":true,\"passed\":1,\"reason\":\"\"}", true).error().code ==
        ErrorCode::kProtocol);
}

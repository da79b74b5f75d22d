#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cstring>
#include <future>

#include "client-daemon/ipc/ask.h"
#include "client-daemon/ipc/ipc_server.h"
#include "protocol/framing.h"
#include "tests/unit/client-daemon/workstation_rig.h"

using namespace keyferry;
using namespace keyferry::daemon;
using protocol::FrameCommand;
using protocol::FrameError;
using test::FakeKey;

namespace {

// A local program's connection.
class Peer {
 public:
  explicit Peer(const std::string& path) : fd_(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0)) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strcpy(address.sun_path, path.c_str());
    REQUIRE(connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
  }
  ~Peer() { close(fd_); }
  void Send(const Bytes& datagram) {
    REQUIRE(send(fd_, datagram.data(), datagram.size(), MSG_NOSIGNAL) >= 0);
  }
  void Send(const std::string& text) { Send(Bytes(text.begin(), text.end())); }
  // Empty when the daemon closed.
  Bytes Read() {
    Bytes buffer(4096);
    const ssize_t n = recv(fd_, buffer.data(), buffer.size(), 0);
    buffer.resize(n > 0 ? static_cast<std::size_t>(n) : 0);
    return buffer;
  }
  std::string ReadText() {
    const Bytes bytes = Read();
    return {bytes.begin(), bytes.end()};
  }

 private:
  const int fd_;
};

struct IpcRig : test::WorkstationRig {
  IpcRig() {
    REQUIRE(server.Start());
    key_gone = [this](const std::string& place) { server.KeyGone(place); };
    workstation->OnKey(KeyEventOf(key));
    Attach("/key/a", key);
    NextPost(Post::kKeys);
  }
  ~IpcRig() { workstation->Stop(); }

  std::string Ask(const std::string& request) {
    return *AskDaemon(path, request, std::chrono::seconds(10));
  }

  FakeKey key;
  std::string path = dir / "daemon.sock";
  IpcServer server{{path, {}}, *workstation};
};

Bytes Datagram(FrameCommand command, const Bytes& payload = {}) {
  Bytes out{static_cast<std::uint8_t>(command)};
  out.insert(out.end(), payload.begin(), payload.end());
  return out;
}

const Bytes kInvalidCommand = Datagram(FrameCommand::kError, {1});

}  // namespace

TEST_CASE("status, and what is no request") {
  IpcRig rig;
  CHECK(rig.Ask(R"({"op":"status"})").find("\"known\":true") != std::string::npos);
  CHECK(rig.Ask("hello").find("invalid_request") != std::string::npos);
  Peer peer(rig.path);
  peer.Send(std::string(5000, ' '));
  CHECK(peer.ReadText().find("4096") != std::string::npos);
  CHECK(peer.Read().empty());
}

TEST_CASE("the login agent learns what the help desk asks, and carries the answer") {
  IpcRig rig;
  CHECK_THAT(rig.Ask(R"({"op":"caller","login":"alice"})"), Catch::Contains("not_found"));
  CallerEvent event;
  event.request = {5};
  event.login = "alice";
  event.challenge = {6};
  event.agent = "Anna \"A\" Agent";
  event.ticket = "INC-1";
  event.reason = "forgot it";
  event.life = std::chrono::seconds(180);
  rig.workstation->OnCaller(event);
  CHECK(rig.Ask(R"({"op":"caller","login":"alice"})") ==
        R"({"ok":true,"request_id":")" + Hex(Id{5}) + R"(","challenge":")" +
            Base64(event.challenge) +
            R"(","agent":"Anna \"A\" Agent","ticket":"INC-1","reason":"forgot it"})");
  CHECK_THAT(rig.Ask(R"({"op":"caller","login":"bob"})"), Catch::Contains("not_found"));
  CHECK(rig.Ask(R"({"op":"answer","request_id":")" + Hex(Id{5}) + R"(","assertion":")" +
                Base64(Bytes(172)) + "\"}") == R"({"ok":true,"passed":true,"reason":""})");
  CHECK_THAT(rig.Ask(R"({"op":"caller","login":"alice"})"), Catch::Contains("not_found"));
  rig.granter.verdict = CallerVerdict{false, "Another number."};
  CHECK(rig.Ask(R"({"op":"answer","request_id":")" + Hex(Id{5}) + R"(","assertion":null})") ==
        R"({"ok":true,"passed":false,"reason":"Another number."})");
}

TEST_CASE("a relay ferries what it may and nothing else") {
  IpcRig rig;
  Peer peer(rig.path);
  peer.Send(R"({"op":"relay","login":"alice"})");
  const std::string answer = peer.ReadText();
  CHECK(answer.find("\"transport\":3") != std::string::npos);
  CHECK(answer.find(Base64(rig.key.info.Encode())) != std::string::npos);
  peer.Send(Datagram(FrameCommand::kInfo));
  const auto info = rig.key.info.Encode();
  CHECK(peer.Read() == Datagram(FrameCommand::kInfo, {info.begin(), info.end()}));
  peer.Send(Datagram(FrameCommand::kCancel));  // nothing runs: no answer
  peer.Send(Datagram(FrameCommand::kMsg, Bytes(40)));
  CHECK(peer.Read() ==
        Datagram(FrameCommand::kError, {static_cast<std::uint8_t>(FrameError::kNoSession)}));
  SECTION("RESET would wipe the key") {
    peer.Send(Datagram(FrameCommand::kReset));
    CHECK(peer.Read() == kInvalidCommand);
  }
  SECTION("INIT is the daemon's") {
    peer.Send(Datagram(FrameCommand::kInit, Bytes(8)));
    CHECK(peer.Read() == kInvalidCommand);
  }
  SECTION("too long") {
    peer.Send(Datagram(FrameCommand::kMsg, Bytes(1025)));
    CHECK(peer.Read() ==
          Datagram(FrameCommand::kError, {static_cast<std::uint8_t>(FrameError::kInvalidLength)}));
  }
  CHECK(peer.Read().empty());
}

TEST_CASE("a relay to a key that is not there is refused, and one ends with its key") {
  IpcRig rig;
  CHECK(rig.Ask(R"({"op":"relay","login":"nobody"})").find("not_found") != std::string::npos);
  CHECK(rig.Ask(R"({"op":"relay","device_id":")" + Hex(Id{9}) + "\"}").find("not_found") !=
        std::string::npos);
  Peer peer(rig.path);
  peer.Send(R"({"op":"relay","login":"alice"})");
  REQUIRE_FALSE(peer.Read().empty());
  rig.key.Unplug();
  CHECK(peer.Read().empty());
}

TEST_CASE("a key that does not answer a relay is told as a time-out") {
  IpcRig rig;
  Peer peer(rig.path);
  peer.Send(R"({"op":"relay","login":"alice"})");
  REQUIRE_FALSE(peer.Read().empty());
  rig.key.Trouble([](auto& faults) { faults.never_answer_times = 1; });
  peer.Send(Datagram(FrameCommand::kInfo));
  CHECK(peer.Read() ==
        Datagram(FrameCommand::kError, {static_cast<std::uint8_t>(FrameError::kTimeout)}));
  peer.Send(Datagram(FrameCommand::kInfo));
  CHECK(peer.Read()[0] == static_cast<std::uint8_t>(FrameCommand::kInfo));
}

TEST_CASE("relays and deliveries share the key") {
  IpcRig rig;
  auto relays = std::async(std::launch::async, [&] {
    Peer peer(rig.path);
    peer.Send(R"({"op":"relay","login":"alice"})");
    int good = peer.Read().empty() ? -1000 : 0;
    for (int i = 0; i < 200; ++i) {
      peer.Send(Datagram(FrameCommand::kInfo));
      good += peer.Read().size() == 57 ? 1 : 0;
    }
    return good;
  });
  for (std::uint64_t seq = 1; seq <= 20; ++seq) {
    rig.workstation->OnJob(rig.Job(rig.key, seq));
    CHECK(protocol::Receipt::Parse(rig.NextPost(Post::kReceipt).bytes)->seq == seq);
  }
  CHECK(relays.get() == 200);
  CHECK(rig.key.stored.size() == 20);
}

TEST_CASE("a key takes a bounded number of relays; closing one makes room") {
  IpcRig rig;
  std::vector<std::unique_ptr<Peer>> peers;
  std::string answer;
  for (int i = 0; i < 4; ++i) {
    peers.push_back(std::make_unique<Peer>(rig.path));
    peers.back()->Send(R"({"op":"relay","login":"alice"})");
    answer = peers.back()->ReadText();
    if (i < 3) CHECK(answer.find("\"ok\":true") != std::string::npos);
  }
  CHECK(answer.find("busy") != std::string::npos);
  peers.clear();
  for (int i = 0; i < 1000 && answer.find("\"ok\":true") == std::string::npos; ++i) {
    Peer peer(rig.path);
    peer.Send(R"({"op":"relay","login":"alice"})");
    answer = peer.ReadText();
  }
  CHECK(answer.find("\"ok\":true") != std::string::npos);
}

TEST_CASE("another user gets the status, notices of their own, and nothing else") {
  if (geteuid() != 0) return;  // needs a second user
  IpcRig rig;
  std::filesystem::permissions(rig.dir.path, static_cast<std::filesystem::perms>(0755));
  const auto as_nobody = [&](const std::string& request) {
    int fds[2];
    REQUIRE(pipe(fds) == 0);
    const pid_t pid = fork();
    if (pid == 0) {
      if (setgid(65534) != 0 || setuid(65534) != 0) _exit(1);
      const auto answer = AskDaemon(rig.path, request, std::chrono::seconds(10));
      const std::string text = answer ? *answer : answer.error().message;
      _exit(write(fds[1], text.data(), text.size()) > 0 ? 0 : 1);
    }
    close(fds[1]);
    char buffer[4096];
    const ssize_t n = read(fds[0], buffer, sizeof buffer);
    close(fds[0]);
    waitpid(pid, nullptr, 0);
    return std::string(buffer, n > 0 ? static_cast<std::size_t>(n) : 0);
  };
  CHECK(as_nobody(R"({"op":"status"})").find("\"ok\":true") != std::string::npos);
  for (const std::string& request :
       std::vector<std::string>{R"({"op":"relay","login":"alice"})",
                                R"({"op":"agent","login_noise_pub":")" + Base64(Bytes(32)) + "\"}",
                                R"({"op":"used","device_id":")" + Hex(Id{1}) + R"(","seq":1})"}) {
    CHECK(as_nobody(request).find("permission_denied") != std::string::npos);
  }
  rig.workstation->OnNotice({1, "NOBODY@corp.example", "password_set", "boss", "", "", 1});
  rig.workstation->OnNotice({2, "alice", "password_set", "boss", "", "", 2});
  const std::string theirs = as_nobody(R"({"op":"notices"})");
  CHECK(theirs.find("NOBODY@corp.example") != std::string::npos);
  CHECK(theirs.find("alice") == std::string::npos);
  for (const char* login : {"nobody", "alice"}) {
    CallerEvent event;
    event.request[0] = static_cast<std::uint8_t>(login[0]);
    event.login = login;
    event.life = std::chrono::minutes(3);
    rig.workstation->OnCaller(event);
  }
  const std::string asked = as_nobody(R"({"op":"asked"})");
  CHECK(asked.find("\"nobody\"") != std::string::npos);
  CHECK(asked.find("alice") == std::string::npos);
  CHECK(rig.Ask(R"({"op":"asked"})").find("alice") != std::string::npos);
  CHECK(as_nobody(R"({"op":"not_me","number":2})").find("not_found") != std::string::npos);
  CHECK(rig.granter.not_me.empty());
  CHECK(as_nobody(R"({"op":"not_me","number":1})").find("\"ok\":true") != std::string::npos);
  CHECK(rig.granter.not_me == std::vector<std::uint64_t>{1});
  CHECK(rig.Ask(R"({"op":"notices"})").find("alice") != std::string::npos);  // we are trusted
}

TEST_CASE("a second server at the path is refused; a dead one's socket is replaced") {
  IpcRig rig;
  IpcServer second({rig.path, {}}, *rig.workstation);
  const auto refused = second.Start();
  REQUIRE_FALSE(refused);
  CHECK(refused.error().code == ErrorCode::kConflict);
  CHECK(refused.error().message.find(std::to_string(getpid())) != std::string::npos);

  const std::string left = rig.dir / "left.sock";
  const int fd = socket(AF_UNIX, SOCK_SEQPACKET, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::strcpy(address.sun_path, left.c_str());
  REQUIRE(bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
  close(fd);
  IpcServer third({left, {}}, *rig.workstation);
  CHECK(third.Start());
}

TEST_CASE("a user who is neither trusted nor at the seat gets nothing; one at the seat a relay") {
  if (geteuid() != 0) return;  // only root can become others
  IpcRig rig;
  const auto ask_as_nobody = [&](const std::string& socket_path, const std::string& request) {
    int answer[2];
    REQUIRE(pipe(answer) == 0);
    const pid_t child = fork();
    if (child == 0) {
      const bool dropped = setgid(65534) == 0 && setuid(65534) == 0;
      const auto text = AskDaemon(socket_path, request, std::chrono::seconds(10));
      if (dropped && text) (void)!write(answer[1], text->data(), text->size());
      _exit(0);
    }
    close(answer[1]);
    std::string out(4096, '\0');
    const ssize_t n = read(answer[0], out.data(), out.size());
    out.resize(n > 0 ? static_cast<std::size_t>(n) : 0);
    close(answer[0]);
    waitpid(child, nullptr, 0);
    return out;
  };
  REQUIRE(chmod(rig.dir.path.c_str(), 0755) == 0);
  const std::string relay = R"({"op":"relay","login":"alice"})";
  CHECK(ask_as_nobody(rig.path, relay).find("permission_denied") != std::string::npos);
  const std::string seat_path = rig.dir / "seat.sock";
  IpcServer seated({seat_path, {}, [](uid_t user) { return user == 65534; }}, *rig.workstation);
  REQUIRE(seated.Start());
  CHECK(ask_as_nobody(seat_path, relay).find("\"ok\":true") != std::string::npos);
  CHECK(ask_as_nobody(seat_path, R"({"op":"used","device_id":")" + Hex(rig.key.info.device_id) +
                                     R"(","seq":1})")
            .find("permission_denied") != std::string::npos);
}

TEST_CASE("a program that dies while the key waits for its touch frees the key") {
  IpcRig rig;
  {
    Peer peer(rig.path);
    peer.Send(R"({"op":"relay","login":"alice"})");
    CHECK(peer.ReadText().find("\"ok\":true") != std::string::npos);
    rig.key.Trouble([](auto& faults) { faults.touch_for_ever = true; });
    peer.Send(Datagram(FrameCommand::kMsg, Bytes(40)));
    CHECK(peer.Read() == Datagram(FrameCommand::kKeepalive, {2}));
    CHECK(rig.Ask(R"({"op":"status"})").find("for login of alice") != std::string::npos);
  }  // gone
  // A key that waits says so all the time; on the relay's cid, the second that was given out.
  protocol::Report keepalive{0, 0, 0x10, 0x01, 0xBB, 0, 1, 2};
  while (rig.key.cancels == 0) {
    rig.key.Spill(keepalive);
    std::this_thread::yield();
  }
}

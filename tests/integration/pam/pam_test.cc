// pam_keyferry.so as login programs see it: pamtester through libpam-wrapper, a scripted agent
// behind.
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cstdio>
#include <cstring>
#include <set>
#include <string>

#include "tests/integration/pam/fake_agent.h"
#include "tests/integration/pam/pam_stack.h"

using namespace keyferry::tests;
using login::Problem;
using login::Purpose;
using login::Type;

namespace {

constexpr const char* kPin = "246813";

// READY, then what `after_pin` sends once a PIN came.
FakeAgent::Script AfterPin(std::function<void(FakeAgent::Peer&)> after_pin) {
  return [after_pin](FakeAgent::Peer& peer) {
    if (!login::ParseHello(peer.Receive())) return;
    peer.Send(ReadyMessage());
    if (peer.Receive().empty()) return;
    after_pin(peer);
    peer.UntilClosed();
  };
}

// The whole road: login with touch, and a confirmation of any seq.
void Helpful(FakeAgent::Peer& peer) {
  const Datagram first = peer.Receive();
  const auto hello = login::ParseHello(first);
  if (!hello) return;
  peer.Send(ReadyMessage());
  const Datagram asked = peer.Receive();
  if (hello->purpose == Purpose::kConfirm) {
    if (login::ParseConfirm(asked)) peer.Send(Bare(Type::kDone));
  } else if (login::ParsePin(asked) == std::string_view(kPin)) {
    peer.Send(Bare(Type::kTouch));
    if (hello->purpose == Purpose::kLogin) peer.Send(ReleasedMessage("Released-Pass word 1"));
    if (hello->purpose == Purpose::kUnlock) peer.Send(Bare(Type::kYes));
  }
  peer.UntilClosed();
}

bool NeedsRoot() {
  if (geteuid() == 0) return false;
  WARN("not run: only root is given a password, so this needs root");
  return true;
}

}  // namespace

TEST_CASE("PIN and touch log in, the next module gets the password, and the login is confirmed") {
  if (NeedsRoot()) return;
  PamStack stack;
  stack.Service("t", "auth required $MODULE\nauth optional $SINK\nauth required pam_permit.so\n");
  FakeAgent agent(stack.AgentSocket(), Helpful);
  const PamRun run = stack.Run("t", "alice", {"authenticate", "setcred"}, "246813\n");
  INFO(run.output);
  CHECK(run.ok());
  CHECK(run.Says("PIN of your security key: "));
  CHECK(run.Says("Touch your security key"));
  CHECK_FALSE(run.Says("Released"));
  CHECK(stack.TakePassword() == "Released-Pass word 1");
  const auto received = agent.Received();
  REQUIRE(received.size() == 4);
  CHECK(login::ParseHello(received[0])->purpose == Purpose::kLogin);
  CHECK(login::ParseHello(received[0])->user == "alice");
  CHECK(login::ParseHello(received[0])->service == "t");
  CHECK(login::ParseHello(received[2])->purpose == Purpose::kConfirm);
  CHECK(login::ParseConfirm(received[3]) == 7);
}

TEST_CASE("a password of 256 bytes passes whole") {
  if (NeedsRoot()) return;
  PamStack stack;
  stack.Service("t", "auth required $MODULE\nauth optional $SINK\n");
  const std::string password(256, 'x');
  FakeAgent agent(stack.AgentSocket(),
                  AfterPin([&](auto& peer) { peer.Send(ReleasedMessage(password)); }));
  const PamRun run = stack.Run("t", "alice", {"authenticate"}, "246813\n");
  INFO(run.output);
  CHECK(run.ok());
  CHECK(stack.TakePassword() == password);
}

TEST_CASE("nothing is confirmed when a later module refuses the login") {
  if (NeedsRoot()) return;
  PamStack stack;
  stack.Service("t", "auth required $MODULE\nauth required pam_deny.so\n");
  FakeAgent agent(stack.AgentSocket(), Helpful);
  const PamRun run = stack.Run("t", "alice", {"authenticate", "setcred"}, "246813\n");
  CHECK_FALSE(run.ok());
  CHECK(agent.Count(Type::kConfirm) == 0);
}

TEST_CASE("a confirmation that fails is logged and nothing else") {
  if (NeedsRoot()) return;
  PamStack stack;
  stack.Service("t", "auth required $MODULE\n");
  FakeAgent agent(stack.AgentSocket(), [](FakeAgent::Peer& peer) {
    const Datagram first = peer.Receive();
    if (login::ParseHello(first) && login::ParseHello(first)->purpose == Purpose::kConfirm) {
      peer.Send(RefusalMessage(Problem::kUnavailable, "The key is gone."));
      return;
    }
    peer.Send(ReadyMessage());
    peer.Receive();
    peer.Send(ReleasedMessage("secret"));
    peer.UntilClosed();
  });
  const PamRun run = stack.Run("t", "alice", {"authenticate", "setcred"}, "246813\n");
  INFO(run.output);
  CHECK(run.ok());
  CHECK(agent.Received().size() == 3);
}

TEST_CASE("a program that runs as the user gets yes, and no password") {
  if (NeedsRoot()) return;
  PamStack stack;
  stack.Service("t", "auth required $MODULE\nauth optional $SINK\n");
  FakeAgent agent(stack.AgentSocket(), Helpful);
  const PamRun run = stack.Run("t", "nobody", {"authenticate", "setcred"}, "246813\n", 65534);
  INFO(run.output);
  CHECK(run.ok());
  REQUIRE(agent.Received().size() == 2);
  CHECK(login::ParseHello(agent.Received()[0])->purpose == Purpose::kUnlock);
  CHECK(stack.TakePassword().empty());
}

TEST_CASE("a wrong PIN is refused with the tries that are left") {
  PamStack stack;
  stack.Service("t", "auth required $MODULE\nauth required pam_permit.so\n");
  FakeAgent agent(stack.AgentSocket(), AfterPin([](auto& peer) {
                    peer.Send(RefusalMessage(Problem::kWrongPin, "Wrong PIN, 7 tries left.", 7));
                  }));
  const PamRun run = stack.Run("t", "alice", {"authenticate"}, "135790\n");
  INFO(run.output);
  CHECK(run.status == 1);
  CHECK(run.Says("Wrong PIN, 7 tries left."));
  CHECK(run.Says("Authentication failure"));
}

TEST_CASE("what no key could take as a PIN is refused without sending it") {
  PamStack stack;
  stack.Service("t", "auth required $MODULE\nauth required pam_permit.so\n");
  FakeAgent agent(stack.AgentSocket(), Helpful);
  // Empty line, end of input (NULL from the conversation), too short, 64 bytes, longer than PAM
  // allows.
  const std::string pin = GENERATE(std::string("\n"), std::string(""), std::string("123\n"),
                                   std::string(64, '1') + "\n", std::string(600, '1') + "\n");
  const PamRun run = stack.Run("t", GENERATE("alice", "nobody"), {"authenticate"}, pin);
  INFO(run.output);
  CHECK(run.status == 1);
  CHECK(run.Says("Authentication failure"));
  CHECK(agent.Count(Type::kHello) == 1);
  CHECK(agent.Count(Type::kPin) == 0);
}

TEST_CASE("a person without a key is not asked for a PIN; the next module asks as ever") {
  PamStack stack;
  stack.Service("matrix",
                "auth [success=1 user_unknown=ignore authinfo_unavail=ignore default=die] $MODULE\n"
                "auth requisite $MATRIX\nauth required pam_permit.so\n");
  FakeAgent agent(stack.AgentSocket(), [](FakeAgent::Peer& peer) {
    peer.Receive();
    peer.Send(RefusalMessage(Problem::kNoKey, "No key of alice is here."));
    peer.UntilClosed();
  });
  const PamRun right = stack.Run("matrix", "alice", {"authenticate"}, "from-the-person\n");
  INFO(right.output);
  CHECK(right.ok());
  CHECK_FALSE(right.Says("PIN of your"));
  CHECK_FALSE(right.Says("No key of alice"));
  CHECK_FALSE(stack.Run("matrix", "alice", {"authenticate"}, "another\n").ok());
}

TEST_CASE("while the alarm stands a person is told, and logs in with the password") {
  PamStack stack;
  stack.Service("matrix",
                "auth [success=1 user_unknown=ignore authinfo_unavail=ignore default=die] $MODULE\n"
                "auth requisite $MATRIX\nauth required pam_permit.so\n");
  const bool before_the_pin = GENERATE(true, false);
  const auto refuse = [](FakeAgent::Peer& peer) {
    peer.Send(RefusalMessage(Problem::kAlarm, "The alarm was raised; use your password."));
    peer.UntilClosed();
  };
  FakeAgent agent(stack.AgentSocket(), before_the_pin
                                           ? [refuse](FakeAgent::Peer& peer) {
                                               peer.Receive();
                                               refuse(peer);
                                             }
                                           : AfterPin(refuse));
  const std::string typed = before_the_pin ? "" : "246813\n";
  const PamRun right = stack.Run("matrix", "alice", {"authenticate"}, typed + "from-the-person\n");
  INFO(right.output);
  CHECK(right.ok());
  CHECK(right.Says("The alarm was raised; use your password."));
  CHECK_FALSE(stack.Run("matrix", "alice", {"authenticate"}, typed + "another\n").ok());
}

TEST_CASE("a failure leaves PAM_AUTHTOK unset, so that the next module asks for itself") {
  PamStack stack;
  stack.Service("t", "auth optional $MODULE\nauth optional $SINK\nauth required $MATRIX\n");
  FakeAgent agent(stack.AgentSocket(), AfterPin([](auto& peer) {
                    peer.Send(RefusalMessage(Problem::kTouchTimeout, "Nobody touched the key."));
                  }));
  const PamRun run = stack.Run("t", "alice", {"authenticate"}, "246813\nfrom-the-person\n");
  INFO(run.output);
  CHECK(run.ok());
  CHECK(run.Says("Nobody touched the key."));
  CHECK(stack.TakePassword().empty());
}

TEST_CASE("account, session and password management say nothing, which lets nobody in") {
  PamStack stack;
  stack.Service("t",
                "account required $MODULE\nsession required $MODULE\npassword required $MODULE\n");
  FakeAgent agent(stack.AgentSocket(), Helpful);
  CHECK_FALSE(stack.Run("t", "alice", {"acct_mgmt"}, "").ok());
  CHECK_FALSE(stack.Run("t", "alice", {"open_session"}, "").ok());
  CHECK_FALSE(stack.Run("t", "alice", {"chauthtok"}, "").ok());
  CHECK(agent.Received().empty());
  stack.Service("with", "account required $MODULE\naccount required pam_permit.so\n");
  CHECK(stack.Run("with", "alice", {"acct_mgmt"}, "").ok());
}

TEST_CASE("setcred alone, without an authentication, confirms nothing") {
  PamStack stack;
  stack.Service("t", "auth required $MODULE\nauth required pam_permit.so\n");
  FakeAgent agent(stack.AgentSocket(), Helpful);
  stack.Run("t", "alice", {"setcred"}, "");
  CHECK(agent.Received().empty());
}

TEST_CASE("an option that is not understood is named, and nobody gets in by it") {
  PamStack stack;
  const std::string option =
      GENERATE("sokcet=/x", "timeout=0", "timeout=99", "timeout=x", "socket=x", "debugging");
  stack.Service("t", "auth sufficient $MODULE " + option + "\nauth required pam_deny.so\n");
  FakeAgent agent(stack.AgentSocket(), Helpful);
  const PamRun run = stack.Run("t", "alice", {"authenticate"}, "246813\n");
  INFO(run.output);
  CHECK_FALSE(run.ok());
  CHECK(run.Says("option not understood: " + option));
  CHECK(agent.Received().empty());
}

TEST_CASE("the prompt can be chosen") {
  PamStack stack;
  stack.Service("t", "auth required $MODULE [prompt=Geheimzahl: ]\n");
  FakeAgent agent(stack.AgentSocket(), Helpful);
  CHECK(stack.Run("t", "alice", {"authenticate"}, "\n").Says("Geheimzahl: "));
}

TEST_CASE("the module shows pam_sm_* to the world and needs libpam and libc only") {
  const auto lines = [](const std::string& command) {
    std::set<std::string> out;
    FILE* pipe = popen(command.c_str(), "r");
    REQUIRE(pipe != nullptr);
    char line[512];
    while (fgets(line, sizeof line, pipe) != nullptr)
      out.insert(std::string(line, strcspn(line, "\n")));
    CHECK(pclose(pipe) == 0);
    return out;
  };
  const std::string module = KEYFERRY_PAM_MODULE;
  CHECK(lines("nm -D --defined-only " + module + " | sed 's/.* //'") ==
        std::set<std::string>{"pam_sm_acct_mgmt", "pam_sm_authenticate", "pam_sm_chauthtok",
                              "pam_sm_close_session", "pam_sm_open_session", "pam_sm_setcred"});
  for (const std::string& needed :
       lines("readelf -d " + module + " | sed -n 's/.*NEEDED.*\\[\\(.*\\)\\]/\\1/p'")) {
    INFO(needed);
    CHECK((needed == "libpam.so.0" || needed == "libc.so.6" ||
           needed.find("ld-linux") != std::string::npos));
  }
  // No way to start a program or load code from inside a login program.
  for (const std::string& used :
       lines("nm -D --undefined-only " + module + " | sed 's/.* //; s/@.*//'")) {
    CHECK(used.find("exec") != 0);
    CHECK((used != "system" && used != "popen" && used != "fork" && used != "dlopen" &&
           used != "open"));
  }
}

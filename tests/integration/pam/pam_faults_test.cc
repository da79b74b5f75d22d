// Every way in which an agent can fail, in every usual stack: never a success, never a hang, and a
// module that does not need the key still lets its person in.
#include <unistd.h>

#include <catch2/catch.hpp>
#include <string>
#include <vector>

#include "tests/integration/pam/fake_agent.h"
#include "tests/integration/pam/pam_stack.h"

using namespace keyferry::tests;
using login::Problem;
using login::Type;

namespace {

struct Fault {
  const char* name;
  FakeAgent::Script script;
  bool prompts = true;  // the PIN was asked for before it went wrong
};

Datagram Damaged(Datagram datagram, std::size_t at, std::uint8_t value) {
  datagram.at(at) = value;
  return datagram;
}

Datagram Resized(Datagram datagram, std::size_t size) {
  datagram.resize(size);
  return datagram;
}

FakeAgent::Script InsteadOfReady(Datagram answer) {
  return [answer](FakeAgent::Peer& peer) {
    peer.Receive();
    peer.Send(answer);
    peer.UntilClosed();
  };
}

FakeAgent::Script AnswersAfterPin(std::vector<Datagram> answers, bool stay = true) {
  return [answers, stay](FakeAgent::Peer& peer) {
    peer.Receive();
    peer.Send(ReadyMessage());
    if (peer.Receive().empty()) return;
    for (const Datagram& answer : answers) peer.Send(answer);
    if (stay) peer.UntilClosed();
  };
}

std::vector<Fault> Faults() {
  const Datagram released = ReleasedMessage("stolen");
  const Datagram ready = ReadyMessage();
  std::vector<Fault> faults = {
      {"closes at once", [](FakeAgent::Peer&) {}, false},
      {"closes after HELLO", [](FakeAgent::Peer& peer) { peer.Receive(); }, false},
      {"never answers HELLO", [](FakeAgent::Peer& peer) { peer.UntilClosed(); }, false},
      {"garbage for READY", InsteadOfReady({0xDE, 0xAD, 0xBE, 0xEF}), false},
      {"one byte for READY", InsteadOfReady({0x01}), false},
      {"READY of another version", InsteadOfReady(Damaged(ready, 0, 2)), false},
      {"READY with unknown flags", InsteadOfReady(Damaged(ready, 3, 0x83)), false},
      {"READY cut short", InsteadOfReady(Resized(ready, ready.size() - 1)), false},
      {"a datagram beyond all bounds", InsteadOfReady(Datagram(60000, 0x01)), false},
      {"RELEASED before any PIN", InsteadOfReady(released), false},
      {"YES before any PIN", InsteadOfReady(Bare(Type::kYes)), false},
      {"DONE before any PIN", InsteadOfReady(Bare(Type::kDone)), false},
      {"TOUCH before any PIN, then silence", InsteadOfReady(Bare(Type::kTouch)), false},
      {"ERROR with control characters",
       InsteadOfReady(Damaged(RefusalMessage(Problem::kLocked, "\x41\x42"), 6, 0x1B)), false},
      {"ERROR of an unknown kind",
       InsteadOfReady(Damaged(RefusalMessage(Problem::kLocked, "no"), 2, 99)), false},
      {"closes after the PIN", AnswersAfterPin({}, false)},
      {"never answers the PIN", AnswersAfterPin({})},
      {"closes while it waits for touch", AnswersAfterPin({Bare(Type::kTouch)}, false)},
      {"garbage for the password", AnswersAfterPin({{0xFF, 0xFF}})},
      {"password of length 0", AnswersAfterPin({Damaged(Damaged(released, 10, 0), 11, 0)})},
      {"password longer than its field",
       AnswersAfterPin({Damaged(Damaged(released, 10, 1), 11, 1)})},
      {"password of a wrong length", AnswersAfterPin({Damaged(released, 11, 3)})},
      {"NUL inside the password", AnswersAfterPin({Damaged(released, 14, 0)})},
      {"RELEASED cut short", AnswersAfterPin({Resized(released, released.size() - 1)})},
      {"RELEASED too long", AnswersAfterPin({Resized(released, released.size() + 1)})},
      {"RELEASED with seq 0", AnswersAfterPin({Damaged(released, 9, 0)})},
      {"RELEASED with a negative seq", AnswersAfterPin({Damaged(released, 2, 0x80)})},
      {"DONE for a login", AnswersAfterPin({Bare(Type::kDone)})},
      {"READY again", AnswersAfterPin({ready})},
      {"TOUCH twice", AnswersAfterPin({Bare(Type::kTouch), Bare(Type::kTouch)})},
      {"a message for agents", AnswersAfterPin({Bare(Type::kCancel)})},
      {"the other caller's answer",
       AnswersAfterPin({geteuid() == 0 ? Bare(Type::kYes) : released})},
  };
  for (int problem = 1; problem <= static_cast<int>(Problem::kFailed); ++problem) {
    faults.push_back({"an honest refusal",
                      AnswersAfterPin({RefusalMessage(static_cast<Problem>(problem), "No.")})});
    faults.push_back({"an early refusal",
                      InsteadOfReady(RefusalMessage(static_cast<Problem>(problem), "No.")), false});
  }
  return faults;
}

}  // namespace

TEST_CASE("no fault of the agent ever lets anybody in") {
  PamStack stack;
  stack.Service("alone", "auth required $MODULE timeout=1\n");
  stack.Service(
      "permit",
      "auth required $MODULE timeout=1\nauth optional $SINK\nauth required pam_permit.so\n");
  stack.Service("requisite", "auth requisite $MODULE timeout=1\nauth sufficient pam_permit.so\n");
  stack.Service("sufficient", "auth sufficient $MODULE timeout=1\nauth required pam_deny.so\n");
  for (const Fault& fault : Faults()) {
    FakeAgent agent(stack.AgentSocket(), fault.script);
    for (const char* service : {"alone", "permit", "requisite", "sufficient"}) {
      const PamRun run = stack.Run(service, "alice", {"authenticate", "setcred"}, "246813\n");
      INFO(fault.name << " in the stack " << service << ":\n" << run.output);
      CHECK(run.status == 1);
      CHECK(run.Says("PIN of your security key") == fault.prompts);
      CHECK(stack.TakePassword().empty());
      CHECK_FALSE(run.Says("stolen"));
    }
  }
}

TEST_CASE("no fault of the agent keeps another module from letting its person in") {
  PamStack stack;
  stack.Service("matrix", "auth sufficient $MODULE timeout=1\nauth required $MATRIX\n");
  for (const Fault& fault : Faults()) {
    FakeAgent agent(stack.AgentSocket(), fault.script);
    const PamRun run = stack.Run("matrix", "alice", {"authenticate", "setcred"},
                                 fault.prompts ? "246813\nfrom-the-person\n" : "from-the-person\n");
    INFO(fault.name << ":\n" << run.output);
    CHECK(run.ok());
  }
}

TEST_CASE("with no agent, no socket or a socket of another kind the key is passed over at once") {
  PamStack stack;
  stack.Service("matrix", "auth sufficient $MODULE\nauth required $MATRIX\n");
  stack.Service("alone", "auth required $MODULE\nauth required pam_permit.so\n");
  const PamRun run = stack.Run("matrix", "alice", {"authenticate"}, "from-the-person\n");
  INFO(run.output);
  CHECK(run.ok());
  CHECK_FALSE(run.Says("PIN of your"));
  const PamRun alone = stack.Run("alone", "alice", {"authenticate"}, "246813\n");
  CHECK(alone.status == 1);
  CHECK(alone.Says("cannot retrieve authentication info"));
}

TEST_CASE("names that no login can have are refused before anything is asked") {
  PamStack stack;
  stack.Service("t", "auth required $MODULE\nauth required pam_permit.so\n");
  FakeAgent agent(stack.AgentSocket(), [](FakeAgent::Peer& peer) { peer.UntilClosed(); });
  for (const std::string& user :
       {std::string(105, 'a'), std::string("al\x1Bice"), std::string("a\nb")}) {
    const PamRun run = stack.Run("t", user, {"authenticate"}, "246813\n");
    INFO(run.output);
    CHECK(run.status == 1);
  }
  CHECK(agent.Received().empty());
}

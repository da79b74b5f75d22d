// The touch of a caller's key: what is asked where, and every proof that is none.
#include "server/core/help_desk_touch.h"

#include <thread>

#include "help_desk_rig.h"
#include "protocol/caller_proof.h"
#include "server/core/alarm.h"

using namespace keyferry;
using namespace keyferry::server;
using namespace keyferry::server::testing;

using State = HelpDeskState;

namespace {

constexpr std::uint8_t kAll =
    protocol::kAssertTouched | protocol::kAssertPin | protocol::kAssertByLogin;

// The desk, with a daemon at Alice's workstation that is new enough to ask.
struct TouchDesk : Desk {
  explicit TouchDesk(HelpDeskConfig wanted = {}, int protocol = kCallerProtocol) : Desk(wanted) {
    Daemon(*desk, protocol);
    agent.display_name = "Anna Agent";
  }
  void Daemon(TestWorkstation& at, int protocol) {
    at.protocol = protocol;
    Disconnect(at);
    Connect(at);
    at.Forget();
    REQUIRE(Sees(at, {&key}));
  }
  Result<void> Ask(const HelpDeskId& id) { return service->AskForTouch(agent, id, At(id)); }
  // A request whose question is at the workstation.
  HelpDeskId Asked() {
    const HelpDeskId id = In(State::kVerifying);
    desk->Forget();
    REQUIRE(Ask(id));
    return id;
  }
  HelpDeskOffer Offer(const HelpDeskId& id) {
    const auto view = service->Get(agent, id);
    REQUIRE(view);
    return view->offers.at(static_cast<std::size_t>(HelpDeskMethod::kKeyTouch));
  }
  // What an honest login agent makes of the event, and of the number that it was told.
  protocol::Assertion Draft(const std::string& event, const std::string& number) const {
    protocol::Assertion out;
    out.flags = kAll;
    out.account_id = alice.bytes;
    const Blob challenge = Base64Member(event, "challenge");
    REQUIRE(challenge.size() == out.challenge.size());
    std::copy(challenge.begin(), challenge.end(), out.challenge.begin());
    const auto request = HelpDeskId::Parse(Member(event, "request_id"));
    REQUIRE(request);
    const std::string asker = Member(event, "agent"), ticket = Member(event, "ticket"),
                      reason = Member(event, "reason");
    out.context_hash =
        protocol::CallerContext(desk->id.bytes, request->bytes, {asker, ticket, reason, number});
    return out;
  }
  std::string Event() { return desk->Named("caller").back(); }
  Blob Honest(const HelpDeskId& id) { return key.Assert(Draft(Event(), Offer(id).read_out)); }
  Result<KeyTouchVerdict> Answer(const HelpDeskId& id, const std::optional<Blob>& proof) {
    return service->AnswerTouch(desk->id, id, proof);
  }
  // It was a failed attempt, and the question is used up.
  void CheckFailed(const HelpDeskId& id, const std::optional<Blob>& proof,
                   std::uint32_t wrong = 1) {
    const auto verdict = Answer(id, proof);
    REQUIRE(verdict);
    CHECK_FALSE(verdict->passed);
    CHECK(verdict->reason.empty() == !proof.has_value());
    CHECK(Offer(id).wrong == wrong);
    CHECK(Offer(id).read_out.empty());
    CHECK(Row(id).state == State::kVerifying);
    CHECK(Answer(id, proof).error().code == ErrorCode::kConflict);
    CHECK(Offer(id).wrong == wrong);
  }
};

}  // namespace

TEST_CASE("who touches the key at their workstation is the caller, and that alone is enough") {
  HelpDeskConfig config;
  config.privileged_groups = {"CN=Bosses,DC=corp,DC=example"};
  TouchDesk desk(config);
  desk.directory.At(desk.alice).groups = {"cn=bosses, dc=corp,dc=example"};  // for them too
  const std::uint64_t before = desk.AuditHead();
  const HelpDeskId id = desk.Asked();
  CHECK(desk.Row(id).privileged);
  REQUIRE(desk.desk->Named("caller").size() == 1);
  const std::string event = desk.Event();
  CHECK(Member(event, "agent") == "Anna Agent (agent)");
  CHECK(Member(event, "ticket") == "INC-1");
  CHECK(Member(event, "reason") == "forgot it on holiday");
  CHECK(Member(event, "login") == "alice");
  const HelpDeskOffer offer = desk.Offer(id);
  CHECK(offer.shown == "desk-1");
  CHECK(offer.sent != 0);
  CHECK(offer.sent_until == offer.sent + kTouchMillis);
  REQUIRE(offer.read_out.size() == 3);
  // The number goes by telephone alone.
  CHECK(event.find("\"" + offer.read_out + "\"") == std::string::npos);
  const auto verdict = desk.Answer(id, desk.Honest(id));
  REQUIRE(verdict);
  CHECK(verdict->passed);
  CHECK(desk.Row(id).state == State::kVerified);
  CHECK(desk.Audited(before) ==
        std::vector<std::string>{"open ok", "process ok", "ask ok", "verify ok", "verified ok"});
  const auto rows = desk.store->AuditAfter(before, 100);
  CHECK(rows->at(3).entry.actor == "workstation desk-1");
  CHECK_THAT(rows->at(3).entry.detail, Catch::Contains(DeviceId{desk.key.device_id}.Hex()));
  for (const auto& row : *rows) {
    CHECK(row.entry.detail.find(" " + offer.read_out + " ") == std::string::npos);
  }
  REQUIRE_FALSE(desk.desk->Named("caller-over").empty());
  REQUIRE(desk.Act(id));
  CHECK(desk.directory.writes == 1);
  // Nothing of the question is left in the database.
  desk.StopStore();
  CHECK(desk.database.Text("SELECT MAX(challenge) FROM help_desk_attempts").empty());
  CHECK(desk.database.Text("SELECT MAX(read_out) FROM help_desk_attempts").empty());
}

TEST_CASE("\"this is not me\" is a failed attempt, is told to the agent, and blocks at the third") {
  TouchDesk desk;
  const std::uint64_t before = desk.AuditHead();
  const HelpDeskId id = desk.Asked();
  desk.CheckFailed(id, std::nullopt);
  CHECK(desk.Offer(id).denied);
  const auto rows = desk.store->AuditAfter(before, 100);
  CHECK(rows->back().entry.outcome == "wrong");
  CHECK_THAT(rows->back().entry.detail, Catch::Contains("denied"));
  REQUIRE(desk.Ask(id));
  desk.CheckFailed(id, std::nullopt, 2);
  REQUIRE(desk.Ask(id));
  // The key may be gone by now: who was asked can say no all the same.
  desk.Unplug();
  REQUIRE(desk.Answer(id, std::nullopt));
  CHECK(desk.Row(id).state == State::kBlocked);
  CHECK(desk.Audited(before).back() == "blocked blocked");
}

TEST_CASE("a proof of anything else is a failed attempt and uses the question up") {
  TouchDesk desk;
  TestKey other(desk.maker);
  const AccountId bob = desk.directory.Add("bob");
  desk.Enrol(other, bob, *desk.desk);
  REQUIRE(desk.Sees(*desk.desk, {&desk.key, &other}));
  const HelpDeskId id = desk.Asked();
  const std::string event = desk.Event(), number = desk.Offer(id).read_out;
  protocol::Assertion draft = desk.Draft(event, number);
  const HelpDeskRequest row = desk.Row(id);
  SECTION("another number") {
    const std::string wrong = number == "123" ? "124" : "123";
    desk.CheckFailed(id, desk.key.Assert(desk.Draft(event, wrong)));
  }
  SECTION("another person's key") {
    draft.account_id = bob.bytes;
    desk.CheckFailed(id, other.Assert(draft));
  }
  SECTION("another person's key that names this account") {
    desk.CheckFailed(id, other.Assert(draft));
  }
  SECTION("another challenge") {
    draft.challenge[0] ^= 1;
    desk.CheckFailed(id, desk.key.Assert(draft));
  }
  SECTION("a signature that does not hold") {
    Blob proof = desk.key.Assert(draft);
    proof.back() ^= 1;
    desk.CheckFailed(id, proof);
  }
  SECTION("without touch, or PIN, or by the daemon") {
    draft.flags = GENERATE(std::uint8_t{0}, std::uint8_t{4}, std::uint8_t{5}, std::uint8_t{6});
    desk.CheckFailed(id, desk.key.Assert(draft));
  }
  SECTION("another workstation's") {
    draft.context_hash = protocol::CallerContext(
        WorkstationId{{9}}.bytes, id.bytes, {"Anna Agent (agent)", row.ticket, row.reason, number});
    desk.CheckFailed(id, desk.key.Assert(draft));
  }
  SECTION("another request's") {
    draft.context_hash =
        protocol::CallerContext(desk.desk->id.bytes, HelpDeskId{{9}}.bytes,
                                {"Anna Agent (agent)", row.ticket, row.reason, number});
    desk.CheckFailed(id, desk.key.Assert(draft));
  }
  SECTION("what was shown was something else") {
    draft.context_hash = protocol::CallerContext(
        desk.desk->id.bytes, id.bytes, {"Your administrator", row.ticket, row.reason, number});
    desk.CheckFailed(id, desk.key.Assert(draft));
  }
  SECTION("for another purpose") {
    const std::string text =
        "Anna Agent (agent)\n" + row.ticket + "\n" + row.reason + "\n" + number;
    draft.context_hash = protocol::ContextHash(
        protocol::Purpose::kOfflineLogon, desk.desk->id.bytes, id.bytes, protocol::AsBytes(text));
    desk.CheckFailed(id, desk.key.Assert(draft));
  }
  SECTION("a key that was suspended meanwhile") {
    REQUIRE(desk.keys->Step(desk.admin, DeviceId{desk.key.device_id}, KeyStep::kSuspend, "test"));
    desk.CheckFailed(id, desk.key.Assert(draft));
  }
  SECTION("a key that was reported stolen meanwhile") {
    REQUIRE(
        desk.keys->Step(desk.admin, DeviceId{desk.key.device_id}, KeyStep::kCompromise, "test"));
    desk.CheckFailed(id, desk.key.Assert(draft));
  }
  SECTION("an older copy of the key") {
    REQUIRE(desk.Change(desk.alice, "request-1"));
    const TestKey copy = desk.key;
    REQUIRE(desk.Deliver(*desk.desk, desk.key));
    desk.CheckFailed(id, copy.Assert(draft));
  }
  SECTION("what is no assertion is no attempt") {
    for (const std::size_t size : {0u, 1u, 171u, 173u, 172u}) {
      CHECK(desk.Answer(id, Blob(size)).error().code == ErrorCode::kInvalidArgument);
    }
    CHECK(desk.Offer(id).wrong == 0);
    CHECK(desk.Answer(id, desk.Honest(id))->passed);
  }
}

TEST_CASE("a key that was given out after the question does not answer it") {
  TouchDesk desk;
  const HelpDeskId id = desk.Asked();
  desk.clock.Advance(std::chrono::seconds(1));
  TestKey late(desk.maker);
  const std::string event = desk.Event();
  desk.Enrol(late, desk.alice, *desk.desk);
  protocol::Assertion draft = desk.Draft(event, desk.Offer(id).read_out);
  desk.CheckFailed(id, late.Assert(draft));
  // To the next question it may.
  REQUIRE(desk.Sees(*desk.desk, {&desk.key, &late}));
  REQUIRE(desk.Ask(id));
  CHECK(desk.Answer(id, late.Assert(desk.Draft(desk.Event(), desk.Offer(id).read_out)))->passed);
}

TEST_CASE("an old proof, a late one, one that nobody waits for: refused, and no attempt") {
  TouchDesk desk;
  const auto refused = [&](const HelpDeskId& id, const std::optional<Blob>& proof) {
    const auto verdict = desk.Answer(id, proof);
    REQUIRE_FALSE(verdict);
    CHECK(verdict.error().code == ErrorCode::kConflict);
  };
  SECTION("never asked, or never there") {
    const HelpDeskId id = desk.In(State::kVerifying);
    refused(id, std::nullopt);
    refused(HelpDeskId{{7}}, std::nullopt);
  }
  SECTION("of the question before") {
    const HelpDeskId id = desk.Asked();
    const Blob old = desk.Honest(id);
    REQUIRE(desk.Ask(id));
    // It answers the new one wrongly: who sends it cannot have read the new one.
    desk.CheckFailed(id, old);
  }
  SECTION("sent twice") {
    HelpDeskConfig config;
    config.needed_points = 6;
    TouchDesk strict(config);
    const HelpDeskId id = strict.Asked();
    const Blob proof = strict.Honest(id);
    REQUIRE(strict.Answer(id, proof)->passed);
    CHECK(strict.Row(id).state == State::kVerifying);
    CHECK(strict.Answer(id, proof).error().code == ErrorCode::kConflict);
    CHECK(strict.Offer(id).wrong == 0);
  }
  SECTION("after its time") {
    const HelpDeskId id = desk.Asked();
    const Blob proof = desk.Honest(id);
    desk.clock.Advance(std::chrono::milliseconds(kTouchMillis));
    refused(id, proof);
    CHECK(desk.Offer(id).wrong == 0);
    CHECK(desk.Offer(id).read_out.empty());
  }
  SECTION("a millisecond before it is over") {
    const HelpDeskId id = desk.Asked();
    const Blob proof = desk.Honest(id);
    desk.clock.Advance(std::chrono::milliseconds(kTouchMillis - 1));
    CHECK(desk.Answer(id, proof)->passed);
  }
  SECTION("after the agent cancelled, and the workstation is told") {
    const HelpDeskId id = desk.Asked();
    const Blob proof = desk.Honest(id);
    REQUIRE(desk.service->Cancel(desk.agent, id, desk.At(id)));
    REQUIRE(desk.desk->Named("caller-over").size() == 1);
    CHECK(Member(desk.desk->Named("caller-over").back(), "request_id") == id.Hex());
    refused(id, proof);
  }
  SECTION("after the request's time") {
    const HelpDeskId id = desk.Asked();
    const Blob proof = desk.Honest(id);
    desk.clock.Advance(std::chrono::seconds(desk.config.request_seconds));
    refused(id, proof);
    CHECK(desk.Row(id).state == State::kExpired);
  }
  SECTION("by a workstation whose approval was taken back") {
    const HelpDeskId id = desk.Asked();
    const Blob proof = desk.Honest(id);
    REQUIRE(desk.workstations->Revoke(desk.admin, desk.desk->id));
    CHECK(desk.Answer(id, proof).error().code == ErrorCode::kPermissionDenied);
    CHECK(desk.Answer(id, std::nullopt).error().code == ErrorCode::kPermissionDenied);
    CHECK(desk.service->AnswerTouch(WorkstationId{{3}}, id, proof).error().code ==
          ErrorCode::kPermissionDenied);
  }
}

TEST_CASE("two requests of two people do not answer each other") {
  TouchDesk desk;
  const AccountId bob = desk.directory.Add("bob");
  TestKey second(desk.maker);
  desk.Enrol(second, bob, *desk.desk);
  REQUIRE(desk.Sees(*desk.desk, {&desk.key, &second}));
  const HelpDeskId of_alice = desk.Asked();
  const std::string alices = desk.Event();
  const auto opened = desk.service->Open(desk.agent, {bob, "forgot it on holiday", "INC-1"});
  REQUIRE(opened);
  const HelpDeskId of_bob = opened->id;
  REQUIRE(desk.Choose(of_bob));
  REQUIRE(desk.Ask(of_bob));
  const std::string bobs = desk.Event();
  CHECK(Member(bobs, "login") == "bob");
  CHECK(Member(bobs, "challenge") != Member(alices, "challenge"));
  const Blob proof = desk.key.Assert(desk.Draft(alices, desk.Offer(of_alice).read_out));
  CHECK_FALSE(desk.Answer(of_bob, proof)->passed);
  CHECK(desk.Answer(of_alice, proof)->passed);
  CHECK(desk.Row(of_bob).state == State::kVerifying);
}

TEST_CASE("where nobody can be asked, the method says why") {
  SECTION("no key") {
    TouchDesk desk;
    REQUIRE(desk.keys->Step(desk.admin, DeviceId{desk.key.device_id}, KeyStep::kSuspend, "test"));
    const HelpDeskId id = desk.In(State::kVerifying, HelpDeskProcess::kUnlock);
    CHECK(desk.Offer(id).unavailable ==
          "This person has no security key in use; verify the caller in another way.");
    CHECK(desk.Ask(id).error().code == ErrorCode::kConflict);
  }
  SECTION("not plugged in") {
    TouchDesk desk;
    const HelpDeskId id = desk.In(State::kVerifying);
    desk.Unplug();
    CHECK(desk.Offer(id).unavailable ==
          "No workstation sees a key of this person now; have the caller plug it in.");
    CHECK(desk.Ask(id).error().code == ErrorCode::kConflict);
    CHECK(desk.Row(id).version == desk.At(id));
  }
  SECTION("the PIN is blocked") {
    TouchDesk desk;
    const HelpDeskId id = desk.In(State::kVerifying);
    REQUIRE(desk.Sees(*desk.desk, {&desk.key}, 4));
    CHECK(desk.Offer(id).unavailable ==
          "The PIN of the key is not set, or it is blocked; verify the caller in another way.");
  }
  SECTION("a daemon of before") {
    TouchDesk desk({}, kCallerProtocol - 1);
    const HelpDeskId id = desk.In(State::kVerifying);
    CHECK_THAT(desk.Offer(id).unavailable, Catch::Contains("desk-1"));
    CHECK_THAT(desk.Offer(id).unavailable, Catch::Contains("too old"));
    CHECK(desk.Ask(id).error().code == ErrorCode::kConflict);
    // Nor is it told of one that is asked elsewhere.
    const auto newer = desk.AddWorkstation("desk-2");
    desk.Daemon(*newer, kCallerProtocol);
    REQUIRE(desk.Ask(id));
    CHECK(newer->Named("caller").size() == 1);
    REQUIRE(desk.service->Cancel(desk.agent, id, desk.At(id)));
    CHECK(newer->Named("caller-over").size() == 1);
    CHECK(desk.desk->Named("caller").empty());
    CHECK(desk.desk->Named("caller-over").empty());
  }
  SECTION("the alarm") {
    TouchDesk desk;
    const HelpDeskId id = desk.In(State::kVerifying);
    AlarmRecord alarm;
    alarm.raised = desk.clock.UnixMillis();
    alarm.raised_login = "admin";
    REQUIRE(desk.store->BeginAlarm(alarm, {}));
    CHECK(desk.Ask(id).error().message == kAlarmStands);
    CHECK(desk.desk->Named("caller").empty());
  }
  SECTION("the policy") {
    HelpDeskConfig config;
    config.points = {3, 2, 1, 1, 0};
    TouchDesk desk(config);
    const HelpDeskId id = desk.In(State::kVerifying);
    CHECK(desk.Ask(id).error().code == ErrorCode::kPermissionDenied);
    CHECK(desk.service->Get(desk.agent, id)->offers.size() == 4);
  }
}

TEST_CASE("who connects, or plugs the key in, while the question waits is asked too") {
  TouchDesk desk;
  const HelpDeskId id = desk.Asked();
  const std::string event = desk.Event();
  const auto second = desk.AddWorkstation("desk-2");
  desk.Daemon(*second, kCallerProtocol);
  REQUIRE(second->Named("caller").size() == 1);
  CHECK(Member(second->Named("caller").back(), "challenge") == Member(event, "challenge"));
  desk.Disconnect(*desk.desk);
  desk.desk->Forget();
  desk.Connect(*desk.desk);
  REQUIRE(desk.Sees(*desk.desk, {&desk.key}));
  REQUIRE(desk.desk->Named("caller").size() == 1);
  CHECK(desk.Answer(id, desk.Honest(id))->passed);
  // Nothing more once it is answered.
  desk.Unplug();
  desk.desk->Forget();
  desk.Plug();
  CHECK(desk.desk->Named("caller").empty());
}

TEST_CASE("the agent cannot answer in the caller's place, nor ask without end") {
  TouchDesk desk;
  const HelpDeskId id = desk.Asked();
  HelpDeskAnswer answer;
  answer.method = HelpDeskMethod::kKeyTouch;
  CHECK(desk.Verify(id, std::move(answer)).error().code == ErrorCode::kInvalidArgument);
  // Not with a proof either: it comes from a workstation or not at all.
  HelpDeskAnswer forged;
  forged.method = HelpDeskMethod::kKeyTouch;
  forged.touch.emplace();
  forged.touch->from = *desk.store->FindWorkstation(desk.desk->id).value();
  forged.touch->assertion.emplace();
  const Blob proof = desk.Honest(id);
  std::copy(proof.begin(), proof.end(), forged.touch->assertion->begin());
  CHECK(desk.Verify(id, std::move(forged)).error().code == ErrorCode::kInvalidArgument);
  CHECK(desk.Row(id).state == State::kVerifying);
  REQUIRE(desk.Ask(id));
  REQUIRE(desk.Ask(id));
  CHECK(desk.Ask(id).error().code == ErrorCode::kRateLimited);
  // Another agent cannot ask in this one's request.
  const Actor liam = desk.Agent("liam");
  CHECK(desk.service->AskForTouch(liam, id, desk.At(id)).error().code ==
        ErrorCode::kPermissionDenied);
  CHECK(IsMoved(desk.service->AskForTouch(desk.agent, id, desk.At(id) - 1).error()));
}

TEST_CASE("of one proof that comes many times at once, one is taken") {
  TouchDesk desk;
  const HelpDeskId id = desk.Asked();
  const Blob proof = desk.Honest(id);
  std::atomic<int> passed{0}, refused{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 6; ++i) {
    threads.emplace_back([&] {
      const auto verdict = desk.service->AnswerTouch(desk.desk->id, id, proof);
      if (verdict && verdict->passed) ++passed;
      if (!verdict) ++refused;
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(passed == 1);
  CHECK(refused == 5);
  CHECK(desk.Row(id).state == State::kVerified);
}

TEST_CASE("a code that is out stays good when a touch is asked for") {
  TouchDesk desk;
  const HelpDeskId id = desk.In(State::kVerifying);
  REQUIRE(desk.service->SendCode(desk.agent, id, desk.At(id)));
  const std::string code = desk.box.Code();
  REQUIRE(desk.Ask(id));
  REQUIRE(desk.Verify(id, Desk::Coded(code)).value());
  CHECK_FALSE(desk.Offer(id).read_out.empty());
  CHECK(desk.Answer(id, desk.Honest(id))->passed);
}

TEST_CASE("three digits, all of them, evenly made") {
  TouchDesk desk;
  HelpDeskRequest request;
  request.reason = "why";
  request.ticket = "INC-1";
  request.expires = desk.clock.UnixMillis() + 1'000;
  const CorePorts ports{*desk.store, desk.directory, desk.clock, OsRandom(),
                        *desk.bus,   *desk.issuer,   desk.ca,    *desk.attestation,
                        desk.waiter, *desk.presence, {}};
  std::set<std::string> numbers, challenges;
  for (int i = 0; i < 400; ++i) {
    const auto made = MakeTouchQuestion(ports, request, "Anna (anna)");
    REQUIRE(made);
    CHECK(made->read_out.size() == 3);
    CHECK(made->challenge.size() == 64);
    CHECK(made->expires == request.expires);  // never longer than the request
    numbers.insert(made->read_out);
    challenges.insert(made->challenge);
  }
  CHECK(numbers.size() > 200);
  CHECK(challenges.size() == 400);
}

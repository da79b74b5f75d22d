// A caller reads the code of their authenticator app to the help desk.
#include <atomic>
#include <thread>

#include "help_desk_rig.h"
#include "server/core/totp.h"

using namespace keyferry;
using namespace keyferry::server;
using namespace keyferry::server::testing;

using State = HelpDeskState;

namespace {

// The desk, and Alice, who signs in as an employee and sets an app up.
struct AppDesk : Desk {
  explicit AppDesk(HelpDeskConfig wanted = {}) : Desk(std::move(wanted)) {
    session_config.second_factor = FactorPolicy::kRequired;
    session_config.employees = true;
    directory.At(alice).password = "right";
    StartAgain();
  }
  SignedIn Password() { return sessions->SignIn("alice", Text("right"), "192.0.2.9").value(); }
  void SetUp() {
    const SignedIn signed_in = Password();
    REQUIRE(signed_in.session.stage == SessionStage::kComplete);
    const auto proposal = factors->Propose(signed_in.session);
    REQUIRE(proposal);
    std::uint32_t bits = 0;
    unsigned held = 0;
    for (const char c : std::string(proposal->secret.view())) {
      bits = bits << 5 | static_cast<std::uint32_t>(c >= 'A' ? c - 'A' : c - '2' + 26);
      held += 5;
      if (held < 8) continue;
      held -= 8;
      secret.push_back(static_cast<std::uint8_t>(bits >> held));
    }
    REQUIRE(factors->Confirm(signed_in.token, signed_in.session, Text(Code(-1)), Text(Code(0))));
    clock.Advance(std::chrono::seconds(60));
  }
  // Of the step so many after now.
  std::string Code(std::int64_t after) const {
    const auto step = clock.UnixSeconds() / kTotpStepSeconds + after;
    const std::string digits = std::to_string(TotpCode(secret, step).value());
    return std::string(6 - digits.size(), '0') + digits;
  }
  static HelpDeskAnswer Read(std::string_view code) {
    HelpDeskAnswer answer;
    answer.method = HelpDeskMethod::kTotp;
    answer.code = Text(code);
    return answer;
  }
  HelpDeskOffer OfferOf(const HelpDeskId& id) { return Desk::OfferOf(id, HelpDeskMethod::kTotp); }
  std::string Unavailable(const HelpDeskId& id) { return OfferOf(id).unavailable; }

  Bytes secret;
};

}  // namespace

TEST_CASE("who has set up no app cannot prove by one") {
  AppDesk desk;
  const HelpDeskId id = desk.In(State::kVerifying);
  CHECK(desk.Unavailable(id) ==
        "This person has set up no authenticator app; verify the caller in another way.");
  CHECK(desk.Verify(id, AppDesk::Read("123456")).error().code == ErrorCode::kConflict);
  // A proposal that was not confirmed is none.
  const SignedIn signed_in = desk.Password();
  REQUIRE(desk.factors->Propose(signed_in.session));
  CHECK_FALSE(desk.Unavailable(id).empty());
  CHECK(desk.OfferOf(id).left == 3);
}

TEST_CASE("the code of the app that signs in verifies the caller, in words without it") {
  AppDesk desk;
  desk.SetUp();
  const std::uint64_t before = desk.AuditHead();
  const HelpDeskId id = desk.In(State::kVerifying);
  CHECK(desk.Unavailable(id).empty());
  const std::string code = desk.Code(0);
  REQUIRE(desk.Verify(id, AppDesk::Read(code.substr(0, 3) + " " + code.substr(3))).value());
  CHECK(desk.Row(id).state == State::kVerified);  // two points
  const auto rows = desk.store->AuditAfter(before, 100);
  REQUIRE(rows);
  bool told = false;
  for (const auto& row : *rows) {
    CHECK(row.entry.detail.find(code) == std::string::npos);
    told = told || row.entry.detail.find("By code of the authenticator app.") == 0;
  }
  CHECK(told);
}

TEST_CASE("a code counts once: not again at the desk, nor at sign-in, nor one of sign-in here") {
  AppDesk desk;
  desk.SetUp();
  const HelpDeskId id = desk.In(State::kVerifying);
  const SignedIn half = desk.Password();
  REQUIRE(half.session.stage == SessionStage::kCodeOwed);
  const std::string first = desk.Code(0);
  SECTION("first at sign-in") {
    REQUIRE(desk.factors->Prove(half.token, half.session, Text(first)));
    CHECK_FALSE(desk.Verify(id, AppDesk::Read(first)).value());
    CHECK_FALSE(desk.Verify(id, AppDesk::Read(desk.Code(-1))).value());  // and no older one
    CHECK(desk.Verify(id, AppDesk::Read(desk.Code(1))).value());
  }
  SECTION("first at the desk") {
    REQUIRE(desk.Verify(id, AppDesk::Read(first)).value());
    CHECK(desk.factors->Prove(half.token, half.session, Text(first)).error().code ==
          ErrorCode::kUnauthenticated);
    REQUIRE(desk.service->Cancel(desk.agent, id, desk.At(id)));
    const HelpDeskId next = desk.In(State::kVerifying);
    CHECK_FALSE(desk.Verify(next, AppDesk::Read(first)).value());
    CHECK(desk.factors->Prove(half.token, half.session, Text(desk.Code(1))));
  }
  SECTION("too old") {
    desk.clock.Advance(std::chrono::seconds(90));
    CHECK_FALSE(desk.Verify(id, AppDesk::Read(first)).value());
  }
}

TEST_CASE("what is no code is no attempt; three wrong ones close the request") {
  AppDesk desk;
  desk.SetUp();
  const HelpDeskId id = desk.In(State::kVerifying);
  for (const char* bad : {"", "12345", "1234567", "12345a", "123456\n", "１２３４５６", "+12345"}) {
    INFO(bad);
    CHECK(desk.Verify(id, AppDesk::Read(bad)).error().code == ErrorCode::kInvalidArgument);
  }
  CHECK(desk.OfferOf(id).left == 3);
  const std::string wrong = desk.Code(40);
  for (int i = 0; i < 3; ++i) CHECK_FALSE(desk.Verify(id, AppDesk::Read(wrong)).value());
  CHECK(desk.Row(id).state == State::kBlocked);
}

TEST_CASE("of a code that desk and sign-in take at the same moment one succeeds") {
  AppDesk desk;
  desk.SetUp();
  const HelpDeskId id = desk.In(State::kVerifying);
  const std::string code = desk.Code(0);
  std::vector<SignedIn> halves;
  for (int i = 0; i < 7; ++i) halves.push_back(desk.Password());
  std::atomic<int> right{0};
  std::vector<std::thread> threads;
  threads.emplace_back([&] {
    const auto verified = desk.Verify(id, AppDesk::Read(code));
    if (verified && *verified) ++right;
  });
  for (const SignedIn& half : halves) {
    threads.emplace_back([&] {
      if (desk.factors->Prove(half.token, half.session, Text(code))) ++right;
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(right == 1);
  // Whoever won: it is stored as an attempt.
  CHECK(desk.store->HelpDeskAttempts(id)->size() == 1);
}

TEST_CASE(
    "an app that is reset in between proves nothing, and a row of somebody else's opens not") {
  AppDesk desk;
  desk.SetUp();
  const HelpDeskId id = desk.In(State::kVerifying);
  const std::string code = desk.Code(0);
  SECTION("reset") {
    REQUIRE(desk.factors->Reset(desk.admin, desk.alice));
    CHECK(desk.Verify(id, AppDesk::Read(code)).error().code == ErrorCode::kConflict);
  }
  SECTION("a row that was copied") {
    desk.service.reset();
    desk.outbox.reset();
    desk.Tamper("UPDATE factors SET account_id = '" + desk.admin.id.Hex() + "'");
    desk.Start();
    Person& boss = desk.directory.At(desk.admin.id).detail.person;
    boss.employee_id = "E 1";
    const auto opened =
        desk.service->Open(desk.agent, {desk.admin.id, "forgot it on holiday", "INC-1"});
    REQUIRE(opened);
    REQUIRE(desk.Choose(opened->id, HelpDeskProcess::kUnlock));
    CHECK(desk.Verify(opened->id, AppDesk::Read(code)).error().code == ErrorCode::kInternal);
  }
}

TEST_CASE("for privileged people the code of an app alone does not suffice") {
  HelpDeskConfig config;
  config.privileged_groups = {"CN=VIP,OU=Groups,DC=corp,DC=example"};
  AppDesk desk(config);
  desk.SetUp();
  desk.directory.At(desk.alice).groups = {"CN=VIP,OU=Groups,DC=corp,DC=example"};
  const HelpDeskId id = desk.In(State::kVerifying);
  REQUIRE(desk.Verify(id, AppDesk::Read(desk.Code(0))).value());
  CHECK(desk.Row(id).state == State::kVerifying);
  CHECK(desk.service->Get(desk.agent, id)->needs_strong);
  REQUIRE(desk.Verify(id, Desk::Seen()).value());
  CHECK(desk.Row(id).state == State::kVerified);
}

// Codes by SMS: to which number, how many, and what nobody sees of them.
#include <thread>

#include "help_desk_rig.h"
#include "telephone.h"

using namespace keyferry;
using namespace keyferry::server;
using namespace keyferry::server::testing;

using State = HelpDeskState;

namespace {

HelpDeskConfig WithSms() {
  HelpDeskConfig config;
  config.points[static_cast<std::size_t>(HelpDeskMethod::kSmsCode)] = 1;
  config.sms.phone.country_code = "380";
  config.sms.text = "{{code}} for {{agent}}, {{login}}, {{minutes}} min";
  return config;
}

// The desk with a gateway, and a mobile number of Alice.
struct SmsDesk : Desk {
  explicit SmsDesk(HelpDeskConfig wanted = WithSms()) : Desk(std::move(wanted)) {
    directory.mobiles[alice] = {"067 123-45 42"};
    Connected();
  }
  void Connected() {
    gateway = &telephone;
    Start();
  }
  Result<void> Send(const HelpDeskId& id) { return service->SendSms(agent, id, At(id)); }
  HelpDeskOffer Offer(const HelpDeskId& id) {
    const auto view = service->Get(agent, id);
    REQUIRE(view);
    return view->offers.at(static_cast<std::size_t>(HelpDeskMethod::kSmsCode));
  }
  static HelpDeskAnswer Said(std::string_view code) {
    HelpDeskAnswer answer = Coded(code);
    answer.method = HelpDeskMethod::kSmsCode;
    return answer;
  }
  Telephone telephone;
};

}  // namespace

TEST_CASE("a code by SMS goes to the directory's number, works once, and is seen by nobody else") {
  SmsDesk desk;
  const std::uint64_t before = desk.AuditHead();
  const HelpDeskId id = desk.In(State::kVerifying);
  CHECK(desk.Offer(id).shown == "••• 42");
  CHECK(desk.Verify(id, SmsDesk::Said("12345678")).error().code == ErrorCode::kInvalidArgument);
  REQUIRE(desk.Send(id));
  CHECK(desk.telephone.numbers == std::vector<std::string>{"+380671234542"});
  const std::string code = desk.telephone.Code();
  CHECK(desk.telephone.texts.back() ==
        code.substr(0, 4) + " " + code.substr(4) + " for agent, alice, 10 min");
  CHECK(desk.Offer(id).sent_until == desk.Row(id).expires);
  CHECK_FALSE(desk.Verify(id, SmsDesk::Said(code == "00000000" ? "00000001" : "00000000")).value());
  // A code of one way is none of the other.
  REQUIRE(desk.service->SendCode(desk.agent, id, desk.At(id)));
  CHECK_FALSE(desk.Verify(id, Desk::Coded(code)).value());
  REQUIRE(desk.Verify(id, SmsDesk::Said(code.substr(0, 4) + " " + code.substr(4))).value());
  CHECK(desk.Verify(id, SmsDesk::Said(code)).error().code == ErrorCode::kConflict);
  CHECK(desk.Row(id).state == State::kVerifying);  // one point of two
  const auto rows = desk.store->AuditAfter(before, 100);
  REQUIRE(rows);
  for (const auto& row : *rows) {
    for (const std::string& secret : {code, code.substr(0, 4) + " " + code.substr(4),
                                      std::string("67123"), std::string("123-45")}) {
      CHECK(row.entry.detail.find(secret) == std::string::npos);
    }
  }
  REQUIRE(desk.Verify(id, Desk::Told("E 4711")).value());
  CHECK(desk.Row(id).state == State::kVerified);
  desk.StopStore();
  CHECK(
      desk.database.Text("SELECT MAX(code_hash) FROM help_desk_attempts WHERE method = 'sms_code'")
          .empty());
}

TEST_CASE("a code by SMS lives as long as its request, and the newest one counts") {
  SmsDesk desk;
  const HelpDeskId id = desk.In(State::kVerifying);
  REQUIRE(desk.Send(id));
  const std::string first = desk.telephone.Code();
  REQUIRE(desk.Send(id));
  const std::string second = desk.telephone.Code();
  CHECK(first != second);  // 1 in 10^8
  CHECK_FALSE(desk.Verify(id, SmsDesk::Said(first)).value());
  desk.clock.Advance(std::chrono::seconds(desk.config.request_seconds));
  CHECK(IsMoved(desk.Verify(id, SmsDesk::Said(second)).error()));
  CHECK(desk.Row(id).state == State::kExpired);
}

TEST_CASE("without a gateway, or one number that can be dialled, no code goes by SMS") {
  SmsDesk desk;
  auto& numbers = desk.directory.mobiles[desk.alice];
  const HelpDeskId id = desk.In(State::kVerifying);
  const auto why = [&] {
    const auto sent = desk.Send(id);
    REQUIRE_FALSE(sent);
    CHECK(sent.error().code == ErrorCode::kConflict);
    CHECK(desk.Offer(id).unavailable == sent.error().message);
    CHECK(desk.Offer(id).shown.empty());
    CHECK(desk.telephone.numbers.empty());
    return sent.error().message;
  };
  SECTION("none") {
    numbers.clear();
    CHECK_THAT(why(), Catch::Contains("no mobile number"));
  }
  SECTION("two") {
    numbers.push_back("+380501112233");
    CHECK_THAT(why(), Catch::Contains("more than one"));
  }
  SECTION("none that is a number") {
    numbers = {"067 123 45 42 ext 7"};
    CHECK_THAT(why(), Catch::Contains("none that a code could go to"));
  }
  SECTION("no gateway") {
    desk.gateway = nullptr;
    desk.Start();
    CHECK_THAT(why(), Catch::Contains("No SMS gateway"));
  }
}

TEST_CASE("the gateway is down: no code is out, no attempt is lost") {
  SmsDesk desk;
  const HelpDeskId id = desk.In(State::kVerifying);
  desk.telephone.down = true;
  CHECK(desk.Send(id).error().code == ErrorCode::kUnavailable);
  CHECK(desk.Offer(id).sent == 0);
  CHECK(desk.Offer(id).left == 3);
  desk.telephone.down = false;
  REQUIRE(desk.Send(id));
  REQUIRE(desk.Send(id));
  CHECK(desk.Send(id).error().code == ErrorCode::kRateLimited);
  CHECK(desk.telephone.numbers.size() == 2);
}

TEST_CASE("codes by SMS of one person are limited in a day, whatever request they are of") {
  HelpDeskConfig config = WithSms();
  config.sms.per_person_day = 3;
  SmsDesk desk(config);
  const auto another = [&](bool last) {
    const HelpDeskId id = desk.In(State::kVerifying);
    const auto sent = desk.Send(id);
    CHECK(sent.has_value() != last);
    if (!sent) {
      CHECK(sent.error().code == ErrorCode::kRateLimited);
      CHECK_THAT(sent.error().message, Catch::Contains("3 codes"));
    }
    // An answer is no code; a code that was answered is one all the same.
    if (sent) REQUIRE(desk.Verify(id, SmsDesk::Said(desk.telephone.Code())).value());
    REQUIRE(desk.service->Cancel(desk.agent, id, desk.At(id)));
  };
  for (int i = 0; i < 3; ++i) another(false);
  const std::uint64_t before = desk.AuditHead();
  another(true);
  const auto audited = desk.Audited(before);
  CHECK(std::find(audited.begin(), audited.end(), "limit rate_limited") != audited.end());
  desk.StartAgain();
  another(true);
  desk.clock.Advance(std::chrono::hours(24));
  another(false);
}

TEST_CASE("codes by SMS of everybody are limited in an hour, also twenty at once") {
  HelpDeskConfig config = WithSms();
  config.sms.per_hour = 5;
  SmsDesk desk(config);
  std::vector<std::pair<HelpDeskId, std::uint64_t>> open;
  for (int i = 0; i < 20; ++i) {
    const AccountId person = desk.directory.Add("person" + std::to_string(i));
    desk.directory.mobiles[person] = {"+38067000000" + std::to_string(i % 10)};
    const auto opened = desk.service->Open(desk.agent, {person, "forgot it on holiday", "INC-1"});
    REQUIRE(opened);
    REQUIRE(desk.service->Choose(desk.agent, opened->id, 1, HelpDeskProcess::kUnlock));
    open.emplace_back(opened->id, desk.At(opened->id));
  }
  std::atomic<int> sent{0}, refused{0};
  std::vector<std::thread> threads;
  for (const auto& [id, version] : open) {
    threads.emplace_back([&, id = id, version = version] {
      const auto done = desk.service->SendSms(desk.agent, id, version);
      if (done) ++sent;
      if (!done && done.error().code == ErrorCode::kRateLimited) ++refused;
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(sent == 5);
  CHECK(refused == 15);
  CHECK(desk.telephone.numbers.size() == 5);
  desk.clock.Advance(std::chrono::minutes(59));
  // The requests are over by now; the limit is not.
  const auto late = [&] {
    const AccountId person =
        desk.directory.Add("late" + std::to_string(desk.directory.mobiles.size()));
    desk.directory.mobiles[person] = {"+380670000099"};
    const auto opened = desk.service->Open(desk.agent, {person, "forgot it on holiday", "INC-1"});
    REQUIRE(opened);
    REQUIRE(desk.service->Choose(desk.agent, opened->id, 1, HelpDeskProcess::kUnlock));
    return desk.service->SendSms(desk.agent, opened->id, desk.At(opened->id));
  };
  CHECK(late().error().code == ErrorCode::kRateLimited);
  desk.clock.Advance(std::chrono::minutes(2));
  CHECK(late());
}

TEST_CASE("for a privileged person no code by SMS suffices, nor with a call and a mail") {
  HelpDeskConfig config = WithSms();
  config.privileged_groups = {"CN=Bosses,DC=corp,DC=example"};
  config.points.fill(10);
  SmsDesk desk(config);
  desk.directory.At(desk.alice).groups = {"cn=bosses, dc=corp,dc=example"};
  const HelpDeskId id = desk.In(State::kVerifying);
  REQUIRE(desk.Send(id));
  REQUIRE(desk.Verify(id, SmsDesk::Said(desk.telephone.Code())).value());
  REQUIRE(desk.Verify(id, Desk::Called(true)).value());
  REQUIRE(desk.service->SendCode(desk.agent, id, desk.At(id)));
  REQUIRE(desk.Verify(id, Desk::Coded(desk.box.Code())).value());
  CHECK(desk.Row(id).state == State::kVerifying);
  CHECK(desk.service->Get(desk.agent, id)->needs_strong);
}

// Notices: who is told of what, and that no crash loses one.

#include "notice_rig.h"
#include "telephone.h"

using namespace keyferry;
using namespace keyferry::server;
using namespace keyferry::server::testing;

TEST_CASE("notice: whose password was set is told who did it, when, from where and why") {
  Told told;
  REQUIRE(told.Change(told.alice, "key-00000001"));
  CHECK(told.post.mails.empty());  // nothing waits for a mail server
  told.service->Tick();
  REQUIRE(told.post.mails.size() == 1);
  const Post::Mail& mail = told.post.mails.front();
  CHECK(mail.to == "alice@corp.example");
  CHECK(mail.subject == "alice: act password_set");
  CHECK(mail.text.find("Person alice|2027-01-15 08:00 UTC|boss|192.0.2.1|–|") == 0);
  CHECK(mail.text.find("|72|https://keys.example:8443/not-me?t=") != std::string::npos);
  CHECK(mail.text.find(told.AdPassword()) == std::string::npos);
  CHECK(told.Newest().person == NoticeRecord::Mail::kSent);
  CHECK(told.Newest().manager == NoticeRecord::Mail::kNone);
  told.service->Tick();
  CHECK(told.post.mails.size() == 1);
  CHECK(told.Audited("notice.mail").front() == "ok system alice");
}

TEST_CASE("notice: the manager is told too, without a link, unless it is switched off") {
  Told told;
  const AccountId manager = told.directory.Add("manager");
  told.directory.At(manager).detail.person.mail = "manager@corp.example";
  told.directory.managers[told.alice] = manager;
  told.Changed();
  CHECK(told.To("alice@corp.example") == 1);
  REQUIRE(told.To("manager@corp.example") == 1);
  const Post::Mail& mail = told.post.mails.back();
  CHECK(mail.subject == "Person alice: act password_set");
  CHECK(mail.text.find("Person manager|alice|boss|") == 0);
  CHECK(mail.text.find("not-me") == std::string::npos);
  CHECK(told.Newest().manager == NoticeRecord::Mail::kSent);

  told.Bring();
  told.config.managers = false;
  told.Start();
  told.Changed("key-00000002");
  CHECK(told.To("manager@corp.example") == 1);

  told.Bring();
  // Two accounts with one mailbox: told once.
  told.config.managers = true;
  told.directory.At(manager).detail.person.mail = "Alice@corp.example";
  told.Start();
  told.Changed("key-00000003");
  CHECK(told.To("Alice@corp.example") == 0);
}

TEST_CASE("notice: what does not happen is not told of, and a crash loses none") {
  Told told;
  const std::size_t before = told.Notices().size();
  told.directory.script = {Write::kPolicy};
  CHECK_FALSE(told.Change(told.alice, "key-00000001"));
  CHECK(told.Notices().size() == before);

  told.directory.script = {Write::kCrashAfter};
  CHECK_THROWS_AS(told.Change(told.alice, "key-00000002"), Crash);
  CHECK(told.Notices().size() == before);
  told.StartAgain();
  told.changes->Reconcile();
  REQUIRE(told.Notices().size() == before + 1);
  CHECK(told.Newest().by == "boss");
  CHECK(told.Newest().address == "192.0.2.1");
  told.StartAgain();  // between the change and its mail
  told.service->Tick();
  CHECK(told.To("alice@corp.example") == 1);
}

TEST_CASE("notice: a change that waits for its key is told of before anything is set") {
  Told told;
  told.Unplug();
  REQUIRE(told.ChangeAtDelivery("key-00000001"));
  CHECK(told.Newest().kind == NoticeKind::kPasswordWaits);
  told.Plug();
  told.Bring();
  CHECK(told.Newest().kind == NoticeKind::kPasswordSet);

  // A policy's are announced beforehand; told of is what was done.
  Actor policy;
  policy.login = "policy yearly";
  policy.roles = Role::kAdministrator;
  ChangeRequest request = told.Request(told.alice, "key-00000002");
  request.mode = ChangeMode::kAtDelivery;
  told.Unplug();
  const std::size_t before = told.Notices().size();
  REQUIRE(told.changes->Start(policy, std::move(request)));
  CHECK(told.Notices().size() == before);
}

TEST_CASE("notice: keys that come, go and come back are told of") {
  Told told;
  const auto step = [&](KeyStep what) {
    REQUIRE(told.keys->Step(told.admin, DeviceId{told.key.device_id}, what, "left it on a train"));
    return told.Newest();
  };
  CHECK(step(KeyStep::kSuspend).kind == NoticeKind::kKeyOut);
  CHECK(step(KeyStep::kResume).kind == NoticeKind::kKeyResumed);
  const NoticeRecord lost = step(KeyStep::kCompromise);
  CHECK(lost.kind == NoticeKind::kKeyOut);
  CHECK(lost.device.Hex() == DeviceId{told.key.device_id}.Hex());
  CHECK(lost.reason == "left it on a train");
  CHECK(lost.by == "boss");
  TestKey other(told.maker);
  told.Enrol(other, told.alice, *told.desk);
  CHECK(told.Newest().kind == NoticeKind::kKeyAdded);
  CHECK(told.Newest().by == "boss");
  CHECK(told.Newest().device == DeviceId{other.device_id});

  TestKey third(told.maker);
  REQUIRE(told.Sees(*told.desk, {&other, &third}, 0));
  const auto begun = told.keys->BeginEnrolment(told.admin, told.alice, DeviceId{third.device_id},
                                               told.desk->id, std::nullopt);
  REQUIRE(begun);
  REQUIRE(told.keys->ClearEnrolment(told.admin, begun->id, "wrong person"));
  CHECK(told.Newest().kind == NoticeKind::kEnrolmentCleared);
  CHECK(told.Newest().device == DeviceId{third.device_id});
  CHECK(told.Newest().reason == "wrong person");
}

TEST_CASE("notice: an unlock and a must-change of the help desk are told of") {
  Desk desk;
  const auto serve = [&](HelpDeskProcess process) {
    const HelpDeskId id = desk.Opened();
    REQUIRE(desk.Choose(id, process));
    REQUIRE(desk.Verify(id, Desk::Seen()));
    REQUIRE(desk.service->Act(desk.agent, id, desk.At(id)));
    REQUIRE(desk.service->Confirm(desk.agent, id, desk.At(id)));
    return desk.store->NoticesOf(desk.alice, 1)->front();
  };
  const NoticeRecord unlocked = serve(HelpDeskProcess::kUnlock);
  CHECK(unlocked.kind == NoticeKind::kUnlocked);
  CHECK(unlocked.by == "agent");
  CHECK(unlocked.address == "192.0.2.7");
  CHECK(unlocked.reason == "INC-1: forgot it on holiday");
  CHECK(serve(HelpDeskProcess::kMustChange).kind == NoticeKind::kMustChange);
  const NoticeRecord reset = serve(HelpDeskProcess::kReset);
  CHECK(reset.kind == NoticeKind::kPasswordSet);
  CHECK(reset.reason == "INC-1: forgot it on holiday");
}

TEST_CASE("notice: while the mail server is away nothing is lost, and it is not asked in a row") {
  Told told;
  told.post.script = {ErrorCode::kUnavailable, ErrorCode::kUnavailable};
  REQUIRE(told.Change(told.alice, "key-00000001"));
  told.service->Tick();
  CHECK(told.Newest().person == NoticeRecord::Mail::kWaiting);
  CHECK(told.Newest().last_error == "The mail server said no.");
  told.service->Tick();  // not yet
  CHECK(told.post.script.size() == 1);
  told.clock.Advance(std::chrono::seconds(10));
  told.service->Tick();
  CHECK(told.post.script.empty());
  told.clock.Advance(std::chrono::seconds(10));
  told.service->Tick();  // the pause has doubled
  CHECK(told.post.mails.empty());
  told.clock.Advance(std::chrono::seconds(10));
  told.service->Tick();
  CHECK(told.To("alice@corp.example") == 1);
  CHECK(told.Newest().attempts == 3);
  CHECK(told.Newest().last_error.empty());
}

TEST_CASE("notice: it is given up after days, and that is audited") {
  Told told;
  REQUIRE(told.Change(told.alice, "key-00000001"));
  told.directory.down = true;
  told.service->Tick();
  CHECK(told.Newest().person == NoticeRecord::Mail::kWaiting);
  told.clock.Advance(std::chrono::hours(73));
  told.service->Tick();
  CHECK(told.Newest().person == NoticeRecord::Mail::kFailed);
  CHECK(told.Audited("notice.mail").front() == "failed system alice");
  told.directory.down = false;
  told.clock.Advance(std::chrono::hours(1));
  told.service->Tick();
  CHECK(told.post.mails.empty());
}

TEST_CASE("notice: who has no address, or where there is no mail server, is not waited for") {
  Told told;
  told.directory.At(told.alice).detail.person.mail = "not an address";
  REQUIRE(told.Change(told.alice, "key-00000001"));
  told.service->Tick();
  CHECK(told.Newest().person == NoticeRecord::Mail::kNone);
  CHECK(told.Audited("notice.mail").front() == "invalid system alice");

  Told silent(false);
  REQUIRE(silent.Change(silent.alice, "key-00000001"));
  silent.service->Tick();
  CHECK(silent.Newest().person == NoticeRecord::Mail::kNone);
  CHECK(silent.store->NoticesDue(silent.clock.UnixMillis(), 10)->empty());

  NoticeConfig off;
  off.on = false;
  Told quiet(true, off);
  REQUIRE(quiet.Change(quiet.alice, "key-00000001"));
  quiet.service->Tick();
  CHECK(quiet.post.mails.empty());
}

namespace {

// What is told, with a gateway, and a mobile number of Alice.
struct Texted : Told {
  explicit Texted(bool mail = true) : Told(mail) {
    config.sms_text = "{{login}}: {{what}} by {{by}}, {{when}} {{link}}";
    config.phone.country_code = "380";
    config.sms_per_person_day = 2;
    config.sms_per_hour = 3;
    directory.mobiles[alice] = {"067 123-45 42"};
    gateway = &telephone;
    Start();
  }
  Telephone telephone;
};

}  // namespace

TEST_CASE("notice: who has a mobile number is told by SMS as well, with the same link") {
  for (const bool mail : {true, false}) {
    Texted told(mail);
    REQUIRE(told.Change(told.alice, "key-00000001"));
    CHECK(told.telephone.texts.empty());  // nothing waits for a gateway
    told.service->Tick();
    told.service->Tick();
    REQUIRE(told.telephone.numbers == std::vector<std::string>{"+380671234542"});
    const std::string& text = told.telephone.texts.front();
    const std::string link = "https://keys.example:8443/not-me?t=";
    REQUIRE(text.find("alice: act password_set by boss, 2027-01-15 08:00 UTC " + link) == 0);
    CHECK(told.Newest().sms == NoticeRecord::Mail::kSent);
    CHECK(told.Audited("notice.sms") == std::vector<std::string>{"ok system alice"});
    const std::string detail =
        told.database.Text("SELECT detail FROM audit WHERE action = 'notice.sms'");
    CHECK(detail.find("42") != std::string::npos);
    CHECK(detail.find("12345") == std::string::npos);
    CHECK(told.Object(text.substr(text.find("?t=") + 3)));
    CHECK(told.Newest().stands());
  }
}

TEST_CASE("notice: an SMS waits for its gateway, and keeps no mail waiting") {
  Texted told;
  told.telephone.down = true;
  REQUIRE(told.Change(told.alice, "key-00000001"));
  told.service->Tick();
  CHECK(told.To("alice@corp.example") == 1);
  CHECK(told.Newest().person == NoticeRecord::Mail::kSent);
  CHECK(told.Newest().sms == NoticeRecord::Mail::kWaiting);
  CHECK(told.Newest().last_error == "The SMS gateway does not answer.");
  told.telephone.down = false;
  told.service->Tick();  // not yet
  CHECK(told.telephone.texts.empty());
  told.clock.Advance(std::chrono::seconds(10));
  told.service->Tick();
  CHECK(told.telephone.texts.size() == 1);
  CHECK(told.To("alice@corp.example") == 1);
  CHECK(told.Newest().last_error.empty());

  // It is tried for one of many: a gateway that takes its time takes none of the mails'.
  told.Bring();
  told.telephone.down = true;
  REQUIRE(told.Change(told.alice, "key-00000002"));
  told.Bring();
  REQUIRE(told.Change(told.alice, "key-00000003"));
  told.post.mails.clear();
  told.telephone.tries = 0;
  told.service->Tick();
  CHECK(told.To("alice@corp.example") == 2);
  CHECK(told.telephone.tries == 1);
  told.clock.Advance(std::chrono::hours(73));
  told.service->Tick();
  CHECK(told.Newest().sms == NoticeRecord::Mail::kFailed);
  CHECK(told.Newest().person == NoticeRecord::Mail::kSent);
  CHECK(told.Audited("notice.sms").front() == "failed system alice");
}

TEST_CASE("notice: no SMS without one good number, and so many a day") {
  Texted told;
  int request = 0;
  const auto change = [&] {
    told.Changed("key-0000000" + std::to_string(++request));
    told.Bring();
  };
  for (const std::vector<std::string>& numbers :
       {std::vector<std::string>{}, {"call me"}, {"067 123-45 42", "067 123-45 43"}}) {
    told.directory.mobiles[told.alice] = numbers;
    change();
    CHECK(told.Newest().sms == NoticeRecord::Mail::kNone);
  }
  CHECK(told.telephone.texts.empty());
  told.directory.mobiles[told.alice] = {"067 123-45 42"};
  for (int i = 0; i < 3; ++i) change();
  CHECK(told.telephone.texts.size() == 2);
  CHECK(told.Newest().sms == NoticeRecord::Mail::kNone);
  CHECK(told.Newest().person == NoticeRecord::Mail::kSent);
}

TEST_CASE("notice: the link is in no row of the database") {
  Told told;
  const std::string token = told.Changed();
  const std::string mac = token.substr(12);
  CHECK(told.store->MailsDue(told.clock.UnixMillis(), 10)->empty());
  CHECK(told.database.Text("SELECT COUNT(*) FROM mails") == "0");
  const auto found = told.database.Search(mac);
  CHECK(found.files != 0);
  CHECK(found.with.empty());
}

TEST_CASE("a workstation that sees a key of the person is told at once, others with the key") {
  Told told;
  auto other = told.AddWorkstation("desk-2");
  REQUIRE(told.Change(told.alice, "key-00000001"));
  CHECK(told.desk->Named("notice").empty());
  told.service->Tick();
  REQUIRE(told.desk->Named("notice").size() == 1);
  const std::string data = told.desk->Named("notice").front();
  CHECK(Member(data, "login") == "alice");
  CHECK(Member(data, "kind") == "password_set");
  CHECK(Member(data, "by") == "boss");
  told.service->Tick();
  CHECK(told.desk->Named("notice").size() == 1);
  CHECK(other->Named("notice").empty());
  told.Unplug();
  REQUIRE(told.Sees(*other, {&told.key}));
  CHECK_FALSE(other->Named("notice").empty());
  // What is too old, or was objected to, is not shown anew.
  told.Unplug();
  REQUIRE(told.Sees(*other, {}));
  other->Forget();
  told.clock.Advance(std::chrono::hours(73));
  REQUIRE(told.Sees(*other, {&told.key}));
  CHECK(other->Named("notice").empty());
}

TEST_CASE("notices are forgotten in time, but for what stands") {
  Told told;
  REQUIRE(told.Object(told.Changed()));
  REQUIRE(told.Notices().size() > 1);
  told.clock.Advance(std::chrono::hours(24 * 91));
  told.service->Tick();
  REQUIRE(told.Notices().size() == 1);
  CHECK(told.Newest().stands());
}

TEST_CASE("the acts of notices are all there, each once, or the file is refused") {
  std::string all;
  for (int i = 0; i <= static_cast<int>(kLastNoticeKind); ++i) {
    all += std::string(Name(static_cast<NoticeKind>(i))) + ": It was done.\n";
  }
  REQUIRE(NoticeTexts::ParseActs(all));
  CHECK(NoticeTexts::ParseActs(all)->at("unlocked") == "It was done.");
  CHECK_FALSE(NoticeTexts::ParseActs(""));
  CHECK_FALSE(NoticeTexts::ParseActs(all.substr(all.find('\n') + 1)));
  CHECK_FALSE(NoticeTexts::ParseActs(all + "unlocked: Again.\n"));
  CHECK_FALSE(NoticeTexts::ParseActs(all + "other: What.\n"));
  CHECK_FALSE(NoticeTexts::ParseActs(all + "no colon\n"));
  CHECK_FALSE(NoticeTexts::ParseActs(all + "bad: \x01\n"));
}

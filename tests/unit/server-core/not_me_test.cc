// "This was not me": what it stops, for whom the link is good, and who lifts it.
#include <algorithm>
#include <atomic>
#include <thread>

#include "notice_rig.h"
#include "server/core/notice_link.h"

using namespace keyferry;
using namespace keyferry::server;
using namespace keyferry::server::testing;

namespace {

constexpr std::int64_t kHour = 3'600'000;

}  // namespace

TEST_CASE("not me: the link looks without doing, and does once") {
  Told told;
  const std::string token = told.Changed();
  for (int i = 0; i < 3; ++i) {
    const auto seen = told.service->Look(token);
    REQUIRE(seen);
    CHECK(seen->by == "boss");
  }
  CHECK(told.Key(told.alice).state == KeyState::kActive);
  REQUIRE(told.Object(token));
  CHECK(told.Newest().objected_from == "link, 198.51.100.7");
  CHECK(told.Audited("notice.object") == std::vector<std::string>{"ok alice alice"});
  const auto again = told.Object(token);
  REQUIRE_FALSE(again);
  CHECK(again.error().code == ErrorCode::kNotFound);
  CHECK_FALSE(told.service->Look(token));
}

TEST_CASE("not me: links that are made up, altered, of another or too old get one answer") {
  Told told;
  const std::string token = told.Changed();
  std::vector<std::string> bad = {"",
                                  "x",
                                  std::string(54, 'A'),
                                  std::string(54, '-'),
                                  token + "A",
                                  token.substr(1),
                                  std::string(53, 'A') + "=",
                                  "%00"};
  for (std::size_t i = 0; i < token.size(); ++i) {
    std::string altered = token;
    altered[i] = altered[i] == 'x' ? 'y' : 'x';
    bad.push_back(altered);
  }
  const auto unknown = told.service->Look(std::string(54, 'A'));
  REQUIRE_FALSE(unknown);
  for (const std::string& one : bad) {
    INFO(one);
    const auto answer = told.service->Look(one);
    REQUIRE_FALSE(answer);
    CHECK(answer.error().code == ErrorCode::kNotFound);
    CHECK(answer.error().message == unknown.error().message);
  }
  // The same number in a database that was put back from a backup is another notice.
  NoticeRecord moved = told.Newest();
  ++moved.created;
  CHECK_FALSE(*IsTokenOf(*told.issuer, moved, token));
  told.clock.Advance(std::chrono::milliseconds(72 * kHour - 1));
  CHECK(told.service->Look(token));
  told.clock.Advance(std::chrono::milliseconds(1));
  const auto late = told.Object(token);
  REQUIRE_FALSE(late);
  CHECK(late.error().message == unknown.error().message);
  CHECK(told.Key(told.alice).state == KeyState::kActive);
}

TEST_CASE("not me: wrong links of an address are counted, across a restart") {
  Told told;
  const std::string token = told.Changed();
  for (std::uint32_t i = 0; i < told.config.wrong_links; ++i) {
    CHECK(told.Object(std::string(54, 'A')).error().code == ErrorCode::kNotFound);
  }
  told.StartAgain();
  CHECK(told.Object(token).error().code == ErrorCode::kRateLimited);
  CHECK(told.Object(std::string(54, 'A')).error().code == ErrorCode::kRateLimited);
  CHECK(told.Object(token, "203.0.113.9"));  // others are not kept waiting
}

TEST_CASE(
    "not me: the keys are suspended, nothing is handed out, and the administrators are told") {
  Told told;
  told.Unplug();
  const std::string token = told.Changed();
  REQUIRE(told.Object(token));
  CHECK(told.Key(told.alice).state == KeyState::kSuspended);
  told.service->Tick();
  told.outbox->Tick();
  CHECK(told.To("boss@corp.example") == 1);
  CHECK(told.To("security@corp.example") == 1);
  CHECK(told.post.mails.back().text.find("link, 198.51.100.7|https://keys.example:8443/reports") !=
        std::string::npos);
  const int asked = told.officers.asked;
  told.service->Tick();
  told.outbox->Tick();
  CHECK(told.To("boss@corp.example") == 1);
  CHECK(told.officers.asked == asked);  // not at every look

  told.Plug();
  CHECK(told.desk->Named("job").empty());
  CHECK_FALSE(told.store->TakeReady(DeviceId{told.key.device_id}, 1)->has_value());
}

TEST_CASE("not me: what a workstation has spooled is taken back from it") {
  Told told;
  const std::string token = told.Changed();
  REQUIRE(told.desk->Named("job").size() == 1);
  told.desk->Forget();
  REQUIRE(told.Object(token));
  CHECK(told.desk->Named("void").size() == 1);
  REQUIRE(told.desk->Named("key").size() == 1);
  CHECK(Member(told.desk->Named("key").front(), "state") == "suspended");
}

TEST_CASE("not me: nothing is set, resumed or enrolled for the person, by whatever way") {
  Told told;
  REQUIRE(told.Object(told.Changed()));
  const DeviceId device{told.key.device_id};
  const auto refused = [](const auto& result) {
    REQUIRE_FALSE(result);
    CHECK(result.error().code == ErrorCode::kConflict);
    CHECK(result.error().message == kFrozenAccount);
  };
  refused(told.keys->Step(told.admin, device, KeyStep::kResume, "it was them"));
  for (const ChangeMode mode : {ChangeMode::kNow, ChangeMode::kAtDelivery}) {
    ChangeRequest request = told.Request(told.alice, "key-00000002");
    request.mode = mode;
    refused(told.changes->Start(told.admin, std::move(request)));
  }
  CHECK(told.changes->Check(told.admin, told.alice)->reason == kFrozenAccount);
  TestKey other(told.maker);
  REQUIRE(told.Sees(*told.desk, {&told.key, &other}, 0));
  refused(told.keys->BeginEnrolment(told.admin, told.alice, DeviceId{other.device_id},
                                    told.desk->id, std::nullopt));
  // One that was cleared just before is stopped by the store itself.
  ChangeRecord late;
  late.id.bytes.fill(1);
  late.account = told.alice;
  late.login = "alice";
  late.actor = told.admin.id;
  late.idempotency_key = "key-00000003";
  late.mode = ChangeMode::kAtDelivery;
  refused(told.store->BeginWaiting(late, AuditEntry{}, {}));
  CHECK(told.directory.writes == 1);
  // Others are not stopped.
  const AccountId bob = told.directory.Add("bob");
  CHECK(told.store->IsFrozen(bob).value() == false);
}

TEST_CASE("not me: the help desk does not go on either") {
  Desk desk;
  const HelpDeskId id = desk.Opened();
  REQUIRE(desk.Choose(id, HelpDeskProcess::kUnlock));
  REQUIRE(desk.Verify(id, Desk::Seen()));
  AuditEntry told;
  told.action = "test";
  told.outcome = "ok";
  told.notice = NoticeDraft{NoticeKind::kPasswordSet, desk.alice, "alice", {}, "x", {}, {}, {}};
  REQUIRE(desk.store->AppendAudit(told));
  const std::uint64_t number = desk.store->NoticesOf(desk.alice, 1)->front().number;
  REQUIRE(desk.store->ObjectTo(number, "test", 1, AuditEntry{}));
  const auto acted = desk.service->Act(desk.agent, id, desk.At(id));
  REQUIRE_FALSE(acted);
  CHECK(acted.error().message == kFrozenAccount);
  CHECK(desk.directory.unlocks == 0);
}

TEST_CASE("not me: a change that waits for its key is over, and the old password stays") {
  Told told;
  const std::string before = told.AdPassword();
  told.Unplug();
  REQUIRE(told.ChangeAtDelivery("key-00000001"));
  told.service->Tick();
  REQUIRE(told.Object(told.Token()));
  CHECK(told.Newest().stands());
  CHECK(told.Office::Newest(told.alice).state == ChangeState::kFailed);
  told.Plug();
  told.changes->Reconcile();
  CHECK(told.AdPassword() == before);
  CHECK(told.desk->Named("job").empty());
}

TEST_CASE("not me: one that is prepared on the key does not reach the directory") {
  Told told;
  const std::string before = told.AdPassword();
  REQUIRE(told.ChangeAtDelivery("key-00000001"));
  told.Proceed();
  REQUIRE(told.desk->Named("job").size() == 1);  // the HOLD
  told.service->Tick();
  REQUIRE(told.Object(told.Token()));
  told.Bring();
  told.changes->Reconcile();
  CHECK(told.AdPassword() == before);
  CHECK(told.directory.writes == 0);
}

TEST_CASE("not me: a server that dies right after the word was taken leaves nothing undone") {
  Told told;
  const std::string token = told.Changed();
  const NoticeRecord notice = told.Newest();
  REQUIRE(told.store->ObjectTo(notice.number, "link, x", told.clock.UnixMillis(), AuditEntry{}));
  CHECK(told.Key(told.alice).state == KeyState::kActive);
  told.desk->Forget();
  told.StartAgain();
  CHECK(told.desk->Named("job").empty());  // the row alone stops what is handed out
  told.service->Tick();
  told.outbox->Tick();
  CHECK(told.Key(told.alice).state == KeyState::kSuspended);
  CHECK(told.To("boss@corp.example") == 1);
  told.StartAgain();
  told.service->Tick();
  told.outbox->Tick();
  CHECK(told.To("boss@corp.example") == 1);
}

TEST_CASE("not me: sessions end, and those that the person begins afterwards stay") {
  Told told;
  const auto session = [&](const char* token) {
    StoredSession stored;
    stored.token_hash = Sha256(std::string_view(token));
    OsRandom().Fill(stored.session.id.bytes);
    stored.session.actor = told.admin;
    stored.session.actor.id = told.alice;
    stored.session.created = told.clock.UnixSeconds();
    stored.session.expires = stored.session.idle_until = stored.session.created + 3600;
    stored.session.checked = stored.session.created;
    REQUIRE(told.store->AddSession(stored, stored.session.created, {}, AuditEntry{}));
  };
  const std::string token = told.Changed();
  session("before");
  REQUIRE(told.Object(token));
  CHECK(told.store->Sessions(told.clock.UnixSeconds())->empty());
  told.clock.Advance(std::chrono::seconds(2));
  session("after");
  told.StartAgain();
  told.service->Tick();
  CHECK(told.store->Sessions(told.clock.UnixSeconds())->size() == 1);
}

TEST_CASE("not me: twenty at once are one") {
  Told told;
  const std::string token = told.Changed();
  std::atomic<int> taken{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 20; ++i) {
    threads.emplace_back([&, i] {
      if (told.Object(token, "198.51.100." + std::to_string(i))) ++taken;
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(taken == 1);
  const std::vector<std::string> said = told.Audited("notice.object");
  CHECK(std::count(said.begin(), said.end(), "ok alice alice") == 1);
  CHECK(told.Audited("key.suspend").size() == 1);
}

TEST_CASE("an objection is lifted by an administrator who has no part in it") {
  Told told;
  REQUIRE(told.Object(told.Changed()));
  const std::uint64_t number = told.Newest().number;
  const auto refused = [&](const Actor& actor) {
    const auto lifted = told.service->Lift(actor, number);
    REQUIRE_FALSE(lifted);
    return lifted.error().code;
  };
  CHECK(refused(told.admin) == ErrorCode::kPermissionDenied);  // who set the password
  Actor alice = told.Colleague("other");
  alice.id = told.alice;
  alice.login = "alice";
  CHECK(refused(alice) == ErrorCode::kPermissionDenied);
  Actor officer = told.Colleague("officer");
  officer.roles = Role::kKeyOfficer;
  CHECK(refused(officer) == ErrorCode::kPermissionDenied);
  // A second account of who did it.
  told.directory.At(told.admin.id).detail.person.employee_id = "17";
  const Actor second = told.Colleague("boss-adm");
  told.directory.At(second.id).detail.person.employee_id = "17";
  CHECK(refused(second) == ErrorCode::kPermissionDenied);
  CHECK(told.Audited("objection.lift").size() == 3);
  CHECK(told.service->Standing(told.admin)->size() == 1);

  const Actor other = told.Colleague("deputy");
  CHECK(told.service->Lift(other, number + 100).error().code == ErrorCode::kNotFound);
  REQUIRE(told.service->Lift(other, number));
  CHECK(told.service->Lift(other, number).error().code == ErrorCode::kConflict);
  CHECK(told.service->Standing(told.admin)->empty());
  CHECK_FALSE(told.service->IsFrozen(told.alice).value());

  // The keys stay suspended until each is resumed; then what waited arrives.
  CHECK(told.Key(told.alice).state == KeyState::kSuspended);
  told.service->Tick();
  told.desk->Forget();
  REQUIRE(told.keys->Step(other, DeviceId{told.key.device_id}, KeyStep::kResume, "cleared up"));
  CHECK(told.desk->Named("job").size() == 1);
  CHECK(told.Bring().kind == ReceiptVerdict::kStored);
}

TEST_CASE("an objection stands while another one of the person does") {
  Told told;
  const std::string first = told.Changed();
  const std::string second = told.Changed("key-00000002");
  REQUIRE(told.Object(first));
  REQUIRE(told.Object(second));
  const Actor other = told.Colleague("deputy");
  const auto standing = told.service->Standing(other).value();
  REQUIRE(standing.size() == 2);
  REQUIRE(told.service->Lift(other, standing[0].number));
  CHECK(told.service->IsFrozen(told.alice).value());
  REQUIRE(told.service->Lift(other, standing[1].number));
  CHECK_FALSE(told.service->IsFrozen(told.alice).value());
}

TEST_CASE("a workstation sees the notices of whose keys are at it, and can object for them alone") {
  Told told;
  REQUIRE(told.Change(told.alice, "key-00000001"));
  const std::uint64_t number = told.Newest().number;
  const auto seen = told.service->At(told.desk->id).value();
  REQUIRE_FALSE(seen.empty());
  CHECK(seen.front().number == number);
  auto other = told.AddWorkstation("desk-2");
  CHECK(told.service->At(other->id)->empty());
  CHECK(told.service->ObjectAt(other->id, number).error().code == ErrorCode::kNotFound);
  CHECK(told.service->ObjectAt(told.desk->id, number + 1000).error().code == ErrorCode::kNotFound);
  told.Unplug();
  CHECK(told.service->ObjectAt(told.desk->id, number).error().code == ErrorCode::kNotFound);
  CHECK_FALSE(told.Newest().stands());
  told.Plug();
  REQUIRE(told.service->ObjectAt(told.desk->id, number));
  CHECK(told.service->ObjectAt(told.desk->id, number));  // an answer that was lost
  CHECK(told.Newest().objected_from == "workstation desk-1");
  CHECK(told.Key(told.alice).state == KeyState::kSuspended);
  CHECK(told.Audited("notice.object") == std::vector<std::string>{"ok workstation desk-1 alice"});
}

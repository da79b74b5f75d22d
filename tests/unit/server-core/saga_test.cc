// The change saga over a real store: from the page to the key, refusals, repeats and races.
#include <catch2/catch.hpp>
#include <thread>

#include "office.h"
#include "server/core/dispatch.h"

using namespace keyferry;
using namespace keyferry::server;
using namespace keyferry::server::testing;

TEST_CASE("a change goes from the page to the key in two transactions") {
  Office office;
  const std::uint64_t before = office.store->Transactions();
  const auto view = office.Change(office.alice, "request-0001");
  REQUIRE(view);
  CHECK(office.store->Transactions() - before == 2);
  CHECK(view->state == ChangeState::kConfirmed);
  CHECK(view->job_state == JobState::kReady);
  CHECK(view->ad_set == office.clock.UnixMillis());
  CHECK(view->server == "ldaps://dc1.corp.example");
  CHECK(view->generated);
  CHECK(office.AdPassword().size() == 24);

  REQUIRE(office.desk->Named("job").size() == 1);
  const auto verdict = office.Deliver(*office.desk, office.key);
  REQUIRE(verdict);
  CHECK(verdict->kind == ReceiptVerdict::kStored);
  CHECK(office.key.password == office.AdPassword());
  CHECK(office.key.login == "alice");

  const ChangeView done = office.Newest(office.alice);
  CHECK(done.state == ChangeState::kDone);
  CHECK(done.job_state == JobState::kDelivered);
  CHECK(done.workstation == "desk-1");
  CHECK(done.receipt_ctr == 2);
  CHECK(done.receipt_hash.size() == 64);
  CHECK(done.delivered != 0);

  REQUIRE(office.keys->Used(office.desk->id, DeviceId{office.key.device_id}, done.seq));
  CHECK(office.Newest(office.alice).job_state == JobState::kUsed);
}

TEST_CASE(
    "whoever watches hears of a change while the directory works on it, or at the latest then") {
  Office office;
  const bool tells = GENERATE(true, false);
  office.directory.tells_sent = tells;
  int heard = 0, meanwhile = -1;
  const auto watching =
      office.bus->Subscribe(AccountTopic(office.alice), [&heard](const BusEvent&) { ++heard; });
  office.directory.on_write = [&] { meanwhile = heard; };
  REQUIRE(office.Change(office.alice, "request-0001"));
  CHECK(meanwhile == (tells ? 1 : 0));
  CHECK(heard == 2);  // under way, and confirmed
}

TEST_CASE("a generated password has every class and no look-alikes, a typed one travels as typed") {
  ChangeConfig config;
  config.allow_typing = true;
  Office office(config);
  REQUIRE(office.Change(office.alice, "request-0001"));
  CHECK(office.AdPassword().find_first_of("0O1lI") == std::string::npos);

  ChangeRequest typed = office.Request(office.alice, "request-0002");
  typed.generate = false;
  typed.typed = SecureBytes::CopyOf(std::string_view("Grüße, neues Passwort 7"));
  REQUIRE(office.changes->Start(office.admin, std::move(typed)));
  CHECK(office.AdPassword() == "Grüße, neues Passwort 7");
  REQUIRE(office.Deliver(*office.desk, office.key));
  CHECK(office.key.password == "Grüße, neues Passwort 7");
}

TEST_CASE("the login that the directory tells now travels, not the one of the enrolment") {
  Office office;
  office.directory.At(office.alice).detail.person.login = "alice.married";
  REQUIRE(office.Change(office.alice, "request-0001"));
  REQUIRE(office.Deliver(*office.desk, office.key));
  CHECK(office.key.login == "alice.married");
  CHECK(office.key.password == office.AdPassword());
}

TEST_CASE("requests that are wrong are refused before anything happens") {
  Office office;
  const auto refused = [&](ChangeRequest request, ErrorCode code) {
    const auto view = office.changes->Start(office.admin, std::move(request));
    REQUIRE_FALSE(view);
    CHECK(view.error().code == code);
    CHECK(office.directory.writes == 0);
  };
  SECTION("short idempotency key") {
    refused(office.Request(office.alice, "short"), ErrorCode::kInvalidArgument);
  }
  SECTION("long reason") {
    auto request = office.Request(office.alice, "request-0001");
    request.reason = std::string(501, 'x');
    refused(std::move(request), ErrorCode::kInvalidArgument);
  }
  SECTION("line break in the reason") {
    auto request = office.Request(office.alice, "request-0001");
    request.reason = "a\nb";
    refused(std::move(request), ErrorCode::kInvalidArgument);
  }
  SECTION("typing where it is not allowed") {
    auto request = office.Request(office.alice, "request-0001");
    request.generate = false;
    request.typed = SecureBytes::CopyOf(std::string_view("typed"));
    refused(std::move(request), ErrorCode::kPermissionDenied);
  }
}

TEST_CASE("preflight refuses with a sentence and an audit row, and leaves the directory alone") {
  Office office;
  AccountState& state = office.directory.At(office.alice).detail.state;
  std::string word;
  Actor actor = office.admin;
  AccountId account = office.alice;
  SECTION("protected") {
    state.is_protected = true;
    state.protected_reason = "member of Domain Admins";
    word = "Domain Admins";
  }
  SECTION("disabled") {
    state.disabled = true;
    word = "disabled";
  }
  SECTION("expired") {
    state.account_expired = true;
    word = "expired";
  }
  SECTION("smart card") {
    state.smartcard_required = true;
    word = "smart card";
  }
  SECTION("oneself") {
    actor.id = office.alice;
    word = "own password";
  }
  SECTION("no role") {
    actor.roles = Role::kNone;
    word = "not allowed";
  }
  SECTION("no key") {
    account = office.directory.Add("bob");
    word = "no active key";
  }
  const auto check = office.changes->Check(actor, account);
  REQUIRE(check);
  CHECK_FALSE(check->allowed);
  CHECK_THAT(check->reason, Catch::Contains(word));
  const auto view = office.changes->Start(actor, office.Request(account, "request-0001"));
  REQUIRE_FALSE(view);
  CHECK_THAT(view.error().message, Catch::Contains(word));
  CHECK(office.directory.writes == 0);
  CHECK(office.audit->List(0, 1).value().front().action == "password.refused");
}

TEST_CASE("whom the actor does not reach is refused in the audit log by their sign-in name") {
  NoGroups groups;
  Office office;
  PeopleConfig config;
  config.scopes.push_back({Role::kAdministrator, {}, {{"alice"}, {}, {}}});
  const auto people = MakePeopleService(office.directory, groups, office.clock, config);
  office.people = people.get();
  office.Reboot();
  const auto refused =
      office.changes->Start(office.admin, office.Request(office.alice, "request-1"));
  REQUIRE_FALSE(refused);
  CHECK(refused.error().code == ErrorCode::kNotFound);
  const auto entry = office.audit->List(0, 1).value().front();
  CHECK(entry.action == "password.refused");
  CHECK(entry.target == "alice");
  CHECK(office.directory.writes == 0);
}

TEST_CASE("preflight says where the key is") {
  Office office;
  auto check = office.changes->Check(office.admin, office.alice);
  REQUIRE(check);
  CHECK(check->allowed);
  CHECK(check->key_seen);
  CHECK(check->seen_at == "desk-1");
  REQUIRE(office.Sees(*office.desk, {}));
  check = office.changes->Check(office.admin, office.alice);
  REQUIRE(check);
  CHECK(check->allowed);
  CHECK_FALSE(check->key_seen);
}

TEST_CASE("what the directory surely refused is failed, and the sealed job is gone") {
  Office office;
  const auto [write, code] = GENERATE(table<Write, ErrorCode>({
      {Write::kPolicy, ErrorCode::kPolicyRefused},
      {Write::kRights, ErrorCode::kPermissionDenied},
      {Write::kUnavailable, ErrorCode::kUnavailable},
  }));
  office.directory.script = {write};
  const std::string before = office.AdPassword();
  const auto view = office.Change(office.alice, "request-0001");
  REQUIRE_FALSE(view);
  CHECK(view.error().code == code);
  const ChangeView failed = office.Newest(office.alice);
  CHECK(failed.state == ChangeState::kFailed);
  CHECK(failed.error == view.error().message);
  CHECK(failed.job_state == JobState::kCancelled);
  CHECK(office.desk->Named("job").empty());
  CHECK(office.AdPassword() == before);

  // The same request again gets the same answer, without another write.
  const auto again = office.Change(office.alice, "request-0001");
  REQUIRE_FALSE(again);
  CHECK(again.error().code == code);
  CHECK(again.error().message == view.error().message);
  CHECK(office.directory.writes == 1);
  // A new one works, and its number leaves a gap that the key accepts.
  REQUIRE(office.Change(office.alice, "request-0002"));
  CHECK(office.Deliver(*office.desk, office.key)->kind == ReceiptVerdict::kStored);
  CHECK(office.key.password == office.AdPassword());
}

TEST_CASE("a directory that is down leaves nothing behind") {
  Office office;
  office.directory.down = true;
  const auto view = office.Change(office.alice, "request-0001");
  REQUIRE_FALSE(view);
  CHECK(view.error().code == ErrorCode::kUnavailable);
  CHECK(office.changes->History(office.alice, 10)->empty());
  office.directory.down = false;
  CHECK(office.Change(office.alice, "request-0001"));
}

TEST_CASE("a typed password may not come again, whichever it was") {
  ChangeConfig config;
  config.allow_typing = true;
  Office office(config);
  const auto type = [&](const std::string& key, const std::string& password) {
    auto request = office.Request(office.alice, key);
    request.generate = false;
    request.typed = SecureBytes::CopyOf(std::string_view(password));
    return office.changes->Start(office.admin, std::move(request));
  };
  int number = 0;
  const auto next = [&] { return "typed-" + std::to_string(1000 + number++); };
  for (const char* password : {"First-Typed-1", "Second-Typed-2", "Third-Typed-3"}) {
    REQUIRE(type(next(), password));
    REQUIRE(office.Deliver(*office.desk, office.key));
  }
  const int writes = office.directory.writes;
  for (const char* password : {"First-Typed-1", "Second-Typed-2", "Third-Typed-3"}) {
    const auto again = type(next(), password);
    REQUIRE_FALSE(again);
    CHECK(again.error().code == ErrorCode::kPolicyRefused);
    CHECK_THAT(again.error().message, Catch::Matchers::Contains("used before"));
  }
  CHECK(office.directory.writes == writes);  // the directory was not even asked
  // What the directory refused was never used.
  office.directory.script = {Write::kPolicy};
  CHECK_FALSE(type(next(), "Fourth-Typed-4"));
  REQUIRE(type(next(), "Fourth-Typed-4"));
  REQUIRE(office.Deliver(*office.desk, office.key));
  // Where the directory keeps the history itself, it alone decides.
  office.directory.At(office.alice).detail.policy.history_checked = true;
  CHECK(type(next(), "First-Typed-1"));
}

TEST_CASE("length and minimum age of the policy are known before the directory is asked") {
  ChangeConfig config;
  config.allow_typing = true;
  config.respect_min_age = GENERATE(true, false);
  Office office(config);
  auto& detail = office.directory.At(office.alice).detail;
  detail.policy.source = "the password policy Staff";
  detail.policy.min_length = 30;
  auto request = office.Request(office.alice, "request-0001");
  request.generate = false;
  request.typed = SecureBytes::CopyOf(std::string_view("Ключ-Too-Short-1"));
  const auto refused = office.changes->Start(office.admin, std::move(request));
  REQUIRE_FALSE(refused);
  CHECK_THAT(refused.error().message,
             Catch::Matchers::Contains("policy Staff asks for at least 30"));
  CHECK(office.directory.writes == 0);
  REQUIRE(office.Change(office.alice, "request-0002"));  // generated ones are as long as that
  CHECK(office.AdPassword().size() == 30);
  REQUIRE(office.Deliver(*office.desk, office.key));

  detail.policy.min_age = 86400;
  detail.state.password_last_set =
      (office.clock.UnixSeconds() - 3 * 3600 + 11'644'473'600) * 10'000'000;
  const auto check = office.changes->Check(office.admin, office.alice);
  REQUIRE(check);
  CHECK(check->allowed == !config.respect_min_age);
  CHECK_THAT(check->allowed ? check->note : check->reason,
             Catch::Matchers::Contains("set 3 hours ago") &&
                 Catch::Matchers::Contains("policy Staff keeps a password for 24 hours"));
  CHECK(office.Change(office.alice, "request-0003").has_value() == !config.respect_min_age);
  office.clock.Advance(std::chrono::hours(22));
  CHECK(office.changes->Check(office.admin, office.alice)->allowed);
}

TEST_CASE("one idempotency key is one change") {
  Office office;
  const auto first = office.Change(office.alice, "request-0001");
  REQUIRE(first);
  const auto second = office.Change(office.alice, "request-0001");
  REQUIRE(second);
  CHECK(second->id == first->id);
  CHECK(office.directory.writes == 1);
  SECTION("another request under it is refused") {
    auto other = office.Request(office.alice, "request-0001");
    other.must_change = true;
    const auto refused = office.changes->Start(office.admin, std::move(other));
    REQUIRE_FALSE(refused);
    CHECK(refused.error().code == ErrorCode::kConflict);
  }
  SECTION("another person may use the same text") {
    Actor colleague = office.admin;
    colleague.id = office.directory.Add("colleague");
    const auto other =
        office.changes->Start(colleague, office.Request(office.alice, "request-0001"));
    REQUIRE(other);
    CHECK(other->id != first->id);
  }
  SECTION("also after a restart") {
    office.Reboot();
    const auto third = office.Change(office.alice, "request-0001");
    REQUIRE(third);
    CHECK(third->id == first->id);
    CHECK(office.directory.writes == 1);
  }
}

TEST_CASE("eight threads with one idempotency key make one change and get one answer") {
  Office office;
  std::vector<std::thread> threads;
  std::mutex mutex;
  std::vector<Result<ChangeView>> answers;
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([&] {
      auto view = office.Change(office.alice, "request-0001");
      const std::lock_guard lock(mutex);
      answers.push_back(std::move(view));
    });
  }
  for (std::thread& thread : threads) thread.join();
  REQUIRE(answers.size() == 8);
  for (const auto& answer : answers) {
    REQUIRE(answer);
    CHECK(answer->id == answers.front()->id);
    CHECK(answer->state == ChangeState::kConfirmed);
  }
  CHECK(office.directory.writes == 1);
  CHECK(office.changes->History(office.alice, 10)->size() == 1);
  REQUIRE(office.Deliver(*office.desk, office.key));
  CHECK(office.key.password == office.AdPassword());
}

TEST_CASE("eight threads with their own keys: whoever wins, directory and key agree") {
  Office office;
  std::vector<std::thread> threads;
  std::atomic<int> done{0};
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([&, i] {
      const auto view = office.Change(office.alice, "request-000" + std::to_string(i));
      if (view) {
        ++done;
      } else if (view.error().code != ErrorCode::kConflict) {
        done = -100;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(done >= 1);
  CHECK(office.directory.writes == done);
  REQUIRE(office.Sees(*office.desk, {}));
  REQUIRE(office.Sees(*office.desk, {&office.key}));
  if (done <= 2) {
    REQUIRE(office.Deliver(*office.desk, office.key));
    CHECK(office.key.password == office.AdPassword());
  }
}

TEST_CASE("while the key is away the newest change wins, however many there are") {
  Office office;
  REQUIRE(office.Sees(*office.desk, {}));
  for (int i = 1; i <= 4; ++i) {
    REQUIRE(office.Change(office.alice, "request-000" + std::to_string(i)));
  }
  CHECK(office.desk->Named("job").empty());
  const auto history = office.changes->History(office.alice, 10).value();
  REQUIRE(history.size() == 4);
  CHECK(history[0].state == ChangeState::kConfirmed);
  for (std::size_t i = 1; i < 4; ++i) {
    CHECK(history[i].state == ChangeState::kSuperseded);
    CHECK(history[i].job_state == JobState::kSuperseded);
    CHECK(office.store->FindJob(history[i].job)->value().sealed.empty());
  }
  REQUIRE(office.Sees(*office.desk, {&office.key}));
  REQUIRE(office.desk->Named("job").size() == 1);
  REQUIRE(office.Deliver(*office.desk, office.key));
  CHECK(office.key.password == office.AdPassword());
  CHECK(office.Newest(office.alice).state == ChangeState::kDone);
}

TEST_CASE("a superseded job is taken back from whoever spooled it") {
  Office office;
  const auto first = office.Change(office.alice, "request-0001");
  REQUIRE(first);
  REQUIRE(office.workstations->Spooled(office.desk->id, first->job));
  CHECK(office.Newest(office.alice).job_state == JobState::kSpooled);
  CHECK(office.Newest(office.alice).workstation == "desk-1");
  REQUIRE(office.Sees(*office.desk, {}));
  REQUIRE(office.Change(office.alice, "request-0002"));
  const auto voids = office.desk->Named("void");
  REQUIRE(voids.size() == 1);
  CHECK(Member(voids[0], "job_id") == first->job.Hex());
}

TEST_CASE("a third password is not sealed while two may still reach the key unanswered") {
  Office office;
  REQUIRE(office.Change(office.alice, "request-0001"));
  const Blob first = office.NewestJob(*office.desk);
  REQUIRE(office.Change(office.alice, "request-0002"));
  const Blob second = office.NewestJob(*office.desk);
  const std::string in_ad = office.AdPassword();
  const auto third = office.Change(office.alice, "request-0003");
  REQUIRE_FALSE(third);
  CHECK(third.error().code == ErrorCode::kConflict);
  CHECK(office.AdPassword() == in_ad);  // refused before the directory was touched

  SECTION("when the key answers the second, the way is free") {
    const Blob one = office.key.Put(first);
    const Blob two = office.key.Put(second);
    CHECK(office.Return(*office.desk, office.key, two)->kind == ReceiptVerdict::kStored);
    CHECK(office.Return(*office.desk, office.key, one)->kind == ReceiptVerdict::kStored);
    REQUIRE(office.Change(office.alice, "request-0004"));
    REQUIRE(office.Deliver(*office.desk, office.key));
    CHECK(office.key.password == office.AdPassword());
  }
  SECTION(
      "a restart does not forget it; the newest is handed out again, and its answer frees the "
      "way") {
    office.key.Put(first);
    const Blob lost = office.key.Put(second);
    office.desk->Forget();
    office.Reboot();
    CHECK_FALSE(office.Change(office.alice, "request-0004"));
    REQUIRE(office.desk->Named("job").size() == 1);
    REQUIRE(office.Deliver(*office.desk, office.key));
    REQUIRE(office.Change(office.alice, "request-0005"));
    REQUIRE(office.Deliver(*office.desk, office.key));
    CHECK(office.key.password == office.AdPassword());
  }
}

TEST_CASE("help desk may change passwords; the page's live topic is told") {
  Office office;
  std::vector<std::string> told;
  const auto subscription = office.bus->Subscribe(
      "account/" + office.alice.Hex(), [&](const BusEvent& event) { told.push_back(event.name); });
  Actor helper = office.admin;
  helper.roles = Role::kHelpDesk;
  REQUIRE(office.changes->Start(helper, office.Request(office.alice, "request-0001")));
  const std::size_t after_change = told.size();
  CHECK(after_change >= 2);
  REQUIRE(office.Deliver(*office.desk, office.key));
  CHECK(told.size() > after_change);
}

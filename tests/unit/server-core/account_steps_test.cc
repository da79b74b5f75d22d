// An account is unlocked, or has to change its password, on the employee's page
// (server/core/account_steps.h).
#include "server/core/account_steps.h"

#include <atomic>
#include <thread>

#include "four_eyes_rig.h"

using namespace keyferry;
using namespace keyferry::server;
using namespace keyferry::server::testing;

namespace {

struct Page : Board {
  explicit Page(bool privileged = false) : Board(Eyes(), privileged) {
    CorePorts ports = Ports();
    ports.four_eyes = eyes.get();
    steps = MakeAccountSteps(ports);
    State().locked = true;
  }
  AccountState& State() { return directory.At(alice).detail.state; }
  Result<void> Do(AccountStep step, const std::string& reason = "stands before me") {
    return Do(admin, step, reason);
  }
  Result<void> Do(const Actor& actor, AccountStep step,
                  const std::string& reason = "stands before me") {
    return steps->Do(actor, alice, step, reason);
  }
  int Done() { return directory.unlocks + directory.requires_change; }
  Lines Since(std::uint64_t number) {
    Lines out;
    const auto rows = store->AuditAfter(number, 100);
    for (const auto& row : *rows) {
      out.push_back(row.entry.action + " " + row.entry.outcome + ": " + row.entry.detail);
    }
    return out;
  }
  std::unique_ptr<AccountSteps> steps;
};

}  // namespace

TEST_CASE("a step on an account: begun in the audit log before the directory is asked, then told") {
  const auto step = GENERATE(AccountStep::kUnlock, AccountStep::kMustChange);
  INFO(Name(step));
  Page page;
  const std::uint64_t before = page.AuditHead();
  const std::string action = std::string("account.") + Name(step);
  Lines at_the_directory;
  page.directory.on_step = [&] { at_the_directory = page.Since(before); };
  REQUIRE(page.Do(step));
  CHECK(page.Done() == 1);
  CHECK(at_the_directory == Lines{action + " begun: stands before me"});
  CHECK(page.Since(before) ==
        Lines{action + " begun: stands before me", action + " ok: stands before me"});
  const auto notices = page.store->NoticesOf(page.alice, 10);
  REQUIRE(notices->size() == 2);  // the first one is of the key
  CHECK(notices->front().kind ==
        (step == AccountStep::kUnlock ? NoticeKind::kUnlocked : NoticeKind::kMustChange));
  CHECK(notices->front().by == "boss");
  CHECK(notices->front().reason == "stands before me");
}

TEST_CASE("a step that the directory refuses is told to nobody; one of unknown outcome is") {
  Page page;
  const std::uint64_t before = page.AuditHead();
  const std::size_t notices = page.store->NoticesOf(page.alice, 10)->size();
  page.directory.step_error =
      Error{ErrorCode::kPermissionDenied, "No right to lockoutTime.", {}, 0};
  CHECK(page.Do(AccountStep::kUnlock).error().code == ErrorCode::kPermissionDenied);
  CHECK(page.Since(before).back() == "account.unlock denied: No right to lockoutTime.");
  CHECK(page.store->NoticesOf(page.alice, 10)->size() == notices);
  page.directory.step_error = Error{ErrorCode::kOutcomeUnknown, "No answer came.", {}, 0};
  CHECK(page.Do(AccountStep::kUnlock).error().code == ErrorCode::kOutcomeUnknown);
  CHECK(page.store->NoticesOf(page.alice, 10)->size() == notices + 1);
}

TEST_CASE("a step that was done and could not be written down is no failure, and no success") {
  Page page;
  page.directory.on_step = [&] { page.database.Run("ALTER TABLE audit RENAME TO away"); };
  const auto done = page.Do(AccountStep::kUnlock);
  REQUIRE_FALSE(done);
  CHECK(done.error().code == ErrorCode::kOutcomeUnknown);
  CHECK(done.error().message.find("The directory did it") == 0);
  CHECK(page.Done() == 1);
  page.database.Run("ALTER TABLE away RENAME TO audit");
}

TEST_CASE("only administrators do steps on accounts, with a reason, and not on what is refused") {
  Page page;
  Actor actor = page.admin;
  std::string reason = "stands before me";
  auto step = AccountStep::kUnlock;
  ErrorCode code = ErrorCode::kPermissionDenied;
  SECTION("help desk") { actor.roles = Role::kHelpDesk; }
  SECTION("key officer and auditor") { actor.roles = Role::kKeyOfficer | Role::kAuditor; }
  SECTION("nobody") { actor.roles = Roles(); }
  SECTION("no reason") {
    reason.clear();
    code = ErrorCode::kInvalidArgument;
  }
  SECTION("a reason of two lines") {
    reason = "one\ntwo";
    code = ErrorCode::kInvalidArgument;
  }
  SECTION("a reason that is too long") {
    reason.assign(201, 'x');
    code = ErrorCode::kInvalidArgument;
  }
  SECTION("a protected account") { page.State().is_protected = true; }
  SECTION("a disabled account") {
    page.State().disabled = true;
    code = ErrorCode::kConflict;
  }
  SECTION("not locked") {
    page.State().locked = false;
    code = ErrorCode::kConflict;
  }
  SECTION("must change already") {
    page.State().must_change = true;
    step = AccountStep::kMustChange;
    code = ErrorCode::kConflict;
  }
  SECTION("who logs on with a smart card has no password to change") {
    page.State().smartcard_required = true;
    step = AccountStep::kMustChange;
    code = ErrorCode::kConflict;
  }
  SECTION("the person said that it was not them") {
    const auto notices = page.store->NoticesOf(page.alice, 1);
    REQUIRE(page.store->ObjectTo(notices->front().number, "link", page.clock.UnixMillis(), {}));
    code = ErrorCode::kConflict;
  }
  SECTION("the directory does not answer") {
    page.directory.down = true;
    code = ErrorCode::kUnavailable;
  }
  const auto refused = page.Do(actor, step, reason);
  page.directory.down = false;
  REQUIRE_FALSE(refused);
  INFO(refused.error().message);
  CHECK(refused.error().code == code);
  CHECK(page.Done() == 0);
}

TEST_CASE("who logs on with a smart card is unlocked like anybody") {
  Page page;
  page.State().smartcard_required = true;
  CHECK(page.Do(AccountStep::kUnlock));
}

TEST_CASE("a privileged person's account: asked, approved, done once, however many at once") {
  const auto step = GENERATE(AccountStep::kUnlock, AccountStep::kMustChange);
  INFO(Name(step));
  Page page(true);
  const auto refused = page.Do(step);
  REQUIRE_FALSE(refused);
  const auto id = ApprovalNeeded(refused.error());
  REQUIRE(id);
  const Approval row = page.Row(*id);
  CHECK(row.facts == kOnEmployeePage);
  CHECK(row.reason == "stands before me");
  CHECK(page.Decide(page.admin, row).error().code == ErrorCode::kPermissionDenied);
  CHECK(page.Done() == 0);
  REQUIRE(page.Decide(page.second, row));
  // It is good for nothing else.
  CHECK(ApprovalNeeded(page.Do(page.second, step).error()));
  std::atomic<int> done{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 20; ++i) {
    threads.emplace_back([&page, &done, step] { done += page.Do(step) ? 1 : 0; });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(done == 1);
  CHECK(page.Done() == 1);
  CHECK(page.Row(*id).state == ApprovalState::kUsed);
}

TEST_CASE("a token of the console unlocks nobody who is privileged") {
  Page page(true);
  Actor token;
  token.login = "token robot";
  token.roles = Role::kAdministrator;
  CHECK(page.Do(token, AccountStep::kUnlock).error().code == ErrorCode::kPermissionDenied);
  CHECK(page.Done() == 0);
}

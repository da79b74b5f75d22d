// Employees set their own password: what they may, and what nobody else may (server/core/rights.h).
#include <atomic>
#include <thread>

#include "office.h"
#include "server/core/four_eyes.h"
#include "server/core/preflight.h"
#include "server/core/roles.h"

using namespace keyferry;
using namespace keyferry::server;
using namespace keyferry::server::testing;

namespace {

constexpr const char* kBoard = "CN=Board,OU=Groups,DC=corp,DC=example";

ChangeConfig OwnAllowed(std::uint32_t per_day = 3) {
  ChangeConfig config;
  config.own_per_day = per_day;
  return config;
}

// Alice's office, where she asks herself.
struct OwnDesk : Office {
  explicit OwnDesk(ChangeConfig config = OwnAllowed()) : Office(config) {
    self.id = alice;
    self.login = "alice";
    self.roles = Role::kEmployee;
    self.address = "192.0.2.7";
    old = AdPassword();
  }
  Result<ChangeView> Set(const std::string& once, ChangeMode mode = ChangeMode::kNow) {
    ChangeRequest request = Request(alice, "own-request-" + once);
    request.mode = mode;
    return changes->Start(self, std::move(request));
  }
  // Refused, and nothing was done.
  Error Refused(const Actor& actor, const AccountId& account) {
    const int writes = directory.writes;
    const std::size_t before = store->History(account, 100)->size();
    const auto refused =
        changes->Start(actor, Request(account, "refused-" + std::to_string(++asked)));
    CHECK(directory.writes == writes);
    CHECK(store->History(account, 100)->size() == before);
    REQUIRE_FALSE(refused);
    CHECK(audit->List(0, 1)->front().outcome != "ok");
    const auto preflight = changes->Check(actor, account);
    REQUIRE(preflight);
    CHECK_FALSE(preflight->allowed);
    CHECK(preflight->reason == refused.error().message);
    return refused.error();
  }

  Actor self;
  std::string old;
  int asked = 0;
};

}  // namespace

TEST_CASE("an employee's own new password is set, is told to them, and goes to their key") {
  OwnDesk desk;
  const auto preflight = desk.changes->Check(desk.self, desk.alice);
  REQUIRE(preflight);
  CHECK(preflight->allowed);
  CHECK_FALSE(preflight->typing_allowed);  // the policy's word, as everywhere
  REQUIRE(desk.Set("1"));
  CHECK(desk.AdPassword() != desk.old);
  REQUIRE(desk.Deliver(*desk.desk, desk.key));
  CHECK(desk.key.password == desk.AdPassword());
  const AuditView row = desk.audit->List(0, 100)->at(1);
  CHECK(row.action == "password.set");
  CHECK(row.actor == "alice");
  CHECK(row.target == "alice");
  const auto told = desk.store->NoticesOf(desk.alice, 1);
  REQUIRE(told);
  REQUIRE(told->size() == 1);
  CHECK(told->front().kind == NoticeKind::kPasswordSet);
  CHECK(told->front().by == "alice");
}

TEST_CASE("at delivery it is the key that comes first, also for one's own") {
  OwnDesk desk;
  desk.Unplug();
  REQUIRE(desk.Set("1", ChangeMode::kAtDelivery));
  CHECK(desk.AdPassword() == desk.old);
  // Another server may go on with it.
  desk.Reboot();
  desk.desk->Forget();
  desk.Plug();
  desk.Bring();
  CHECK(desk.AdPassword() != desk.old);
  desk.Bring();
  CHECK(desk.key.password == desk.AdPassword());
}

TEST_CASE("an unknown outcome of one's own change is resolved as of any other") {
  OwnDesk desk;
  desk.directory.script = {Write::kLostThenApplied};
  desk.Set("1");
  desk.changes->Reconcile();
  CHECK(desk.AdPassword() != desk.old);
  REQUIRE(desk.Deliver(*desk.desk, desk.key));
  CHECK(desk.key.password == desk.AdPassword());
}

TEST_CASE("one's own is all that an employee may, and employees alone may that") {
  OwnDesk desk;
  const AccountId bob = desk.directory.Add("bob");
  CHECK(desk.Refused(desk.self, bob).code == ErrorCode::kPermissionDenied);
  CHECK(desk.Refused(desk.self, desk.admin.id).code == ErrorCode::kPermissionDenied);
  for (const RightInfo& info : AllRights()) {
    INFO(info.name);
    if (info.right == Right::kOwnPassword) CHECK(info.roles == Role::kEmployee);
  }
  // With any role, and with each two of them, one's own account is left to colleagues.
  for (const Role role : kAllRoles) {
    for (const Role other : kAllRoles) {
      INFO(Names(role | other));
      Actor actor = desk.self;
      actor.roles = role | other;
      CHECK(desk.Refused(actor, desk.alice).code == ErrorCode::kPermissionDenied);
    }
  }
  Actor nobody = desk.self;
  nobody.roles = Roles();
  CHECK(desk.Refused(nobody, desk.alice).code == ErrorCode::kPermissionDenied);
  // Of nobody else does the directory hear that it is the server that asks.
  CHECK(AskerOf(desk.alice, desk.alice) == AccountId{});
  CHECK(AskerOf(desk.admin.id, desk.alice) == desk.admin.id);
}

TEST_CASE("where it is not switched on, nobody sets their own") {
  OwnDesk desk{ChangeConfig{}};
  const Error refused = desk.Refused(desk.self, desk.alice);
  CHECK(refused.code == ErrorCode::kPermissionDenied);
  CHECK_THAT(refused.message, Catch::Contains("call your help desk"));
}

TEST_CASE("what holds for others' changes holds for one's own") {
  OwnDesk desk;
  auto& account = desk.directory.At(desk.alice).detail;
  SECTION("a protected account") {
    account.state.is_protected = true;
    CHECK(desk.Refused(desk.self, desk.alice).code == ErrorCode::kPermissionDenied);
  }
  SECTION("a disabled account") {
    account.state.disabled = true;
    CHECK(desk.Refused(desk.self, desk.alice).code == ErrorCode::kConflict);
  }
  SECTION("no key") {
    desk.self.id = desk.directory.Add("carol");
    CHECK(desk.Refused(desk.self, desk.self.id).code == ErrorCode::kConflict);
  }
  SECTION("typing where that is not allowed") {
    ChangeRequest request = desk.Request(desk.alice, "own-request-typed");
    request.generate = false;
    request.typed = SecureBytes::CopyOf(std::string_view("A-typed-password-17"));
    CHECK(desk.changes->Start(desk.self, std::move(request)).error().code ==
          ErrorCode::kPermissionDenied);
    CHECK(desk.AdPassword() == desk.old);
  }
}

TEST_CASE("the policy's minimum age binds employees, where administrators are only told of it") {
  OwnDesk desk;
  REQUIRE(desk.Set("1"));
  REQUIRE(desk.Deliver(*desk.desk, desk.key));
  auto& account = desk.directory.At(desk.alice).detail;
  account.policy.min_age = 86400;
  account.policy.source = "the domain's policy";
  account.state.password_last_set = (desk.clock.UnixSeconds() + 11'644'473'600) * 10'000'000;
  CHECK(desk.Refused(desk.self, desk.alice).code == ErrorCode::kPolicyRefused);
  CHECK(desk.changes->Check(desk.admin, desk.alice)->allowed);
}

TEST_CASE(
    "so many a day and no more: what the directory refused counts, another's changes do not") {
  OwnDesk desk(OwnAllowed(2));
  REQUIRE(desk.Change(desk.alice, "request-0001"));
  REQUIRE(desk.Deliver(*desk.desk, desk.key));
  desk.directory.script = {Write::kPolicy};
  CHECK_FALSE(desk.Set("1"));
  REQUIRE(desk.Set("2"));
  REQUIRE(desk.Deliver(*desk.desk, desk.key));
  const Error refused = desk.Refused(desk.self, desk.alice);
  CHECK(refused.code == ErrorCode::kRateLimited);
  CHECK_THAT(refused.message, Catch::Contains("2 times"));
  CHECK(desk.Set("2"));  // the same request gets the answer that it had
  REQUIRE(desk.Change(desk.alice, "request-0002"));
  REQUIRE(desk.Deliver(*desk.desk, desk.key));
  desk.clock.Advance(std::chrono::hours(24) + std::chrono::seconds(1));
  CHECK(desk.Set("3"));
}

TEST_CASE("twenty at once are not more than the limit") {
  OwnDesk desk(OwnAllowed(2));
  desk.Unplug();  // each takes the place of the one before
  std::atomic<int> limited{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 20; ++i) {
    threads.emplace_back([&desk, &limited, i] {
      const auto set = desk.Set(std::to_string(i), ChangeMode::kAtDelivery);
      if (!set && set.error().code == ErrorCode::kRateLimited) ++limited;
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(desk.store->CountResets(desk.alice, 0).value() <= 2);
  CHECK(limited > 0);
}

TEST_CASE("a privileged person's own password waits for a second person, who is not themselves") {
  OwnDesk desk;
  FourEyesConfig config;
  config.privileged_groups = {kBoard};
  config.resets_per_hour = 1;  // of agents; one's own have their own limit
  desk.eyes_config = config;
  desk.directory.At(desk.alice).groups = {kBoard};
  desk.Reboot();
  desk.desk->Forget();
  const auto asked = desk.Set("1");
  REQUIRE_FALSE(asked);
  const auto id = ApprovalNeeded(asked.error());
  REQUIRE(id);
  CHECK(desk.AdPassword() == desk.old);
  const Approval row = desk.store->FindApproval(*id)->value();
  Actor promoted = desk.self;
  promoted.roles = Role::kAdministrator;
  CHECK(desk.eyes->Decide(promoted, row.id, row.hash, true, "it is me").error().code ==
        ErrorCode::kPermissionDenied);
  REQUIRE(desk.eyes->Decide(desk.admin, row.id, row.hash, true, "she came by"));
  REQUIRE(desk.Set("2"));
  CHECK(desk.AdPassword() != desk.old);
  CHECK(desk.store->FindApproval(*id)->value().state == ApprovalState::kUsed);
}

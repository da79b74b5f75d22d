// The second factor of a privileged person is taken away by two (server/core/four_eyes.h).
#include <atomic>
#include <thread>

#include "four_eyes_rig.h"
#include "server/core/second_factor.h"

using namespace keyferry;
using namespace keyferry::server;
using namespace keyferry::server::testing;

namespace {

// Alice, who is privileged or not, has a second factor.
struct FactorBoard : Board {
  explicit FactorBoard(bool privileged = true) : Board(Eyes(), privileged) {
    session_config.second_factor = FactorPolicy::kRequired;
    StartAgain();
    Session session;
    session.actor.id = alice;
    session.actor.login = "alice";
    REQUIRE(factors->Propose(session));
    StopStore();
    database.Run("UPDATE factors SET confirmed = 1, app = 1");
    StartAgain();
    REQUIRE(HasFactor());
  }
  bool HasFactor() { return factors->Of(alice)->has_value(); }
  Result<void> Reset() { return factors->Reset(admin, alice); }
  Approval AskedFor() {
    const auto refused = Reset();
    REQUIRE_FALSE(refused);
    INFO(refused.error().message);
    const auto id = ApprovalNeeded(refused.error());
    REQUIRE(id);
    CHECK(HasFactor());
    return Row(*id);
  }
};

}  // namespace

TEST_CASE("a privileged person's second factor: asked, approved, reset, once") {
  FactorBoard board;
  const std::uint64_t before = board.AuditHead();
  const Approval row = board.AskedFor();
  CHECK(row.action == GuardedAction::kFactorReset);
  CHECK(row.facts.empty());
  CHECK(board.AskedFor().id == row.id);  // asking again asks for nothing new

  // Not who asked, nor the person, nor who could not do it themselves.
  Actor self = board.second;
  self.id = board.alice;
  Actor officer = board.Admin("officer");
  officer.roles = Role::kKeyOfficer | Role::kHelpDesk;
  for (const Actor& actor : {board.admin, self, officer}) {
    INFO(actor.login);
    CHECK(board.Decide(actor, row).error().code == ErrorCode::kPermissionDenied);
  }
  CHECK(board.AskedFor().state == ApprovalState::kOpen);
  REQUIRE(board.Decide(board.second, row));
  CHECK(board.HasFactor());
  // It is good for nothing else, and for nobody else.
  CHECK(ApprovalNeeded(board.Set("password").error()) != row.id);
  CHECK(ApprovalNeeded(board.factors->Reset(board.second, board.alice).error()) != row.id);
  CHECK(board.HasFactor());

  REQUIRE(board.Reset());
  CHECK_FALSE(board.HasFactor());
  CHECK(board.Row(row.id).state == ApprovalState::kUsed);
  CHECK(board.Reset().error().code == ErrorCode::kNotFound);
  const auto lines = board.Log(before);
  CHECK(std::count(lines.begin(), lines.end(), "approval.use ok") == 1);
  CHECK(lines.back() == "factor.reset ok");
  CHECK(board.store->NoticesOf(board.alice, 1)->front().kind == NoticeKind::kFactorReset);
}

TEST_CASE("twenty at once use up one approval of a reset, and reset once") {
  FactorBoard board;
  const Approval row = board.AskedFor();
  REQUIRE(board.Decide(board.second, row));
  std::atomic<int> done{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 20; ++i) {
    threads.emplace_back([&board, &done] { done += board.Reset() ? 1 : 0; });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(done == 1);
  CHECK_FALSE(board.HasFactor());
}

TEST_CASE("an approval that does not stand leaves the factor where it is") {
  FactorBoard board;
  const Approval row = board.AskedFor();
  REQUIRE(board.Decide(board.second, row));
  SECTION("who approved it is no administrator any more") {
    board.directory.At(board.second.id).groups.clear();
    CHECK(board.Reset().error().code == ErrorCode::kConflict);
  }
  SECTION("its time is over") {
    board.Later(3601);
    const auto again = ApprovalNeeded(board.Reset().error());
    REQUIRE(again);
    CHECK(*again != row.id);
  }
  SECTION("the store itself looks at it") {
    Precondition stale;
    stale.approval = ApprovalUse{row.id, row.version, board.clock.UnixMillis(), {}};  // as it was
    const auto reset = board.store->ResetFactor(board.alice, "factor/x", {}, stale);
    REQUIRE_FALSE(reset);
    CHECK(reset.error().code == ErrorCode::kConflict);
  }
  SECTION("the directory cannot tell whether it takes two") {
    board.directory.down = true;
    CHECK(board.Reset().error().code == ErrorCode::kUnavailable);
    board.directory.down = false;
  }
  CHECK(board.HasFactor());
}

TEST_CASE("other people's second factors take one administrator, who does not count as an agent") {
  FactorBoard board(false);
  REQUIRE(board.Reset());
  CHECK_FALSE(board.HasFactor());
}

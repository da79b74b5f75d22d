// Employees without a role: their sessions, and the password asked for once more.
#include <catch2/catch.hpp>

#include "company.h"

using namespace keyferry;
using namespace keyferry::server;
using namespace keyferry::server::testing;

namespace {

constexpr char kHelpDesk[] = "CN=Help Desk,OU=Groups,DC=corp,DC=example";

// A company where a second factor is required, and whose Alice has no role.
struct Lobby : Company {
  explicit Lobby(bool open = true) {
    directory.At(alice).password = "right";
    session_config.second_factor = FactorPolicy::kRequired;
    Open(open);
  }
  void Open(bool open) {
    session_config.employees = open;
    Restart();
  }
  Result<SignedIn> Try(const std::string& name = "alice", const std::string& password = "right",
                       const std::string& address = "192.0.2.9") {
    return sessions->SignIn(name, Text(password), address, "Test");
  }
  ErrorCode Prove(const SignedIn& signed_in, const std::string& password) {
    const auto proven = sessions->ProvePassword(signed_in.session, Text(password));
    return proven ? ErrorCode::kInternal : proven.error().code;
  }
  bool IsIn(const SignedIn& signed_in) {
    return sessions->Find(signed_in.token, "192.0.2.9").has_value();
  }
};

}  // namespace

TEST_CASE("who has no role is refused, unless employees may sign in: then they are that alone") {
  Lobby lobby(false);
  CHECK(lobby.Try().error().code == ErrorCode::kPermissionDenied);
  lobby.Open(true);
  const auto signed_in = lobby.Try();
  REQUIRE(signed_in);
  CHECK(signed_in->session.actor.roles == Role::kEmployee);
  CHECK(signed_in->session.stage == SessionStage::kComplete);
  CHECK(lobby.sessions->Find(signed_in->token, "")->actor.roles == Role::kEmployee);
  CHECK_FALSE(lobby.factors->NeedsStepUp(signed_in->session));
  // Not a change of roles, for they still have none.
  const auto rows = lobby.audit->List(0, 100);
  for (const AuditView& row : rows.value()) CHECK(row.action != "roles.change");
  // A right of another kind comes with none of it.
  for (const RightInfo& info : AllRights()) {
    CHECK(May(signed_in->session.actor.roles, info.right) ==
          (info.right == Right::kSelf || info.right == Right::kOwnPassword));
  }
}

TEST_CASE("whoever has a role does not become an employee, and needs a second factor as ever") {
  Lobby lobby;
  lobby.directory.At(lobby.alice).groups = {kHelpDesk};
  const auto signed_in = lobby.Try();
  REQUIRE(signed_in);
  CHECK(signed_in->session.actor.roles == Role::kHelpDesk);
  CHECK(signed_in->session.stage == SessionStage::kSetUpOwed);
}

TEST_CASE("an employee's session ends with the account, with a role, and with the switch") {
  Lobby lobby;
  const SignedIn signed_in = lobby.Try().value();
  REQUIRE(lobby.IsIn(signed_in));
  auto& alice = lobby.directory.At(lobby.alice);
  SECTION("the account is disabled") {
    alice.detail.state.disabled = true;
    lobby.clock.Advance(std::chrono::seconds(61));
    CHECK_FALSE(lobby.IsIn(signed_in));
  }
  SECTION("a role is given") {
    alice.groups = {kHelpDesk};
    lobby.clock.Advance(std::chrono::seconds(61));
    CHECK_FALSE(lobby.IsIn(signed_in));
  }
  SECTION("employees may not sign in any more") {
    lobby.Open(false);
    CHECK_FALSE(lobby.IsIn(signed_in));
  }
  SECTION("the others are ended, this one stays") {
    const SignedIn other = lobby.Try().value();
    CHECK(lobby.sessions->Of(lobby.alice)->size() == 2);
    CHECK(lobby.sessions->Of(lobby.admin.id)->empty());
    CHECK(lobby.sessions->EndOthers(other.session.actor, other.session.id) == 1u);
    CHECK_FALSE(lobby.IsIn(signed_in));
    CHECK(lobby.IsIn(other));
    CHECK(lobby.sessions->Of(lobby.alice)->size() == 1);
  }
}

TEST_CASE("unknown, wrong and locked look alike to employees too, and meet the same limit") {
  Lobby lobby;
  const auto unknown = lobby.Try("nobody", "right"), wrong = lobby.Try("alice", "wrong");
  lobby.directory.At(lobby.alice).detail.state.locked = true;
  const auto locked = lobby.Try();
  for (const auto* answer : {&unknown, &wrong, &locked}) {
    REQUIRE_FALSE(*answer);
    CHECK(answer->error().code == ErrorCode::kUnauthenticated);
    CHECK(answer->error().message == unknown.error().message);
  }
  const auto waits = lobby.waiter.waits();
  REQUIRE(waits.size() == 3);
  for (const auto moment : waits) {
    CHECK(moment == lobby.clock.Now() + std::chrono::milliseconds(500));
  }
}

TEST_CASE("the password that is asked for once more is the person's, on the beat") {
  Lobby lobby;
  const SignedIn signed_in = lobby.Try().value();
  CHECK(lobby.sessions->ProvePassword(signed_in.session, Text("right")));
  CHECK(lobby.waiter.waits().empty());
  for (const std::string& typed :
       {std::string("wrong"), std::string(), std::string("right "), std::string(2000, 'x')}) {
    CHECK(lobby.Prove(signed_in, typed) == ErrorCode::kUnauthenticated);
  }
  CHECK(lobby.waiter.waits().size() == 4);
  const AuditView row = lobby.audit->List(0, 1)->front();
  CHECK(row.action == "session.password");
  CHECK(row.actor == "alice");
  CHECK(row.outcome == "wrong");
  lobby.directory.down = true;
  CHECK(lobby.Prove(signed_in, "right") == ErrorCode::kUnavailable);
}

TEST_CASE("somebody else's password is not the person's, even under the person's login") {
  Lobby lobby;
  SignedIn signed_in = lobby.Try().value();
  // The login belongs to another account by now.
  signed_in.session.actor.id = lobby.admin.id;
  CHECK(lobby.Prove(signed_in, "right") == ErrorCode::kUnauthenticated);
}

TEST_CASE("guesses at it and guesses at sign-in meet one limit") {
  Lobby lobby;
  const SignedIn signed_in = lobby.Try().value();
  for (int i = 0; i < 5; ++i) {
    CHECK(lobby.Prove(signed_in, "wrong") == ErrorCode::kUnauthenticated);
    CHECK(lobby.Try("alice", "wrong").error().code == ErrorCode::kUnauthenticated);
  }
  const int asked = lobby.directory.sign_ins;
  CHECK(lobby.Prove(signed_in, "right") == ErrorCode::kRateLimited);
  CHECK(lobby.directory.sign_ins == asked);
  CHECK(lobby.Try("alice", "right", "203.0.113.5").error().code == ErrorCode::kRateLimited);
  lobby.clock.Advance(std::chrono::minutes(16));
  CHECK(lobby.Prove(signed_in, "right") == ErrorCode::kInternal);
}

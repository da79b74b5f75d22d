// Sign-in and sessions.
#include <catch2/catch.hpp>

#include "company.h"

using namespace keyferry;
using namespace keyferry::server;
using namespace keyferry::server::testing;

namespace {

struct Door : Company {
  Door() {
    auto& boss = directory.At(admin.id);
    boss.password = "right";
    boss.groups = {"cn=keyferry admins, ou=Groups,DC=corp,DC=example"};
  }
  Result<SignedIn> Try(const std::string& name, const std::string& password,
                       const std::string& address = "192.0.2.9") {
    return sessions->SignIn(name, SecureBytes::CopyOf(std::string_view(password)), address);
  }
  ErrorCode Code(const std::string& name, const std::string& password,
                 const std::string& address = "192.0.2.9") {
    const auto result = Try(name, password, address);
    return result ? ErrorCode::kInternal : result.error().code;
  }
};

}  // namespace

TEST_CASE("a member of the group signs in and out") {
  Door door;
  const auto signed_in = door.Try("boss", "right");
  REQUIRE(signed_in);
  CHECK(signed_in->token.size() == 43);
  CHECK(signed_in->session.actor.roles == Role::kAdministrator);
  const auto session = door.sessions->Find(signed_in->token, "192.0.2.10");
  REQUIRE(session);
  CHECK(session->actor.login == "boss");
  CHECK(session->actor.address == "192.0.2.10");
  CHECK(session->csrf == signed_in->session.csrf);
  CHECK(door.waiter.waits().empty());
  door.Restart();
  CHECK(door.sessions->Find(signed_in->token, ""));
  door.sessions->SignOut(signed_in->token);
  CHECK(door.sessions->Find(signed_in->token, "").error().code == ErrorCode::kUnauthenticated);
  CHECK(door.audit->List(0, 1)->front().action == "signout");
}

TEST_CASE("roles come from groups") {
  Door door;
  auto& alice = door.directory.At(door.alice);
  alice.password = "right";
  CHECK(door.Code("alice", "right") == ErrorCode::kPermissionDenied);
  alice.groups = {"CN=Help Desk,OU=Groups,DC=corp,DC=example"};
  CHECK(door.Try("alice", "right")->session.actor.roles == Role::kHelpDesk);
  alice.groups = {"CN=Help Desk,OU=Groups,DC=corp,DC=example,DC=evil"};
  CHECK(door.Code("alice", "right") == ErrorCode::kPermissionDenied);
}

TEST_CASE("who is in several groups has each role, and every change of roles is in the audit log") {
  Door door;
  auto& alice = door.directory.At(door.alice);
  alice.password = "right";
  const auto changes = [&door] {
    std::vector<std::string> out;
    const auto rows = door.audit->List(0, 100);
    for (const AuditView& row : rows.value()) {
      if (row.action == "roles.change") out.insert(out.begin(), row.target + ": " + row.detail);
    }
    return out;
  };
  CHECK(door.Code("alice", "right") == ErrorCode::kPermissionDenied);
  CHECK(changes().empty());
  alice.groups = {"CN=Auditors,OU=Groups,DC=corp,DC=example"};
  CHECK(door.Try("alice", "right")->session.actor.roles == Role::kAuditor);
  CHECK(door.Try("alice", "right"));
  alice.groups.push_back("cn=key officers,ou=groups,dc=corp,dc=example");
  const auto both = door.Try("alice", "right");
  REQUIRE(both);
  CHECK(both->session.actor.roles == (Role::kAuditor | Role::kKeyOfficer));
  CHECK(door.sessions->Find(both->token, "")->actor.roles == both->session.actor.roles);
  door.Restart();
  alice.groups.clear();
  CHECK(door.Code("alice", "right") == ErrorCode::kPermissionDenied);
  CHECK(door.Code("alice", "right") == ErrorCode::kPermissionDenied);
  CHECK(changes() == std::vector<std::string>{
                         "alice: By groups of the directory, from none to auditor.",
                         "alice: By groups of the directory, from auditor to key_officer, auditor.",
                         "alice: By groups of the directory, from key_officer, auditor to none."});
}

TEST_CASE("wrong name, wrong password and locked look alike and come on the beat") {
  Door door;
  door.directory.At(door.alice).detail.state.locked = true;
  const auto unknown = door.Try("nobody", "right");
  const auto wrong = door.Try("boss", "wrong");
  const auto locked = door.Try("alice", "right");
  const auto empty = door.Try("", "");
  const auto garbage = door.Try("bo\xFFss", "right");
  for (const auto* answer : {&unknown, &wrong, &locked, &empty, &garbage}) {
    REQUIRE_FALSE(*answer);
    CHECK(answer->error().code == ErrorCode::kUnauthenticated);
    CHECK(answer->error().message == unknown.error().message);
    CHECK(answer->error().detail.empty());
  }
  const auto waits = door.waiter.waits();
  REQUIRE(waits.size() == 5);
  for (const auto moment : waits) {
    CHECK(moment == door.clock.Now() + std::chrono::milliseconds(500));
  }
}

TEST_CASE("every spelling of a name meets the same limit, also after a restart") {
  Door door;
  const std::vector<std::string> names = {"boss", "CORP\\boss", "boss@corp.example"};
  for (int i = 0; i < 10; ++i) {
    CHECK(door.Code(names[static_cast<std::size_t>(i) % names.size()], "wrong",
                    "198.51.100." + std::to_string(i)) == ErrorCode::kUnauthenticated);
  }
  door.Restart();
  for (const std::string& name : names) {
    CHECK(door.Code(name, "right", "203.0.113.5") == ErrorCode::kRateLimited);
  }
  for (const char* name : {" BOSS ", "corp\\Boss", "BOSS@x", "boss."}) {
    CHECK(door.Code(name, "right", "203.0.113.5") == ErrorCode::kRateLimited);
  }
  CHECK_THAT(door.Try("boss", "right").error().message, Catch::Contains("15 minutes"));
  const int asked = door.directory.sign_ins;
  door.Code("boss", "right");
  CHECK(door.directory.sign_ins == asked);  // a blocked name is not even asked for
  door.clock.Advance(std::chrono::minutes(16));
  CHECK(door.Try("boss", "right"));
}

TEST_CASE("a success starts the count anew, and so does time") {
  Door door;
  for (int i = 0; i < 9; ++i) CHECK(door.Code("boss", "wrong") == ErrorCode::kUnauthenticated);
  REQUIRE(door.Try("boss", "right"));
  for (int i = 0; i < 9; ++i) CHECK(door.Code("boss", "wrong") == ErrorCode::kUnauthenticated);
  door.clock.Advance(std::chrono::minutes(16));
  for (int i = 0; i < 9; ++i) CHECK(door.Code("boss", "wrong") == ErrorCode::kUnauthenticated);
  CHECK(door.Try("boss", "right"));
}

TEST_CASE("one address cannot try many names") {
  Door door;
  for (int i = 0; i < 50; ++i) {
    CHECK(door.Code("name-" + std::to_string(i), "x") == ErrorCode::kUnauthenticated);
  }
  CHECK(door.Code("boss", "right") == ErrorCode::kRateLimited);
  CHECK(door.Try("boss", "right", "203.0.113.5"));
}

TEST_CASE("sessions end when idle, and for good after their time") {
  Door door;
  const std::string token = door.Try("boss", "right")->token;
  SECTION("idle") {
    door.clock.Advance(std::chrono::minutes(15));
    CHECK_FALSE(door.sessions->Find(token, ""));
  }
  SECTION("used, but too old") {
    for (int i = 0; i < 47; ++i) {
      door.clock.Advance(std::chrono::minutes(10));
      REQUIRE(door.sessions->Find(token, ""));
    }
    door.clock.Advance(std::chrono::minutes(10));
    CHECK_FALSE(door.sessions->Find(token, ""));
  }
  SECTION("reading often writes seldom") {
    const std::uint64_t before = door.store->Transactions();
    for (int i = 0; i < 60; ++i) {
      door.clock.Advance(std::chrono::seconds(1));
      REQUIRE(door.sessions->Find(token, ""));
    }
    // One for the idle time, two for the minute's question to the directory.
    CHECK(door.store->Transactions() - before <= 3);
  }
}

TEST_CASE("made-up tokens find nothing") {
  Door door;
  REQUIRE(door.Try("boss", "right"));
  for (const std::string& token : {std::string(), std::string(43, 'A'), std::string(100000, 'A')}) {
    CHECK(door.sessions->Find(token, "").error().code == ErrorCode::kUnauthenticated);
    door.sessions->SignOut(token);
  }
}

TEST_CASE("a directory that is down is said to be down") {
  Door door;
  door.directory.down = true;
  CHECK(door.Code("boss", "right") == ErrorCode::kUnavailable);
}

TEST_CASE("what was typed as a name is not kept in clear") {
  Door door;
  door.Code("my secret passphrase", "boss");
  const auto rows = door.audit->List(0, 100).value();
  CHECK(rows.front().action == "signin");
  for (const AuditView& row : rows) {
    CHECK(row.target.find("secret") == std::string::npos);
    CHECK(row.actor.find("secret") == std::string::npos);
  }
}

// Tokens of the API, and the journal of requests with idempotency keys, over a real database.
#include <catch2/catch.hpp>

#include "company.h"
#include "server/core/request_journal.h"

using namespace keyferry;
using namespace keyferry::server;
using namespace keyferry::server::testing;

namespace {

using Kind = TokenVerdict::Kind;

struct Desk : Company {
  Desk() {
    directory.At(admin.id).groups = {"CN=Keyferry Admins,OU=Groups,DC=corp,DC=example"};
    Begin();
  }
  void Begin() {
    tokens = MakeTokenService({*store, directory, clock, OsRandom()}, {366, 60}, session_config);
    journal = MakeRequestJournal(*store, clock);
  }
  TokenIssued Make(const std::string& name, std::vector<std::string> scopes = {"people:read"}) {
    return tokens->Create(admin, {name, std::move(scopes), 30}).value();
  }
  Kind Judge(const std::string& secret, const std::string& scope = "people:read",
             const std::string& what = "GET /x", const std::string& address = "192.0.2.7") {
    return tokens->Judge(secret, scope, what, address)->kind;
  }
  AuditView Last() { return audit->List(0, 1)->front(); }

  std::unique_ptr<TokenService> tokens;
  std::unique_ptr<RequestJournal> journal;
};

}  // namespace

TEST_CASE("a token does what its scopes say until it is revoked") {
  Desk desk;
  const TokenIssued issued = desk.Make("robot", {"people:read", "keys:write"});
  CHECK(issued.secret.size() == 47);
  CHECK(issued.secret.substr(0, 4) == "kft_");
  CHECK(issued.token.creator == "boss");
  CHECK(desk.Last().action == "token.create");
  CHECK(desk.Last().target == "robot");
  CHECK(desk.Last().detail == "For 30 days: people:read keys:write.");

  const auto verdict = desk.tokens->Judge(issued.secret, "keys:write", "POST /x", "192.0.2.7");
  REQUIRE(verdict);
  CHECK(verdict->kind == Kind::kAllowed);
  CHECK(verdict->actor.login == "token robot");
  CHECK(verdict->actor.id == desk.admin.id);  // so that its maker's own account is refused to it
  CHECK(verdict->actor.roles == Role::kAdministrator);
  CHECK(verdict->actor.address == "192.0.2.7");
  CHECK(desk.Last().actor == "token robot");
  CHECK(desk.Last().action == "token.use");
  CHECK(desk.Last().target == "POST /x");

  CHECK(desk.Judge(issued.secret, "audit:read") == Kind::kMissingScope);
  CHECK(desk.Last().outcome == "denied");
  CHECK(desk.Last().detail == "It has not the scope audit:read.");
  std::string other = issued.secret;
  other.back() = other.back() == 'A' ? 'B' : 'A';
  for (const std::string& wrong : {other, std::string(), std::string("kft_"), issued.secret + "A",
                                   "KFT_" + issued.secret.substr(4)}) {
    CHECK(desk.Judge(wrong) == Kind::kUnknown);
  }

  CHECK(desk.tokens->Revoke(desk.admin, issued.token.id)->revoked_by == "boss");
  CHECK(desk.Judge(issued.secret) == Kind::kRevoked);
  CHECK(desk.tokens->Revoke(desk.admin, issued.token.id).error().code == ErrorCode::kConflict);
  CHECK(desk.tokens->Revoke(desk.admin, TokenId{}).error().code == ErrorCode::kNotFound);
  CHECK(desk.audit->Verify());
}

TEST_CASE("the database holds the hash of a token and nothing of it") {
  Desk desk;
  const TokenIssued issued = desk.Make("robot");
  const auto record = desk.store->FindToken(issued.token.id)->value();
  CHECK(record.hash == Sha256(issued.secret));
  for (const std::string* text : {&record.name, &record.scopes, &record.creator}) {
    CHECK(text->find(issued.secret.substr(4, 20)) == std::string::npos);
  }
  desk.StopStore();
  desk.Restart();
  desk.Begin();
  CHECK(desk.Judge(issued.secret) == Kind::kAllowed);
}

TEST_CASE("a token ends by itself, and its life has bounds") {
  Desk desk;
  const TokenIssued issued = desk.Make("robot");
  desk.clock.Jump(std::chrono::hours(24 * 30) - std::chrono::seconds(1));
  CHECK(desk.Judge(issued.secret) == Kind::kAllowed);
  desk.clock.Jump(std::chrono::seconds(1));
  CHECK(desk.Judge(issued.secret) == Kind::kExpired);

  const auto refused = [&](const TokenRequest& request) {
    const auto made = desk.tokens->Create(desk.admin, request);
    return made ? ErrorCode::kInternal : made.error().code;
  };
  for (const std::int64_t days : {0, -1, 367}) {
    CHECK(refused({"x", {"people:read"}, days}) == ErrorCode::kInvalidArgument);
  }
  for (const char* name : {"", "a b", "a\tb", "\xC3\xA9", "a\x7f"}) {
    CHECK(refused({name, {"people:read"}, 1}) == ErrorCode::kInvalidArgument);
  }
  CHECK(refused({std::string(41, 'a'), {"people:read"}, 1}) == ErrorCode::kInvalidArgument);
  for (const std::vector<std::string>& scopes :
       std::vector<std::vector<std::string>>{{},
                                             {"everything"},
                                             {"people:read people:read"},
                                             {"people:read", "people:read"},
                                             {"PEOPLE:READ"}}) {
    CHECK(refused({"x", scopes, 1}) == ErrorCode::kInvalidArgument);
  }
  CHECK(refused({"robot", {"people:read"}, 1}) == ErrorCode::kConflict);
  REQUIRE(desk.tokens->Revoke(desk.admin, issued.token.id));
  CHECK(desk.tokens->Create(desk.admin, {"robot", {"people:read"}, 1}));
}

TEST_CASE("a token may no more than who made it may now") {
  Desk desk;
  const TokenIssued issued = desk.Make("robot");
  CHECK(desk.tokens->Judge(issued.secret, "", "x", "")->actor.roles == Role::kAdministrator);
  auto& boss = desk.directory.At(desk.admin.id);
  boss.groups = {"CN=Help Desk,OU=Groups,DC=corp,DC=example"};
  desk.clock.Advance(std::chrono::seconds(61));
  CHECK(desk.tokens->Judge(issued.secret, "", "x", "")->actor.roles == Role::kHelpDesk);
  boss.groups = {};
  desk.clock.Advance(std::chrono::seconds(61));
  CHECK(desk.Judge(issued.secret) == Kind::kOwnerGone);
  boss.groups = {"CN=Keyferry Admins,OU=Groups,DC=corp,DC=example"};
  desk.clock.Advance(std::chrono::seconds(61));
  CHECK(desk.Judge(issued.secret) == Kind::kAllowed);
  // While the directory is away the last answer is good for a quarter of an hour.
  desk.directory.down = true;
  desk.clock.Advance(std::chrono::minutes(14));
  CHECK(desk.Judge(issued.secret) == Kind::kAllowed);
  desk.clock.Advance(std::chrono::minutes(2));
  CHECK(desk.tokens->Judge(issued.secret, "", "x", "").error().code == ErrorCode::kUnavailable);
  desk.directory.down = false;
  boss.detail.state.disabled = true;
  CHECK(desk.Judge(issued.secret) == Kind::kOwnerGone);

  Actor help;
  help.roles = Role::kHelpDesk;
  CHECK(desk.tokens->Create(help, {"x", {"people:read"}, 1}).error().code ==
        ErrorCode::kPermissionDenied);
  CHECK(desk.tokens->Revoke(help, issued.token.id).error().code == ErrorCode::kPermissionDenied);
}

TEST_CASE("a token that asks too often is told when to come back") {
  Desk desk;  // sixty a minute
  const TokenIssued issued = desk.Make("robot");
  const TokenIssued other = desk.Make("other");
  for (int i = 0; i < 60; ++i) REQUIRE(desk.Judge(issued.secret) == Kind::kAllowed);
  const auto refused = desk.tokens->Judge(issued.secret, "people:read", "GET /x", "");
  CHECK(refused->kind == Kind::kRateLimited);
  CHECK(refused->retry_seconds == 1);
  CHECK(desk.Judge(other.secret) == Kind::kAllowed);
  desk.clock.Advance(std::chrono::seconds(2));
  CHECK(desk.Judge(issued.secret) == Kind::kAllowed);
  CHECK(desk.Judge(issued.secret) == Kind::kAllowed);
  CHECK(desk.Judge(issued.secret) == Kind::kRateLimited);
}

TEST_CASE("uses of a token are audited, one kind once in five minutes") {
  Desk desk;
  const TokenIssued issued = desk.Make("robot");
  const auto count = [&] { return desk.store->AuditHead()->number; };
  const auto before = count();
  for (int i = 0; i < 5; ++i) desk.Judge(issued.secret);
  CHECK(count() == before + 1);
  desk.Judge(issued.secret, "people:read", "GET /y");
  desk.Judge(issued.secret, "people:read", "GET /x", "192.0.2.8");
  CHECK(count() == before + 3);
  CHECK(desk.tokens->Get(issued.token.id)->last_address == "192.0.2.8");
  desk.clock.Advance(std::chrono::minutes(5));
  desk.Judge(issued.secret);
  CHECK(count() == before + 4);
  CHECK(desk.tokens->Get(issued.token.id)->last_used == desk.clock.UnixMillis());
  desk.Judge(issued.secret, "audit:read");
  desk.Judge(issued.secret, "audit:read");
  CHECK(count() == before + 5);
}

TEST_CASE("the journal: the same request once, another one never under its key") {
  Desk desk;
  using Begun = RequestJournal::Begun;
  const Hash32 request = Sha256("POST /x {}"), other = Sha256("POST /x {\"a\":1}");
  const auto begin = [&](const char* who, const char* key, const Hash32& what) {
    return desk.journal->Begin(who, key, what)->kind;
  };
  CHECK(begin("token/1", "key-0001", request) == Begun::kFresh);
  CHECK(begin("token/1", "key-0001", request) == Begun::kRunning);
  CHECK(begin("token/1", "key-0001", other) == Begun::kOther);
  CHECK(begin("token/2", "key-0001", other) == Begun::kFresh);  // keys are each one's own
  REQUIRE(desk.journal->Finish("token/1", "key-0001", {201, "text/plain", {1, 2, 3}}));
  desk.StopStore();
  desk.Restart();
  desk.Begin();
  const auto again = desk.journal->Begin("token/1", "key-0001", request);
  CHECK(again->kind == Begun::kAnswered);
  CHECK(again->answer.status == 201);
  CHECK(again->answer.content_type == "text/plain");
  CHECK(again->answer.sealed == Bytes{1, 2, 3});
  CHECK(begin("token/1", "key-0001", other) == Begun::kOther);
  REQUIRE(desk.journal->Forget("token/2", "key-0001"));
  CHECK(begin("token/2", "key-0001", request) == Begun::kFresh);
  REQUIRE(desk.journal->Forget("token/1", "key-0001"));  // one with an answer stays
  CHECK(begin("token/1", "key-0001", request) == Begun::kAnswered);

  // A server died under it: it is carried out again after two minutes, by one only.
  desk.clock.Advance(std::chrono::minutes(3));
  CHECK(begin("token/2", "key-0001", request) == Begun::kFresh);
  CHECK(begin("token/2", "key-0001", request) == Begun::kRunning);
  desk.clock.Advance(std::chrono::hours(25));
  CHECK(begin("token/1", "key-0001", other) == Begun::kFresh);
}

// Sign-in by a Kerberos ticket: what it stands for, and what it does not.
#include <catch2/catch.hpp>

#include "company.h"
#include "server/core/tickets.h"

using namespace keyferry;
using namespace keyferry::server;
using namespace keyferry::server::testing;

namespace {

constexpr char kSid[] = "S-1-5-21-1-2-3-1104";

// Takes "good", once.
struct FakeTickets final : TicketReader {
  Result<TicketHolder> Read(std::span<const std::uint8_t> token) override {
    ++asked;
    if (broken) return Fail(ErrorCode::kUnavailable, "The keytab cannot be used.");
    if (std::string(token.begin(), token.end()) != "good") {
      return Fail(ErrorCode::kUnauthenticated, "Your ticket was not accepted.", "bad\nwords");
    }
    return TicketHolder{"boss@CORP.EXAMPLE", sid, {1, 2, 3}};
  }
  std::string sid = kSid;
  bool broken = false;
  int asked = 0;
};

struct Gate : Company {
  Gate() {
    auto& boss = directory.At(admin.id);
    boss.groups = {"CN=Keyferry Admins,OU=Groups,DC=corp,DC=example"};
    boss.password = "right";
    boss.detail.person.sid = kSid;
    tickets = &reader;
    Restart();
  }
  Result<SignedInByTicket> Show(const std::string& token,
                                const std::string& address = "192.0.2.9") {
    return sessions->SignInByTicket(
        {reinterpret_cast<const std::uint8_t*>(token.data()), token.size()}, address, "browser");
  }
  AuditView Last() { return audit->List(0, 1)->front(); }
  FakeTickets reader;
};

}  // namespace

TEST_CASE("a ticket stands for the password: roles, session and audit are as after one") {
  Gate gate;
  CHECK(gate.sessions->TakesTickets());
  const auto signed_in = gate.Show("good");
  REQUIRE(signed_in);
  CHECK(signed_in->answer == std::vector<std::uint8_t>{1, 2, 3});
  const SignedIn& session = signed_in->signed_in;
  CHECK(session.session.actor.login == "boss");
  CHECK(session.session.actor.roles == Role::kAdministrator);
  CHECK(session.session.proven == 0);
  CHECK(session.session.browser == "browser");
  CHECK(gate.Last().action == "signin");
  CHECK(gate.Last().detail == "By the Kerberos ticket of boss@CORP.EXAMPLE.");
  const auto again = gate.Show("good");
  REQUIRE(again);
  CHECK(again->signed_in.token != session.token);
  CHECK(again->signed_in.session.csrf != session.session.csrf);
  CHECK(gate.sessions->Find(session.token, ""));
}

TEST_CASE("after a ticket the second factor is owed as after a password") {
  Gate gate;
  gate.session_config.second_factor = FactorPolicy::kRequired;
  gate.Restart();
  const auto signed_in = gate.Show("good");
  REQUIRE(signed_in);
  CHECK(signed_in->signed_in.session.stage == SessionStage::kSetUpOwed);
  CHECK_FALSE(gate.sessions->Find(signed_in->signed_in.token, ""));
  CHECK(gate.sessions->FindIncomplete(signed_in->signed_in.token, ""));
  CHECK(gate.Last().action == "signin.ticket");
  CHECK(gate.Last().detail ==
        "By the Kerberos ticket of boss@CORP.EXAMPLE; the second factor is asked for.");
}

TEST_CASE("without a reader of tickets nobody signs in by one") {
  Gate gate;
  gate.tickets = nullptr;
  gate.Restart();
  CHECK_FALSE(gate.sessions->TakesTickets());
  CHECK(gate.Show("good").error().code == ErrorCode::kUnsupported);
}

TEST_CASE("the directory is asked for the account as it is now") {
  Gate gate;
  SECTION("nobody has the SID") { gate.reader.sid = "S-1-5-21-9-9-9-1104"; }
  SECTION("no SID at all") { gate.reader.sid.clear(); }
  SECTION("disabled") { gate.directory.At(gate.admin.id).detail.state.disabled = true; }
  SECTION("locked") { gate.directory.At(gate.admin.id).detail.state.locked = true; }
  const auto refused = gate.Show("good");
  REQUIRE_FALSE(refused);
  CHECK(refused.error().code == ErrorCode::kUnauthenticated);
  CHECK(gate.Last().action == "signin.ticket");
  CHECK(gate.Last().target == "boss@CORP.EXAMPLE");
  CHECK(gate.Last().outcome != "ok");
  CHECK(gate.sessions->List()->empty());
}

TEST_CASE("a ticket of somebody in no group lets nobody in") {
  Gate gate;
  gate.directory.At(gate.admin.id).groups.clear();
  CHECK(gate.Show("good").error().code == ErrorCode::kPermissionDenied);
  CHECK(gate.Last().outcome == "denied");
}

TEST_CASE("refused tickets come on the beat, are audited and block the address") {
  Gate gate;
  for (int i = 0; i < 50; ++i) {
    const auto refused = gate.Show("bad");
    REQUIRE(refused.error().code == ErrorCode::kUnauthenticated);
    CHECK(refused.error().message == "Your ticket was not accepted.");
  }
  CHECK(gate.waiter.waits().size() == 50);
  CHECK(gate.Last().target == "unknown name");
  CHECK(gate.Last().detail == "bad?words");
  const int asked = gate.reader.asked;
  CHECK(gate.Show("good").error().code == ErrorCode::kRateLimited);
  CHECK(gate.reader.asked == asked);
  CHECK(gate.Show("good", "203.0.113.5"));
}

TEST_CASE("an account that guesses have blocked is blocked for tickets, which do not unblock it") {
  Gate gate;
  const auto guess = [&gate](const std::string& password) {
    return gate.sessions->SignIn("boss", SecureBytes::CopyOf(std::string_view(password)),
                                 "198.51.100.7");
  };
  for (int i = 0; i < 9; ++i) REQUIRE_FALSE(guess("wrong"));
  REQUIRE(gate.Show("good"));
  REQUIRE_FALSE(guess("wrong"));
  CHECK(guess("right").error().code == ErrorCode::kRateLimited);
  CHECK(gate.Show("good").error().code == ErrorCode::kRateLimited);
}

TEST_CASE("trouble of our own is nobody's failure") {
  Gate gate;
  SECTION("the keytab") { gate.reader.broken = true; }
  SECTION("the directory") { gate.directory.down = true; }
  for (int i = 0; i < 60; ++i) {
    REQUIRE(gate.Show("good").error().code == ErrorCode::kUnavailable);
  }
  gate.reader.broken = gate.directory.down = false;
  CHECK(gate.Show("good"));
}

TEST_CASE("the header's token is read strictly and bounded") {
  for (const char* none : {"", "Negotiate", "Negotiate ", "Negotiate   ", "Bearer abcd",
                           "Basic YQ==", "Negotiatex YWJj", "NTLM YWJj"}) {
    INFO(none);
    const auto token = NegotiateToken(none);
    REQUIRE(token);
    CHECK(token->empty());
  }
  for (const char* some : {"Negotiate YWJj", "negotiate YWJj", "NEGOTIATE  YWJj"}) {
    INFO(some);
    CHECK(NegotiateToken(some).value() == Bytes{'a', 'b', 'c'});
  }
  for (const char* bad : {"Negotiate YWJ", "Negotiate YW Jj", "Negotiate YWJj,", "Negotiate \"a\"",
                          "Negotiate YWJj=", "Negotiate -_-_"}) {
    INFO(bad);
    CHECK(NegotiateToken(bad).error().code == ErrorCode::kInvalidArgument);
  }
  const std::size_t most = kMaxTicketToken / 3 * 4;
  CHECK(NegotiateToken("Negotiate " + std::string(most, 'A')));
  CHECK_THAT(NegotiateToken("Negotiate " + std::string(most + 8, 'A')).error().message,
             Catch::Contains("too large"));
}

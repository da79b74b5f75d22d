// One-time codes, recovery codes, and the sessions that they complete.
#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>
#include <thread>

#include "company.h"
#include "server/core/password_history.h"
#include "server/core/totp.h"

using namespace keyferry;
using namespace keyferry::server;
using namespace keyferry::server::testing;

namespace {

Bytes FromBase32(std::string_view text) {
  Bytes out;
  std::uint32_t bits = 0;
  unsigned held = 0;
  for (const char c : text) {
    bits = bits << 5 | static_cast<std::uint32_t>(c >= 'A' ? c - 'A' : c - '2' + 26);
    held += 5;
    if (held >= 8) {
      held -= 8;
      out.push_back(static_cast<std::uint8_t>(bits >> held));
    }
  }
  return out;
}

// A company where the second factor is required.
struct Gate : Company {
  Gate() {
    auto& boss = directory.At(admin.id);
    boss.password = "right";
    boss.groups = {"CN=Keyferry Admins,OU=Groups,DC=corp,DC=example"};
    session_config.second_factor = FactorPolicy::kRequired;
    Restart();
  }
  SignedIn Password() {
    return sessions->SignIn("boss", Text("right"), "192.0.2.9", "Test").value();
  }
  std::int64_t Step() const { return clock.UnixSeconds() / kTotpStepSeconds; }
  std::string Code(std::int64_t step) const {
    std::string digits = std::to_string(TotpCode(secret, step).value());
    return std::string(6 - digits.size(), '0') + digits;
  }
  // Sets the factor up; the complete session.
  SignedIn SetUp() {
    const SignedIn half = Password();
    auto proposal = factors->Propose(half.session).value();
    secret = FromBase32(proposal.secret.view());
    shown = std::string(proposal.secret.view());
    uri = std::string(proposal.uri.view());
    auto done =
        factors->Confirm(half.token, half.session, Text(Code(Step() - 1)), Text(Code(Step())));
    for (const SecureBytes& code : done->recovery) recovery.emplace_back(code.view());
    clock.Advance(std::chrono::seconds(60));
    return std::move(done->signed_in);
  }
  ErrorCode Try(const SignedIn& half, const std::string& code) {
    const auto result = factors->Prove(half.token, half.session, Text(code));
    return result ? ErrorCode::kInternal : result.error().code;
  }

  Bytes secret;
  std::string shown, uri;
  std::vector<std::string> recovery;
};

constexpr ErrorCode kNo = ErrorCode::kUnauthenticated;

}  // namespace

TEST_CASE("codes are those of RFC 6238") {
  // Appendix B, SHA-1, the last six of its eight digits.
  const std::string_view seed = "12345678901234567890";
  const std::span<const std::uint8_t> secret(reinterpret_cast<const std::uint8_t*>(seed.data()),
                                             seed.size());
  const std::pair<std::int64_t, std::uint32_t> vectors[] = {
      {59, 287082},       {1111111109, 81804},  {1111111111, 50471},
      {1234567890, 5924}, {2000000000, 279037}, {20000000000, 353130},
  };
  for (const auto& [time, code] : vectors) CHECK(TotpCode(secret, time / 30) == code);
  // RFC 4226 appendix D.
  const std::uint32_t hotp[] = {755224, 287082, 359152, 969429, 338314,
                                254676, 287922, 162583, 399871, 520489};
  for (std::int64_t i = 0; i < 10; ++i) CHECK(TotpCode(secret, i) == hotp[i]);
  CHECK_FALSE(TotpCode(secret, -1));
  CHECK_FALSE(TotpCode(secret.first(19), 1));
  CHECK(ToBase32(secret).view() == "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ");
  CHECK(ToBase32(secret.first(1)).view() == "GE");
}

TEST_CASE("a code is six ASCII digits and nothing else") {
  CHECK(ParseTotpCode("012345") == 12345u);
  for (const std::string& text :
       {std::string(""), std::string("12345"), std::string("1234567"), std::string(" 12345"),
        std::string(" 123456"), std::string("123456 "), std::string("123456\n"),
        std::string("123 456"), std::string("+12345"), std::string("-12345"), std::string("0x1234"),
        std::string("1234\0"
                    "5",
                    6),
        std::string("12345a"), std::string("１２３４５６"), std::string("١٢٣"),
        std::string("1e5000")}) {
    INFO(text);
    CHECK_FALSE(ParseTotpCode(text));
  }
}

TEST_CASE("the window is one step either way, and no step comes twice") {
  const Bytes secret(20, 7);
  const std::int64_t now = 1'800'000'015, middle = now / 30;
  for (std::int64_t step = middle - 3; step <= middle + 3; ++step) {
    const auto found = FindTotpStep(secret, TotpCode(secret, step).value(), now, 0);
    CHECK(found.has_value() == (step >= middle - 1 && step <= middle + 1));
  }
  const std::uint32_t code = TotpCode(secret, middle).value();
  CHECK(FindTotpStep(secret, code, now, middle - 1) == middle);
  CHECK_FALSE(FindTotpStep(secret, code, now, middle));
  CHECK(FindTotpStep(secret, code, (middle + 2) * 30 - 1, 0));
  CHECK_FALSE(FindTotpStep(secret, code, (middle + 2) * 30, 0));
  CHECK(FindTotpStep(secret, code, (middle - 1) * 30, 0));
  CHECK_FALSE(FindTotpStep(secret, code, (middle - 1) * 30 - 1, 0));
}

TEST_CASE("who has no second factor sets one up before anything else") {
  Gate gate;
  const SignedIn half = gate.Password();
  CHECK(half.session.stage == SessionStage::kSetUpOwed);
  CHECK(gate.sessions->Find(half.token, "").error().code == kNo);
  CHECK(gate.sessions->FindIncomplete(half.token, ""));
  CHECK(gate.factors->Prove(half.token, half.session, Text("123456")).error().code ==
        ErrorCode::kConflict);
  CHECK(gate.factors->List()->empty());
  const SignedIn whole = gate.SetUp();
  CHECK(gate.recovery.size() == 10);
  CHECK(std::set<std::string>(gate.recovery.begin(), gate.recovery.end()).size() == 10);
  CHECK(gate.recovery.front().size() == 19);
  CHECK(gate.secret.size() == 20);
  CHECK(gate.uri == "otpauth://totp/Keyferry:boss?secret=" + gate.shown + "&issuer=Keyferry");
  CHECK(gate.sessions->Find(whole.token, ""));
  CHECK(gate.sessions->FindIncomplete(whole.token, "").error().code == kNo);
  CHECK(whole.session.csrf != half.session.csrf);
  CHECK(gate.audit->List(0, 1)->front().action == "factor.set_up");
  // A second one cannot be slipped in.
  CHECK(gate.factors->Propose(whole.session).error().code == ErrorCode::kConflict);
  CHECK(gate.factors->Propose(gate.Password().session).error().code == ErrorCode::kConflict);
}

TEST_CASE("set-up wants two codes in a row of the newest proposal") {
  Gate gate;
  const SignedIn half = gate.Password();
  const auto first = gate.factors->Propose(half.session);
  const Bytes old_secret = FromBase32(first->secret.view());
  gate.secret = FromBase32(gate.factors->Propose(half.session)->secret.view());
  CHECK(gate.secret != old_secret);
  const std::int64_t step = gate.Step();
  const auto confirm = [&](const std::string& a, const std::string& b) {
    const auto done = gate.factors->Confirm(half.token, half.session, Text(a), Text(b));
    return done ? ErrorCode::kInternal : done.error().code;
  };
  CHECK(confirm(gate.Code(step), gate.Code(step)) == kNo);
  CHECK(confirm(gate.Code(step), gate.Code(step - 1)) == kNo);
  CHECK(confirm(gate.Code(step - 1), gate.Code(step + 1)) == kNo);
  CHECK(confirm(gate.Code(step - 3), gate.Code(step - 2)) == kNo);
  CHECK(confirm("", "") == kNo);
  const Bytes newer = gate.secret;
  gate.secret = old_secret;
  CHECK(confirm(gate.Code(step - 1), gate.Code(step)) == kNo);
  gate.secret = newer;
  // A person reads the first code a minute before the second is sent.
  CHECK(confirm(gate.Code(step - 2), gate.Code(step - 1)) == ErrorCode::kInternal);
  CHECK(confirm(gate.Code(step), gate.Code(step + 1)) == ErrorCode::kConflict);
}

TEST_CASE("a code completes a sign-in once, also after a restart and however it is written") {
  Gate gate;
  gate.SetUp();
  const SignedIn half = gate.Password();
  CHECK(half.session.stage == SessionStage::kCodeOwed);
  CHECK(gate.sessions->Find(half.token, "").error().code == kNo);
  const std::string code = gate.Code(gate.Step());
  for (const std::string& text : {" " + code, code + "\n", code + " ", code.substr(0, 5),
                                  code + "0", std::string("１２３４５６"), std::string()}) {
    CHECK(gate.Try(half, text) == kNo);
  }
  const auto done = gate.factors->Prove(half.token, half.session, Text(code));
  REQUIRE(done);
  CHECK(done->token != half.token);
  CHECK(gate.sessions->Find(done->token, ""));
  CHECK(gate.sessions->FindIncomplete(half.token, "").error().code == kNo);
  CHECK(gate.Try(half, gate.Code(gate.Step() + 1)) == kNo);  // that session is gone
  CHECK(gate.Try(gate.Password(), code) == kNo);
  gate.Restart();
  CHECK(gate.Try(gate.Password(), code) == kNo);
  CHECK(gate.Try(gate.Password(), gate.Code(gate.Step() - 1)) == kNo);  // older than a used one
  CHECK(gate.Try(gate.Password(), gate.Code(gate.Step() + 1)) == ErrorCode::kInternal);
}

TEST_CASE("wrong, used and late codes get one answer on one beat") {
  Gate gate;
  gate.SetUp();
  const std::string used = gate.Code(gate.Step());
  REQUIRE(gate.Try(gate.Password(), used) == ErrorCode::kInternal);
  const SignedIn half = gate.Password();
  const std::size_t before = gate.waiter.waits().size();
  std::set<std::string> messages;
  for (const std::string& code : {std::string("000000"), used, gate.Code(gate.Step() - 5),
                                  std::string("abcd-efgh-abcd-efgh"), std::string("x")}) {
    const auto answer = gate.factors->Prove(half.token, half.session, Text(code));
    REQUIRE_FALSE(answer);
    CHECK(answer.error().detail.empty());
    messages.insert(answer.error().message);
  }
  CHECK(messages.size() == 1);
  CHECK(gate.waiter.waits().size() == before + 5);
}

TEST_CASE("guessing is limited for the account, and a restart does not forget it") {
  Gate gate;
  gate.SetUp();
  for (int i = 0; i < 10; ++i) CHECK(gate.Try(gate.Password(), "00000" + std::to_string(i)) == kNo);
  gate.Restart();
  CHECK(gate.Try(gate.Password(), gate.Code(gate.Step())) == ErrorCode::kRateLimited);
  CHECK(gate.Try(gate.Password(), gate.recovery.front()) == ErrorCode::kRateLimited);
  gate.clock.Advance(std::chrono::minutes(16));
  CHECK(gate.Try(gate.Password(), gate.Code(gate.Step())) == ErrorCode::kInternal);
}

TEST_CASE("one code, fifty at once: one gets in") {
  Gate gate;
  gate.session_config.failures_per_account = 100;
  gate.Restart();
  gate.SetUp();
  std::vector<SignedIn> halves;
  for (int i = 0; i < 50; ++i) halves.push_back(gate.Password());
  for (const bool recovery : {false, true}) {
    const std::string code = recovery ? gate.recovery.front() : gate.Code(gate.Step());
    std::atomic<int> passed{0};
    std::vector<std::thread> threads;
    for (int i = 0; i < 50; ++i) {
      // Recovery codes cost 64 MiB of work each: eight at once are race enough.
      if (recovery && i >= 8) break;
      threads.emplace_back([&, i] {
        const SignedIn& half = halves[static_cast<std::size_t>(recovery ? 49 - i : i)];
        if (gate.factors->Prove(half.token, half.session, Text(code))) ++passed;
      });
    }
    for (std::thread& thread : threads) thread.join();
    CHECK(passed == 1);
    halves.clear();
    for (int i = 0; i < 50; ++i) halves.push_back(gate.Password());
  }
}

TEST_CASE("two servers on one database take a code once") {
  Gate gate;
  gate.SetUp();
  const SignedIn half = gate.Password();
  // The other server read the record before this one wrote it.
  const auto stale = gate.store->FindFactor(gate.admin.id)->value();
  const std::string code = gate.Code(gate.Step());
  REQUIRE(gate.Try(half, code) == ErrorCode::kInternal);
  FactorStore::Proof proof;
  proof.account = stale.account;
  proof.step = gate.Step();
  const SignedIn other = gate.Password();
  CHECK_FALSE(gate.store->SpendProof(proof, {Sha256(other.token), {}}, "", {}).value());
}

TEST_CASE("a recovery code works once, and new ones void the old") {
  Gate gate;
  gate.SetUp();
  std::string shouted = gate.recovery[0];
  for (char& c : shouted) {
    if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 32);
  }
  CHECK(gate.Try(gate.Password(), shouted) == ErrorCode::kInternal);
  CHECK(gate.Try(gate.Password(), gate.recovery[0]) == kNo);
  CHECK(gate.factors->List()->front().recovery_left == 9);
  CHECK(gate.Try(gate.Password(), gate.recovery[1] + "a") == kNo);
  CHECK(gate.Try(gate.Password(), " " + gate.recovery[1]) == kNo);
  const auto whole = [&] {
    const SignedIn half = gate.Password();
    return gate.factors->Prove(half.token, half.session, Text(gate.recovery[2])).value();
  }();
  const auto fresh = gate.factors->NewRecovery(whole.session);
  REQUIRE(fresh);
  CHECK(fresh->size() == 10);
  CHECK(gate.Try(gate.Password(), gate.recovery[3]) == kNo);
  CHECK(gate.Try(gate.Password(), std::string(fresh->front().view())) == ErrorCode::kInternal);
}

TEST_CASE("recovery codes that were hashed at the cost of passwords go on working") {
  Gate gate;
  const SignedIn whole = gate.SetUp();
  const std::string salt(2 * kSlowHashSaltSize, 'a');
  const auto hash = SlowHash(Text("ABCDEFGH22334455"), salt, kHistoryCost).value();
  REQUIRE(gate.store->ReplaceRecovery(gate.admin.id, salt, {hash}, {}).value());
  CHECK(gate.Try(gate.Password(), "abcd-efgh-2233-4456") == kNo);
  CHECK(gate.Try(gate.Password(), "abcd-efgh-2233-4455") == ErrorCode::kInternal);
  CHECK(gate.Try(gate.Password(), "abcd-efgh-2233-4455") == kNo);
  REQUIRE(gate.factors->NewRecovery(whole.session));
  CHECK(gate.store->FindFactor(gate.admin.id).value()->recovery_salt.starts_with("2:"));
}

TEST_CASE("the secret is in no file of the server, nor are the recovery codes") {
  if (TestDatabase::IsPostgres()) return;  // its files are another program's
  Gate gate;
  gate.SetUp();
  std::string bytes(gate.secret.begin(), gate.secret.end());
  std::vector<std::string> canaries = {bytes, gate.shown, ToHex(gate.secret),
                                       ToBase64(gate.secret)};
  for (const std::string& code : gate.recovery) canaries.push_back(code);
  std::size_t files = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(gate.database.Where())) {
    if (!entry.is_regular_file()) continue;
    std::ifstream in(entry.path(), std::ios::binary);
    std::ostringstream content;
    content << in.rdbuf();
    ++files;
    for (const std::string& canary : canaries) {
      CHECK(content.str().find(canary) == std::string::npos);
    }
  }
  CHECK(files > 0);
}

TEST_CASE("a sealed secret opens for its own account and this issuer alone") {
  Gate gate;
  gate.SetUp();
  FactorRecord copied = gate.store->FindFactor(gate.admin.id)->value();
  copied.account = gate.alice;
  REQUIRE(gate.store->ProposeFactor(copied));
  auto& alice = gate.directory.At(gate.alice);
  alice.password = "right";
  alice.groups = {"CN=Help Desk,OU=Groups,DC=corp,DC=example"};
  const auto half = gate.sessions->SignIn("alice", Text("right"), "192.0.2.9");
  REQUIRE(half);
  CHECK(gate.factors
            ->Confirm(half->token, half->session, Text(gate.Code(gate.Step() - 1)),
                      Text(gate.Code(gate.Step())))
            .error()
            .code == ErrorCode::kInternal);
}

TEST_CASE("another administrator resets a second factor, nobody their own") {
  Gate gate;
  const SignedIn whole = gate.SetUp();
  CHECK(gate.factors->Reset(whole.session.actor, gate.admin.id).error().code ==
        ErrorCode::kPermissionDenied);
  Actor desk = gate.admin;
  desk.id = gate.alice;
  desk.roles = Role::kHelpDesk;
  CHECK(gate.factors->Reset(desk, gate.admin.id).error().code == ErrorCode::kPermissionDenied);
  desk.roles = Role::kAdministrator;
  REQUIRE(gate.factors->Reset(desk, gate.admin.id));
  CHECK(gate.audit->List(0, 1)->front().action == "factor.reset");
  CHECK(gate.sessions->Find(whole.token, "").error().code == kNo);
  CHECK(gate.factors->Reset(desk, gate.admin.id).error().code == ErrorCode::kNotFound);
  CHECK(gate.Password().session.stage == SessionStage::kSetUpOwed);
}

TEST_CASE("optional asks who has one; off asks nobody") {
  Gate gate;
  gate.session_config.second_factor = FactorPolicy::kOptional;
  gate.Restart();
  SignedIn plain = gate.Password();
  CHECK(plain.session.stage == SessionStage::kComplete);
  CHECK_FALSE(gate.factors->NeedsStepUp(plain.session));
  const SignedIn whole = gate.SetUp();
  CHECK(gate.sessions->Find(whole.token, ""));
  CHECK(gate.Password().session.stage == SessionStage::kCodeOwed);
  gate.session_config.second_factor = FactorPolicy::kOff;
  gate.Restart();
  plain = gate.Password();
  CHECK(plain.session.stage == SessionStage::kComplete);
  CHECK_FALSE(gate.factors->NeedsStepUp(plain.session));
}

TEST_CASE("a proof gets old, and step-up renews it under a new cookie") {
  Gate gate;
  SignedIn whole = gate.SetUp();
  CHECK_FALSE(gate.factors->NeedsStepUp(whole.session));
  gate.clock.Advance(std::chrono::minutes(9));
  CHECK(gate.factors->NeedsStepUp(whole.session));
  CHECK(gate.Try(whole, "000000") == kNo);
  const auto renewed =
      gate.factors->Prove(whole.token, whole.session, Text(gate.Code(gate.Step())));
  REQUIRE(renewed);
  CHECK_FALSE(gate.factors->NeedsStepUp(renewed->session));
  CHECK(renewed->session.expires == whole.session.expires);
  CHECK(renewed->session.id == whole.session.id);
  CHECK(renewed->session.csrf != whole.session.csrf);
  CHECK(gate.sessions->Find(whole.token, "").error().code == kNo);
  CHECK(gate.sessions->Find(renewed->token, ""));
  gate.clock.Jump(-std::chrono::hours(1));
  CHECK(gate.factors->NeedsStepUp(renewed->session));
}

TEST_CASE("a restore brings no used code back") {
  Gate gate;
  gate.SetUp();
  const std::string code = gate.Code(gate.Step() + 1);
  RestoreRecord restore;
  restore.time = gate.clock.UnixMillis();
  REQUIRE(gate.store->BeginAnew(restore, "restored", {}));
  CHECK(gate.Try(gate.Password(), code) == kNo);
  CHECK(gate.Try(gate.Password(), gate.recovery.front()) == kNo);
  gate.clock.Advance(std::chrono::seconds(60));
  CHECK(gate.Try(gate.Password(), gate.Code(gate.Step())) == ErrorCode::kInternal);
}

TEST_CASE("a session whose person may no longer ends within a minute") {
  Gate gate;
  gate.session_config.second_factor = FactorPolicy::kOff;
  gate.session_config.idle_seconds = 8 * 3600;
  gate.Restart();
  auto& boss = gate.directory.At(gate.admin.id);
  const auto groups = boss.groups;
  const auto gone_after = [&](auto change) {
    boss.detail.state.disabled = false;
    boss.detail.state.account_expired = false;
    boss.groups = groups;
    const SignedIn in = gate.Password();
    change();
    // Within the minute nobody is asked.
    CHECK(gate.sessions->Find(in.token, ""));
    gate.clock.Advance(std::chrono::seconds(60));
    CHECK(gate.sessions->Find(in.token, "").error().code == kNo);
    boss.detail.state.disabled = false;
    boss.detail.state.account_expired = false;
    boss.groups = groups;
    CHECK(gate.sessions->Find(in.token, "").error().code == kNo);  // it is over for good
    CHECK(gate.audit->List(0, 1)->front().action == "session.end");
  };
  gone_after([&] { boss.detail.state.disabled = true; });
  gone_after([&] { boss.detail.state.account_expired = true; });
  gone_after([&] { boss.groups.clear(); });
  gone_after([&] { boss.groups = {"CN=Help Desk,OU=Groups,DC=corp,DC=example"}; });
}

TEST_CASE("while the directory is away a session stays for its grace, then fails closed") {
  Gate gate;
  gate.session_config.second_factor = FactorPolicy::kOff;
  gate.session_config.idle_seconds = 8 * 3600;
  gate.Restart();
  const SignedIn in = gate.Password();
  gate.directory.down = true;
  gate.clock.Advance(std::chrono::minutes(14));
  CHECK(gate.sessions->Find(in.token, ""));
  gate.clock.Advance(std::chrono::minutes(2));
  CHECK(gate.sessions->Find(in.token, "").error().code == ErrorCode::kUnavailable);
  CHECK(gate.sessions->Find(in.token, "").error().code == ErrorCode::kUnavailable);
  gate.directory.down = false;
  gate.clock.Advance(std::chrono::minutes(1));
  CHECK(gate.sessions->Find(in.token, ""));
}

TEST_CASE("sessions are listed and ended: one, all others, another's by an administrator") {
  Gate gate;
  gate.session_config.second_factor = FactorPolicy::kOff;
  gate.Restart();
  auto& alice = gate.directory.At(gate.alice);
  alice.password = "right";
  alice.groups = {"CN=Help Desk,OU=Groups,DC=corp,DC=example"};
  const SignedIn a = gate.Password(), b = gate.Password(), c = gate.Password();
  const SignedIn desk =
      gate.sessions
          ->SignIn("alice", Text("right"), "198.51.100.7", "curl/8\n" + std::string(999, 'x'))
          .value();
  REQUIRE(gate.sessions->List()->size() == 4);
  const auto listed = gate.sessions->List().value();
  for (const Session& session : listed) {
    CHECK(session.browser.size() <= 200);
    CHECK(session.browser.find('\n') == std::string::npos);
  }
  CHECK(gate.sessions->End(desk.session.actor, a.session.id).error().code == ErrorCode::kNotFound);
  CHECK(gate.sessions->Find(a.token, ""));
  REQUIRE(gate.sessions->End(a.session.actor, b.session.id));
  CHECK(gate.sessions->Find(b.token, "").error().code == kNo);
  CHECK(gate.sessions->EndOthers(a.session.actor, a.session.id).value() == 1);
  CHECK(gate.sessions->Find(c.token, "").error().code == kNo);
  CHECK(gate.sessions->Find(a.token, ""));
  CHECK(gate.sessions->Find(desk.token, ""));
  REQUIRE(gate.sessions->End(a.session.actor, desk.session.id));
  CHECK(gate.sessions->Find(desk.token, "").error().code == kNo);

  const SignedIn again = gate.sessions->SignIn("alice", Text("right"), "198.51.100.7").value();
  CHECK(gate.sessions->EndAll(again.session.actor, a.session.actor.id).error().code ==
        ErrorCode::kPermissionDenied);
  CHECK(gate.sessions->EndAll(a.session.actor, again.session.actor.id).value() == 1);
  CHECK(gate.sessions->Find(again.token, "").error().code == kNo);
  CHECK(gate.sessions->Find(a.token, ""));
  CHECK(gate.audit->List(0, 1)->front().target == "alice");
  CHECK(gate.sessions->End(a.session.actor, desk.session.id).error().code == ErrorCode::kNotFound);
}

TEST_CASE(
    "whose sessions and second factor are out of an administrator's scope stays as they are") {
  struct : GroupReader {
    Result<GroupMembers> Members(std::string_view, std::size_t) override { return GroupMembers{}; }
  } groups;
  Gate gate;
  PeopleConfig config;
  config.scopes.push_back({Role::kAdministrator, {}, {{"boss"}, {}, {}}});
  const auto people = MakePeopleService(gate.directory, groups, gate.clock, config);
  gate.people = people.get();
  gate.Restart();
  const SignedIn whole = gate.SetUp();
  Actor other = gate.admin;
  other.id = gate.alice;
  other.login = "alice";
  CHECK(gate.factors->Reset(other, gate.admin.id).error().code == ErrorCode::kNotFound);
  const auto ended = gate.sessions->End(other, whole.session.id);
  REQUIRE_FALSE(ended);
  CHECK(ended.error().message == gate.sessions->End(other, SessionId{}).error().message);
  CHECK(gate.sessions->Find(whole.token, ""));
  // One's own sessions are no matter of scope.
  REQUIRE(gate.sessions->End(whole.session.actor, whole.session.id));
}

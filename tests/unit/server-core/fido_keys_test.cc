// FIDO2 keys as second factor: registration and proof by Web Authentication, sections 7.1 and 7.2.
#include "server/core/fido_keys.h"

#include <catch2/catch.hpp>
#include <set>
#include <thread>

#include "company.h"
#include "server/core/encoding.h"
#include "server/core/totp.h"
#include "server/fido/verifier.h"
#include "test_authenticator.h"

using namespace keyferry;
using namespace keyferry::server;
using namespace keyferry::server::testing;

namespace {

constexpr ErrorCode kYes = ErrorCode::kInternal;  // what Code() says of a success
constexpr ErrorCode kNo = ErrorCode::kUnauthenticated;

template <typename T>
ErrorCode Code(const Result<T>& result) {
  return result ? kYes : result.error().code;
}

// A company where the second factor is required, with a browser at its door.
struct Gate : Company {
  explicit Gate(FactorPolicy policy = FactorPolicy::kRequired) {
    auto& boss = directory.At(admin.id);
    boss.password = "right";
    boss.groups = {"CN=Keyferry Admins,OU=Groups,DC=corp,DC=example"};
    directory.At(alice).password = "right";
    directory.At(alice).groups = boss.groups;
    session_config.second_factor = policy;
    fido_config.relying_party = "corp.example";
    fido_config.origins = {"https://keyferry.corp.example", "https://other.corp.example:8443"};
    Begin();
  }
  void Begin() {
    fido.reset();
    Restart();
    MakeFido();
  }
  void MakeFido() { fido = MakeFidoKeys(Ports(), session_config, fido_config, *verifier); }
  SignedIn Password(const char* name = "boss") {
    return sessions->SignIn(name, Text("right"), "192.0.2.9", "Test").value();
  }
  FidoKeyOffer Offer(const std::string& credential, const std::string& name = "blue") {
    return {name, credential, {"usb", "nfc", "smoke"}, true};
  }
  std::string NewChallenge(const SignedIn& half) {
    return fido->BeginNew(half.token, half.session).value().challenge;
  }
  std::string Challenge(const SignedIn& half) {
    return fido->BeginProof(half.token, half.session).value().challenge;
  }
  // The first second factor; the complete session.
  SignedIn SetUp(TestAuthenticator& authenticator, const char* name = "boss") {
    const SignedIn half = Password(name);
    auto added =
        fido->Add(half.token, half.session, Offer(authenticator.Create(NewChallenge(half))))
            .value();
    key = added.key.id;
    for (const SecureBytes& code : added.recovery) recovery.emplace_back(code.view());
    return *added.signed_in;
  }
  Result<SignedIn> Prove(const SignedIn& half, TestAuthenticator& authenticator) {
    return fido->Prove(half.token, half.session, authenticator.Assert(Challenge(half)));
  }
  AuditEntry LastAudit() {
    return store->AuditAfter(store->AuditHead()->number - 1, 1)->at(0).entry;
  }

  FidoConfig fido_config;
  std::unique_ptr<FidoVerifier> verifier = MakeFidoVerifier();
  std::unique_ptr<FidoKeys> fido;
  TestAuthenticator blue;
  FidoKeyId key;
  std::vector<std::string> recovery;
};

}  // namespace

TEST_CASE("a key is the first second factor, with recovery codes, and completes sign-ins") {
  Gate gate;
  const SignedIn half = gate.Password();
  CHECK(half.session.stage == SessionStage::kSetUpOwed);
  CHECK(Code(gate.fido->BeginProof(half.token, half.session)) == ErrorCode::kConflict);
  const auto ceremony = gate.fido->BeginNew(half.token, half.session).value();
  CHECK(ceremony.challenge.size() == 43);
  CHECK(ceremony.relying_party == "corp.example");
  CHECK(ceremony.login == "boss");
  CHECK(ceremony.keys.empty());
  const auto user = FromBase64Url(ceremony.user);
  REQUIRE(user);
  CHECK(user->size() == 32);  // and tells nothing of who it is
  CHECK(ceremony.user.find(gate.admin.id.Hex()) == std::string::npos);

  const auto added =
      gate.fido->Add(half.token, half.session, gate.Offer(gate.blue.Create(ceremony.challenge)));
  REQUIRE(added);
  REQUIRE(added->signed_in);
  CHECK(added->recovery.size() == 10);
  CHECK(gate.sessions->Find(added->signed_in->token, ""));
  CHECK(Code(gate.sessions->FindIncomplete(half.token, "")) == kNo);
  CHECK(gate.LastAudit().action == "factor.key_add");
  CHECK(gate.LastAudit().detail == "blue");
  const auto factor = gate.factors->List()->at(0);
  CHECK_FALSE(factor.app);
  CHECK(factor.fido_keys == 1);
  CHECK(factor.recovery_left == 10);

  const SignedIn owed = gate.Password();
  CHECK(owed.session.stage == SessionStage::kCodeOwed);
  const auto proof = gate.fido->BeginProof(owed.token, owed.session).value();
  REQUIRE(proof.keys.size() == 1);
  CHECK(proof.keys[0].id == ToBase64Url(gate.blue.id));
  CHECK(proof.keys[0].transports == std::vector<std::string>{"usb", "nfc"});
  const auto done = gate.fido->Prove(owed.token, owed.session, gate.blue.Assert(proof.challenge));
  REQUIRE(done);
  CHECK(done->token != owed.token);
  CHECK(done->session.proven == gate.clock.UnixSeconds());
  CHECK(gate.sessions->Find(done->token, ""));
  CHECK(gate.LastAudit().action == "signin");
  CHECK(gate.LastAudit().detail == "With the security key blue.");
  CHECK(gate.fido->Of(gate.admin.id)->at(0).used != 0);
  // The recovery codes are as good as those of an app; digits are none without one.
  CHECK(Code(gate.factors->Prove(gate.Password().token, gate.Password().session, Text("123456"))) ==
        kNo);
  const SignedIn again = gate.Password();
  gate.clock.Advance(std::chrono::seconds(1));
  REQUIRE(gate.factors->Prove(again.token, again.session, Text(added->recovery.front().view())));
}

TEST_CASE("each challenge is good once, for its session and its ceremony, and not for long") {
  Gate gate;
  gate.SetUp(gate.blue);
  const SignedIn half = gate.Password();
  const std::string answer = gate.blue.Assert(gate.Challenge(half));
  const auto done = gate.fido->Prove(half.token, half.session, answer);
  REQUIRE(done);
  // The same answer again, in the session that came of it and in another.
  CHECK(Code(gate.fido->Prove(done->token, done->session, answer)) == kNo);
  const SignedIn other = gate.Password();
  CHECK(Code(gate.fido->Prove(other.token, other.session, answer)) == kNo);
  const std::string theirs = gate.Challenge(gate.Password());
  gate.Challenge(other);
  CHECK(Code(gate.fido->Prove(other.token, other.session, gate.blue.Assert(theirs))) == kNo);
  // A wrong answer uses it up.
  const std::string used_up = gate.Challenge(other);
  CHECK(Code(gate.fido->Prove(other.token, other.session, "AA.AA.AA.AA.")) == kNo);
  CHECK(Code(gate.fido->Prove(other.token, other.session, gate.blue.Assert(used_up))) == kNo);
  // A newer one takes its place.
  const std::string former = gate.Challenge(other);
  const std::string newer = gate.Challenge(other);
  CHECK(former != newer);
  CHECK(Code(gate.fido->Prove(other.token, other.session, gate.blue.Assert(former))) == kNo);
  // One to create is none to get, and the other way round.
  const std::string create = gate.NewChallenge(*done);
  CHECK(Code(gate.fido->Prove(done->token, done->session, gate.blue.Assert(create))) == kNo);
  TestAuthenticator green;
  green.id[0] = 9;
  const std::string get = gate.Challenge(*done);
  CHECK(Code(gate.fido->Add(done->token, done->session, gate.Offer(green.Create(get)))) == kNo);
  // Until the last second of five minutes, also after a restart.
  const std::string early = gate.Challenge(other);
  gate.clock.Advance(std::chrono::seconds(299));
  gate.Begin();
  CHECK(Code(gate.fido->Prove(other.token, other.session, gate.blue.Assert(early))) == kYes);
  const SignedIn slow = gate.Password();
  const std::string late = gate.Challenge(slow);
  gate.clock.Advance(std::chrono::seconds(300));
  CHECK(Code(gate.fido->Prove(slow.token, slow.session, gate.blue.Assert(late))) == kNo);
}

TEST_CASE("one answer on many threads proves once") {
  Gate gate;
  gate.SetUp(gate.blue);
  const SignedIn half = gate.Password();
  const std::string answer = gate.blue.Assert(gate.Challenge(half));
  std::atomic<int> good{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      if (gate.fido->Prove(half.token, half.session, answer)) ++good;
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(good == 1);
}

TEST_CASE("origin, relying party, type, touch and verification are looked at, in both ceremonies") {
  Gate gate;
  const auto bends = std::vector<std::pair<const char*, std::function<void(TestAuthenticator&)>>>{
      {"another origin", [](auto& key) { key.origin = "https://keyferry.corp.example.evil"; }},
      {"another port", [](auto& key) { key.origin = "https://keyferry.corp.example:8443"; }},
      {"no TLS", [](auto& key) { key.origin = "http://keyferry.corp.example"; }},
      {"a frame of another site",
       [](auto& key) { key.more_client_data = ",\"crossOrigin\":true"; }},
      {"another relying party", [](auto& key) { key.relying_party = "evil.example"; }},
      {"nobody there", [](auto& key) { key.present = false; }},
  };
  for (const auto& [what, bend] : bends) {
    INFO(what);
    TestAuthenticator key;
    bend(key);
    const SignedIn half = gate.Password();
    const auto refused =
        gate.fido->Add(half.token, half.session, gate.Offer(key.Create(gate.NewChallenge(half))));
    CHECK(Code(refused) == kNo);
    CHECK_FALSE(gate.LastAudit().detail.empty());
    CHECK(gate.LastAudit().outcome == "wrong_key");
  }
  CHECK(gate.fido->Of(gate.admin.id)->empty());
  gate.clock.Advance(std::chrono::minutes(30));
  gate.SetUp(gate.blue);
  std::set<std::string> answers;
  for (const auto& [what, bend] : bends) {
    INFO(what);
    const SignedIn half = gate.Password();
    const auto before = std::make_tuple(gate.blue.origin, gate.blue.more_client_data,
                                        gate.blue.relying_party, gate.blue.present);
    bend(gate.blue);
    const auto refused = gate.Prove(half, gate.blue);
    REQUIRE_FALSE(refused);
    CHECK(refused.error().code == kNo);
    answers.insert(refused.error().message);
    std::tie(gate.blue.origin, gate.blue.more_client_data, gate.blue.relying_party,
             gate.blue.present) = before;
  }
  CHECK(answers.size() == 1);  // the person learns nothing of the reason
  CHECK(gate.Prove(gate.Password(), gate.blue));
  gate.blue.origin = "https://other.corp.example:8443";
  CHECK(gate.Prove(gate.Password(), gate.blue));

  gate.fido_config.user_verification = "required";
  gate.Begin();
  CHECK(Code(gate.Prove(gate.Password(), gate.blue)) == kNo);
  gate.blue.verified = true;
  CHECK(gate.Prove(gate.Password(), gate.blue));
}

TEST_CASE("a counter that goes back: refused, written down, and the key refused from then on") {
  Gate gate;
  gate.blue.counter = 100;
  gate.SetUp(gate.blue);
  CHECK(gate.Prove(gate.Password(), gate.blue));  // 101
  gate.blue.counter = 100;
  const std::size_t logged = gate.log.size();
  const auto refused = gate.Prove(gate.Password(), gate.blue);  // 101 again
  REQUIRE_FALSE(refused);
  CHECK(refused.error().code == kNo);
  CHECK(refused.error().message.find("copied") != std::string::npos);
  CHECK(gate.log.size() == logged + 1);
  bool written = false;
  const auto rows = gate.audit->List(0, 5).value();
  for (const auto& row : rows) written |= row.action == "factor.key_suspect";
  CHECK(written);
  CHECK(gate.fido->Of(gate.admin.id)->at(0).suspect != 0);
  // It is not asked for any more, and the real one is not taken either.
  const SignedIn half = gate.Password();
  CHECK(Code(gate.fido->BeginProof(half.token, half.session)) == ErrorCode::kConflict);
  gate.store
      ->PutChallenge(Sha256(half.token), "get " + std::string(43, 'x'),
                     gate.clock.UnixSeconds() + 60)
      .value();
  gate.blue.counter = 500;
  CHECK(Code(gate.fido->Prove(half.token, half.session, gate.blue.Assert(std::string(43, 'x')))) ==
        kNo);
}

TEST_CASE("a key that does not count is taken as it is, until it begins to") {
  Gate gate;
  gate.blue.counts = false;
  gate.SetUp(gate.blue);
  CHECK(gate.Prove(gate.Password(), gate.blue));
  CHECK(gate.Prove(gate.Password(), gate.blue));
  gate.blue.counter = 5;
  CHECK(gate.Prove(gate.Password(), gate.blue));
  gate.blue.counter = 0;
  CHECK_FALSE(gate.Prove(gate.Password(), gate.blue));
}

TEST_CASE("no key is anybody else's, and none is registered twice") {
  Gate gate;
  gate.SetUp(gate.blue);
  // With the first person's key at the second person's sign-in.
  TestAuthenticator red;
  red.id[0] = 0x4E;
  gate.SetUp(red, "alice");
  const SignedIn half = gate.Password("alice");
  CHECK(Code(gate.Prove(half, gate.blue)) == kNo);
  // The credential of the first with the key of the second, and a handle of somebody else.
  TestAuthenticator thief;
  thief.id = red.id;
  CHECK(Code(gate.Prove(half, thief)) == kNo);
  red.user = FidoBytes(32, 1);
  CHECK(Code(gate.Prove(half, red)) == kNo);
  red.user.clear();
  const auto own = gate.Prove(half, red);
  REQUIRE(own);
  red.user = FromBase64Url(gate.fido->BeginNew(own->token, own->session)->user).value();
  CHECK(gate.Prove(gate.Password("alice"), red));
  const auto known = gate.fido->Add(own->token, own->session,
                                    gate.Offer(gate.blue.Create(gate.NewChallenge(*own))));
  CHECK(Code(known) == ErrorCode::kConflict);
  CHECK(gate.fido->Of(gate.alice)->size() == 1);
}

TEST_CASE("several keys: named, excluded from each other, renamed and removed, but for the last") {
  Gate gate;
  gate.fido_config.keys_per_person = 3;
  gate.MakeFido();
  const SignedIn whole = gate.SetUp(gate.blue);
  std::vector<TestAuthenticator> more(3);
  for (std::size_t i = 0; i < more.size(); ++i) more[i].id[0] = static_cast<std::uint8_t>(i);
  const auto add = [&](TestAuthenticator& key, const std::string& name) {
    gate.clock.Advance(std::chrono::seconds(1));
    return Code(gate.fido->Add(whole.token, whole.session,
                               gate.Offer(key.Create(gate.NewChallenge(whole)), name)));
  };
  CHECK(add(more[0], "") == ErrorCode::kInvalidArgument);
  CHECK(add(more[0], "  ") == ErrorCode::kInvalidArgument);
  CHECK(add(more[0], "a\nb") == ErrorCode::kInvalidArgument);
  CHECK(add(more[0], std::string(kFidoNameBytes + 1, 'x')) == ErrorCode::kInvalidArgument);
  CHECK(add(more[0], "ключ №2 <b>") == kYes);
  CHECK(gate.fido->BeginNew(whole.token, whole.session)->keys.size() == 2);
  CHECK(add(more[1], "third") == kYes);
  CHECK(Code(gate.fido->BeginNew(whole.token, whole.session)) == ErrorCode::kConflict);
  CHECK(gate.Prove(gate.Password(), more[0]));

  const auto keys = gate.fido->Of(gate.admin.id).value();
  REQUIRE(keys.size() == 3);
  Actor stranger = gate.admin;
  stranger.id = gate.alice;
  CHECK(Code(gate.fido->Rename(stranger, keys[0].id, "mine")) == ErrorCode::kNotFound);
  CHECK(Code(gate.fido->Remove(stranger, keys[0].id)) == ErrorCode::kNotFound);
  CHECK(Code(gate.fido->Rename(gate.admin, keys[0].id, "")) == ErrorCode::kInvalidArgument);
  CHECK(gate.fido->Rename(gate.admin, keys[0].id, "drawer"));
  CHECK(gate.fido->Of(gate.admin.id)->at(0).name == "drawer");
  CHECK(gate.fido->Remove(gate.admin, keys[0].id));
  CHECK(gate.LastAudit().action == "factor.key_remove");
  CHECK(gate.LastAudit().detail == "drawer");
  CHECK(Code(gate.Prove(gate.Password(), gate.blue)) == kNo);
  CHECK(gate.fido->Remove(gate.admin, keys[1].id));
  CHECK(Code(gate.fido->Remove(gate.admin, keys[2].id)) == ErrorCode::kConflict);
  CHECK(gate.fido->Of(gate.admin.id)->size() == 1);
  CHECK(gate.Prove(gate.Password(), more[1]));
}

TEST_CASE(
    "the person is told of each key that comes and goes, and of nothing that did not happen") {
  Gate gate;
  gate.fido_config.keys_per_person = 2;
  gate.MakeFido();
  const SignedIn whole = gate.SetUp(gate.blue);
  TestAuthenticator red;
  red.id[0] = 0x4E;
  const auto told = [&gate] {
    std::vector<NoticeKind> kinds;
    const auto notices = gate.store->NoticesOf(gate.admin.id, 10);
    REQUIRE(notices);
    for (const NoticeRecord& notice : *notices) {
      CHECK(notice.login == gate.admin.login);
      CHECK(notice.actor == gate.admin.id);
      CHECK(notice.person == NoticeRecord::Mail::kWaiting);
      kinds.insert(kinds.begin(), notice.kind);
    }
    return kinds;
  };
  std::vector<NoticeKind> expected = {NoticeKind::kFidoKeyAdded};  // the first one of the person
  CHECK(told() == expected);
  CHECK(Code(gate.fido->Remove(gate.admin, gate.key)) == ErrorCode::kConflict);  // the last one
  CHECK(Code(gate.fido->Add(whole.token, whole.session,
                            gate.Offer(gate.blue.Create(gate.NewChallenge(whole))))) ==
        ErrorCode::kConflict);  // registered already
  CHECK(Code(gate.fido->Add(whole.token, whole.session,
                            gate.Offer(red.Create(std::string(43, 'A'))))) == kNo);
  CHECK(gate.fido->Rename(gate.admin, gate.key, "drawer"));
  CHECK(told() == expected);
  REQUIRE(gate.fido->Add(whole.token, whole.session,
                         gate.Offer(red.Create(gate.NewChallenge(whole)), "red")));
  expected.push_back(NoticeKind::kFidoKeyAdded);
  CHECK(told() == expected);
  REQUIRE(gate.fido->Remove(gate.admin, gate.key));
  expected.push_back(NoticeKind::kFidoKeyRemoved);
  CHECK(told() == expected);
  CHECK(gate.store->NoticesOf(gate.alice, 10)->empty());
}

TEST_CASE("an app stands beside a key, whichever came first; without keys it is enough") {
  Gate gate;
  const SignedIn whole = gate.SetUp(gate.blue);
  auto proposal = gate.factors->Propose(whole.session).value();
  const auto now = gate.clock.UnixSeconds() / kTotpStepSeconds;
  const auto secret = [&] {
    Bytes out;
    std::uint32_t bits = 0;
    unsigned held = 0;
    for (const char c : proposal.secret.view()) {
      bits = bits << 5 | static_cast<std::uint32_t>(c >= 'A' ? c - 'A' : c - '2' + 26);
      if ((held += 5) >= 8) out.push_back(static_cast<std::uint8_t>(bits >> (held -= 8)));
    }
    return out;
  }();
  const auto code = [&](std::int64_t step) {
    const std::string digits = std::to_string(TotpCode(secret, step).value());
    return Text(std::string(6 - digits.size(), '0') + digits);
  };
  // A proposal alone is worth nothing.
  CHECK(Code(gate.factors->Prove(whole.token, whole.session, code(now))) == kNo);
  auto confirmed = gate.factors->Confirm(whole.token, whole.session, code(now - 1), code(now));
  REQUIRE(confirmed);
  CHECK(gate.factors->List()->at(0).app);
  CHECK(gate.factors->List()->at(0).fido_keys == 1);
  CHECK(Code(gate.factors->Propose(confirmed->signed_in.session)) == ErrorCode::kConflict);
  gate.clock.Advance(std::chrono::seconds(60));
  const SignedIn half = gate.Password();
  CHECK(gate.factors->Prove(half.token, half.session, code(now + 2)));
  CHECK(gate.Prove(gate.Password(), gate.blue));
  // Now the last key may go.
  CHECK(gate.fido->Remove(gate.admin, gate.key));
  CHECK(gate.fido->Of(gate.admin.id)->empty());
  CHECK(gate.Password().session.stage == SessionStage::kCodeOwed);
}

TEST_CASE("a key proves a step-up; the API adds none as the first; what is owed goes first") {
  Gate gate(FactorPolicy::kOptional);
  const SignedIn plain = gate.Password();
  CHECK(plain.session.stage == SessionStage::kComplete);
  FidoKeyOffer offer = gate.Offer(gate.blue.Create(gate.NewChallenge(plain)));
  offer.may_be_first = false;
  CHECK(Code(gate.fido->Add(plain.token, plain.session, offer)) == ErrorCode::kConflict);
  offer = gate.Offer(gate.blue.Create(gate.NewChallenge(plain)));
  const auto first = gate.fido->Add(plain.token, plain.session, offer).value();
  REQUIRE(first.signed_in);
  CHECK(Code(gate.sessions->Find(plain.token, "")) == kNo);  // the cookie is another now
  gate.clock.Advance(std::chrono::minutes(11));
  CHECK(gate.factors->NeedsStepUp(first.signed_in->session));
  const auto fresh = gate.Prove(*first.signed_in, gate.blue);
  REQUIRE(fresh);
  CHECK_FALSE(gate.factors->NeedsStepUp(fresh->session));
  CHECK(gate.LastAudit().action == "session.step_up");
  const SignedIn half = gate.Password();
  REQUIRE(half.session.stage == SessionStage::kCodeOwed);
  CHECK(Code(gate.fido->BeginNew(half.token, half.session)) == ErrorCode::kConflict);
  TestAuthenticator red;
  CHECK(Code(gate.fido->Add(half.token, half.session, gate.Offer(red.Create("x")))) ==
        ErrorCode::kConflict);
}

TEST_CASE("damaged answers are refused, count, and block in the end") {
  Gate gate;
  gate.SetUp(gate.blue);
  const SignedIn half = gate.Password();
  const std::string good = gate.blue.Assert(gate.Challenge(half));
  const std::string id = ToBase64Url(gate.blue.id);
  const std::vector<std::string> bad = {"",
                                        ".",
                                        "....",
                                        ".....",
                                        good + ".",
                                        good.substr(0, good.rfind('.')),
                                        good + "=",
                                        id + ".!.AA.AA.",
                                        std::string(1000, 'A') + ".AA.AA.AA."};
  for (const std::string& answer : bad) {
    gate.Challenge(half);
    CHECK(Code(gate.fido->Prove(half.token, half.session, answer)) == kNo);
  }
  gate.Challenge(half);
  CHECK(Code(gate.fido->Prove(half.token, half.session, "x")) == kNo);  // the tenth
  CHECK(Code(gate.Prove(half, gate.blue)) == ErrorCode::kRateLimited);
  CHECK(Code(gate.factors->Prove(half.token, half.session, Text("123456"))) ==
        ErrorCode::kRateLimited);
  gate.clock.Advance(std::chrono::minutes(16));
  CHECK(gate.Prove(gate.Password(), gate.blue));
}

TEST_CASE("an administrator's reset takes keys, codes and sessions away") {
  Gate gate;
  TestAuthenticator red;
  red.id[0] = 3;
  const SignedIn whole = gate.SetUp(red, "alice");
  CHECK(gate.factors->Reset(gate.admin, gate.alice));
  CHECK(gate.fido->Of(gate.alice)->empty());
  CHECK(Code(gate.sessions->Find(whole.token, "")) == kNo);
  const SignedIn half = gate.Password("alice");
  CHECK(half.session.stage == SessionStage::kSetUpOwed);
  // The same key may come again.
  CHECK(gate.fido->Add(half.token, half.session, gate.Offer(red.Create(gate.NewChallenge(half)))));
}

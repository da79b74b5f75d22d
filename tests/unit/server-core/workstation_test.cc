// Workstations: registration, approval, their event stream.
#include <catch2/catch.hpp>

#include "company.h"
#include "protocol/certs.h"
#include "protocol/login_proof.h"
#include "protocol/messages.h"

using namespace keyferry;
using namespace keyferry::server;
using namespace keyferry::server::testing;

namespace {

WorkstationRequest Request(const std::string& name) {
  WorkstationRequest request;
  request.name = name;
  request.os = "Debian 12";
  request.version = "1.0";
  request.csr_pem = "request of " + name;
  request.deliver_noise_pub.fill(1);
  request.address = "192.0.2.7";
  return request;
}

}  // namespace

TEST_CASE("a workstation waits for approval and then gets its certificates") {
  Company c;
  const auto registered = c.workstations->Register(Request("desk-1"));
  REQUIRE(registered);
  CHECK(registered->poll_token.size() == 43);
  CHECK(registered->fingerprint.size() == 79);
  CHECK(c.workstations->Enrolment(registered->id, registered->poll_token)->state ==
        WorkstationState::kPending);
  CHECK(c.workstations->Enrolment(registered->id, "wrong").error().code ==
        ErrorCode::kUnauthenticated);
  CHECK_FALSE(c.workstations->Connected(registered->id, {}));

  Actor helper = c.admin;
  helper.roles = Role::kHelpDesk;
  CHECK(c.workstations->Approve(helper, registered->id).error().code ==
        ErrorCode::kPermissionDenied);
  REQUIRE(c.workstations->Approve(c.admin, registered->id));
  CHECK(c.workstations->Approve(c.admin, registered->id).error().code == ErrorCode::kConflict);
  const auto enrolment = c.workstations->Enrolment(registered->id, registered->poll_token);
  REQUIRE(enrolment);
  REQUIRE(enrolment->certificates);
  const auto deliver = protocol::HostCert::Parse(enrolment->certificates->deliver_cert);
  REQUIRE(deliver);
  CHECK(deliver->role == protocol::kRoleDeliver);
  CHECK(deliver->host_id == registered->id.bytes);
  CHECK(enrolment->certificates->login_cert.empty());  // it had no login key
  CHECK(enrolment->certificates->root_pub.size() == 65);
  const auto issuer = protocol::IssuerCert::Parse(enrolment->certificates->issuer_cert);
  REQUIRE(issuer);
  CHECK(deliver->VerifySignature(issuer->issuer_pub));

  const auto sha256 = Sha256(registered->id.Hex());
  CHECK(c.workstations->Authenticate(sha256).value() == registered->id);
  REQUIRE(c.workstations->Revoke(c.admin, registered->id));
  CHECK(c.workstations->Authenticate(sha256).error().code == ErrorCode::kPermissionDenied);
  CHECK(c.workstations->Enrolment(registered->id, registered->poll_token)->state ==
        WorkstationState::kRevoked);
  CHECK(c.workstations->Authenticate(Sha256("nobody")).error().code ==
        ErrorCode::kPermissionDenied);
}

TEST_CASE("bad registrations are refused") {
  Company c;
  WorkstationRequest request = Request("desk-1");
  SECTION("no name") { request.name.clear(); }
  SECTION("long name") { request.name = std::string(65, 'x'); }
  SECTION("control character") { request.name = "a\nb"; }
  SECTION("bad UTF-8") { request.os = "\xC3"; }
  SECTION("bad request") { request.csr_pem = "nonsense"; }
  const auto refused = c.workstations->Register(request);
  REQUIRE_FALSE(refused);
  CHECK(refused.error().code == ErrorCode::kInvalidArgument);
  CHECK(c.workstations->List()->empty());
}

TEST_CASE("pending registrations are limited by address, in all, and in time") {
  Company c;
  for (int i = 0; i < 20; ++i) {
    REQUIRE(c.workstations->Register(Request("desk-" + std::to_string(i))));
  }
  CHECK(c.workstations->Register(Request("one-more")).error().code == ErrorCode::kRateLimited);
  c.clock.Advance(std::chrono::minutes(61));
  CHECK(c.workstations->Register(Request("one-more")));
  for (int i = 21; i < 200; ++i) {
    WorkstationRequest request = Request("desk-" + std::to_string(i));
    request.address = "198.51.100." + std::to_string(i);
    REQUIRE(c.workstations->Register(request));
  }
  WorkstationRequest request = Request("too-many");
  request.address = "203.0.113.1";
  CHECK(c.workstations->Register(request).error().code == ErrorCode::kRateLimited);
  c.clock.Advance(std::chrono::hours(25));
  CHECK(c.workstations->Register(request));
  CHECK(c.workstations->List()->size() == 1);
}

TEST_CASE("hello comes first, with both certificates, renewed before they run out") {
  Company c;
  auto desk = c.AddWorkstation("desk-1");
  REQUIRE(desk->events.size() == 2);
  CHECK(desk->events[0].name == "hello");
  CHECK(desk->events[1].name == "alarm");
  const std::string hello = desk->Named("hello").front();
  CHECK(Member(hello, "version") == "1.0");
  CHECK_THAT(hello, Catch::Contains("\"protocol\":1"));
  const auto login = protocol::HostCert::Parse(Base64Member(hello, "login_cert"));
  REQUIRE(login);
  CHECK(login->role == protocol::kRoleLogin);
  CHECK(login->host_noise_pub[0] == 2);
  const auto first = Base64Member(hello, "deliver_cert");
  c.Disconnect(*desk);
  c.Connect(*desk);
  CHECK(Base64Member(desk->Named("hello").back(), "deliver_cert") == first);
  c.clock.Advance(std::chrono::hours(24 * 300));
  c.Connect(*desk);
  const auto renewed =
      protocol::HostCert::Parse(Base64Member(desk->Named("hello").back(), "deliver_cert"));
  REQUIRE(renewed);
  CHECK(renewed->not_after > protocol::HostCert::Parse(first)->not_after);
}

TEST_CASE("a newer stream of one workstation outlives the older one's end") {
  Company c;
  auto desk = c.AddWorkstation("desk-1");
  TestKey key(c.maker);
  REQUIRE(c.Sees(*desk, {&key}));
  REQUIRE(c.workstations->Connected(desk->id, {}));
  c.workstations->Disconnected(desk->id);
  CHECK(c.workstations->List()->front().connected);
  CHECK(c.workstations->List()->front().keys_seen == 1);
  c.workstations->Disconnected(desk->id);
  CHECK_FALSE(c.workstations->List()->front().connected);
  CHECK(c.workstations->List()->front().keys_seen == 0);
  c.workstations->Disconnected(desk->id);  // one too many does no harm
  CHECK_FALSE(c.workstations->List()->front().connected);
}

TEST_CASE("what is due comes once per change of the list, and again on reconnect") {
  Company c;
  auto desk = c.AddWorkstation("desk-1");
  TestKey key(c.maker);
  c.Enrol(key, c.alice, *desk);
  REQUIRE(c.Change(c.alice, "request-0001"));
  desk->Forget();
  REQUIRE(c.Sees(*desk, {&key}));  // nothing new
  CHECK(desk->events.empty());
  c.Connect(*desk);
  CHECK(desk->Named("key").size() == 1);
  CHECK(desk->Named("job").size() == 1);
  REQUIRE(c.workstations->Spooled(desk->id, c.Newest(c.alice).job));
  c.Connect(*desk);  // spooled is not delivered
  CHECK(desk->Named("job").size() == 2);
  REQUIRE(c.Deliver(*desk, key));
  desk->Forget();
  c.Connect(*desk);
  CHECK(desk->Named("job").empty());
}

TEST_CASE("reported keys are checked") {
  Company c;
  auto desk = c.AddWorkstation("desk-1");
  std::vector<SeenKey> list(1);
  list[0].transport = "hid";
  const auto code = [&] { return c.workstations->SeenKeys(desk->id, list).error().code; };
  SECTION("too many") {
    list.resize(17, list[0]);
    for (std::size_t i = 0; i < list.size(); ++i) {
      list[i].device.bytes[0] = static_cast<std::uint8_t>(i);
    }
  }
  SECTION("twice the same") { list.push_back(list[0]); }
  SECTION("state") { list[0].state = 7; }
  SECTION("transport") { list[0].transport = "smoke"; }
  CHECK(code() == ErrorCode::kInvalidArgument);
}

TEST_CASE("problems with a job are shown, and gone when it arrives") {
  Company c;
  auto desk = c.AddWorkstation("desk-1");
  TestKey key(c.maker);
  c.Enrol(key, c.alice, *desk);
  REQUIRE(c.Change(c.alice, "request-0001"));
  REQUIRE(c.workstations->JobProblem(desk->id, c.Newest(c.alice).job, "busy",
                                     "Another program uses the key.\x1b[31m"));
  CHECK(c.Newest(c.alice).last_error == "Another program uses the key.?[31m (busy)");
  REQUIRE(c.Deliver(*desk, key));
  CHECK(c.Newest(c.alice).last_error.empty());
  CHECK(c.workstations->JobProblem(desk->id, JobId{}, "x", "y").error().code ==
        ErrorCode::kNotFound);
  CHECK(c.workstations->Spooled(desk->id, JobId{}).error().code == ErrorCode::kNotFound);
}

TEST_CASE("a revoked workstation is told, forgotten and gets nothing") {
  Company c;
  auto desk = c.AddWorkstation("desk-1");
  TestKey key(c.maker);
  c.Enrol(key, c.alice, *desk);
  desk->Forget();
  REQUIRE(c.workstations->Revoke(c.admin, desk->id));
  CHECK(desk->Named("revoked").size() == 1);
  REQUIRE(c.Change(c.alice, "request-0001"));
  CHECK(desk->Named("job").empty());
  CHECK_FALSE(c.Sees(*desk, {&key}));
  CHECK_FALSE(c.workstations->Connected(desk->id, {}));
}

namespace {

// A login agent's hop key and how it answers a challenge.
struct LoginAgent {
  LoginAgent() { REQUIRE(protocol::X25519Generate(OsRandom(), key, pub)); }
  protocol::Hash Answer(const WorkstationId& id, const protocol::X25519Public& challenge) const {
    protocol::Hash proof{};
    REQUIRE(protocol::LoginProof(key, challenge, {id.bytes, pub, challenge}, proof));
    return proof;
  }
  protocol::X25519Private key;
  protocol::X25519Public pub{};
};

std::vector<std::string> AuditedAs(Company& c, const std::string& action) {
  std::vector<std::string> out;
  const auto rows = c.audit->List(0, 100);
  REQUIRE(rows);
  for (const AuditView& row : *rows) {
    if (row.action == action) out.push_back(row.outcome + ": " + row.detail);
  }
  return out;
}

}  // namespace

TEST_CASE("a login agent that came after the approval is certified by its own proof") {
  Company c;
  const auto registered = c.workstations->Register(Request("desk-1"));
  REQUIRE(registered);
  const WorkstationId id = registered->id;
  const LoginAgent agent;
  CHECK(c.workstations->LoginChallenge(id, agent.pub).error().code ==
        ErrorCode::kPermissionDenied);  // not approved
  REQUIRE(c.workstations->Approve(c.admin, id));
  CHECK_FALSE(c.workstations->List()->front().login_certified);
  const auto challenge = c.workstations->LoginChallenge(id, agent.pub);
  REQUIRE(challenge);

  SECTION("with the proof") {
    if (GENERATE(false, true)) c.clock.Advance(std::chrono::seconds(59));  // still good
    const auto made =
        c.workstations->CertifyLogin(id, agent.pub, *challenge, agent.Answer(id, *challenge));
    REQUIRE(made);
    const auto cert = protocol::HostCert::Parse(*made);
    REQUIRE(cert);
    CHECK(cert->role == protocol::kRoleLogin);
    CHECK(cert->host_id == id.bytes);
    CHECK(cert->host_noise_pub == agent.pub);
    CHECK(c.workstations->List()->front().login_certified);
    CHECK(AuditedAs(c, "workstation.login_cert").size() == 1);
    CHECK_THAT(AuditedAs(c, "workstation.login_cert")[0], Catch::StartsWith("ok: "));
    const std::string hello = c.workstations->Connected(id, {})->front().data;
    CHECK(Base64Member(hello, "login_cert") == *made);
    // Asked again it is the same, and nothing new is written.
    CHECK(c.workstations->CertifyLogin(id, agent.pub, *challenge, agent.Answer(id, *challenge))
              .value() == *made);
    CHECK(AuditedAs(c, "workstation.login_cert").size() == 1);
  }
  SECTION("another node of the same issuer takes the challenge") {
    c.Restart();
    CHECK(c.workstations->CertifyLogin(id, agent.pub, *challenge, agent.Answer(id, *challenge)));
  }
  SECTION("without it") {
    auto proof = agent.Answer(id, *challenge);
    auto pub = agent.pub;
    auto given = *challenge;
    SECTION("another key's proof") { proof = LoginAgent().Answer(id, *challenge); }
    SECTION("a bit off") { proof[31] ^= 1; }
    SECTION("for another workstation") { proof = agent.Answer(WorkstationId{}, *challenge); }
    SECTION("of a key that is not its own") { pub = LoginAgent().pub; }
    SECTION("a challenge that is not the server's") {
      // Who makes the challenge knows the answer for every key.
      const LoginAgent liar;
      given = liar.pub;
      REQUIRE(protocol::LoginProof(liar.key, pub, {id.bytes, pub, given}, proof));
    }
    SECTION("too late") { c.clock.Advance(std::chrono::seconds(121)); }
    CHECK(c.workstations->CertifyLogin(id, pub, given, proof).error().code ==
          ErrorCode::kPermissionDenied);
    CHECK_FALSE(c.workstations->List()->front().login_certified);
    REQUIRE(AuditedAs(c, "workstation.login_cert").size() == 1);
    CHECK_THAT(AuditedAs(c, "workstation.login_cert")[0], Catch::StartsWith("denied: "));
  }
}

TEST_CASE("a login agent with another key than the certified one waits for an administrator") {
  Company c;
  auto desk = c.AddWorkstation("desk-1");
  const LoginAgent agent;
  const auto ask = [&] {
    const auto challenge = c.workstations->LoginChallenge(desk->id, agent.pub).value();
    return c.workstations->CertifyLogin(desk->id, agent.pub, challenge,
                                        agent.Answer(desk->id, challenge));
  };
  const Blob before = Base64Member(desk->Named("hello").back(), "login_cert");
  CHECK(c.workstations->AllowLogin(c.admin, desk->id).error().code == ErrorCode::kConflict);
  CHECK(ask().error().code == ErrorCode::kConflict);
  CHECK(ask().error().code == ErrorCode::kConflict);
  CHECK(AuditedAs(c, "workstation.login_cert").size() == 1);  // told once
  CHECK(c.workstations->List()->front().login_requested);
  c.Connect(*desk);
  CHECK(Base64Member(desk->Named("hello").back(), "login_cert") == before);

  Actor helper = c.admin;
  helper.roles = Role::kHelpDesk;
  CHECK(c.workstations->AllowLogin(helper, desk->id).error().code == ErrorCode::kPermissionDenied);
  desk->Forget();
  REQUIRE(c.workstations->AllowLogin(c.admin, desk->id));
  CHECK(AuditedAs(c, "workstation.login_allow").size() == 1);
  REQUIRE(desk->Named("hello").size() == 1);  // told at once
  const auto cert = protocol::HostCert::Parse(Base64Member(desk->Named("hello")[0], "login_cert"));
  REQUIRE(cert);
  CHECK(cert->host_noise_pub == agent.pub);
  CHECK_FALSE(c.workstations->List()->front().login_requested);
  CHECK(ask());
}

namespace {

Computer Account(const std::string& name, std::uint8_t fill) {
  Computer computer;
  computer.id.bytes.fill(fill);
  computer.name = name;
  computer.dn = "CN=" + name + ",OU=Desks,DC=corp,DC=example";
  return computer;
}

WorkstationId Register(Company& c, const std::string& name, const std::string& computer,
                       const std::string& domain = "corp.example") {
  WorkstationRequest request = Request(name);
  request.csr_pem = "request of " + name + computer;
  request.computer = computer;
  request.domain = computer.empty() ? "" : domain;
  const auto registered = c.workstations->Register(request);
  REQUIRE(registered);
  return registered->id;
}

// Why a workstation does not match; its account's DN when it does.
std::string MatchOf(Company& c, const WorkstationId& id) {
  const auto matches = c.workstations->Matches(c.admin);
  REQUIRE(matches);
  for (const WorkstationMatch& match : *matches) {
    if (match.workstation.id == id) {
      return match.computer_dn.empty() ? match.why_not : match.computer_dn;
    }
  }
  return "does not wait";
}

}  // namespace

TEST_CASE("workstations are approved together by their computer accounts") {
  Company c;
  c.directory.computers = {Account("DESK-1", 1), Account("DESK-2", 2), Account("DESK-3", 3),
                           Account("DESK-4", 4), Account("DC1", 5),    Account("DESK-6", 6)};
  c.directory.computers[3].disabled = true;
  c.directory.computers[4].controller = true;
  const WorkstationId one = Register(c, "one", "DESK-1");
  const WorkstationId two = Register(c, "two", "desk-2", "CORP.example");
  const WorkstationId twin = Register(c, "three", "DESK-3");
  const WorkstationId other_twin = Register(c, "three too", "desk-3");
  const WorkstationId disabled = Register(c, "four", "DESK-4");
  const WorkstationId controller = Register(c, "dc", "DC1");
  const WorkstationId foreign = Register(c, "six", "DESK-6", "other.example");
  const WorkstationId unknown = Register(c, "nobody", "DESK-9");
  const WorkstationId alone = Register(c, "alone", "");
  CHECK(MatchOf(c, one) == "CN=DESK-1,OU=Desks,DC=corp,DC=example");
  CHECK(MatchOf(c, two) == "CN=DESK-2,OU=Desks,DC=corp,DC=example");
  CHECK_THAT(MatchOf(c, twin), Catch::Contains("More than one"));
  CHECK_THAT(MatchOf(c, other_twin), Catch::Contains("More than one"));
  CHECK_THAT(MatchOf(c, disabled), Catch::Contains("disabled"));
  CHECK_THAT(MatchOf(c, controller), Catch::Contains("domain controller"));
  CHECK_THAT(MatchOf(c, foreign), Catch::Contains("other.example"));
  CHECK_THAT(MatchOf(c, unknown), Catch::Contains("no computer account DESK-9"));
  CHECK_THAT(MatchOf(c, alone), Catch::Contains("in no domain"));

  Actor helper = c.admin;
  helper.roles = Role::kHelpDesk;
  const std::vector<WorkstationId> all = {
      one, two, twin, other_twin, disabled, controller, foreign, unknown, alone, WorkstationId{}};
  CHECK(c.workstations->Matches(helper).error().code == ErrorCode::kPermissionDenied);
  CHECK(c.workstations->ApproveMatching(helper, all).error().code == ErrorCode::kPermissionDenied);
  CHECK(AuditedAs(c, "workstation.approve").empty());

  // Whatever is asked for, only what matches is approved.
  const auto decided = c.workstations->ApproveMatching(c.admin, all);
  REQUIRE(decided);
  REQUIRE(decided->size() == all.size());
  for (std::size_t i = 0; i < all.size(); ++i) {
    INFO(i);
    CHECK((*decided)[i].id == all[i]);
    CHECK((*decided)[i].refused.has_value() == (i >= 2));
  }
  const auto rows = AuditedAs(c, "workstation.approve");
  REQUIRE(rows.size() == 2);  // one each
  CHECK_THAT(rows[0], Catch::Contains("by the computer account CN=DESK-2"));
  const auto list = c.workstations->List();
  REQUIRE(list);
  for (const WorkstationView& view : *list) {
    CHECK((view.state == WorkstationState::kApproved) == (view.id == one || view.id == two));
    CHECK(view.by_computer == (view.id == one || view.id == two));
  }

  // A second machine with the same name is not let in, unless the first is revoked.
  const WorkstationId again = Register(c, "one again", "DESK-1");
  CHECK_THAT(MatchOf(c, again), Catch::Contains("already"));
  REQUIRE(c.workstations->Revoke(c.admin, one));
  CHECK(MatchOf(c, again) == "CN=DESK-1,OU=Desks,DC=corp,DC=example");
  c.directory.down = true;
  CHECK(c.workstations->Matches(c.admin).error().code == ErrorCode::kUnavailable);
}

TEST_CASE("what a workstation says of its domain is checked") {
  Company c;
  WorkstationRequest request = Request("desk-1");
  SECTION("a domain without an account") { request.domain = "corp.example"; }
  SECTION("an account without a domain") { request.computer = "DESK-1"; }
  SECTION("too long") {
    request.domain = "corp.example";
    request.computer = std::string(64, 'x');
  }
  SECTION("not text") {
    request.domain = "corp\n.example";
    request.computer = "DESK-1";
  }
  CHECK(c.workstations->Register(request).error().code == ErrorCode::kInvalidArgument);
}

TEST_CASE("a TLS certificate is renewed: both are good for a while, then only the new one") {
  Company c;
  const auto registered = c.workstations->Register(Request("desk-1"));
  REQUIRE(registered);
  const WorkstationId id = registered->id;
  CHECK(c.workstations->RenewCertificate(id, "request 2").error().code ==
        ErrorCode::kPermissionDenied);
  REQUIRE(c.workstations->Approve(c.admin, id));
  const Hash32 first = Sha256(id.Hex());
  CHECK(c.workstations->Authenticate(first).value() == id);
  CHECK(c.workstations->RenewCertificate(id, "nonsense").error().code ==
        ErrorCode::kInvalidArgument);

  c.ca.serial = "2";
  REQUIRE(c.workstations->RenewCertificate(id, "request 2"));
  const Hash32 second = Sha256(id.Hex() + "2");
  CHECK(c.workstations->Authenticate(first).value() == id);  // until the new one is used
  c.clock.Advance(std::chrono::hours(48));
  CHECK(c.workstations->Authenticate(first).value() == id);
  CHECK(c.workstations->List()->front().fingerprint == registered->fingerprint);
  CHECK(c.workstations->Authenticate(second).value() == id);
  CHECK(c.workstations->Authenticate(second).value() == id);
  CHECK(c.workstations->List()->front().fingerprint != registered->fingerprint);
  CHECK(c.workstations->Authenticate(first).value() == id);  // open connections go on
  c.clock.Advance(std::chrono::seconds(601));
  CHECK(c.workstations->Authenticate(first).error().code == ErrorCode::kPermissionDenied);
  CHECK(c.workstations->Authenticate(second).value() == id);
  const auto rows = AuditedAs(c, "workstation.certificate");
  REQUIRE(rows.size() == 2);
  CHECK_THAT(rows[1], Catch::StartsWith("pending: "));
  CHECK_THAT(rows[0], Catch::Contains("in place of " + registered->fingerprint));

  // One that never arrived is replaced by the next.
  c.ca.serial = "3";
  REQUIRE(c.workstations->RenewCertificate(id, "request 3"));
  c.ca.serial = "4";
  REQUIRE(c.workstations->RenewCertificate(id, "request 4"));
  CHECK(c.workstations->Authenticate(Sha256(id.Hex() + "3")).error().code ==
        ErrorCode::kPermissionDenied);
  REQUIRE(c.workstations->Revoke(c.admin, id));
  for (const char* serial : {"", "2", "3", "4"}) {
    CHECK(c.workstations->Authenticate(Sha256(id.Hex() + serial)).error().code ==
          ErrorCode::kPermissionDenied);
  }
}

TEST_CASE("certificates of a workstation that stays connected are renewed in time") {
  Company c;
  auto desk = c.AddWorkstation("desk-1");
  auto away = c.AddWorkstation("desk-2");
  c.Disconnect(*away);
  desk->Forget();
  c.workstations->RenewDue();
  CHECK(desk->events.empty());
  c.clock.Advance(std::chrono::hours(24 * 300));
  c.workstations->RenewDue();
  REQUIRE(desk->Named("hello").size() == 1);
  const auto cert = protocol::HostCert::Parse(Base64Member(desk->Named("hello")[0], "login_cert"));
  REQUIRE(cert);
  CHECK(static_cast<std::int64_t>(cert->not_after) == c.clock.UnixSeconds() + 365 * 24 * 3600);
  c.workstations->RenewDue();
  CHECK(desk->Named("hello").size() == 1);  // once
}

TEST_CASE("a workstation says what it is when it connects") {
  Company c;
  auto desk = c.AddWorkstation("desk-1");
  const auto hello = [&](int protocol, const std::string& version) {
    return c.workstations->Connected(desk->id, {protocol, version});
  };
  CHECK_THAT(hello(1, "")->front().data, Catch::Contains("\"protocol\":1"));
  CHECK(c.workstations->List()->front().version == "1.0");  // as registered
  CHECK_THAT(hello(2, "2.0\n")->front().data, Catch::Contains("\"protocol\":2"));
  CHECK(c.workstations->List()->front().version == "2.0?");
  CHECK_THAT(hello(5, "5.0")->front().data, Catch::Contains("\"protocol\":4"));  // what we speak
  CHECK(hello(0, "0.1").error().code == ErrorCode::kUnsupported);
}

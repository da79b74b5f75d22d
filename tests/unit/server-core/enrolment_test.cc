// Enrolment: a key proves itself or gets nothing.
#include <catch2/catch.hpp>

#include "company.h"
#include "protocol/messages.h"

using namespace keyferry;
using namespace keyferry::server;
using namespace keyferry::server::testing;

namespace {

struct Kiosk : Company {
  Kiosk() : key(maker) {
    kiosk = AddWorkstation("kiosk");
    REQUIRE(Sees(*kiosk, {&key}, 0));
  }
  EnrolmentStarted Begin() {
    return keys->BeginEnrolment(admin, alice, DeviceId{key.device_id}, kiosk->id, std::nullopt)
        .value();
  }
  Blob BeginBody() { return Base64Member(kiosk->Named("enrol").back(), "begin"); }
  Result<std::vector<std::uint8_t>> Accept(const EnrolmentId& id, const TestKey::Answer& answer) {
    return keys->AcceptStatement(kiosk->id, id, answer.statement, answer.attestation);
  }

  TestKey key;
  std::unique_ptr<TestWorkstation> kiosk;
};

}  // namespace

TEST_CASE("a key is enrolled with proof of possession") {
  Kiosk k;
  CHECK(k.keys->Unassigned()->size() == 1);
  const EnrolmentStarted started = k.Begin();
  REQUIRE(started.activation_code.size() == 19);
  CHECK(started.activation_code[4] == '-');
  CHECK(k.keys->OfAccount(k.alice)->front().state == KeyState::kReserved);
  CHECK(k.keys->Enrolment(started.id)->state == EnrolmentState::kWaiting);

  const std::string event = k.kiosk->Named("enrol").back();
  const auto cert = protocol::HostCert::Parse(Base64Member(event, "enrol_cert"));
  REQUIRE(cert);
  CHECK(cert->role == protocol::kRoleEnroll);
  CHECK(cert->host_id == k.kiosk->id.bytes);
  CHECK(cert->host_noise_pub[0] == 1);
  CHECK(cert->not_after == static_cast<std::uint64_t>(k.clock.UnixSeconds() + 600));
  CHECK(Member(event, "device_id") == DeviceId{k.key.device_id}.Hex());

  const auto answer = k.key.Begin(k.BeginBody());
  const auto grant = k.Accept(started.id, answer);
  REQUIRE(grant);
  CHECK(k.Accept(started.id, answer).value() == *grant);  // the answer may be lost and asked again
  CHECK(k.keys->Enrolment(started.id)->state == EnrolmentState::kGranted);
  CHECK(protocol::EnrolGrant::Parse(*grant)->activation_hash ==
        protocol::ActivationHash(k.key.device_id, protocol::AsBytes(started.activation_code)));

  const Blob receipt = k.key.Finish(*grant);
  CHECK(k.keys->FinishEnrolment(k.kiosk->id, started.id, receipt)->kind == ReceiptVerdict::kStored);
  CHECK(k.keys->FinishEnrolment(k.kiosk->id, started.id, receipt)->kind ==
        ReceiptVerdict::kDuplicate);
  CHECK(k.keys->AcceptReceipt(k.kiosk->id, DeviceId{k.key.device_id}, receipt)->kind ==
        ReceiptVerdict::kDuplicate);
  const KeyView view = k.Key(k.alice);
  CHECK(view.state == KeyState::kActive);
  CHECK(view.receipt_ctr == 1);
  CHECK_FALSE(view.simulator);
  CHECK(k.keys->Enrolment(started.id)->state == EnrolmentState::kDone);
  const std::string key_event = k.kiosk->Named("key").back();
  const Blob record = Base64Member(key_event, "record");
  REQUIRE(record.size() == 690);
  CHECK(Blob(record.begin() + 161, record.begin() + 486) == answer.statement);
  CHECK(Member(key_event, "state") == "active");
  REQUIRE(k.Sees(*k.kiosk, {&k.key}, 1));
  CHECK(k.keys->Unassigned()->empty());
}

TEST_CASE("the activation code is nowhere in the database") {
  Kiosk k;
  const EnrolmentStarted started = k.Begin();
  const auto enrolment = k.store->FindEnrolment(started.id)->value();
  CHECK(enrolment.activation_hash ==
        protocol::ActivationHash(k.key.device_id, protocol::AsBytes(started.activation_code)));
  CHECK(k.Begin().activation_code != started.activation_code);
}

TEST_CASE("statements that do not prove the key end the enrolment") {
  Kiosk k;
  const EnrolmentStarted started = k.Begin();
  auto answer = k.key.Begin(k.BeginBody());
  ErrorCode expected = ErrorCode::kProtocol;
  SECTION("certificate of another key") {
    k.key.AttestAs(k.maker, protocol::Id{1, 2, 3});
    answer.attestation = k.key.attestation();
  }
  SECTION("certificate by an unknown maker") {
    const Maker unknown("CN=Keys,O=Somebody");
    k.key.AttestAs(unknown, k.key.device_id);
    answer.attestation = k.key.attestation();
  }
  SECTION("certificate by the simulator's maker") {
    k.key.AttestAs(k.simulator_maker, k.key.device_id);
    answer.attestation = k.key.attestation();
    expected = ErrorCode::kPermissionDenied;
  }
  SECTION("no certificate") { answer.attestation.clear(); }
  SECTION("damaged certificate") { answer.attestation[answer.attestation.size() / 2] ^= 1; }
  SECTION("damaged statement") { answer.statement[30] ^= 1; }
  SECTION("damaged device signature") { answer.statement[200] ^= 1; }
  SECTION("damaged attestation signature") { answer.statement[300] ^= 1; }
  SECTION("truncated statement") { answer.statement.pop_back(); }
  SECTION("another key's statement") {
    TestKey other(k.maker);
    answer = other.Begin(k.BeginBody());
  }
  SECTION("a key that calls itself a simulator") {
    k.key.simulator = true;
    answer = k.key.Begin(k.BeginBody());
  }
  const auto refused = k.Accept(started.id, answer);
  REQUIRE_FALSE(refused);
  CHECK(refused.error().code == expected);
  const auto view = k.keys->Enrolment(started.id);
  CHECK(view->state == EnrolmentState::kFailed);
  CHECK(view->error == refused.error().message);
  CHECK(k.keys->OfAccount(k.alice)->empty());
}

TEST_CASE("a statement cannot be replayed into another enrolment") {
  Kiosk k;
  k.Begin();
  const auto old = k.key.Begin(k.BeginBody());
  const EnrolmentStarted again = k.Begin();
  const auto refused = k.Accept(again.id, old);
  REQUIRE_FALSE(refused);
  CHECK_THAT(refused.error().message, Catch::Contains("another enrolment"));
}

TEST_CASE("a newer enrolment of the same key ends the older") {
  Kiosk k;
  const EnrolmentStarted first = k.Begin();
  const auto answer = k.key.Begin(k.BeginBody());
  k.Begin();
  CHECK_FALSE(k.Accept(first.id, answer));
  CHECK(k.keys->Enrolment(first.id)->state == EnrolmentState::kFailed);
}

TEST_CASE("enrolments belong to one workstation and run out") {
  Kiosk k;
  const EnrolmentStarted started = k.Begin();
  const auto answer = k.key.Begin(k.BeginBody());
  SECTION("another workstation") {
    auto other = k.AddWorkstation("other");
    const auto refused =
        k.keys->AcceptStatement(other->id, started.id, answer.statement, answer.attestation);
    REQUIRE_FALSE(refused);
    CHECK(refused.error().code == ErrorCode::kNotFound);
    CHECK_FALSE(k.keys->EnrolmentProblem(other->id, started.id, "x", "y"));
    CHECK(k.Accept(started.id, answer));
  }
  SECTION("too late") {
    k.clock.Advance(std::chrono::minutes(11));
    CHECK_FALSE(k.Accept(started.id, answer));
    CHECK(k.keys->Enrolment(started.id)->state == EnrolmentState::kFailed);
  }
  SECTION("the workstation reports a problem") {
    REQUIRE(k.keys->EnrolmentProblem(k.kiosk->id, started.id, "touch_timeout", "No\ntouch."));
    CHECK(k.keys->Enrolment(started.id)->error == "No?touch. (touch_timeout)");
    CHECK_FALSE(k.Accept(started.id, answer));
  }
}

TEST_CASE("a wrong first receipt ends the enrolment") {
  Kiosk k;
  const EnrolmentStarted started = k.Begin();
  const Blob grant = k.Accept(started.id, k.key.Begin(k.BeginBody())).value();
  protocol::Receipt receipt = protocol::Receipt::Parse(k.key.Finish(grant)).value();
  SECTION("counter") { receipt.receipt_ctr = 2; }
  SECTION("grant") { receipt.job_hash.fill(1); }
  SECTION("chain") { receipt.previous_hash.fill(1); }
  SECTION("account") { receipt.account_id.fill(1); }
  SECTION("epoch") { receipt.epoch = 2; }
  SECTION("negative") { receipt.result = protocol::Status::kBadSignature; }
  const auto verdict = k.keys->FinishEnrolment(k.kiosk->id, started.id, k.key.Sign(receipt));
  REQUIRE(verdict);
  CHECK(verdict->kind == ReceiptVerdict::kRefused);
  CHECK(k.keys->OfAccount(k.alice)->empty());
}

TEST_CASE("who may enrol what") {
  Kiosk k;
  const DeviceId device{k.key.device_id};
  const auto code = [&](const Actor& actor, const AccountId& account, const DeviceId& key,
                        const WorkstationId& workstation) {
    return k.keys->BeginEnrolment(actor, account, key, workstation, std::nullopt).error().code;
  };
  Actor helper = k.admin;
  helper.roles = Role::kHelpDesk;
  CHECK(code(helper, k.alice, device, k.kiosk->id) == ErrorCode::kPermissionDenied);
  CHECK(code(k.admin, AccountId{}, device, k.kiosk->id) == ErrorCode::kNotFound);
  CHECK(code(k.admin, k.alice, DeviceId{}, k.kiosk->id) == ErrorCode::kConflict);
  CHECK(code(k.admin, k.alice, device, WorkstationId{}) == ErrorCode::kNotFound);
  REQUIRE(k.Sees(*k.kiosk, {&k.key}, 2));
  CHECK(code(k.admin, k.alice, device, k.kiosk->id) == ErrorCode::kConflict);
}

TEST_CASE("a new key replaces the employee's old one, and its jobs") {
  Kiosk k;
  k.Enrol(k.key, k.alice, *k.kiosk);
  REQUIRE(k.Change(k.alice, "request-0001"));
  const JobId lost = k.Newest(k.alice).job;
  TestKey next(k.maker);
  k.Enrol(next, k.alice, *k.kiosk, &k.key);
  const auto keys = k.keys->OfAccount(k.alice).value();
  REQUIRE(keys.size() == 2);
  for (const KeyView& view : keys) {
    const bool is_new = view.device == DeviceId{next.device_id};
    CHECK(view.state == (is_new ? KeyState::kActive : KeyState::kRevoked));
  }
  CHECK(k.store->FindJob(lost)->value().state == JobState::kCancelled);
  k.kiosk->Forget();
  REQUIRE(k.Change(k.alice, "request-0002"));
  CHECK(k.Deliver(*k.kiosk, next)->kind == ReceiptVerdict::kStored);
  CHECK(next.password == k.directory.At(k.alice).password);
}

TEST_CASE("a wiped key is enrolled anew and starts over") {
  Kiosk k;
  k.Enrol(k.key, k.alice, *k.kiosk);
  REQUIRE(k.Change(k.alice, "request-0001"));
  REQUIRE(k.Deliver(*k.kiosk, k.key));
  REQUIRE(k.Sees(*k.kiosk, {&k.key}, 5));
  const AccountId bob = k.directory.Add("bob");
  k.Enrol(k.key, bob, *k.kiosk);
  CHECK(k.keys->OfAccount(k.alice)->empty());
  k.kiosk->Forget();
  REQUIRE(k.Change(bob, "request-0002"));
  CHECK(k.Deliver(*k.kiosk, k.key)->kind == ReceiptVerdict::kStored);
  CHECK(k.key.login == "bob");
}

TEST_CASE("a simulated key is taken where the configuration allows it") {
  Company company;
  const Maker& maker = company.simulator_maker;
  company.attestation = MakeAttestationVerifier({{}, {maker.ca_pem}, true});
  company.Restart();
  TestKey key(maker, true);
  auto kiosk = company.AddWorkstation("kiosk");
  company.Enrol(key, company.alice, *kiosk);
  CHECK(company.Key(company.alice).simulator);
}

TEST_CASE("an enrolment that waits is called off: its code is void, the key is as it was") {
  Kiosk k;
  const EnrolmentStarted started = k.Begin();
  const auto answer = k.key.Begin(k.BeginBody());
  CHECK(k.keys->OfAccount(k.alice)->front().enrolment == started.id);
  const auto cleared = k.keys->ClearEnrolment(k.admin, started.id, "left\nus");
  REQUIRE(cleared);
  CHECK(cleared->state == EnrolmentState::kFailed);
  CHECK(cleared->error == "Cleared by boss: left?us");
  const AuditView row = k.audit->List(0, 1)->front();
  CHECK(row.action == "key.enrol_clear");
  CHECK(row.detail == "Enrolment for alice: left?us");
  CHECK(k.keys->OfAccount(k.alice)->empty());
  CHECK(k.keys->Unassigned()->size() == 1);
  CHECK(k.Accept(started.id, answer).error().code == ErrorCode::kConflict);
  k.Restart();
  k.Connect(*k.kiosk);
  k.kiosk->Forget();
  REQUIRE(k.Sees(*k.kiosk, {&k.key}, 0));
  CHECK(k.kiosk->Named("enrol").empty());
  CHECK(k.keys->ClearEnrolment(k.admin, started.id, "again").error().code == ErrorCode::kConflict);
  k.Begin();  // for anybody
}

TEST_CASE("an enrolment is not cleared between the key's word and its receipt") {
  Kiosk k;
  const EnrolmentStarted started = k.Begin();
  const auto grant = k.Accept(started.id, k.key.Begin(k.BeginBody()));
  REQUIRE(grant);
  const auto refused = k.keys->ClearEnrolment(k.admin, started.id, "changed my mind");
  REQUIRE_FALSE(refused);
  CHECK(refused.error().code == ErrorCode::kConflict);
  CHECK(k.keys->Enrolment(started.id)->state == EnrolmentState::kGranted);
  REQUIRE(k.keys->FinishEnrolment(k.kiosk->id, started.id, k.key.Finish(*grant)));
  REQUIRE(k.Sees(*k.kiosk, {&k.key}, 1));
  // Now it is a key, which can be wiped: whatever waits for it is void in the same moment.
  REQUIRE(k.Change(k.alice, "key-00000001"));
  REQUIRE(k.keys->ClearEnrolment(k.admin, started.id, "changed my mind"));
  const KeyView key = k.keys->Get(DeviceId{k.key.device_id}).value();
  CHECK(key.state == KeyState::kDeactivated);
  CHECK(key.state_reason == "changed my mind");
  CHECK_FALSE(k.kiosk->Named("void").empty());
  CHECK(k.keys->ClearEnrolment(k.admin, started.id, "again").error().code == ErrorCode::kConflict);
}

TEST_CASE("who may not enrol clears nothing, and a reason is wanted") {
  Kiosk k;
  const EnrolmentStarted started = k.Begin();
  const auto code = [&](const Actor& actor, const EnrolmentId& id, const std::string& reason) {
    const auto cleared = k.keys->ClearEnrolment(actor, id, reason);
    return cleared ? ErrorCode::kInternal : cleared.error().code;
  };
  for (const Role role : {Role::kHelpDesk, Role::kAuditor}) {
    Actor other = k.admin;
    other.roles = role;
    CHECK(code(other, started.id, "reason") == ErrorCode::kPermissionDenied);
  }
  CHECK(code(k.admin, started.id, "") == ErrorCode::kInvalidArgument);
  CHECK(code(k.admin, started.id, std::string(201, 'x')) == ErrorCode::kInvalidArgument);
  CHECK(code(k.admin, EnrolmentId{}, "reason") == ErrorCode::kNotFound);
  CHECK(k.keys->Enrolment(started.id)->state == EnrolmentState::kWaiting);
}

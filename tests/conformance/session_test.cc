// PROTOCOL.md section 5: handshake, sessions, roles, the order of checks; section 4: enrolment.
#include <catch2/catch.hpp>

#include "tests/conformance/driver.h"

namespace keyferry::conformance {
namespace {

bool IsError(const Message& message, FrameError error) {
  return message.command == kError && message.data == Blob{static_cast<std::uint8_t>(error)};
}

struct Fresh {
  Simulator simulator;
  Wire wire{simulator.socket()};
  Organisation organisation;
};

struct Ready {
  Simulator simulator;
  Wire wire{simulator.socket()};
  Enrolled key = Enrol(wire);
  Session Open(std::uint8_t role) {
    return Session(wire, wire.Open(), key.organisation.MakeHost(role));
  }
};

TEST_CASE_METHOD(Fresh, "handshake: a fresh key lets only ENROLL in") {
  for (std::uint8_t role = 1; role <= 7; ++role) {
    const Message answer = Session::Try(wire, wire.Open(), organisation.MakeHost(role));
    INFO("role " << int{role});
    CHECK((answer.command == static_cast<std::uint8_t>(FrameCommand::kHs4)) ==
          ((role & kRoleEnroll) != 0));
  }
}

TEST_CASE_METHOD(Fresh, "handshake: a HostCert for another hop key is HANDSHAKE") {
  Host host = organisation.MakeHost(kRoleEnroll);
  host.noise = organisation.MakeHost(kRoleEnroll).noise;
  CHECK(IsError(Session::Try(wire, wire.Open(), host), FrameError::kHandshake));
}

TEST_CASE_METHOD(Fresh,
                 "handshake: HS1 of the wrong size or order, HS3 without HS1 are HANDSHAKE") {
  const std::uint32_t cid = wire.Open();
  CHECK(IsError(wire.Exchange(cid, FrameCommand::kHs1, Blob(31, 9)), FrameError::kHandshake));
  CHECK(IsError(wire.Exchange(cid, FrameCommand::kHs1, Blob(33, 9)), FrameError::kHandshake));
  CHECK(IsError(wire.Exchange(cid, FrameCommand::kHs1, Blob(32, 0)), FrameError::kHandshake));
  CHECK(IsError(wire.Exchange(cid, FrameCommand::kHs3, Blob(208, 9)), FrameError::kHandshake));
}

TEST_CASE_METHOD(Fresh, "handshake: every changed byte of HS3 is HANDSHAKE") {
  for (const std::size_t at : {0u, 40u, 48u, 100u, 207u}) {
    const std::uint32_t cid = wire.Open();
    const Host host = organisation.MakeHost(kRoleEnroll);
    NoiseInitiator initiator(host.noise, host.noise,
                             HopPrologue(Transport::kSocket, wire.ReadInfo(cid).Encode()));
    Bytes<kHs1Size> hs1{};
    initiator.WriteHs1(hs1);
    REQUIRE(initiator.ReadHs2(wire.Exchange(cid, FrameCommand::kHs1, hs1).data));
    Bytes<kHs3Size> hs3{};
    HopSession session;
    initiator.WriteHs3(host.cert.Encode(), hs3, session);
    hs3[at] = static_cast<std::uint8_t>(hs3[at] ^ 1);
    CHECK(IsError(wire.Exchange(cid, FrameCommand::kHs3, hs3), FrameError::kHandshake));
  }
}

TEST_CASE_METHOD(Fresh, "handshake: a wrong prologue does not open") {
  const std::uint32_t cid = wire.Open();
  const Host host = organisation.MakeHost(kRoleEnroll);
  NoiseInitiator initiator(host.noise, host.noise,
                           HopPrologue(Transport::kHid, wire.ReadInfo(cid).Encode()));
  Bytes<kHs1Size> hs1{};
  initiator.WriteHs1(hs1);
  CHECK_FALSE(initiator.ReadHs2(wire.Exchange(cid, FrameCommand::kHs1, hs1).data));
}

TEST_CASE_METHOD(Fresh, "enrolment: a fresh key states itself and becomes enrolled") {
  const Enrolled key = Enrol(wire);
  CHECK(key.statement.simulator);
  CHECK(key.receipt.receipt_ctr == 1);
  CHECK(key.receipt.seq == 0);
  CHECK(key.receipt.epoch == 1);
  CHECK(key.receipt.recipient_pub == key.statement.recipient_pub);
  CHECK(IsAllZero(key.receipt.previous_hash));
  CHECK(wire.ReadInfo(wire.Open()).state == KeyState::kEnrolledNoPin);
}

TEST_CASE_METHOD(Fresh, "enrolment: the attestation certificate is the one INFO names") {
  const std::uint32_t cid = wire.Open();
  const Info info = wire.ReadInfo(cid);
  Session session(wire, cid, organisation.MakeHost(kRoleEnroll));
  const Response answer = session.Request(Op::kGetAttestation);
  REQUIRE(answer.status == Status::kOk);
  CHECK(answer.body.size() <= kMaxAttestation);
  const Hash hash = Sha256Of(answer.body);
  CHECK(std::equal(info.attestation_hash.begin(), info.attestation_hash.end(), hash.begin()));
}

TEST_CASE_METHOD(Fresh, "enrolment: an issuer that the root did not sign is BAD_SIGNATURE") {
  Session session(wire, wire.Open(), organisation.MakeHost(kRoleEnroll));
  EnrollBegin begin = organisation.Begin();
  begin.issuer.issuer_epoch = 9;
  CHECK(session.Request(Op::kEnrollBegin, begin.Encode()).status == Status::kBadSignature);
  begin = organisation.Begin();
  begin.issuer.root_kid = {};
  begin.issuer.Sign(organisation.root);
  CHECK(session.Request(Op::kEnrollBegin, begin.Encode()).status == Status::kBadSignature);
}

TEST_CASE_METHOD(
    Fresh, "enrolment: FINISH without BEGIN, with another nonce, statement, device or signature") {
  Session session(wire, wire.Open(), organisation.MakeHost(kRoleEnroll));
  EnrolGrant grant;
  grant.activation_hash.fill(1);
  grant.Sign(organisation.issuer);
  CHECK(session.Request(Op::kEnrollFinish, grant.Encode()).status == Status::kNotAuthorised);

  const EnrollBegin begin = organisation.Begin();
  const Response stated = session.Request(Op::kEnrollBegin, begin.Encode());
  REQUIRE(stated.status == Status::kOk);
  const auto statement = Statement::Parse(stated.body);
  EnrolGrant good;
  good.device_id = statement->device_id;
  good.account_id.fill(4);
  good.nonce = begin.nonce;
  good.statement_hash = Sha256Of(stated.body);
  good.activation_hash.fill(1);
  const auto answer = [&](EnrolGrant changed, const P256Private& signer) {
    changed.Sign(signer);
    return session.Request(Op::kEnrollFinish, changed.Encode()).status;
  };
  EnrolGrant bad = good;
  bad.device_id[0] ^= 1;
  CHECK(answer(bad, organisation.issuer) == Status::kWrongDevice);
  bad = good;
  bad.nonce[0] ^= 1;
  CHECK(answer(bad, organisation.issuer) == Status::kBadSignature);
  bad = good;
  bad.statement_hash[0] ^= 1;
  CHECK(answer(bad, organisation.issuer) == Status::kBadSignature);
  CHECK(answer(good, organisation.root) == Status::kBadSignature);
  bad = good;
  bad.activation_hash.fill(0);
  CHECK(answer(bad, organisation.issuer) == Status::kBadFormat);
  CHECK(answer(good, organisation.issuer) == Status::kOk);
}

TEST_CASE_METHOD(Ready,
                 "enrolment: an enrolled key is ALREADY_ENROLLED, and all sessions ended with it") {
  Session session = Open(kRoleEnroll);
  CHECK(session.Request(Op::kEnrollBegin, key.organisation.Begin().Encode()).status ==
        Status::kAlreadyEnrolled);
}

TEST_CASE_METHOD(
    Ready, "handshake: an enrolled key refuses hosts of another organisation or an old epoch") {
  const Organisation other;
  CHECK(IsError(Session::Try(wire, wire.Open(), other.MakeHost(kRoleDeliver)),
                FrameError::kHandshake));
  Host host = key.organisation.MakeHost(kRoleDeliver);
  host.cert.role = kRoleLogin;  // signed as DELIVER
  CHECK(IsError(Session::Try(wire, wire.Open(), host), FrameError::kHandshake));
  Session session = Open(kRoleDeliver);
  key.Deliver(session, key.Seal(JobType::kHostRevoke, Bytes<4>{0, 0, 0, 3}));
  CHECK(IsError(Session::Try(wire, wire.Open(), key.organisation.MakeHost(kRoleDeliver, 2)),
                FrameError::kHandshake));
  CHECK(Session::Try(wire, wire.Open(), key.organisation.MakeHost(kRoleDeliver, 3)).command ==
        static_cast<std::uint8_t>(FrameCommand::kHs4));
}

TEST_CASE_METHOD(Ready, "session: the key's static is the statement's, HS4 is its status") {
  Session session = Open(kRoleDeliver);
  CHECK(session.key_static() == key.statement.noise_pub);
  CHECK(session.status().role == kRoleDeliver);
  CHECK(session.status().state == KeyState::kEnrolledNoPin);
  CHECK(session.status().tries == 3);
  CHECK(session.status().epoch == 1);
  CHECK(session.status().receipt_ctr == 1);
  CHECK(session.Refresh().Encode() == session.status().Encode());
}

TEST_CASE_METHOD(Ready, "session: a damaged MSG is DECRYPT and ends the session") {
  Session session = Open(kRoleDeliver);
  CHECK(
      IsError(wire.Exchange(session.cid(), FrameCommand::kMsg, Blob(40, 7)), FrameError::kDecrypt));
  CHECK(IsError(wire.Exchange(session.cid(), FrameCommand::kMsg, Blob(40, 7)),
                FrameError::kNoSession));
}

TEST_CASE_METHOD(Ready, "session: a MSG too short for a request is DECRYPT") {
  Session session = Open(kRoleDeliver);
  CHECK(
      IsError(wire.Exchange(session.cid(), FrameCommand::kMsg, Blob(19, 7)), FrameError::kDecrypt));
}

TEST_CASE_METHOD(Ready, "session: a replayed MSG is DECRYPT") {
  const std::uint32_t cid = wire.Open();
  const Host host = key.organisation.MakeHost(kRoleDeliver);
  NoiseInitiator initiator(host.noise, host.noise,
                           HopPrologue(Transport::kSocket, wire.ReadInfo(cid).Encode()));
  Bytes<kHs1Size> hs1{};
  initiator.WriteHs1(hs1);
  REQUIRE(initiator.ReadHs2(wire.Exchange(cid, FrameCommand::kHs1, hs1).data));
  Bytes<kHs3Size> hs3{};
  HopSession session;
  initiator.WriteHs3(host.cert.Encode(), hs3, session);
  wire.Exchange(cid, FrameCommand::kHs3, hs3);
  Blob sealed(4 + kTagSize);
  REQUIRE(session.send.Seal(0x24, Bytes<4>{0x02, 0, 0, 1}, sealed));
  CHECK(wire.Exchange(cid, FrameCommand::kMsg, sealed).command ==
        static_cast<std::uint8_t>(FrameCommand::kMsgResp));
  CHECK(IsError(wire.Exchange(cid, FrameCommand::kMsg, sealed), FrameError::kDecrypt));
}

TEST_CASE_METHOD(Ready, "session: INIT and HS1 on its channel drop it") {
  Session session = Open(kRoleDeliver);
  wire.Exchange(session.cid(), FrameCommand::kInit, Blob(8, 1));
  CHECK(IsError(wire.Exchange(session.cid(), FrameCommand::kMsg, Blob(40, 7)),
                FrameError::kNoSession));
  Session again(wire, session.cid(), key.organisation.MakeHost(kRoleDeliver));
  wire.Exchange(session.cid(), FrameCommand::kHs1, Blob(32, 9));
  CHECK(IsError(wire.Exchange(session.cid(), FrameCommand::kMsg, Blob(40, 7)),
                FrameError::kNoSession));
}

TEST_CASE_METHOD(Ready, "session: a third session evicts the least recently used of two") {
  Session first = Open(kRoleDeliver);
  Session second = Open(kRoleDeliver);
  CHECK(first.Request(Op::kGetStatus).status == Status::kOk);
  Session third = Open(kRoleDeliver);
  CHECK(first.Request(Op::kGetStatus).status == Status::kOk);
  CHECK(third.Request(Op::kGetStatus).status == Status::kOk);
  CHECK(IsError(wire.Exchange(second.cid(), FrameCommand::kMsg, Blob(40, 7)),
                FrameError::kNoSession));
}

TEST_CASE_METHOD(
    Ready, "requests: unknown ops, a zero byte that is not zero and reserved ops are BAD_FORMAT") {
  Session session = Open(kRoleDeliver | kRoleLogin | kRoleEnroll);
  CHECK(session.Raw(Bytes<4>{0x7F, 0, 0, 1}).status == Status::kBadFormat);
  CHECK(session.Raw(Bytes<4>{0x02, 1, 0, 1}).status == Status::kBadFormat);
  CHECK(session.Request(Op::kOfflineChallenge).status == Status::kBadFormat);
  CHECK(session.Request(Op::kOfflineApply).status == Status::kBadFormat);
  CHECK(session.Request(Op::kGetStatus, Bytes<1>{0}).status == Status::kBadFormat);
}

TEST_CASE_METHOD(Ready, "requests: each role may do its own and nothing else") {
  struct Row {
    Op op;
    std::uint8_t roles;
    Blob body;
  };
  const Row rows[] = {
      {Op::kGetInfo, 7, {}},
      {Op::kGetStatus, 7, {}},
      {Op::kGetAttestation, 7, {}},
      {Op::kPutJob, kRoleDeliver | kRoleEnroll, {}},
      {Op::kGetReceipt, kRoleDeliver | kRoleEnroll, Blob(8, 0)},
      {Op::kEnrollBegin, kRoleEnroll, {}},
      {Op::kEnrollFinish, kRoleEnroll, {}},
      {Op::kPinSet, kRoleLogin, {}},
      {Op::kPinVerify, kRoleLogin, {}},
      {Op::kPinChange, kRoleLogin, {}},
      {Op::kRelease, kRoleLogin, {}},
      {Op::kConfirmLogin, kRoleLogin, {}},
      {Op::kAssert, kRoleLogin | kRoleDeliver, {}},
  };
  for (const std::uint8_t role : {kRoleDeliver, kRoleLogin, kRoleEnroll}) {
    Session session = Open(role);
    for (const Row& row : rows) {
      INFO("role " << int{role} << " op " << int{static_cast<std::uint8_t>(row.op)});
      CHECK((session.Request(row.op, row.body).status == Status::kNotAuthorised) ==
            ((row.roles & role) == 0));
    }
  }
}

TEST_CASE_METHOD(Fresh, "requests: a key that is not enrolled says so") {
  Session session(wire, wire.Open(),
                  organisation.MakeHost(kRoleEnroll | kRoleLogin | kRoleDeliver));
  CHECK(session.Request(Op::kPutJob, Blob(336, 0)).status == Status::kNotEnrolled);
  CHECK(session.Request(Op::kRelease, ReleaseBody({}, 0)).status == Status::kNotEnrolled);
  CHECK(session.Request(Op::kGetStatus).status == Status::kOk);
}

TEST_CASE_METHOD(Ready, "requests: the answer carries the request's number") {
  Session session = Open(kRoleDeliver);
  CHECK(session.Raw(Bytes<4>{0x01, 0, 0xAB, 0xCD}).body.size() == kInfoSize);
}

TEST_CASE_METHOD(
    Ready,
    "limits: from the eleventh HS1 within ten seconds on, the answer is late, and only then") {
  const std::uint32_t cid = wire.Open();
  bool answered = true;
  for (int i = 0; i < 12; ++i) {
    X25519Private ephemeral;
    X25519Public pub{};
    X25519Generate(Random(), ephemeral, pub);
    answered = answered && wire.Exchange(cid, FrameCommand::kHs1, pub).command ==
                               static_cast<std::uint8_t>(FrameCommand::kHs2);
  }
  CHECK(answered);  // late, but answered
}

}  // namespace
}  // namespace keyferry::conformance

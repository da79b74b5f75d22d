// Enrolment, wipe, RESET, roll-back, roles, limits, faults of the flash.

#include <catch2/catch.hpp>

#include "tests/unit/firmware-sim/bench.h"

namespace keyferry::sim::test {
namespace {

using protocol::KeyState;

protocol::Receipt Parse(const Blob& bytes) {
  const auto receipt = protocol::Receipt::Parse(bytes);
  REQUIRE(receipt.has_value());
  return *receipt;
}

void MakeReady(Owner& owner) {
  owner.Enrol();
  Host daemon = owner.Daemon();
  REQUIRE(daemon.Connect());
  REQUIRE(owner.Put(daemon, owner.SealPassword("secret")).ok());
  Host login = owner.Login();
  REQUIRE(login.Connect());
  REQUIRE(login.Request(Op::kPinSet, owner.PinSetBody(kPin)).ok());
}

Host Connected(Host host) {
  REQUIRE(host.Connect());
  return host;
}

Reply LastReceipt(Host& host) { return host.Request(Op::kGetReceipt, Blob(8)); }

TEST_CASE("a first entry of the tries log that was torn, or words after it, do no harm") {
  const std::uint32_t torn = GENERATE(0u, 16u, 32u, 96u, kPageSize - 16u);
  FlashImage image = FactoryImage();
  image.bytes[kTriesPageA * kPageSize + torn] = 0x7C;
  Bench bench(image);
  bench.PowerOn();
  CHECK(bench.flash().violations() == 0);
  Owner owner(bench);
  MakeReady(owner);
  bench.PowerOff();
  bench.PowerOn();
  Host login = Connected(owner.Login());
  CHECK(owner.Release(login, kPin) == "secret");
  CHECK(bench.flash().violations() == 0);
}

TEST_CASE("before enrolment only enrolment is possible") {
  Bench bench;
  bench.PowerOn();
  Owner owner(bench);
  Host stranger = owner.Daemon();
  CHECK_FALSE(stranger.Connect());  // no ENROLL role
  Host enroller = Connected(owner.Enroller());
  CHECK(enroller.status().state == KeyState::kProvisioned);
  CHECK(enroller.status().boot == 1);
  CHECK(enroller.status().epoch == 0);
  CHECK(enroller.Request(Op::kGetAttestation).body == Copy(bench.factory().certificate()));
  CHECK(enroller.Request(Op::kPutJob, Blob(336)).status == Status::kNotEnrolled);
  CHECK(LastReceipt(enroller).status == Status::kNoPassword);
  CHECK(enroller.Request(Op::kEnrollFinish, Blob(204)).status == Status::kBadFormat);

  const protocol::EnrollBegin begin = owner.Begin();
  SECTION("a touch is needed") {
    bench.touching = Touching::kRefuse;
    CHECK(enroller.Request(Op::kEnrollBegin, begin.Encode()).status == Status::kCancelled);
  }
  SECTION("another root's issuer is refused") {
    protocol::EnrollBegin bad = begin;
    bad.root_pub = owner.issuer.pub;
    CHECK(enroller.Request(Op::kEnrollBegin, bad.Encode()).status == Status::kBadSignature);
  }
  SECTION("a grant needs this session's BEGIN") {
    const Reply begun = enroller.Request(Op::kEnrollBegin, begin.Encode());
    const auto grant = owner.Grant(begin, begun.body).Encode();
    Host second(bench, owner.issuer, protocol::kRoleEnroll, 1, 61);
    REQUIRE(second.Connect());
    CHECK(second.Request(Op::kEnrollFinish, grant).status == Status::kNotAuthorised);
    protocol::EnrolGrant bad = *protocol::EnrolGrant::Parse(grant);
    bad.device_id[0] ^= 1;
    CHECK(enroller.Request(Op::kEnrollFinish, bad.Encode()).status == Status::kWrongDevice);
    bad = *protocol::EnrolGrant::Parse(grant);
    bad.nonce[0] ^= 1;
    REQUIRE(bad.Sign(owner.issuer.priv));
    CHECK(enroller.Request(Op::kEnrollFinish, bad.Encode()).status == Status::kBadSignature);
    bad = *protocol::EnrolGrant::Parse(grant);
    bad.policy.pin_tries = 7;
    CHECK(enroller.Request(Op::kEnrollFinish, bad.Encode()).status == Status::kBadSignature);
    CHECK(enroller.Request(Op::kEnrollFinish, grant).ok());
    CHECK(enroller.Request(Op::kGetStatus).frame_error == protocol::FrameError::kNoSession);
    CHECK(second.Request(Op::kGetStatus).frame_error == protocol::FrameError::kNoSession);
    Host third = Connected(owner.Enroller());
    CHECK(third.Request(Op::kEnrollBegin, begin.Encode()).status == Status::kAlreadyEnrolled);
  }
}

TEST_CASE("WIPE erases all but the device and its receipt") {
  Bench bench;
  bench.PowerOn();
  Owner owner(bench);
  MakeReady(owner);
  Host daemon = Connected(owner.Daemon());
  const Blob job = owner.Seal(protocol::JobType::kWipe, Blob(1));
  const Reply wiped = daemon.Request(Op::kPutJob, job);
  REQUIRE(wiped.ok());
  const protocol::Receipt receipt = Parse(wiped.body);
  CHECK(receipt.VerifySignature(owner.statement.sig_pub));
  CHECK(receipt.result == Status::kOk);
  CHECK(receipt.flags == 0);
  CHECK(receipt.epoch == 0);
  CHECK(receipt.seq == owner.seq);
  CHECK(receipt.receipt_ctr == owner.last.receipt_ctr + 1);
  CHECK(receipt.previous_hash == protocol::ReceiptHash(owner.last_bytes));
  CHECK(daemon.Request(Op::kGetStatus).frame_error == protocol::FrameError::kNoSession);
  for (int boot = 0; boot < 2; ++boot) {
    CHECK(bench.key().View().state == KeyState::kWiped);
    Host stranger = owner.Daemon();
    CHECK_FALSE(stranger.Connect());
    Host enroller = Connected(owner.Enroller());
    CHECK(enroller.status().epoch == 0);
    CHECK(LastReceipt(enroller).body == wiped.body);
    CHECK(enroller.Request(Op::kGetReceipt, Blob{0, 0, 0, 0, 0, 0, 0, 3}).status ==
          Status::kNoPassword);
    CHECK(enroller.Request(Op::kPutJob, job).status == Status::kWiped);
    bench.PowerCycle();
  }
  // Nothing of the enrolment is left in the flash but the receipt.
  const auto& bytes = bench.flash().image().bytes;
  const auto find = [&](ByteView what) {
    return std::search(bytes.begin(), bytes.end(), what.begin(), what.end()) != bytes.end();
  };
  CHECK_FALSE(find(owner.statement.sig_pub));
  CHECK_FALSE(find(owner.root.pub));
  CHECK_FALSE(find(owner.last_bytes));
  // Enrolling anew begins at the beginning.
  Owner next(bench, 70);
  next.Enrol();
  CHECK(next.last.receipt_ctr == 1);
  CHECK(next.statement.sig_pub != owner.statement.sig_pub);
  CHECK(next.statement.boot == 3);
}

TEST_CASE("WIPE_LOCAL takes a touch of ten seconds within thirty") {
  Bench bench;
  bench.PowerOn();
  Owner owner(bench);
  MakeReady(owner);
  bench.touching = Touching::kManual;
  Host login = Connected(owner.Login());
  login.Ask(Op::kWipeLocal);
  REQUIRE(bench.waiting);
  CHECK(bench.wait_held);

  SECTION("held") {
    bench.Pass(500);
    bench.key().OnTouch(TouchEvent::kDown);
    bench.Pass(9'000);
    bench.key().OnTouch(TouchEvent::kUp);  // too short
    bench.Pass(500);
    bench.key().OnTouch(TouchEvent::kDown);
    bench.Pass(9'990);
    CHECK(bench.key().View().state == KeyState::kReady);
    bench.Pass(15);
    const Reply wiped = login.Hear();
    REQUIRE(wiped.ok());
    const protocol::Receipt receipt = Parse(wiped.body);
    CHECK(receipt.VerifySignature(owner.statement.sig_pub));
    CHECK(receipt.result == Status::kWiped);
    CHECK(receipt.job_hash == protocol::Hash{});
    CHECK(receipt.seq == 1);
    CHECK(receipt.prev_seq == 1);
    CHECK(bench.key().View().state == KeyState::kWiped);
  }
  SECTION("begun too late to end in time") {
    bench.Pass(20'005);
    bench.key().OnTouch(TouchEvent::kDown);
    CHECK(login.Hear().status == Status::kTouchTimeout);
    CHECK(bench.key().View().state == KeyState::kReady);
  }
}

TEST_CASE("RESET clears a key whose organisation is lost, soon after power-on only") {
  Bench bench;
  bench.PowerOn();
  Owner owner(bench);
  const auto reset = [&] {
    Host host = owner.Daemon();
    host.Init();
    bench.Send(host.cid(), FrameCommand::kReset, {});
    const auto answer = bench.Receive(host.cid());
    REQUIRE(answer.has_value());
    REQUIRE(answer->command == FrameCommand::kReset);
    REQUIRE(answer->data.size() == 1);
    return static_cast<Status>(answer->data[0]);
  };
  const FlashImage fresh = bench.flash().image();
  CHECK(reset() == Status::kOk);
  CHECK(bench.flash().image() == fresh);  // nothing enrolled: nothing changes
  MakeReady(owner);
  bench.Pass(10'001);
  CHECK(reset() == Status::kNotAuthorised);
  CHECK(bench.key().View().state == KeyState::kReady);
  bench.PowerCycle();
  bench.Pass(9'900);
  bench.touching = Touching::kRefuse;
  CHECK(reset() == Status::kCancelled);
  bench.PowerCycle();
  bench.touching = Touching::kManual;
  Host host = owner.Daemon();
  host.Init();
  bench.Send(host.cid(), FrameCommand::kReset, {});
  bench.Pass(30'005);
  const auto late = bench.Receive(host.cid());
  REQUIRE(late.has_value());
  CHECK(late->data == Blob{0x35});
  bench.PowerCycle();
  bench.touching = Touching::kAuto;
  CHECK(reset() == Status::kOk);
  CHECK(bench.key().View().state == KeyState::kWiped);
  Host enroller = Connected(owner.Enroller());
  const protocol::Receipt receipt = Parse(LastReceipt(enroller).body);
  CHECK(receipt.result == Status::kWiped);
  CHECK(receipt.VerifySignature(owner.statement.sig_pub));
}

TEST_CASE("a flash image put back is found out: no release, counters kept, wipe possible") {
  Bench bench;
  bench.PowerOn();
  Owner owner(bench);
  MakeReady(owner);
  const FlashImage old = bench.flash().image();
  Host daemon = Connected(owner.Daemon());
  REQUIRE(owner.Put(daemon, owner.SealPassword("newer")).ok());
  FlashImage rolled = old;
  rolled.counters = bench.flash().image().counters;
  Bench clone(rolled);
  clone.PowerOn();
  CHECK(clone.key().View().state == KeyState::kTampered);
  CHECK(clone.key().View().last_seq == 1);
  Host login(clone, owner.issuer, protocol::kRoleLogin, 1, 12);
  REQUIRE(login.Connect());
  CHECK(login.Request(Op::kPinVerify, Owner::PinBody(kPin)).status == Status::kTamper);
  CHECK(login.Request(Op::kRelease, owner.ReleaseBody()).status == Status::kTamper);
  Host deliverer(clone, owner.issuer, protocol::kRoleDeliver, 1, 11);
  REQUIRE(deliverer.Connect());
  CHECK(deliverer.Request(Op::kPutJob, owner.SealPassword("more")).status == Status::kTamper);
  CHECK(LastReceipt(deliverer).ok());
  CHECK(login.Request(Op::kWipeLocal).ok());
  CHECK(clone.key().View().state == KeyState::kWiped);
  clone.PowerCycle();
  CHECK(clone.key().View().state == KeyState::kWiped);
  Owner next(clone, 70);
  next.Enrol();
}

TEST_CASE("a key that lost its record can be reset") {
  Bench bench;
  bench.PowerOn();
  Owner owner(bench);
  MakeReady(owner);
  FlashImage image = bench.flash().image();
  for (std::size_t i = kSecretPage * kPageSize; i < image.bytes.size(); ++i)
    image.bytes[i] = kFlashBlank;
  Bench blank(image);
  blank.PowerOn();
  CHECK(blank.key().View().state == KeyState::kTampered);
  Host host(blank, owner.issuer, protocol::kRoleLogin, 1, 12);
  CHECK_FALSE(host.Connect());
  blank.Send(host.cid(), FrameCommand::kReset, {});
  const auto answer = blank.Receive(host.cid());
  REQUIRE(answer.has_value());
  CHECK(answer->data == Blob{0});
  CHECK(blank.key().View().state == KeyState::kWiped);
  blank.PowerCycle();
  CHECK(blank.key().View().state == KeyState::kWiped);
  Owner next(blank, 70);
  next.Enrol();
}

TEST_CASE("HOST_REVOKE and ISSUER_ROTATE end the sessions that no longer pass") {
  Bench bench;
  bench.PowerOn();
  Owner owner(bench);
  owner.Enrol();
  Host old = Connected(owner.Daemon(1));
  Host young(bench, owner.issuer, protocol::kRoleDeliver, 5, 81);
  REQUIRE(young.Connect());
  const Blob epoch{0, 0, 0, 5};
  const Reply revoked = owner.Put(old, owner.Seal(protocol::JobType::kHostRevoke, epoch));
  CHECK(revoked.ok());  // the answer still comes
  CHECK(old.Request(Op::kGetStatus).frame_error == protocol::FrameError::kNoSession);
  CHECK_FALSE(old.Connect());
  CHECK(young.Request(Op::kGetStatus).ok());

  const Issuer next = MakeIssuer(90);
  protocol::IssuerCert cert;
  cert.issuer_epoch = 2;
  cert.issuer_pub = next.pub;
  cert.root_kid = owner.root.kid;
  REQUIRE(cert.Sign(owner.root.priv));
  CHECK(owner.Put(young, owner.Seal(protocol::JobType::kIssuerRotate, cert.Encode())).ok());
  CHECK(young.Request(Op::kGetStatus).frame_error == protocol::FrameError::kNoSession);
  CHECK_FALSE(young.Connect());
  const Issuer revoked_issuer = owner.issuer;
  owner.issuer = next;
  Host fresh(bench, next, protocol::kRoleDeliver, 0, 82);  // host epochs count anew
  REQUIRE(fresh.Connect());
  CHECK(owner.Put(fresh, owner.SealPassword("rotated")).ok());
  owner.issuer = revoked_issuer;
  CHECK(fresh.Request(Op::kPutJob, owner.SealPassword("late")).status == Status::kIssuerRevoked);
}

TEST_CASE("sessions: a third evicts the least recently used, a handshake alone none") {
  Bench bench;
  bench.PowerOn();
  Owner owner(bench);
  owner.Enrol();
  Host a(bench, owner.issuer, protocol::kRoleDeliver, 1, 21);
  Host b(bench, owner.issuer, protocol::kRoleDeliver, 1, 22);
  Host c(bench, owner.issuer, protocol::kRoleDeliver, 1, 23);
  REQUIRE(a.Connect());
  REQUIRE(b.Connect());
  REQUIRE(a.Request(Op::kGetStatus).ok());
  c.Init();
  bench.Send(c.cid(), FrameCommand::kHs1, Blob(32, 9));
  CHECK(bench.Receive(c.cid())->command == FrameCommand::kHs2);
  CHECK(a.Request(Op::kGetStatus).ok());
  CHECK(b.Request(Op::kGetStatus).ok());
  REQUIRE(a.Request(Op::kGetStatus).ok());
  REQUIRE(c.Connect());
  CHECK(b.Request(Op::kGetStatus).frame_error == protocol::FrameError::kNoSession);
  CHECK(a.Request(Op::kGetStatus).ok());
  CHECK(c.Request(Op::kGetStatus).ok());

  SECTION("a wrong message ends the session") {
    bench.Send(a.cid(), FrameCommand::kMsg, Blob(40, 1));
    CHECK(bench.Receive(a.cid())->data == Blob{0x10});
    CHECK(a.Request(Op::kGetStatus).frame_error == protocol::FrameError::kNoSession);
  }
  SECTION("an hour ends the session") {
    bench.Pass(3'600'000);
    CHECK(a.Request(Op::kGetStatus).frame_error == protocol::FrameError::kNoSession);
  }
  SECTION("a handshake waits three seconds") {
    bench.Send(b.cid(), FrameCommand::kHs1, Blob(32, 9));
    REQUIRE(bench.Receive(b.cid())->command == FrameCommand::kHs2);
    bench.Pass(3'000);
    bench.Send(b.cid(), FrameCommand::kHs3, Blob(208));
    CHECK(bench.Receive(b.cid())->data == Blob{0x13});
  }
}

TEST_CASE("the fifth cid evicts the least recently used, with its session") {
  Bench bench;
  bench.PowerOn();
  Owner owner(bench);
  owner.Enrol();
  Host first = Connected(owner.Daemon());
  std::vector<Host> more;
  for (std::uint64_t i = 0; i < 4; ++i) {
    more.emplace_back(bench, owner.issuer, protocol::kRoleDeliver, 1, 30 + i);
    more.back().Init();
  }
  bench.Send(first.cid(), FrameCommand::kPing, Blob{1});
  CHECK(bench.Receive(first.cid())->data == Blob{0x0B});
  bench.Send(more[0].cid(), FrameCommand::kPing, Blob{1});
  CHECK(bench.Receive(more[0].cid())->command == FrameCommand::kPing);
}

TEST_CASE("answers come a second late from the eleventh hello and the eleventh refusal on") {
  Bench bench;
  bench.PowerOn();
  Owner owner(bench);
  owner.Enrol();  // one hello
  bench.Pass(10'000);
  Host daemon = Connected(owner.Daemon());  // one more
  const auto elapsed = [&](auto&& action) {
    const std::uint64_t before = bench.NowMs();
    action();
    return bench.NowMs() - before;
  };
  Blob bad = owner.SealPassword("never");
  bad.back() ^= 1;
  const auto refuse = [&] {
    CHECK(daemon.Request(Op::kPutJob, bad).status == Status::kBadSignature);
  };
  for (int i = 0; i < 10; ++i) CHECK(elapsed(refuse) == 0);
  bench.keepalives = 0;
  CHECK(elapsed(refuse) == 1'000);
  CHECK(bench.keepalives == 9);
  CHECK(bench.touch_keepalives == 0);
  bench.Pass(10'000);
  CHECK(elapsed(refuse) == 0);
  const auto hello = [&] {
    bench.Send(daemon.cid(), FrameCommand::kHs1, Blob(32, 9));
    REQUIRE(bench.Receive(daemon.cid())->command == FrameCommand::kHs2);
  };
  for (int i = 0; i < 10; ++i) CHECK(elapsed(hello) == 0);
  CHECK(elapsed(hello) == 1'000);
  // Good jobs are never late.
  bench.Pass(10'000);
  REQUIRE(daemon.Connect());
  for (int i = 0; i < 12; ++i) {
    CHECK(elapsed([&] { REQUIRE(owner.Put(daemon, owner.SealPassword("p")).ok()); }) == 0);
  }
}

TEST_CASE("half a second without a CONT ends a message") {
  Bench bench;
  bench.PowerOn();
  Owner owner(bench);
  Host host = owner.Daemon();
  host.Init();
  protocol::HidSplitter splitter(host.cid(), FrameCommand::kPing, Blob(300, 7));
  const Blob data(300, 7);
  protocol::HidSplitter pieces(host.cid(), FrameCommand::kPing, data);
  protocol::Report report;
  REQUIRE(pieces.Next(report));
  bench.Send(report);
  bench.Pass(495);
  CHECK(bench.out.empty());
  bench.Pass(5);
  CHECK(bench.Receive(host.cid())->data == Blob{0x05});
  bench.Send(host.cid(), FrameCommand::kPing, data);
  CHECK(bench.Receive(host.cid())->data == data);
}

TEST_CASE("a flash that fails costs the command, not the key") {
  Bench bench;
  bench.PowerOn();
  Owner owner(bench);
  MakeReady(owner);
  Host daemon = Connected(owner.Daemon());
  const Blob job = owner.SealPassword("later");
  const FlashImage before = bench.flash().image();
  const auto fail = [&](FlashResult result) {
    bench.flash().FailPage(kStatePageA, result, 100'000);
    Reply reply = daemon.Request(Op::kPutJob, job);
    if (reply.ok()) {  // this time slot B was written: the next one goes to A
      owner.Take(reply.body);
      reply = daemon.Request(Op::kPutJob, owner.SealPassword("again"));
    }
    return reply;
  };
  SECTION("faults") {
    const Reply reply = fail(FlashResult::kFault);
    CHECK(reply.status == Status::kStorageFault);
    CHECK(reply.body.empty());
  }
  SECTION("worn out") { CHECK(fail(FlashResult::kWornOut).status == Status::kWearOut); }
  bench.flash().FailPage(kStatePageA, FlashResult::kOk, 0);
  bench.PowerCycle();
  daemon = Connected(owner.Daemon());
  const std::uint64_t seq = owner.seq;
  owner.seq = daemon.status().last_seq;
  CHECK(owner.seq + 1 >= seq);
  CHECK(owner.Put(daemon, owner.SealPassword("at last")).ok());
  Host login = Connected(owner.Login());
  CHECK(owner.Release(login, kPin) == "at last");
}

TEST_CASE("a slow flash does not silence the key") {
  Bench bench;
  bench.PowerOn();
  Owner owner(bench);
  owner.Enrol();
  Host daemon = Connected(owner.Daemon());
  bench.keepalives = 0;
  bench.flash().OnStep([&] { bench.Skip(2); });
  CHECK(owner.Put(daemon, owner.SealPassword("slow")).ok());
  CHECK(bench.keepalives >= 6);
  CHECK(bench.touch_keepalives == 0);
}

TEST_CASE("a signature that does not verify is not sent, and nothing changes") {
  Bench bench;
  bench.PowerOn();
  Owner owner(bench);
  MakeReady(owner);
  bench.PowerOff();
  NoProgress progress;
  {
    Hal hal{bench.flash(), bench.flash(), bench.random(), bench, bench, bench};
    Storage storage(hal, progress);
    storage.Mount();
    Persistent& draft = storage.Draft();
    draft.sig_pub =
        owner.issuer.pub;  // as a glitched key would find: the signature is not what it should be
    REQUIRE(storage.Commit() == StoreResult::kOk);
  }
  bench.PowerOn();
  Host daemon = Connected(owner.Daemon());
  const FlashImage before = bench.flash().image();
  const Reply reply = daemon.Request(Op::kPutJob, owner.SealPassword("x"));
  CHECK(reply.status == Status::kInternal);
  CHECK(reply.body.empty());
  CHECK(bench.flash().image() == before);
  protocol::AssertRequest request;
  CHECK(daemon.Request(Op::kAssert, request.Encode()).status == Status::kInternal);
}

TEST_CASE("a key whose epochs are used up says so") {
  Bench bench;
  bench.PowerOn();
  Owner owner(bench);
  MakeReady(owner);
  bench.PowerOff();
  NoProgress progress;
  {
    Hal hal{bench.flash(), bench.flash(), bench.random(), bench, bench, bench};
    Storage storage(hal, progress);
    storage.Mount();
    storage.Draft().epoch = UINT32_MAX;
    REQUIRE(storage.Commit() == StoreResult::kOk);
  }
  bench.PowerOn();
  Host daemon = Connected(owner.Daemon());
  owner.last.epoch = UINT32_MAX;
  const Reply reply = daemon.Request(Op::kPutJob, owner.SealPassword("x"));
  CHECK(reply.status == Status::kStorageFull);
}

}  // namespace
}  // namespace keyferry::sim::test

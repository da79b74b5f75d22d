// PROTOCOL.md sections 2 and 3: jobs, slots, receipts, epochs.
#include <catch2/catch.hpp>

#include "tests/conformance/driver.h"

namespace keyferry::conformance {
namespace {

struct Delivery {
  Simulator simulator;
  Wire wire{simulator.socket()};
  Enrolled key = Enrol(wire);
  Session deliver{wire, wire.Open(), key.organisation.MakeHost(kRoleDeliver)};

  // A refused job: the signed negative receipt, fully checked; nothing moved.
  Status Refused(const Blob& job) {
    const KeyStatus before = deliver.Refresh();
    const Response answer = deliver.Request(Op::kPutJob, job);
    CHECK(deliver.Refresh().Encode() == before.Encode());
    const auto value = static_cast<std::uint8_t>(answer.status);
    if (value < 0x23 || value > 0x2C) {
      CHECK(answer.body.empty());
      return answer.status;
    }
    const auto receipt = Receipt::Parse(answer.body);
    REQUIRE(receipt);
    CHECK(receipt->VerifySignature(key.statement.sig_pub));
    CHECK(receipt->result == answer.status);
    CHECK(receipt->job_hash == JobHash(job));
    CHECK(receipt->seq == before.last_seq);
    CHECK(receipt->prev_seq == before.last_seq);
    CHECK(receipt->receipt_ctr == before.receipt_ctr);
    CHECK(receipt->epoch == before.epoch);
    return answer.status;
  }
  Status RefusedWith(const std::function<void(JobHeader&)>& change) {
    Bytes<kMaxJobBody> body{};
    const std::size_t size = SetPasswordBody{AsBytes("taras"), AsBytes("Kobzar-1840")}.Encode(body);
    return Refused(key.Seal(JobType::kSetPassword, ByteView(body).first(size), 0, change));
  }
};

TEST_CASE_METHOD(Delivery, "job: a password is stored, the receipt proves it, the epoch rolls") {
  const Receipt receipt = key.Deliver(deliver, key.SealPassword("taras", "Kobzar-1840"));
  CHECK(receipt.seq == 1);
  CHECK(receipt.epoch == 2);
  CHECK(receipt.recipient_pub != key.statement.recipient_pub);
  CHECK(deliver.Refresh().slots == 1);
  CHECK(deliver.Refresh().recipient_pub == receipt.recipient_pub);
}

TEST_CASE_METHOD(
    Delivery,
    "job: the same job again answers the same receipt, byte for byte, after a power cut too") {
  const Blob job = key.SealPassword("taras", "Kobzar-1840");
  const Response first = deliver.Request(Op::kPutJob, job);
  const Response second = deliver.Request(Op::kPutJob, job);
  CHECK(first.status == Status::kOk);
  CHECK(second.body == first.body);
  simulator.KillAndRestart();
  Wire again(simulator.socket());
  Session session(again, again.Open(), key.organisation.MakeHost(kRoleDeliver));
  CHECK(session.Request(Op::kPutJob, job).body == first.body);
  CHECK(session.Refresh().last_seq == 1);
}

TEST_CASE_METHOD(Delivery, "job: an older one after a newer one is REPLAY") {
  const Blob first = key.SealPassword("taras", "One-1840");
  key.Deliver(deliver, first);
  key.Deliver(deliver, key.SealPassword("taras", "Two-1840"));
  CHECK(Refused(first) == Status::kReplay);
}

TEST_CASE_METHOD(Delivery,
                 "job: a newer one sealed before delivery supersedes the older for ever") {
  const Blob older = key.SealPassword("taras", "One-1840");
  key.seq += 1;
  const Blob newer = key.SealPassword("taras", "Two-1840");
  const Receipt receipt = key.Deliver(deliver, newer);
  CHECK(receipt.seq == 2);
  CHECK((receipt.flags & kReceiptGap) != 0);
  CHECK(Refused(older) == Status::kReplay);
}

TEST_CASE_METHOD(Delivery, "job: another device, account, issuer") {
  CHECK(RefusedWith([](JobHeader& h) { h.device_id[3] ^= 1; }) == Status::kWrongDevice);
  CHECK(RefusedWith([](JobHeader& h) { h.account_id[3] ^= 1; }) == Status::kWrongAccount);
  const Organisation own = key.organisation;
  key.organisation = Organisation();
  const Blob foreign = key.SealPassword("taras", "Kobzar-1840");
  key.organisation = own;
  CHECK(Refused(foreign) == Status::kUnknownIssuer);
}

TEST_CASE_METHOD(Delivery,
                 "job: sequence zero, replayed, beyond the window, base ahead of the key") {
  CHECK(RefusedWith([](JobHeader& h) { h.seq = 0; }) == Status::kBadFormat);
  CHECK(RefusedWith([](JobHeader& h) { h.seq = kMaxSequence + 1; }) == Status::kBadFormat);
  CHECK(RefusedWith([](JobHeader& h) { h.seq = kSequenceWindow + 1; }) == Status::kGap);
  CHECK(RefusedWith([](JobHeader& h) { h.base_seq = 1; }) == Status::kGap);
  key.Deliver(deliver, key.SealPassword("taras", "Kobzar-1840"));
  CHECK(RefusedWith([](JobHeader& h) { h.seq = 1; }) == Status::kReplay);
}

TEST_CASE_METHOD(Delivery, "job: epochs e and e-1 pass, others are WRONG_EPOCH") {
  CHECK(RefusedWith([](JobHeader& h) { h.recipient_epoch = 0; }) != Status::kOk);
  CHECK(RefusedWith([](JobHeader& h) { h.recipient_epoch = 2; }) == Status::kWrongEpoch);
  const Receipt old = key.receipt;
  const Blob first = key.SealPassword("taras", "One-1840");
  key.seq = 1;
  const Blob second =
      key.SealPassword("taras", "Two-1840");  // sealed to the same epoch, before the first receipt
  key.seq = 2;
  const Blob third = key.SealPassword("taras", "Three-1840");
  key.seq = 0;
  key.Deliver(deliver, first);
  CHECK(key.Deliver(deliver, second).epoch == old.epoch + 2);
  CHECK(Refused(third) == Status::kWrongEpoch);
}

TEST_CASE_METHOD(
    Delivery, "job: any changed byte is refused, with the status of the first check that fails") {
  const Blob job = key.SealPassword("taras", "Kobzar-1840");
  const std::pair<std::size_t, Status> rows[] = {
      {0, Status::kBadFormat},        {4, Status::kUnsupportedVersion},
      {5, Status::kUnsupportedSuite}, {6, Status::kBadFormat},
      {8, Status::kWrongDevice},      {24, Status::kWrongAccount},
      {40, Status::kUnknownIssuer},   {51, Status::kBadSignature},
      {95, Status::kBadFormat},       {100, Status::kBadSignature},
      {200, Status::kBadSignature},   {job.size() - 1, Status::kBadSignature},
  };
  for (const auto& [at, status] : rows) {
    Blob changed = job;
    changed[at] = static_cast<std::uint8_t>(changed[at] ^ 0x10);
    INFO("byte " << at);
    CHECK(Refused(changed) == status);
  }
}

TEST_CASE_METHOD(Delivery, "job: truncated, extended, empty are BAD_FORMAT without a body") {
  const Blob job = key.SealPassword("taras", "Kobzar-1840");
  CHECK(Refused({}) == Status::kBadFormat);
  CHECK(Refused(Blob(job.begin(), job.end() - 1)) == Status::kBadFormat);
  Blob longer = job;
  longer.push_back(0);
  CHECK(Refused(longer) == Status::kBadFormat);
}

TEST_CASE_METHOD(Delivery, "job: bodies that break the rule of their type are BAD_PLAINTEXT") {
  CHECK(Refused(key.Seal(JobType::kSetPassword, Bytes<1>{0})) == Status::kBadPlaintext);
  CHECK(Refused(key.Seal(JobType::kSetPassword, Bytes<2>{1, 'l'})) == Status::kBadPlaintext);
  CHECK(Refused(key.Seal(JobType::kSetPassword, Blob(2, 200))) == Status::kBadPlaintext);
  CHECK(Refused(key.Seal(JobType::kWipe, Bytes<1>{1})) == Status::kBadPlaintext);
  CHECK(Refused(key.Seal(JobType::kPinUnblock, Bytes<32>{})) == Status::kBadPlaintext);
  CHECK(Refused(key.Seal(JobType::kPolicy, Bytes<8>{5, 8, 0, 1})) == Status::kBadPlaintext);
  CHECK(Refused(key.Seal(JobType::kCommit, Bytes<16>{1})) == Status::kBadPlaintext);
}

TEST_CASE_METHOD(Delivery, "job: flags that a type does not have are BAD_FORMAT") {
  CHECK(Refused(key.SealPassword("taras", "x", kFlagHold | kFlagDropPrevious)) ==
        Status::kBadFormat);
  CHECK(Refused(key.SealPassword("taras", "x", 4)) == Status::kBadFormat);
  CHECK(Refused(key.Seal(JobType::kWipe, Bytes<1>{0}, kFlagHold)) == Status::kBadFormat);
}

TEST_CASE_METHOD(Delivery, "job: HOLD waits in pending until COMMIT") {
  key.Deliver(deliver, key.SealPassword("taras", "One-1840"));
  Id held{};
  Bytes<kMaxJobBody> body{};
  const std::size_t size = SetPasswordBody{AsBytes("taras"), AsBytes("Two-1840")}.Encode(body);
  const Blob job = key.Seal(JobType::kSetPassword, ByteView(body).first(size), kFlagHold,
                            [&](JobHeader& h) { held = h.job_id; });
  CHECK((key.Deliver(deliver, job).flags & kReceiptHeld) != 0);
  CHECK(deliver.Refresh().slots == 0b101);
  const Receipt committed = key.Deliver(deliver, key.Seal(JobType::kCommit, held));
  CHECK((committed.flags & kReceiptHeld) == 0);
  CHECK(deliver.Refresh().slots == 0b011);
}

TEST_CASE_METHOD(Delivery, "job: DROP erases pending; an immediate password erases it too") {
  for (const bool drop : {true, false}) {
    Id held{};
    Bytes<kMaxJobBody> body{};
    const std::size_t size = SetPasswordBody{AsBytes("taras"), AsBytes("Two-1840")}.Encode(body);
    key.Deliver(deliver, key.Seal(JobType::kSetPassword, ByteView(body).first(size), kFlagHold,
                                  [&](JobHeader& h) { held = h.job_id; }));
    CHECK((deliver.Refresh().slots & 0b100) != 0);
    key.Deliver(deliver,
                drop ? key.Seal(JobType::kDrop, held) : key.SealPassword("taras", "Three-1840"));
    CHECK((deliver.Refresh().slots & 0b100) == 0);
  }
}

TEST_CASE_METHOD(Delivery,
                 "job: previous is kept, and dropped where the job or the policy says so") {
  key.Deliver(deliver, key.SealPassword("taras", "One-1840"));
  key.Deliver(deliver, key.SealPassword("taras", "Two-1840"));
  CHECK(deliver.Refresh().slots == 0b011);
  key.Deliver(deliver, key.SealPassword("taras", "Three-1840", kFlagDropPrevious));
  CHECK(deliver.Refresh().slots == 0b001);
  Policy policy;
  policy.keep_previous = false;
  key.Deliver(deliver, key.Seal(JobType::kPolicy, policy.Encode()));
  key.Deliver(deliver, key.SealPassword("taras", "Four-1840"));
  CHECK(deliver.Refresh().slots == 0b001);
}

TEST_CASE_METHOD(Delivery,
                 "job: ISSUER_ROTATE by the root changes the issuer and revokes the former") {
  const Organisation former = key.organisation;
  Organisation next = former;
  P256Generate(Random(), next.issuer, next.issuer_pub);
  next.issuer_cert.issuer_epoch = 2;
  next.issuer_cert.issuer_pub = next.issuer_pub;
  next.issuer_cert.Sign(former.root);
  key.Deliver(deliver, key.Seal(JobType::kIssuerRotate, next.issuer_cert.Encode()));
  const Message refused = Session::Try(wire, wire.Open(), former.MakeHost(kRoleDeliver));
  CHECK(refused.command == static_cast<std::uint8_t>(FrameCommand::kError));
  Session session(wire, wire.Open(), next.MakeHost(kRoleDeliver));
  const Response old = session.Request(Op::kPutJob, key.SealPassword("taras", "Old-issuer-1"));
  CHECK(old.status == Status::kIssuerRevoked);
  key.organisation = next;
  CHECK(key.Deliver(session, key.SealPassword("taras", "New-issuer-1")).positive());
}

TEST_CASE_METHOD(Delivery, "job: the issuer cannot rotate itself, the root cannot set passwords") {
  Organisation next = key.organisation;
  next.issuer_cert.issuer_epoch = 2;
  next.issuer_cert.Sign(key.organisation.root);
  std::swap(key.organisation.root, key.organisation.issuer);
  std::swap(key.organisation.root_pub, key.organisation.issuer_pub);
  const Blob rotate = key.Seal(JobType::kIssuerRotate, next.issuer_cert.Encode());
  const Blob password = key.SealPassword("taras", "By-the-root-1");
  std::swap(key.organisation.root, key.organisation.issuer);
  std::swap(key.organisation.root_pub, key.organisation.issuer_pub);
  CHECK(Refused(rotate) == Status::kUnknownIssuer);
  CHECK(Refused(password) == Status::kUnknownIssuer);
}

TEST_CASE_METHOD(Delivery,
                 "receipt: the journal gives the last sixteen, chained, and no older one") {
  std::vector<Blob> receipts;
  for (int i = 0; i < 18; ++i) {
    const Blob job = key.SealPassword("taras", "Password-" + std::to_string(i));
    const Response answer = deliver.Request(Op::kPutJob, job);
    key.Verify(answer, job);
    receipts.push_back(answer.body);
  }
  const auto get = [&](std::uint64_t counter) {
    Bytes<8> body{};
    Writer(body).U64(counter);
    return deliver.Request(Op::kGetReceipt, body);
  };
  CHECK(get(0).body == receipts.back());
  CHECK(get(key.receipt.receipt_ctr).body == receipts.back());
  CHECK(get(key.receipt.receipt_ctr - 15).body == receipts[receipts.size() - 16]);
  CHECK(get(key.receipt.receipt_ctr - 16).status == Status::kNoPassword);
  CHECK(get(key.receipt.receipt_ctr + 1).status == Status::kNoPassword);
}

TEST_CASE_METHOD(Delivery,
                 "job: WIPE erases; its receipt can be had; the key can be enrolled anew") {
  key.Deliver(deliver, key.SealPassword("taras", "Kobzar-1840"));
  const Blob wipe = key.Seal(JobType::kWipe, Bytes<1>{0});
  const Response answer = deliver.Request(Op::kPutJob, wipe);
  REQUIRE(answer.status == Status::kOk);
  const auto receipt = Receipt::Parse(answer.body);
  REQUIRE(receipt);
  CHECK(receipt->VerifySignature(key.statement.sig_pub));
  CHECK(receipt->flags == 0);
  CHECK(receipt->epoch == 0);
  CHECK(IsAllZero(receipt->recipient_pub));
  CHECK(wire.ReadInfo(wire.Open()).state == KeyState::kWiped);
  {
    Session session(wire, wire.Open(), key.organisation.MakeHost(kRoleEnroll));
    CHECK(session.Request(Op::kGetReceipt, Blob(8, 0)).body == answer.body);
    CHECK(session.Request(Op::kPutJob, wipe).status == Status::kWiped);
  }
  const Enrolled again = Enrol(wire);
  CHECK(again.device_id == key.device_id);
  CHECK(again.statement.sig_pub != key.statement.sig_pub);
  CHECK(again.receipt.receipt_ctr == 1);
}

TEST_CASE_METHOD(Delivery, "job: what was stored survives SIGKILL and unplugging") {
  key.Deliver(deliver, key.SealPassword("taras", "Kobzar-1840"));
  simulator.KillAndRestart();
  simulator.Control("unplug");
  simulator.Control("plug");
  Wire again(simulator.socket());
  Session session(again, again.Open(), key.organisation.MakeHost(kRoleDeliver));
  CHECK(session.status().last_seq == 1);
  CHECK(session.status().slots == 1);
  CHECK(session.status().boot > key.receipt.boot);
}

}  // namespace
}  // namespace keyferry::conformance

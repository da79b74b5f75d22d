#include <catch2/catch.hpp>

#include "client-daemon/core/approval.h"
#include "device/hid_port.h"
#include "tests/unit/client-daemon/workstation_rig.h"

using namespace keyferry;
using namespace keyferry::daemon;
using test::FakeKey;
using test::WorkstationRig;

namespace {
const std::string kA = "/key/a";
const std::string kB = "/key/b";
}  // namespace

TEST_CASE("a key is reported, gets its job once, and its receipt goes to the server") {
  FakeKey key;
  WorkstationRig rig;
  rig.Attach(kA, key);
  CHECK(rig.NextPost(Post::kKeys).keys.at(0).device == key.info.device_id);
  rig.workstation->OnKey(rig.KeyEventOf(key));
  const auto job = rig.Job(key, 1);
  rig.workstation->OnJob(job);
  const Post receipt = rig.NextPost(Post::kReceipt);
  CHECK(receipt.device == key.info.device_id);
  CHECK(protocol::Receipt::Parse(receipt.bytes)->job_hash == protocol::JobHash(job.sealed));
  CHECK(key.stored.size() == 1);
  CHECK(rig.spool->Counts().jobs == 0);
  CHECK(rig.spool->Counts().receipts == 0);
  rig.Remove(kA);
  rig.NextKeys([](const auto& keys) { return keys.empty(); });
}

TEST_CASE("a job that comes before the key's proof waits for it") {
  FakeKey key;
  WorkstationRig rig;
  rig.Attach(kA, key);
  rig.NextPost(Post::kKeys);
  rig.workstation->OnJob(rig.Job(key, 1));
  rig.NextPost(Post::kSpooled);
  CHECK(key.handshakes == 0);
  rig.workstation->OnKey(rig.KeyEventOf(key));
  rig.NextPost(Post::kReceipt);
}

TEST_CASE("jobs go to the key in the order of seq") {
  FakeKey key;
  WorkstationRig rig;
  rig.workstation->OnKey(rig.KeyEventOf(key));
  for (const std::uint64_t seq : {3u, 1u, 2u}) rig.workstation->OnJob(rig.Job(key, seq));
  rig.Attach(kA, key);
  for (int i = 0; i < 3; ++i) {
    const auto receipt = protocol::Receipt::Parse(rig.NextPost(Post::kReceipt).bytes);
    CHECK(receipt->positive());
    CHECK(receipt->seq == static_cast<std::uint64_t>(i + 1));
  }
}

TEST_CASE("a receipt that was lost on the way is fetched by sending the job again") {
  FakeKey key;
  WorkstationRig rig;
  key.faults.swallow_receipt_once = true;
  rig.workstation->OnKey(rig.KeyEventOf(key));
  rig.workstation->OnJob(rig.Job(key, 1));
  rig.Attach(kA, key);
  const Post receipt = rig.NextPost(Post::kReceipt);
  CHECK(key.stored.size() == 1);
  CHECK(Bytes(key.journal[0].begin(), key.journal[0].end()) == receipt.bytes);
}

TEST_CASE("REPLAY: the positive receipt is looked for in the key's journal") {
  FakeKey key;
  WorkstationRig rig;
  rig.workstation->OnKey(rig.KeyEventOf(key));
  const auto first = rig.Job(key, 1);
  rig.workstation->OnJob(first);
  rig.workstation->OnJob(rig.Job(key, 2));
  rig.workstation->OnJob(rig.Job(key, 3));
  rig.Attach(kA, key);
  for (int i = 0; i < 3; ++i) rig.NextPost(Post::kReceipt);
  rig.workstation->OnJob(first);  // its receipt never came, says the server
  const Post found = rig.NextPost(Post::kReceipt);
  CHECK(Bytes(key.journal[0].begin(), key.journal[0].end()) == found.bytes);

  const auto never_seen = rig.Job(key, 2);  // another job of an old seq: the refusal is the answer
  rig.workstation->OnJob(never_seen);
  const auto refusal = protocol::Receipt::Parse(rig.NextPost(Post::kReceipt).bytes);
  CHECK(refusal->result == protocol::Status::kReplay);
  CHECK(refusal->job_hash == protocol::JobHash(never_seen.sealed));
  CHECK(rig.spool->Counts().jobs == 0);
}

TEST_CASE("a receipt that the key did not sign is not believed; the job stays") {
  FakeKey key;
  WorkstationRig rig;
  key.faults.forged_receipt = true;
  rig.workstation->OnKey(rig.KeyEventOf(key));
  rig.workstation->OnJob(rig.Job(key, 1));
  rig.Attach(kA, key);
  CHECK(rig.NextPost(Post::kJobProblem).code == "key_misbehaves");
  CHECK(rig.spool->Counts().jobs == 1);
  CHECK(rig.Until(kA, [](const KeyReport& report) {
    return report.trouble.find("not its own") != std::string::npos;
  }));
  CHECK(rig.spool->Counts().receipts == 0);
}

TEST_CASE("a key with another hop key than its record gets no job") {
  FakeKey key;
  const FakeKey other;
  WorkstationRig rig;
  auto impostor = rig.KeyEventOf(key);
  protocol::X25519Public genuine = key.noise_public;
  key.noise_public = other.noise_public;  // from now on it speaks with another key
  key.noise_key = other.noise_key;
  REQUIRE(genuine != key.noise_public);
  rig.workstation->OnKey(impostor);
  rig.workstation->OnJob(rig.Job(key, 1));
  rig.Attach(kA, key);
  CHECK(rig.NextPost(Post::kJobProblem).code == "key_misbehaves");
  CHECK(key.stored.empty());
  CHECK(key.handshakes == 0);
}

TEST_CASE("a record of another organisation is not taken") {
  FakeKey key;
  WorkstationRig rig;
  WorkstationRig stranger;
  rig.workstation->OnKey(stranger.KeyEventOf(key));
  CHECK_FALSE(rig.records->Find(key.info.device_id));
  auto lie = rig.KeyEventOf(key);
  lie.account[0] ^= 1;  // another person's
  rig.workstation->OnKey(lie);
  CHECK_FALSE(rig.records->Find(key.info.device_id));
}

TEST_CASE("a key logs its owner in only while it is active") {
  FakeKey key;
  WorkstationRig rig;
  auto event = rig.KeyEventOf(key, "bob");
  for (const auto& [state, found] : {std::pair{KeyEvent::kActive, 1u},
                                     {KeyEvent::kSuspended, 0u},
                                     {KeyEvent::kActive, 1u},
                                     {KeyEvent::kRevoked, 0u}}) {
    event.state = state;
    rig.workstation->OnKey(event);
    CHECK(rig.records->OfLogin("bob").size() == found);
    CHECK(rig.records->Find(key.info.device_id));
  }
}

TEST_CASE("of several keys of a person a login gets one that is ready") {
  FakeKey keys[3];
  const std::size_t ready = GENERATE(0u, 1u, 2u);
  for (std::size_t i = 0; i < 3; ++i) {
    keys[i].info.state = i == ready ? protocol::KeyState::kReady
                         : i == 0   ? protocol::KeyState::kEnrolledNoPin
                                    : protocol::KeyState::kLocked;
  }
  WorkstationRig rig;
  for (std::size_t i = 0; i < 3; ++i) {
    const std::string path = "/fake/" + std::to_string(i);
    rig.workstation->OnKey(rig.KeyEventOf(keys[i]));
    rig.Attach(path, keys[i]);
    CHECK(rig.Until(path, [](const KeyReport& report) { return report.standing == "active"; }));
  }
  const auto relay = rig.workstation->OpenRelayFor("alice", Asker{"tester", 42});
  REQUIRE(relay);
  CHECK(relay->path == "/fake/" + std::to_string(ready));
}

TEST_CASE("records survive a restart and are verified again") {
  FakeKey key;
  WorkstationRig rig;
  rig.workstation->OnKey(rig.KeyEventOf(key, "bob"));
  const auto warn = [](const std::string&) {};
  const auto again = *KeyRecords::Open(rig.dir / "keys", rig.organisation.root, warn);
  REQUIRE(again->OfLogin("bob").size() == 1);
  CHECK(again->OfLogin("BoB").size() == 1);
  CHECK(again->OfLogin("bobb").empty());
  CHECK(again->OfLogin("bob")[0].identity.noise_pub == key.noise_public);
  CHECK(again->OfLogin("alice").empty());
  const auto other_root = *KeyRecords::Open(rig.dir / "keys", test::Organisation().root, warn);
  CHECK(other_root->OfLogin("bob").empty());
}

TEST_CASE("a key that is pulled out in mid-delivery gets its job when it is back") {
  FakeKey key;
  WorkstationRig rig;
  rig.workstation->OnKey(rig.KeyEventOf(key));
  rig.Attach(kA, key);
  rig.NextPost(Post::kKeys);
  key.Trouble([](auto& faults) { faults.never_answer = true; });
  rig.workstation->OnJob(rig.Job(key, 1));
  while (key.messages < 2) std::this_thread::yield();
  key.Unplug();
  rig.Remove(kA);
  rig.NextKeys([](const auto& keys) { return keys.empty(); });
  key.Trouble([](auto& faults) { faults.never_answer = false; });
  key.PlugIn();
  rig.Attach(kA, key);
  rig.NextPost(Post::kReceipt);
  CHECK(key.stored.size() == 1);
}

TEST_CASE("two keys of one number: the second is refused, the first goes on") {
  FakeKey key;
  FakeKey copy;
  WorkstationRig rig;
  rig.workstation->OnKey(rig.KeyEventOf(key));
  rig.Attach(kA, key);
  rig.NextPost(Post::kKeys);
  copy.info.device_id = key.info.device_id;
  rig.Attach(kB, copy);
  CHECK(rig.Until(kB, [](const KeyReport& report) {
    return report.trouble.find("same number") != std::string::npos;
  }));
  rig.workstation->OnJob(rig.Job(key, 1));
  rig.NextPost(Post::kReceipt);
  CHECK(copy.handshakes == 0);
}

TEST_CASE("a key that floods is flagged, another one is served") {
  FakeKey bad;
  FakeKey good;
  WorkstationRig rig;
  rig.workstation->OnKey(rig.KeyEventOf(good));
  rig.Attach(kA, bad);
  rig.NextPost(Post::kKeys);
  protocol::Report noise{};
  noise.fill(0xEE);
  for (std::size_t i = 0; i < device::HidPort::kMaxStray; ++i) bad.Spill(noise);
  CHECK(rig.Until(kA, [](const KeyReport& report) {
    return report.trouble.find("without end") != std::string::npos;
  }));
  rig.Attach(kB, good);
  rig.workstation->OnJob(rig.Job(good, 1));
  rig.NextPost(Post::kReceipt);
}

TEST_CASE("an unsigned refusal is told once and not repeated for ever") {
  FakeKey key;
  WorkstationRig rig;
  key.faults.refuse = protocol::Status::kStorageFault;
  rig.workstation->OnKey(rig.KeyEventOf(key));
  rig.workstation->OnJob(rig.Job(key, 1));
  rig.Attach(kA, key);
  CHECK(rig.NextPost(Post::kJobProblem).code == "key_storage_fault");
  key.Trouble([](auto& faults) { faults.refuse.reset(); });
  rig.workstation->OnJob(rig.Job(key, 2));  // something changed: both are tried
  CHECK(protocol::Receipt::Parse(rig.NextPost(Post::kReceipt).bytes)->seq == 1);
  CHECK(protocol::Receipt::Parse(rig.NextPost(Post::kReceipt).bytes)->seq == 2);
}

namespace {

EnrolEvent EnrolmentOf(WorkstationRig& rig, const FakeKey& key) {
  EnrolEvent event;
  event.enrolment = {0xE0};
  event.device = key.info.device_id;
  event.certificate =
      rig.organisation.Certify(rig.identity->HopPublic(), protocol::kRoleEnroll, {7});
  event.begin = rig.granter.begin = rig.organisation.Begin();
  return event;
}

}  // namespace

TEST_CASE("enrolment: statement, grant, receipt number 1") {
  FakeKey key;
  WorkstationRig rig;
  key.info.state = key.status.state = protocol::KeyState::kProvisioned;
  rig.Attach(kA, key);
  rig.workstation->OnEnrol(EnrolmentOf(rig, key));
  const Post receipt = rig.NextPost(Post::kEnrolmentReceipt);
  CHECK(receipt.id == Id{0xE0});
  CHECK(protocol::Receipt::Parse(receipt.bytes)->receipt_ctr == 1);
  rig.NextKeys([](const auto& keys) { return keys.at(0).state == 1; });
  CHECK(rig.granter.asked == 1);
}

TEST_CASE("enrolment whose receipt was lost is finished from the key's journal") {
  FakeKey key;
  WorkstationRig rig;
  key.info.state = key.status.state = protocol::KeyState::kProvisioned;
  rig.Attach(kA, key);
  rig.workstation->OnEnrol(EnrolmentOf(rig, key));
  const Post first = rig.NextPost(Post::kEnrolmentReceipt);
  rig.NextKeys([](const auto& keys) { return keys.at(0).state == 1; });  // it is over
  rig.workstation->OnEnrol(EnrolmentOf(rig, key));                       // the server asks again
  CHECK(rig.NextPost(Post::kEnrolmentReceipt).bytes == first.bytes);
  CHECK(rig.granter.asked == 1);
}

TEST_CASE("a grant for something else does not reach the key") {
  FakeKey key;
  WorkstationRig rig;
  key.info.state = key.status.state = protocol::KeyState::kProvisioned;
  rig.granter.wrong_statement = true;
  rig.Attach(kA, key);
  rig.workstation->OnEnrol(EnrolmentOf(rig, key));
  rig.NextPost(Post::kEnrolmentProblem);
  CHECK(key.journal.empty());
}

TEST_CASE("an enrolment certificate for another workstation is refused") {
  FakeKey key;
  WorkstationRig rig;
  key.info.state = key.status.state = protocol::KeyState::kProvisioned;
  auto event = EnrolmentOf(rig, key);
  event.certificate = rig.organisation.Certify({1, 2, 3}, protocol::kRoleEnroll, {7});
  rig.Attach(kA, key);
  rig.workstation->OnEnrol(event);
  CHECK(rig.NextPost(Post::kEnrolmentProblem).code == "certificate_refused");
  CHECK(key.handshakes == 0);
}

TEST_CASE("the login agent's key is remembered and matched with its certificate") {
  WorkstationRig rig;
  protocol::X25519Public login{5};
  CHECK(rig.workstation->Status().agent == "none");
  const auto before = rig.workstation->Agent(login);
  REQUIRE(before);
  CHECK_FALSE(before->login_cert);
  CHECK(rig.workstation->Status().agent == "waiting");
  auto certificates = rig.identity->GetApproval()->certificates;
  certificates.login = rig.organisation.Certify(login, protocol::kRoleLogin, {7});
  REQUIRE(rig.identity->SetCertificates(certificates));
  CHECK(rig.workstation->Agent(login)->login_cert == certificates.login);
  CHECK(rig.workstation->Status().agent == "certified");
  CHECK_FALSE(rig.workstation->Agent({6})->login_cert);
  CHECK(rig.workstation->Status().agent == "changed");
}

TEST_CASE("a login agent that came after the approval is certified by its proof") {
  WorkstationRig rig;
  const protocol::X25519Public login{5};
  CHECK_FALSE(rig.workstation->Agent(login)->challenge);  // no server
  rig.granter.challenge = {9};
  const auto asked = rig.workstation->Agent(login);
  REQUIRE(asked);
  CHECK(asked->challenge == rig.granter.challenge);
  CHECK_FALSE(rig.workstation->ProveAgent(login, {9}, {2}));  // as the server says
  CHECK(rig.workstation->Status().agent == "waiting");
  rig.granter.certifies = {6};  // another key than ours
  CHECK(rig.workstation->ProveAgent(login, {9}, {1}).error().code == ErrorCode::kProtocol);
  CHECK(rig.workstation->Status().agent == "waiting");
  rig.granter.certifies.reset();
  const auto proven = rig.workstation->ProveAgent(login, {9}, {1});
  REQUIRE(proven);
  CHECK(HopKeyOf(*proven->login_cert) == login);
  CHECK(rig.workstation->Status().agent == "certified");
  CHECK_FALSE(rig.workstation->Agent(login)->challenge);
  // It is on the disk.
  CHECK((*IdentityStore::Open(rig.dir / "identity"))->GetApproval()->certificates.login ==
        proven->login_cert);
}

TEST_CASE("a login is told to the server, also after a restart") {
  WorkstationRig rig;
  REQUIRE(rig.workstation->Used({1}, 9));
  CHECK(rig.spool->Used().at({1}) == 9);
  CHECK(rig.NextPost(Post::kUsed).seq == 9);
  CHECK(rig.spool->Used().empty());
}

#include "tests/unit/client-daemon/workstation_rig.h"

#include <catch2/catch.hpp>
#include <thread>

#include "device/hid_port.h"

namespace keyferry::test {

using namespace daemon;
using std::chrono::milliseconds;

Result<device::DiscoveryEvent> ScriptedDiscovery::Next() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return stopped_ || !events_.empty(); });
  if (stopped_) return Fail(ErrorCode::kUnavailable, "Stopped.");
  const auto event = events_.front();
  events_.pop_front();
  return event;
}

void ScriptedDiscovery::Stop() {
  const std::scoped_lock lock(mutex_);
  stopped_ = true;
  changed_.notify_all();
}

void ScriptedDiscovery::Tell(device::DiscoveryEvent::Kind kind, const device::KeyPlace& place) {
  const std::scoped_lock lock(mutex_);
  events_.push_back({kind, place});
  changed_.notify_all();
}

Result<std::array<std::uint8_t, 204>> Granter::AskForGrant(const Id&,
                                                           std::span<const std::uint8_t> statement,
                                                           std::span<const std::uint8_t>) {
  ++asked;
  protocol::Bytes<protocol::kStatementSize> bytes{};
  std::copy(statement.begin(), statement.end(), bytes.begin());
  auto grant = organisation_.Grant(begin, bytes, {0xAC});
  if (wrong_statement) grant.statement_hash[0] ^= 1;
  return grant.Encode();
}

Result<daemon::CallerVerdict> Granter::AnswerCaller(
    const daemon::Id&, const std::optional<std::array<std::uint8_t, 172>>& assertion) {
  answers.push_back(assertion);
  return verdict;
}

Result<void> Granter::SayNotMe(std::uint64_t number) {
  if (not_me_error) return tl::unexpected(*not_me_error);
  not_me.push_back(number);
  return {};
}

Result<std::array<std::uint8_t, 32>> Granter::AskForChallenge(const std::array<std::uint8_t, 32>&) {
  if (!challenge) return Fail(ErrorCode::kUnavailable, "The server cannot be asked now.");
  return *challenge;
}

Result<std::array<std::uint8_t, 144>> Granter::AskForLoginCert(
    const std::array<std::uint8_t, 32>& login_noise_pub,
    const std::array<std::uint8_t, 32>& answered, const std::array<std::uint8_t, 32>& proof) {
  if (answered != challenge || proof[0] != 1) {
    return Fail(ErrorCode::kUnavailable, "The login agent's key was not proven.");
  }
  return organisation_.Certify(certifies.value_or(login_noise_pub), protocol::kRoleLogin, {7});
}

WorkstationRig::WorkstationRig() {
  identity = *IdentityStore::Open(dir / "identity");
  spool = *Spool::Open(dir / "spool", [](const std::string&) {});
  records = *KeyRecords::Open(dir / "keys", organisation.root, [](const std::string&) {});
  Approval approval;
  approval.workstation = {7};
  approval.daemon_url = "https://nowhere";
  approval.root = organisation.root;
  approval.certificates.deliver =
      organisation.Certify(identity->HopPublic(), protocol::kRoleDeliver, {7});
  approval.certificates.issuer = organisation.issuer.Encode();
  REQUIRE(identity->SetApproval(approval, "none"));
  WorkstationSettings settings{"test", "https://nowhere", {}};
  settings.pauses = {milliseconds(5), milliseconds(20), milliseconds(5), milliseconds(20)};
  workstation = std::make_unique<Workstation>(settings, *identity, *spool, *records, outbox, alarm);
  auto scripted = std::make_unique<ScriptedDiscovery>();
  discovery = scripted.get();
  Surroundings surroundings;
  surroundings.grants = &granter;
  surroundings.key_gone = [this](const std::string& path) {
    if (key_gone) key_gone(path);
  };
  workstation->Start(std::move(surroundings), std::move(scripted),
                     [this](const device::KeyPlace& place,
                            device::OnGone on_gone) -> Result<std::shared_ptr<device::KeyPort>> {
                       const std::scoped_lock lock(mutex_);
                       const auto key = keys_.find(place.path);
                       if (key == keys_.end()) return Fail(ErrorCode::kUnavailable, "none");
                       return device::HidPort::Start(key->second->Connect(), std::move(on_gone));
                     });
}

WorkstationRig::~WorkstationRig() { workstation->Stop(); }

void WorkstationRig::Attach(const std::string& path, FakeKey& key, device::TransportKind way) {
  {
    const std::scoped_lock lock(mutex_);
    keys_[path] = &key;
  }
  discovery->Tell(device::DiscoveryEvent::kAppeared, {way, path});
}

void WorkstationRig::Remove(const std::string& path) {
  {
    const std::scoped_lock lock(mutex_);
    keys_.erase(path);
  }
  discovery->Tell(device::DiscoveryEvent::kVanished, {device::TransportKind::kSocket, path});
}

KeyEvent WorkstationRig::KeyEventOf(const FakeKey& key, const std::string& login) {
  protocol::Statement statement;
  statement.device_id = key.info.device_id;
  statement.sig_pub = key.device_public;
  statement.noise_pub = key.noise_public;
  statement.Sign(key.device_key, key.device_key);
  const auto bytes = statement.Encode();
  KeyEvent event;
  event.device = key.info.device_id;
  event.login = login;
  event.account = key.account_id;
  event.record =
      organisation.Record(bytes, organisation.Grant(organisation.Begin(), bytes, key.account_id));
  return event;
}

JobEvent WorkstationRig::Job(const FakeKey& key, std::uint64_t seq) {
  JobEvent event;
  event.job = {static_cast<std::uint8_t>(seq), static_cast<std::uint8_t>(seq >> 8), 0x10};
  event.device = key.info.device_id;
  event.seq = seq;
  event.sealed =
      organisation.Job(key.info.device_id, key.account_id, key.noise_public, 1, seq, 0, event.job);
  return event;
}

Post WorkstationRig::NextPost(Post::Kind kind) {
  while (true) {
    const auto post = outbox.Wait();
    REQUIRE(post);
    workstation->OnPosted(*post, {});
    outbox.Done(*post);
    if (post->kind == kind) return *post;
  }
}

void WorkstationRig::NextKeys(const std::function<bool(const std::vector<SeenKey>&)>& good) {
  while (!good(NextPost(Post::kKeys).keys)) {
  }
}

bool WorkstationRig::Until(const std::string& path,
                           const std::function<bool(const KeyReport&)>& good) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  while (std::chrono::steady_clock::now() < end) {
    for (const KeyReport& key : workstation->Status().keys) {
      if (key.path == path && good(key)) return true;
    }
    std::this_thread::sleep_for(milliseconds(2));
  }
  return false;
}

}  // namespace keyferry::test

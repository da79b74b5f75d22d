#pragma once

#include <condition_variable>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "client-daemon/core/workstation.h"
#include "tests/unit/client-daemon/temp_dir.h"
#include "tests/unit/device/fake_key.h"
#include "tests/unit/device/organisation.h"

namespace keyferry::test {

inline const daemon::Asker kAsker{"tester", 42};
inline constexpr auto kInfo = static_cast<std::uint8_t>(protocol::FrameCommand::kInfo);

// Tells of keys when the test says so.
class ScriptedDiscovery final : public device::Discovery {
 public:
  Result<device::DiscoveryEvent> Next() override;
  void Stop() override;
  void Tell(device::DiscoveryEvent::Kind kind, const device::KeyPlace& place);

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<device::DiscoveryEvent> events_;
  bool stopped_ = false;
};

// Grants every enrolment, as the server would.
class Granter final : public daemon::GrantSource {
 public:
  explicit Granter(Organisation& organisation) : organisation_(organisation) {}
  Result<std::array<std::uint8_t, 204>> AskForGrant(
      const daemon::Id& enrolment, std::span<const std::uint8_t> statement,
      std::span<const std::uint8_t> attestation) override;
  Result<std::array<std::uint8_t, 32>> AskForChallenge(
      const std::array<std::uint8_t, 32>& login_noise_pub) override;
  Result<std::array<std::uint8_t, 144>> AskForLoginCert(
      const std::array<std::uint8_t, 32>& login_noise_pub,
      const std::array<std::uint8_t, 32>& challenge,
      const std::array<std::uint8_t, 32>& proof) override;
  Result<daemon::CallerVerdict> AnswerCaller(
      const daemon::Id& request,
      const std::optional<std::array<std::uint8_t, 172>>& assertion) override;
  Result<daemon::CallerVerdict> verdict = daemon::CallerVerdict{true, {}};
  std::vector<std::optional<std::array<std::uint8_t, 172>>> answers;
  Result<void> SayNotMe(std::uint64_t number) override;
  std::vector<std::uint64_t> not_me;
  std::optional<Error> not_me_error;
  std::optional<std::array<std::uint8_t, 32>> challenge;  // nothing: the server cannot be asked
  std::optional<std::array<std::uint8_t, 32>> certifies;  // instead of the key that was asked for
  protocol::Bytes<protocol::kEnrollBeginSize> begin{};
  bool wrong_statement = false;  // grants something else
  int asked = 0;

 private:
  Organisation& organisation_;
};

// An approved workstation with fake keys by path and no server: posts are taken by hand.
struct WorkstationRig {
  WorkstationRig();
  ~WorkstationRig();

  // Plugs in. The fake speaks as over a socket whatever the way that is told.
  void Attach(const std::string& path, FakeKey& key,
              device::TransportKind way = device::TransportKind::kSocket);
  void Remove(const std::string& path);
  // The key's proof from this organisation, as the server sends it.
  daemon::KeyEvent KeyEventOf(const FakeKey& key, const std::string& login = "alice");
  daemon::JobEvent Job(const FakeKey& key, std::uint64_t seq);
  // Takes posts until one of this kind comes, and answers it.
  daemon::Post NextPost(daemon::Post::Kind kind);
  // Takes posts until the keys that one of them lists are `good`. How many lists come is chance:
  // each change makes one, and takes the place of one that still waits.
  void NextKeys(const std::function<bool(const std::vector<daemon::SeenKey>&)>& good);
  // Asks until the report of the key at `path` satisfies `good`; false after 20 s.
  bool Until(const std::string& path, const std::function<bool(const daemon::KeyReport&)>& good);

  TempDir dir;
  Organisation organisation;
  std::unique_ptr<daemon::IdentityStore> identity;
  std::unique_ptr<daemon::Spool> spool;
  std::unique_ptr<daemon::KeyRecords> records;
  daemon::Outbox outbox;
  std::shared_ptr<daemon::Alarm> alarm = std::make_shared<daemon::Alarm>(dir / "alarm");
  Granter granter{organisation};
  ScriptedDiscovery* discovery = nullptr;
  std::unique_ptr<daemon::Workstation> workstation;
  std::function<void(const std::string& path)> key_gone;

 private:
  std::mutex mutex_;
  std::map<std::string, FakeKey*> keys_;
};

}  // namespace keyferry::test

#pragma once

#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

#include "client-daemon/core/alarm.h"
#include "client-daemon/core/caller_questions.h"
#include "client-daemon/core/identity.h"
#include "client-daemon/core/key_broker.h"
#include "client-daemon/core/key_records.h"
#include "client-daemon/core/key_roster.h"
#include "client-daemon/core/local_api.h"
#include "client-daemon/core/notice_board.h"
#include "client-daemon/core/outbox.h"
#include "client-daemon/core/server_port.h"
#include "client-daemon/core/spool.h"
#include "device/discovery/discovery.h"

namespace keyferry::daemon {

struct WorkstationSettings {
  std::string name;
  std::string server_url;
  BrokerPauses pauses;
};

// The parts around the core, given once before Start; each may be called from any thread.
struct Surroundings {
  GrantSource* grants = nullptr;
  std::function<UplinkStatus()> uplink_status;
  std::function<std::vector<TransportReport>()> transports;
  std::function<void()> agent_key_changed;
  // Ends the relays to the device at this path.
  std::function<void(const std::string& path)> key_gone;
};

// The heart of keyferryd: takes what the server says into the spool, has one KeyBroker for each key
// that is attached, and answers local programs. What it owns is given to the constructor and
// outlives it. Thread-safe.
class Workstation final : public ServerEvents, public LocalApi, private BrokerHost {
 public:
  Workstation(WorkstationSettings settings, IdentityStore& identity, Spool& spool,
              KeyRecords& records, Outbox& outbox, std::shared_ptr<Alarm> alarm);
  ~Workstation() override;  // Stop()

  // Puts what the spool kept into the outbox and begins to look for keys.
  void Start(Surroundings surroundings, std::unique_ptr<device::Discovery> discovery,
             device::OpenPort open);
  // Ends all brokers; their keys are left in peace.
  void Stop();

  // ServerEvents
  void OnConnected(const Certificates& certificates) override;
  void OnKey(const KeyEvent& event) override;
  void OnJob(const JobEvent& event) override;
  void OnVoid(const Id& job) override;
  void OnEnrol(const EnrolEvent& event) override;
  void OnAlarm(const AlarmEvent& event) override;
  void OnCaller(const CallerEvent& event) override;
  void OnCallerOver(const Id& request) override;
  void OnNotice(const NoticeEvent& event) override;
  void OnPosted(const Post& post, const PostResult& result) override;

  // LocalApi
  StatusReport Status() override;
  Result<AgentAnswer> Agent(const std::array<std::uint8_t, 32>& login_noise_pub) override;
  Result<AgentAnswer> ProveAgent(const std::array<std::uint8_t, 32>& login_noise_pub,
                                 const std::array<std::uint8_t, 32>& challenge,
                                 const std::array<std::uint8_t, 32>& proof) override;
  Result<RelayGrant> OpenRelay(const Id& device, const Asker& asker) override;
  Result<RelayGrant> OpenRelayFor(const std::string& login, const Asker& asker) override;
  Result<void> Used(const Id& device, std::uint64_t seq) override;
  Result<CallerEvent> Caller(const std::string& login) override;
  std::vector<AskedCaller> Asked() override { return questions_.All(); }
  Result<CallerVerdict> AnswerCaller(
      const Id& request, const std::optional<std::array<std::uint8_t, 172>>& assertion) override;
  std::vector<NoticeEvent> Notices() override { return notices_.All(); }
  Result<void> NotMe(std::uint64_t number) override;

 private:
  // BrokerHost
  Spool& spool() override { return spool_; }
  Outbox& outbox() override { return outbox_; }
  std::shared_ptr<const Alarm> alarm() override { return alarm_; }
  Result<device::HostIdentity> DeliverIdentity() override;
  Result<device::HostIdentity> EnrolIdentity(const EnrolEvent& enrolment) override;
  std::optional<KnownKey> Known(const Id& device) override;
  std::optional<EnrolEvent> Enrolment(const Id& device) override;
  void EnrolmentDone(const EnrolEvent& enrolment) override;
  Result<std::array<std::uint8_t, 204>> AskForGrant(
      const EnrolEvent& enrolment, std::span<const std::uint8_t> statement,
      std::span<const std::uint8_t> attestation) override;
  Standing Claim(const Id& device, const device::KeyPlace& place, Proof proof) override;
  void Release(const std::string& path) override;
  void KeysChanged() override;

  void Discover();
  void PutKeys();
  void Wake(const std::optional<Id>& device);
  // Tells brokers of their new standings; the paths whose relays must end.
  std::vector<std::string> SpreadStandings();
  void EndRelays(const std::vector<std::string>& paths);
  // Of several keys of a person the one that a login works with: not one that has no PIN yet, or is
  // locked.
  void PutReadyFirst(std::vector<Id>& devices);
  // The first of the devices that is active, or nothing; waits for proofs under way.
  std::shared_ptr<KeyBroker> ActiveOf(const std::vector<Id>& devices);
  void Problem(Post::Kind kind, const Id& id, const std::string& code, const std::string& message);

  const WorkstationSettings settings_;
  IdentityStore& identity_;
  Spool& spool_;
  KeyRecords& records_;
  Outbox& outbox_;
  const std::shared_ptr<Alarm> alarm_;  // relays may outlive us
  CallerQuestions questions_;
  NoticeBoard notices_;
  Surroundings surroundings_;
  device::OpenPort open_;
  std::unique_ptr<device::Discovery> discovery_;
  std::thread discovery_thread_;

  std::mutex mutex_;                                           // all below
  std::map<std::string, std::shared_ptr<KeyBroker>> brokers_;  // by path
  KeyRoster roster_;
  std::condition_variable roster_changed_;
  std::map<Id, EnrolEvent> enrolments_;  // by device
};

}  // namespace keyferry::daemon

#pragma once

#include <chrono>
#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

#include "client-daemon/core/alarm.h"
#include "client-daemon/core/key_records.h"
#include "client-daemon/core/key_roster.h"
#include "client-daemon/core/local_api.h"
#include "client-daemon/core/outbox.h"
#include "client-daemon/core/server_port.h"
#include "client-daemon/core/spool.h"
#include "device/key_client.h"
#include "device/key_port.h"

namespace keyferry::daemon {

// What a broker needs of the daemon around it. Thread-safe.
class BrokerHost {
 public:
  virtual ~BrokerHost() = default;
  virtual Spool& spool() = 0;
  virtual Outbox& outbox() = 0;
  // While it stands nothing goes to a key (docs/workstation-api.md); its end is followed by a Wake.
  virtual std::shared_ptr<const Alarm> alarm() = 0;
  // kConflict while this workstation is not approved.
  virtual Result<device::HostIdentity> DeliverIdentity() = 0;
  virtual Result<device::HostIdentity> EnrolIdentity(const EnrolEvent& enrolment) = 0;
  virtual std::optional<KnownKey> Known(const Id& device) = 0;
  virtual std::optional<EnrolEvent> Enrolment(const Id& device) = 0;
  virtual void EnrolmentDone(const EnrolEvent& enrolment) = 0;
  virtual Result<std::array<std::uint8_t, 204>> AskForGrant(
      const EnrolEvent& enrolment, std::span<const std::uint8_t> statement,
      std::span<const std::uint8_t> attestation) = 0;
  // Says what is known of the device at `place`; its broker must not be at work for it. Only
  // kActive may go on. Another broker's claim may change the answer: Reconsider() tells.
  virtual Standing Claim(const Id& device, const device::KeyPlace& place, Proof proof) = 0;
  virtual void Release(const std::string& path) = 0;
  virtual void KeysChanged() = 0;
};

// Pauses between tries; a test sets them to nothing.
struct BrokerPauses {
  std::chrono::milliseconds first{1000};  // after three quick tries; doubled each time
  std::chrono::milliseconds longest{60000};
  std::chrono::milliseconds attach_first{20};  // while a path is there and nobody answers
  std::chrono::milliseconds attach_longest{2000};
};

// Everything that happens with the key at one place, on a thread of its own: attaches (again and
// again as long as the place is there), has it prove who it is (key_roster.h), and, while it is the
// active one of its number, runs enrolments and delivers what the spool holds, in the order of seq
// and each job exactly once. Relays share the key: one transaction at a
// time, in the order of asking (device::KeyPort).
//
// A key that misbehaves (kProtocol) loses its session and is flagged in Report().trouble; it is
// tried again with growing pauses, and nothing else of the daemon notices.
class KeyBroker {
 public:
  KeyBroker(device::KeyPlace place, device::OpenPort open, BrokerHost& host,
            BrokerPauses pauses = {});
  ~KeyBroker();  // ends the thread and every relay

  void Start();
  // There may be something to do: a job, an enrolment, a record, new certificates. Ends every
  // pause.
  void Wake();
  // The standing may be another one.
  void Reconsider();

  KeyReport Report() const;
  std::optional<SeenKey> Seen() const;
  // A channel of its own for a local program, and INFO. `who` is reported while the key waits for
  // a touch that this program asked for. While all channels of the key are in use it waits up to
  // one second for one that comes free, then kRateLimited.
  Result<RelayGrant> OpenRelay(const std::string& who);

 private:
  class RelayLink;
  struct Attempts {
    int failures = 0;
    std::chrono::steady_clock::time_point next{};
    std::string told;     // code of the problem that the server knows
    bool parked = false;  // hopeless: not tried again before a Wake
  };

  void Run();
  Result<void> Attach();
  void Detach();
  void Serve();
  // Has the key prove itself when that is due, claims it, and does what is due, one thing; returns
  // when to look again.
  std::chrono::steady_clock::time_point Step();
  std::chrono::steady_clock::time_point Prove(const Id& device);
  void Stand(Standing standing);
  void TellFrozen(const Id& device);
  std::chrono::steady_clock::time_point WorkOnce();
  void TakeInfo(const protocol::Info& info);
  void RefreshInfo();
  // Waits until `next`, a signal or the end. False at the end, or when the key is gone.
  bool Pause(std::chrono::steady_clock::time_point next);
  bool stopping() const;

  device::KeepaliveHandler UnlessAlarm();
  Result<void> Deliver(const SpooledJob& job, const KnownKey& known);
  Result<protocol::Receipt> LookForReceipt(const SpooledJob& job, const protocol::Receipt& refusal,
                                           const KnownKey& known);
  Result<void> CheckReceipt(const protocol::Receipt& receipt, const KnownKey& known) const;
  Result<void> OpenSession(const KnownKey& known);
  Result<void> Enrol(const EnrolEvent& enrolment);
  Result<protocol::Receipt> EnrolFresh(const EnrolEvent& enrolment);
  void Failed(Attempts& attempts, const Error& error, Post::Kind kind, const Id& id);
  void Tell(Attempts& attempts, const std::string& code, const std::string& message,
            Post::Kind kind, const Id& id);
  void SetTrouble(const std::string& trouble);
  bool Due(const Id& work, std::chrono::steady_clock::time_point& next) const;

  const device::KeyPlace place_;
  const device::OpenPort open_;
  BrokerHost& host_;
  const BrokerPauses pauses_;

  // Of the thread alone.
  std::unique_ptr<device::KeyClient> client_;
  std::optional<device::HostIdentity> session_identity_;
  std::map<Id, Attempts> attempts_;  // by job or enrolment; zero: the proof
  Proof proof_ = Proof::kPending;
  std::optional<protocol::X25519Public> compared_;  // hop key of the record that decided `proof_`
  std::optional<Standing> standing_;

  // Set from other threads, some of which may outlive the broker (a relay, the port's reader).
  struct Signals {
    std::mutex mutex;
    std::condition_variable changed;
    bool stopping = false;
    bool woken = false;
    bool refresh = false;     // INFO may have changed
    bool reconsider = false;  // the standing may have
    std::string touch;        // who waits for a touch
    std::size_t relays_ended = 0;
    std::optional<Error> gone;
  };
  const std::shared_ptr<Signals> signals_ = std::make_shared<Signals>();

  mutable std::mutex mutex_;  // all below
  std::shared_ptr<device::KeyPort> port_;
  std::optional<SeenKey> seen_;
  std::array<std::uint8_t, 56> info_{};
  std::int64_t last_delivery_ = 0;
  std::string shown_standing_;
  std::string trouble_;

  std::thread thread_;
};

}  // namespace keyferry::daemon

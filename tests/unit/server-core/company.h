#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "fakes.h"
#include "protocol/secure/system_random.h"
#include "server/core/four_eyes.h"
#include "server/core/services.h"
#include "test_database.h"
#include "test_key.h"

namespace keyferry::server::testing {

inline SecureBytes Text(std::string_view text) { return SecureBytes::CopyOf(text); }

// An approved workstation with its event stream.
struct TestWorkstation {
  WorkstationId id;
  std::string name;
  int protocol = 1;  // that its daemon says
  std::unique_ptr<EventBus::Subscription> subscription;
  std::mutex mutex;
  std::vector<WorkstationEvent> events;

  void Add(WorkstationEvent event);
  // Data of all events with this name so far, oldest first.
  std::vector<std::string> Named(const std::string& name);
  void Forget();
};

// The text of a JSON member in an event's line.
std::string Member(const std::string& json, const std::string& name);
Blob Base64Member(const std::string& json, const std::string& name);

// A server's core over a real database, with a directory, keys and workstations in memory.
struct Company {
  explicit Company(ChangeConfig config = {}, KeyConfig key_config = {});
  ~Company();

  // The process dies and starts again: everything in memory is gone, the
  // database stays.
  void Restart();
  // Only the store is opened anew (readers and writer closed in between).
  void StopStore();
  // What the services stand on, for services that a test makes itself.
  CorePorts Ports();

  std::unique_ptr<TestWorkstation> AddWorkstation(const std::string& name);
  // Connects (or connects again) and keeps the first events.
  void Connect(TestWorkstation& workstation);
  void Disconnect(TestWorkstation& workstation);
  Result<void> Sees(TestWorkstation& workstation, const std::vector<const TestKey*>& keys,
                    int state = 2);
  // Enrols `key`, which `workstation` sees, for `account`, in place of `replaced` if there is one.
  void Enrol(TestKey& key, const AccountId& account, TestWorkstation& workstation,
             const TestKey* replaced = nullptr);

  ChangeRequest Request(const AccountId& account, const std::string& idempotency_key) const;
  Result<ChangeView> Change(const AccountId& account, const std::string& idempotency_key);
  // Brings the newest job that `workstation` got to `key` and its receipt back.
  Result<ReceiptVerdict> Deliver(TestWorkstation& workstation, TestKey& key);
  Blob NewestJob(TestWorkstation& workstation);
  Result<ReceiptVerdict> Return(TestWorkstation& workstation, const TestKey& key,
                                const Blob& receipt);
  ChangeView Newest(const AccountId& account);
  KeyView Key(const AccountId& account);

  TestDatabase database;
  FakeClock clock;
  FakeDirectory directory;
  // From the next Restart on: linked sources, and a first directory in the fake's place.
  std::vector<LinkedSource> sources;
  Directory* first = nullptr;
  PeopleService* people = nullptr;            // from the next Restart on
  TicketReader* tickets = nullptr;            // …
  std::optional<FourEyesConfig> eyes_config;  // …
  FakeWaiter waiter;
  FakeAuthority ca;
  Maker maker;
  Maker simulator_maker;
  std::unique_ptr<AttestationVerifier> attestation;
  std::unique_ptr<Issuer> issuer;
  ChangeConfig change_config;
  KeyConfig key_config;
  SessionConfig session_config;
  std::vector<std::string> log;

  std::unique_ptr<EventBus> bus;
  std::unique_ptr<Presence> presence;
  std::unique_ptr<Store> store;
  std::unique_ptr<SessionService> sessions;
  std::unique_ptr<SecondFactor> factors;
  std::unique_ptr<FourEyes> eyes;
  std::unique_ptr<ChangeService> changes;
  std::unique_ptr<KeyService> keys;
  std::unique_ptr<WorkstationService> workstations;
  std::unique_ptr<AuditService> audit;

  Actor admin;
  AccountId alice;

 private:
  void Start();
};

}  // namespace keyferry::server::testing

#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "protocol/result.h"
#include "server/core/ids.h"
#include "server/core/session.h"

namespace keyferry::server {

struct AuditEntry;
struct CorePorts;
class Clock;

// The alarm: one action stops every delivery to keys and every release by them, two persons end it.
//
// It is a row of the database, so that it outlives restarts and all servers on the database agree:
// while it stands the store hands out no job (KeyStore::TakeReady), no password is set, and every
// workstation that can be reached is told (docs/workstation-api.md, event `alarm`), which then
// gives no job to a key and lets no local program talk to one. Whoever is not connected learns it
// with the connection. Times are Unix milliseconds, 0 = not.
struct AlarmRecord {
  std::uint64_t number = 0;   // grows with every alarm
  std::uint64_t version = 0;  // moves with every step
  AccountId raised_by;
  std::string raised_login;
  std::int64_t raised = 0;
  std::string reason;
  // Who agreed first that it may end.
  AccountId agreed_by;
  std::string agreed_login;
  std::int64_t agreed = 0;
  std::string ended_login;
  std::int64_t ended = 0;

  bool stands() const { return raised != 0 && ended == 0; }
};

// Whether the first agreement is given and still good at `now`. A clock that went back makes it old
// too: then it is given anew.
bool IsAgreed(const AlarmRecord& alarm, std::int64_t now);
// The standing alarm after one person's word at `now` that it may end: over where somebody else's
// agreement is still good, else with theirs as the first. kPermissionDenied: it is their own.
Result<AlarmRecord> WithWord(AlarmRecord alarm, const Actor& who, std::int64_t now);
AuditEntry WordEntry(const AlarmRecord& with_word, const Actor& who, const Clock& clock);

class AlarmStore {
 public:
  virtual ~AlarmStore() = default;
  // Newest first.
  virtual Result<std::vector<AlarmRecord>> Alarms(std::size_t limit) = 0;
  // Stores it as the next number, version 1. False, and nothing written, while one stands.
  virtual Result<bool> BeginAlarm(const AlarmRecord& alarm, const AuditEntry& audit) = 0;
  // Agreement and end of `alarm` in place of what version `former` has, as the next version. False,
  // and nothing written, when it has moved on from there, or is over.
  virtual Result<bool> MoveAlarm(const AlarmRecord& alarm, std::uint64_t former,
                                 const AuditEntry& audit) = 0;
};

// How long the first person's agreement is good.
inline constexpr std::int64_t kAgreementMillis = 30 * 60 * 1000;
inline constexpr std::size_t kAlarmReasonBytes = 500;

// Why nothing is done while it stands.
inline constexpr const char* kAlarmStands =
    "The alarm has been raised: nothing goes to security keys, and no password is set, until two "
    "persons have ended it.";

struct AlarmView {
  AlarmRecord alarm;  // the newest; number 0 = there was never one
  // The first agreement is given and still good.
  bool agreed = false;
};

// Thread-safe; blocks on the database.
class AlarmService {
 public:
  virtual ~AlarmService() = default;
  virtual Result<AlarmView> Get() = 0;
  // Newest first.
  virtual Result<std::vector<AlarmRecord>> History(std::size_t limit) = 0;
  // Raising what stands already changes nothing. `reason`: 0…500 bytes of printable UTF-8.
  virtual Result<AlarmView> Raise(const Actor& actor, std::string_view reason) = 0;
  // One person's word that the alarm may end: the first is kept for half an hour, the second, of
  // another person, ends it. `number` and `version`: as the person saw them; kConflict when it has
  // moved on. kPermissionDenied (audited): the same person again, under whatever name, or with
  // another account of the same employee id.
  virtual Result<AlarmView> AgreeToEnd(const Actor& actor, std::uint64_t number,
                                       std::uint64_t version) = 0;
  // Takes the first agreement back, whoever gave it.
  virtual Result<AlarmView> Keep(const Actor& actor, std::uint64_t number,
                                 std::uint64_t version) = 0;
  // Tells the workstations that are connected here when it moved since the last call, and hands
  // them what waited when it ended. To be called every few seconds, and when the bus's topic
  // "alarm" says something, but not from the bus's callback.
  virtual void Watch() = 0;
};
std::unique_ptr<AlarmService> MakeAlarmService(const CorePorts& ports);

// The error that stands for it, where something may not be done meanwhile; nothing = go on.
Result<void> CheckNoAlarm(AlarmStore& store);

}  // namespace keyferry::server

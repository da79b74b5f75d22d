#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "protocol/result.h"
#include "server/core/directory.h"
#include "server/core/ids.h"

// Password sources beside the first. The first directory has the people, signs them in, and alone
// decides what goes to the key; a linked one holds an account of the same person, which gets the
// same new password right after it, while that is still in memory. Each has its own state: the
// directories have no common transaction, so one may take the password and the other not.
namespace keyferry::server {

struct AuditEntry;

struct LinkedSource {
  std::string name;  // 1…64 bytes of printable UTF-8, unique
  std::string kind;  // "active-directory" or "openldap"
  PersonKey match = PersonKey::kLogin;
  bool preset = false;             // chosen where a request does not say
  Directory* directory = nullptr;  // outlives what it is given to
};

enum class SourceState {
  kPlanned,     // not asked yet
  kAttempt,     // the request to it may have left
  kConfirmed,   // it has the password
  kNotSet,      // it has not; `error` says why and what to do
  kUnknown,     // it could not say; the reconciler goes on asking
  kSuperseded,  // it could not say, and a newer change took over
};
const char* Name(SourceState state);
// kPlanned, kAttempt, kUnknown.
bool IsOpen(SourceState state);

// One linked source of one change, as stored. Times are Unix milliseconds, 0 = not yet.
struct SourceRecord {
  ChangeId change;
  std::string name;
  AccountId account;  // over there
  std::string login;
  std::string dn;
  SourceState state = SourceState::kPlanned;
  std::string error;  // a sentence
  ErrorCode error_code = ErrorCode::kInternal;
  std::string server;                  // pinned for the write
  std::int64_t password_last_set = 0;  // there, before the attempt, as ChangeRecord has it
  std::uint32_t password_version = 0;
  std::int64_t server_time = 0;  // Unix seconds
  std::int64_t attempted = 0;
  std::int64_t confirmed = 0;
};

// … and as pages and API show it.
struct SourceView {
  std::string name;
  std::string login;
  SourceState state = SourceState::kPlanned;
  std::string error;
  std::string server;
  std::int64_t attempted = 0;
  std::int64_t confirmed = 0;
};

// One that a request may name.
struct SourceChoice {
  std::string name;
  std::string kind;
  PersonKey match = PersonKey::kLogin;
  bool preset = false;
  // For one person: the account there, and why it cannot be changed; empty when it can.
  std::string login;
  std::string refusal;
  bool absent = false;  // no account there: a request that does not say leaves the source out
};
const char* Name(PersonKey key);

// The rows of linked sources, a part of the Store port: each method is as described there.
class SourceStore {
 public:
  virtual ~SourceStore() = default;
  // `from` → what the record says. kConflict when the row is in another state, or its change is
  // another living server's.
  virtual Result<void> MoveSource(const SourceRecord& source, SourceState from,
                                  const AuditEntry& audit) = 0;
  // Of these changes, each change's in the order of its request.
  virtual Result<std::vector<SourceRecord>> SourcesOf(std::span<const ChangeId> changes) = 0;
  // Changes with sources to look after: an attempt without an outcome, or never asked although the
  // first directory's part is over. Oldest first; none of another living server's.
  virtual Result<std::vector<ChangeId>> OpenSources() = 0;
};

}  // namespace keyferry::server

#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "protocol/result.h"
#include "server/core/changes.h"
#include "server/core/clock.h"
#include "server/core/help_desk_records.h"
#include "server/core/ids.h"
#include "server/core/keys.h"
#include "server/core/workstations.h"

namespace keyferry::server {

// What is counted over some days: today and those before it, each from midnight to midnight UTC.
inline constexpr int kReportDays = 30;
inline constexpr std::int64_t kDayMillis = 86'400'000;
// A change that is not over for so long is "long pending".
inline constexpr std::int64_t kLongPendingMillis = 3 * kDayMillis;

// The changes behind a number.
enum class ChangeList {
  kPending,      // not over: open, or the directory has the password and a key in use does not yet
  kLongPending,  // … and begun more than three days ago
  kAhead,        // the directory has the password, and a key in use does not yet
  kSet,          // passwords that the directory took on one day
};
inline constexpr ChangeList kLastChangeList = ChangeList::kSet;
const char* Name(ChangeList list);  // "long_pending"

// One of them.
struct ReportChange {
  std::uint64_t number = 0;  // grows with time; to go on after
  AccountId account;
  std::string login, actor_login, reason;
  ChangeState state = ChangeState::kIntent;
  ChangeMode mode = ChangeMode::kNow;
  bool ahead = false;
  std::int64_t created = 0;
  std::int64_t confirmed = 0;
};

// How requests of the help desk of one process ended, of those that were opened in the days of the
// report and are closed.
struct ProcessScore {
  HelpDeskProcess process = HelpDeskProcess::kReset;
  std::uint64_t completed = 0;
  std::uint64_t failed = 0;   // cancelled, or out of time
  std::uint64_t blocked = 0;  // by failed verifications
  std::uint64_t closed() const { return completed + failed + blocked; }
};

// How such a request ended, as the score counts it, and one of those behind a number of it.
enum class RequestEnd { kCompleted, kFailed, kBlocked };
inline constexpr RequestEnd kLastRequestEnd = RequestEnd::kBlocked;
const char* Name(RequestEnd end);  // "completed"
struct ReportRequest {
  std::uint64_t number = 0;  // grows with time; to go on after
  AccountId account;
  std::string login, agent_login, ticket, reason;
  HelpDeskState state = HelpDeskState::kDone;
  std::string error;  // why it did not end well; may be empty
  std::int64_t opened = 0, closed = 0;
};

struct DayCount {
  std::int64_t day = 0;  // Unix milliseconds of its midnight
  std::uint64_t count = 0;
};

struct ReportFigures {
  std::int64_t at = 0;
  std::int64_t since = 0;  // midnight of the first day
  std::uint64_t pending = 0, long_pending = 0, ahead = 0;
  std::uint64_t failed_verifications = 0;  // of callers, in these days
  std::array<std::uint64_t, static_cast<std::size_t>(KeyState::kRevoked) + 1> keys{};
  std::uint64_t keys_alarmed = 0;
  std::array<std::uint64_t, static_cast<std::size_t>(WorkstationState::kRevoked) + 1>
      workstations{};
  std::vector<DayCount> set;            // every day, oldest first
  std::vector<ProcessScore> processes;  // those that were asked for
};

// The database's side: figures without `at`, `since` and the days without any.
class ReportStore {
 public:
  struct ChangeQuery {
    ChangeList list = ChangeList::kPending;
    std::int64_t from = 0,
                 until = 0;    // kSet: confirmed in [from, until); kLongPending: begun before until
    std::uint64_t before = 0;  // numbers below this one; 0 = from the newest
    std::size_t limit = 50;
  };

  struct RequestQuery {
    HelpDeskProcess process = HelpDeskProcess::kReset;
    std::optional<RequestEnd> end;  // nothing: however it ended
    std::int64_t since = 0;         // opened from then on
    std::uint64_t before = 0;       // as above
    std::size_t limit = 50;
  };

  virtual ~ReportStore() = default;
  virtual Result<ReportFigures> CountReport(std::int64_t since, std::int64_t long_before) = 0;
  // Newest first.
  virtual Result<std::vector<ReportChange>> ListChanges(const ChangeQuery& query) = 0;
  virtual Result<std::vector<ReportRequest>> ListRequests(const RequestQuery& query) = 0;
};

// What an administrator and an auditor look at in the morning. Thread-safe; blocks on the database.
class ReportService {
 public:
  virtual ~ReportService() = default;
  virtual Result<ReportFigures> Figures() = 0;
  // Newest first; `day` is a midnight, for kSet. `before`: as ReportStore.
  virtual Result<std::vector<ReportChange>> Changes(ChangeList list, std::int64_t day,
                                                    std::uint64_t before, std::size_t limit) = 0;
  // Those that the score of the process counts now, newest first; with `end`, one column of it.
  virtual Result<std::vector<ReportRequest>> Requests(HelpDeskProcess process,
                                                      std::optional<RequestEnd> end,
                                                      std::uint64_t before, std::size_t limit) = 0;
};
std::unique_ptr<ReportService> MakeReportService(ReportStore& store, const Clock& clock);

}  // namespace keyferry::server

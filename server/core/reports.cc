#include "server/core/reports.h"

#include <algorithm>

namespace keyferry::server {
namespace {

class DefaultReportService final : public ReportService {
 public:
  DefaultReportService(ReportStore& store, const Clock& clock) : store_(store), clock_(clock) {}

  Result<ReportFigures> Figures() override {
    const std::int64_t now = clock_.UnixMillis();
    const std::int64_t since = FirstDay(now);
    auto figures = store_.CountReport(since, now - kLongPendingMillis);
    if (!figures) return figures;
    figures->at = now;
    figures->since = since;
    std::vector<DayCount> days;
    for (int i = 0; i < kReportDays; ++i) days.push_back({since + i * kDayMillis, 0});
    for (const DayCount& one : figures->set) {
      const std::int64_t place = (one.day - since) / kDayMillis;
      // One that a clock ahead of this one has written is today's.
      if (one.day >= since) {
        days[static_cast<std::size_t>(std::min<std::int64_t>(place, kReportDays - 1))].count +=
            one.count;
      }
    }
    figures->set = std::move(days);
    return figures;
  }

  Result<std::vector<ReportChange>> Changes(ChangeList list, std::int64_t day, std::uint64_t before,
                                            std::size_t limit) override {
    ReportStore::ChangeQuery query;
    query.list = list;
    query.from = day;
    query.until =
        list == ChangeList::kSet ? day + kDayMillis : clock_.UnixMillis() - kLongPendingMillis;
    query.before = before;
    query.limit = limit;
    return store_.ListChanges(query);
  }

  Result<std::vector<ReportRequest>> Requests(HelpDeskProcess process,
                                              std::optional<RequestEnd> end, std::uint64_t before,
                                              std::size_t limit) override {
    return store_.ListRequests({process, end, FirstDay(clock_.UnixMillis()), before, limit});
  }

 private:
  static std::int64_t FirstDay(std::int64_t now) {
    return now - now % kDayMillis - (kReportDays - 1) * kDayMillis;
  }

  ReportStore& store_;
  const Clock& clock_;
};

}  // namespace

const char* Name(ChangeList list) {
  switch (list) {
    case ChangeList::kPending:
      return "pending";
    case ChangeList::kLongPending:
      return "long_pending";
    case ChangeList::kAhead:
      return "ahead";
    case ChangeList::kSet:
      break;
  }
  return "set";
}

const char* Name(RequestEnd end) {
  switch (end) {
    case RequestEnd::kCompleted:
      return "completed";
    case RequestEnd::kFailed:
      return "failed";
    case RequestEnd::kBlocked:
      break;
  }
  return "blocked";
}

std::unique_ptr<ReportService> MakeReportService(ReportStore& store, const Clock& clock) {
  return std::make_unique<DefaultReportService>(store, clock);
}

}  // namespace keyferry::server

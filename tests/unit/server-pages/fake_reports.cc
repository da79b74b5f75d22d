// Lists, reports and the audit log that answer from memory.
#include "fake_services.h"

namespace keyferry::server::fake {

Result<std::vector<KeyView>> FakeKeys::Page(const KeyFilter& filter) {
  std::vector<KeyView> page;
  bool from_here = filter.after == DeviceId{};
  for (const KeyView& key : keys) {
    const bool wanted =
        (!filter.state || key.state == *filter.state) && (!filter.alarmed || !key.alarm.empty());
    if (from_here && wanted && page.size() < filter.limit) page.push_back(key);
    from_here = from_here || key.device == filter.after;
  }
  return page;
}

Result<std::vector<WorkstationView>> FakeWorkstations::Page(const WorkstationFilter& filter) {
  std::vector<WorkstationView> page;
  bool from_here = filter.after == WorkstationId{};
  for (const WorkstationView& one : workstations) {
    if (from_here && (!filter.state || one.state == *filter.state) && page.size() < filter.limit) {
      page.push_back(one);
    }
    from_here = from_here || one.id == filter.after;
  }
  return page;
}

Result<std::vector<ReportChange>> FakeReports::Changes(ChangeList, std::int64_t,
                                                       std::uint64_t before, std::size_t limit) {
  std::vector<ReportChange> page;
  for (const ReportChange& change : changes) {
    if ((before == 0 || change.number < before) && page.size() < limit) page.push_back(change);
  }
  return page;
}

Result<std::vector<ReportRequest>> FakeReports::Requests(HelpDeskProcess process,
                                                         std::optional<RequestEnd> end,
                                                         std::uint64_t before, std::size_t limit) {
  asked.push_back(std::string(Name(process)) + (end ? std::string(" ") + Name(*end) : ""));
  std::vector<ReportRequest> page;
  for (const ReportRequest& one : requests) {
    if ((before == 0 || one.number < before) && page.size() < limit) page.push_back(one);
  }
  return page;
}

Result<std::vector<AuditView>> FakeAudit::List(std::uint64_t before, std::size_t limit) {
  std::vector<AuditView> out;
  for (const AuditView& row : rows) {
    if ((before == 0 || row.number < before) && out.size() < limit) out.push_back(row);
  }
  return out;
}

Result<std::size_t> FakeSessions::EndAll(const Actor& actor, const AccountId& account) {
  calls.push_back("end those of " + account.Hex() + " by " + actor.login);
  return 1;
}

Result<std::vector<DirectoryAttribute>> FakeAttributes::Show(const Actor& actor,
                                                             const AccountId& id) {
  if (const auto detail = directory->Get(id); !detail) return tl::unexpected(detail.error());
  calls.push_back("show " + id.Hex() + " to " + actor.login);
  return attributes;
}

Result<void> FakeAccountSteps::Do(const Actor& actor, const AccountId& account, AccountStep step,
                                  std::string_view reason) {
  if (const auto detail = directory->Get(account); !detail) return tl::unexpected(detail.error());
  if (error) return tl::unexpected(*error);
  calls.push_back(actor.login + " " + Name(step) + " " + account.Hex() + " " + std::string(reason));
  return {};
}

Result<PersonPage> FakeDirectory::List(const PeopleQuery& query) {
  state = query.state;
  order = query.order;
  return Search(query.text, query.limit, query.cursor);
}

Result<AuditPage> FakeAudit::Search(const AuditFilter& wanted, std::uint64_t before,
                                    std::size_t limit) {
  filter = wanted;
  AuditPage page;
  for (const AuditView& row : rows) {
    if ((before != 0 && row.number >= before) ||
        (!wanted.action.empty() && row.action != wanted.action)) {
      continue;
    }
    if (page.rows.size() == limit) {
      page.next = page.rows.back().number;
      break;
    }
    page.rows.push_back(row);
  }
  return page;
}

Result<std::vector<SavedAuditFilter>> FakeAuditFilters::Mine(const Actor&) { return filters; }

Result<void> FakeAuditFilters::Save(const Actor& actor, std::string_view name,
                                    std::string_view query) {
  calls.push_back("save " + std::string(name) + " " + std::string(query) + " by " + actor.login);
  if (error) return tl::unexpected(*error);
  return {};
}

Result<void> FakeAuditFilters::Forget(const Actor& actor, const AuditFilterId& id) {
  for (const SavedAuditFilter& one : filters) {
    if (one.id != id) continue;
    calls.push_back("forget " + id.Hex() + " by " + actor.login);
    return {};
  }
  return Fail(ErrorCode::kNotFound, "There is no such filter.");
}

Result<void> FakeWarnings::Acknowledge(const Actor& actor, const WarningId& id) {
  calls.push_back("acknowledge " + id.Hex() + " by " + actor.login);
  return {};
}

Result<AuditExtract> FakeAudit::Export(AuditFormat format, std::uint64_t after, std::size_t limit,
                                       std::string_view, const AuditFilter& wanted) {
  filter = wanted;
  AuditExtract extract;
  for (auto row = rows.rbegin(); row != rows.rend(); ++row) {
    if (row->number <= after) continue;
    if (extract.last != 0 && --limit == 0) {
      extract.more = true;
      break;
    }
    extract.last = row->number;
    ++extract.rows;
    extract.text += std::to_string(static_cast<int>(format)) + " " + row->action + "\n";
  }
  return extract;
}

}  // namespace keyferry::server::fake

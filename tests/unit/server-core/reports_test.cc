// The numbers of the reports and the lists behind them, over a real database.
#include "server/core/reports.h"

#include <catch2/catch.hpp>
#include <set>

#include "company.h"

using namespace keyferry;
using namespace keyferry::server;
using namespace keyferry::server::testing;

namespace {

struct Firm : Company {
  Firm() { reports = MakeReportService(*store, clock); }
  ReportFigures Figures() {
    auto figures = reports->Figures();
    REQUIRE(figures);
    return *figures;
  }
  std::vector<ReportChange> List(ChangeList list, std::int64_t day = 0, std::uint64_t before = 0,
                                 std::size_t limit = 100) {
    auto rows = reports->Changes(list, day, before, limit);
    REQUIRE(rows);
    return *rows;
  }
  // Each number is that of its list.
  void CheckLists() {
    const ReportFigures figures = Figures();
    CHECK(List(ChangeList::kPending).size() == figures.pending);
    CHECK(List(ChangeList::kLongPending).size() == figures.long_pending);
    CHECK(List(ChangeList::kAhead).size() == figures.ahead);
    for (const DayCount& day : figures.set) {
      CHECK(List(ChangeList::kSet, day.day).size() == day.count);
    }
  }
  // One request of the help desk, as if it had ended so.
  void Ended(const std::string& id, HelpDeskProcess process, const std::string& state,
             std::int64_t opened) {
    StopStore();
    database.Run(
        "INSERT INTO help_desk_requests (request_id, agent_id, agent_login, account_id, login, "
        "display_name, process, reason, ticket, state, error, privileged, change_id, acts, "
        "version, opened, expires, acted, closed) VALUES ('" +
        id + "', '" + admin.id.Hex() + "', 'henry', '" + alice.Hex() + "', 'alice', 'Alice', '" +
        Name(process) + "', 'forgot it', 'INC-1', '" + state + "', '', 0, '', 0, 1, " +
        std::to_string(opened) + ", 0, 0, " + std::to_string(opened + 1) + ")");
    Restart();
    reports = MakeReportService(*store, clock);
  }
  std::unique_ptr<ReportService> reports;
};

}  // namespace

TEST_CASE("reports: a change is pending until the key has it, and ahead once the directory has") {
  Firm firm;
  const auto workstation = firm.AddWorkstation("desk-1");
  TestKey key(firm.maker);
  firm.Enrol(key, firm.alice, *workstation);
  ReportFigures figures = firm.Figures();
  CHECK(figures.pending == 0);
  CHECK(figures.set.size() == kReportDays);
  CHECK(figures.keys[static_cast<std::size_t>(KeyState::kActive)] == 1);
  CHECK(figures.workstations[static_cast<std::size_t>(WorkstationState::kApproved)] == 1);
  firm.CheckLists();

  firm.Disconnect(*workstation);
  REQUIRE(firm.Change(firm.alice, "reports-1"));
  figures = firm.Figures();
  CHECK(figures.pending == 1);
  CHECK(figures.ahead == 1);
  CHECK(figures.long_pending == 0);
  CHECK(figures.set.back().count == 1);
  const auto ahead = firm.List(ChangeList::kAhead);
  REQUIRE(ahead.size() == 1);
  CHECK(ahead[0].ahead);
  CHECK(ahead[0].account == firm.alice);
  CHECK(ahead[0].confirmed != 0);
  firm.CheckLists();

  firm.clock.Advance(std::chrono::hours(24 * 4));
  figures = firm.Figures();
  CHECK(figures.long_pending == 1);
  CHECK(figures.set.back().count == 0);
  CHECK(figures.set[kReportDays - 5].count == 1);
  firm.CheckLists();

  firm.Connect(*workstation);
  REQUIRE(firm.Sees(*workstation, {&key}));
  const auto verdict = firm.Deliver(*workstation, key);
  REQUIRE(verdict);
  CHECK(verdict->kind == ReceiptVerdict::kStored);
  figures = firm.Figures();
  CHECK(figures.pending == 0);
  CHECK(figures.ahead == 0);
  CHECK(figures.long_pending == 0);
  firm.CheckLists();
}

TEST_CASE("reports: what waited for a key that is out of use waits no more") {
  Firm firm;
  const auto workstation = firm.AddWorkstation("desk-1");
  TestKey key(firm.maker);
  firm.Enrol(key, firm.alice, *workstation);
  firm.Disconnect(*workstation);
  REQUIRE(firm.Change(firm.alice, "reports-1"));
  CHECK(firm.Figures().ahead == 1);
  REQUIRE(firm.keys->Step(firm.admin, DeviceId{key.device_id}, KeyStep::kCompromise, "lost"));
  const ReportFigures figures = firm.Figures();
  CHECK(figures.ahead == 0);
  CHECK(figures.pending == 0);
  CHECK(figures.keys[static_cast<std::size_t>(KeyState::kActive)] == 0);
  CHECK(figures.keys[static_cast<std::size_t>(KeyState::kCompromised)] == 1);
  CHECK(figures.set.back().count == 1);
}

TEST_CASE("reports: at delivery a change is pending from the request on, and not ahead") {
  Firm firm;
  const auto workstation = firm.AddWorkstation("desk-1");
  TestKey key(firm.maker);
  firm.Enrol(key, firm.alice, *workstation);
  firm.Disconnect(*workstation);
  ChangeRequest request = firm.Request(firm.alice, "reports-1");
  request.mode = ChangeMode::kAtDelivery;
  REQUIRE(firm.changes->Start(firm.admin, std::move(request)));
  const ReportFigures figures = firm.Figures();
  CHECK(figures.pending == 1);
  CHECK(figures.ahead == 0);
  CHECK(figures.set.back().count == 0);
  CHECK(firm.List(ChangeList::kPending)[0].state == ChangeState::kIntent);
  firm.CheckLists();
}

TEST_CASE("reports: lists go on after their last row") {
  Firm firm;
  const auto workstation = firm.AddWorkstation("desk-1");
  std::vector<std::unique_ptr<TestKey>> keys;
  for (int i = 0; i < 5; ++i) {
    keys.push_back(std::make_unique<TestKey>(firm.maker));
    const AccountId account = firm.directory.Add("person" + std::to_string(i));
    firm.Enrol(*keys.back(), account, *workstation);
    REQUIRE(firm.Change(account, "reports-" + std::to_string(i)));
  }
  std::set<std::uint64_t> seen;
  std::uint64_t before = 0;
  for (;;) {
    const auto page = firm.List(ChangeList::kPending, 0, before, 2);
    if (page.empty()) break;
    for (const ReportChange& one : page) CHECK(seen.insert(one.number).second);
    before = page.back().number;
  }
  CHECK(seen.size() == 5);

  // So do keys, by name, and workstations.
  std::vector<DeviceId> found;
  KeyFilter filter;
  filter.limit = 2;
  for (;;) {
    const auto page = firm.keys->Page(filter);
    REQUIRE(page);
    if (page->empty()) break;
    for (const KeyView& key : *page) found.push_back(key.device);
    filter.after = page->back().device;
  }
  const auto all = firm.keys->List();
  REQUIRE(all->size() == 5);
  REQUIRE(found.size() == 5);
  for (std::size_t i = 0; i < found.size(); ++i) CHECK((*all)[i].device == found[i]);
  filter = {};
  filter.state = KeyState::kSuspended;
  CHECK(firm.keys->Page(filter)->empty());
  REQUIRE(
      firm.keys->Step(firm.admin, DeviceId{keys[3]->device_id}, KeyStep::kSuspend, "left at home"));
  REQUIRE(firm.keys->Page(filter)->size() == 1);
  CHECK(firm.keys->Page(filter)->front().device == DeviceId{keys[3]->device_id});
  filter = {};
  filter.alarmed = true;
  CHECK(firm.keys->Page(filter)->empty());
  REQUIRE(firm.store->RaiseAlarm(DeviceId{keys[1]->device_id}, "A copy.", {}));
  CHECK(firm.keys->Page(filter)->size() == 1);
  CHECK(firm.Figures().keys_alarmed == 1);

  const auto second = firm.AddWorkstation("desk-2");
  WorkstationFilter desks;
  desks.limit = 1;
  REQUIRE(firm.workstations->Page(desks)->size() == 1);
  CHECK(firm.workstations->Page(desks)->front().id == second->id);
  desks.after = second->id;
  CHECK(firm.workstations->Page(desks)->front().id == workstation->id);
  desks.after = workstation->id;
  CHECK(firm.workstations->Page(desks)->empty());
  desks = {};
  desks.state = WorkstationState::kPending;
  CHECK(firm.workstations->Page(desks)->empty());
}

TEST_CASE("reports: how requests of the help desk ended, and what callers could not prove") {
  Firm firm;
  const auto request = [&](std::uint8_t fill, HelpDeskProcess process, HelpDeskState state) {
    HelpDeskRequest row;
    row.id.bytes.fill(fill);
    row.agent = firm.admin.id;
    row.account.bytes.fill(fill);
    row.process = process;
    row.state = state;
    row.opened = firm.clock.UnixMillis();
    AuditEntry entry{row.opened, "agent", "help_desk.verify", "alice", "wrong", "", ""};
    REQUIRE(firm.store->OpenHelpDesk(row, entry));
  };
  request(1, HelpDeskProcess::kReset, HelpDeskState::kDone);
  request(2, HelpDeskProcess::kReset, HelpDeskState::kBlocked);
  request(3, HelpDeskProcess::kReset, HelpDeskState::kExpired);
  request(4, HelpDeskProcess::kReset, HelpDeskState::kCancelled);
  request(5, HelpDeskProcess::kReset, HelpDeskState::kVerifying);
  request(6, HelpDeskProcess::kUnlock, HelpDeskState::kDone);
  request(7, HelpDeskProcess::kNone, HelpDeskState::kCancelled);
  ReportFigures figures = firm.Figures();
  CHECK(figures.failed_verifications == 7);
  REQUIRE(figures.processes.size() == 2);
  CHECK(figures.processes[0].process == HelpDeskProcess::kReset);
  CHECK(figures.processes[0].completed == 1);
  CHECK(figures.processes[0].failed == 2);
  CHECK(figures.processes[0].blocked == 1);
  CHECK(figures.processes[1].completed == 1);
  CHECK(figures.processes[1].closed() == 1);
  firm.clock.Advance(std::chrono::hours(24 * 31));
  figures = firm.Figures();
  CHECK(figures.processes.empty());
  CHECK(figures.failed_verifications == 0);
}

TEST_CASE("reports: the requests behind a process's score are those that it counts") {
  Firm firm;
  const std::int64_t now = firm.clock.UnixMillis();
  int id = 0;
  const auto add = [&](HelpDeskProcess process, const std::string& state, std::int64_t opened) {
    firm.Ended("request-" + std::to_string(++id), process, state, opened);
  };
  for (const char* state : {"done", "done", "cancelled", "expired", "blocked", "verifying"}) {
    add(HelpDeskProcess::kUnlock, state, now - 1000);
  }
  add(HelpDeskProcess::kReset, "done", now - 1000);
  add(HelpDeskProcess::kNone, "cancelled", now - 1000);
  add(HelpDeskProcess::kUnlock, "done", now - 31 * kDayMillis);
  const auto rows = [&firm](HelpDeskProcess process, std::optional<RequestEnd> end,
                            std::uint64_t before = 0, std::size_t limit = 100) {
    return firm.reports->Requests(process, end, before, limit).value();
  };
  const auto figures = firm.Figures();
  REQUIRE(figures.processes.size() == 2);
  for (const ProcessScore& score : figures.processes) {
    INFO(Name(score.process));
    CHECK(rows(score.process, std::nullopt).size() == score.closed());
    CHECK(rows(score.process, RequestEnd::kCompleted).size() == score.completed);
    CHECK(rows(score.process, RequestEnd::kFailed).size() == score.failed);
    CHECK(rows(score.process, RequestEnd::kBlocked).size() == score.blocked);
  }
  const auto all = rows(HelpDeskProcess::kUnlock, std::nullopt);
  REQUIRE(all.size() == 5);
  CHECK(all.front().number > all.back().number);
  CHECK(all.front().state == HelpDeskState::kBlocked);
  CHECK(all.front().account == firm.alice);
  CHECK(all.front().agent_login == "henry");
  CHECK(all.front().closed == now - 999);
  const auto rest = rows(HelpDeskProcess::kUnlock, std::nullopt, all[1].number, 2);
  REQUIRE(rest.size() == 2);
  CHECK(rest[0].number == all[2].number);
}

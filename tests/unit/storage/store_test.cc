// What every database must do; run on SQLite and on PostgreSQL.
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <csignal>
#include <thread>

#include "company.h"
#include "server/core/change_view.h"
#include "server/core/services.h"
#include "tests/unit/storage/audit_line.h"

using namespace keyferry;
using namespace keyferry::server;
using namespace keyferry::server::testing;

TEST_CASE("what is noticed is kept, and each change of it has its audit row") {
  Company c;
  std::vector<std::string> before;
  const auto notice = [&](std::string_view name, std::string_view value) {
    REQUIRE(c.store->Notice(name, value, [&](std::string_view old) {
      before.emplace_back(old);
      return Line(static_cast<int>(before.size()));
    }));
  };
  const std::uint64_t rows = c.store->AuditHead()->number;
  notice("roles/1", "");
  CHECK(before.empty());
  notice("roles/1", "auditor");
  notice("roles/1", "auditor");
  notice("roles/2", "help_desk");
  c.Restart();
  notice("roles/1", "auditor");
  notice("roles/1", "it's \"another\"");
  notice("roles/1", "");
  notice("roles/1", "");
  CHECK(before == std::vector<std::string>{"", "", "auditor", "it's \"another\""});
  CHECK(c.store->AuditHead()->number == rows + 4);
}

TEST_CASE("rows of linked sources move from state to state, once, each with its audit row") {
  Company c;
  ChangeRecord change;
  change.id.bytes.fill(1);
  change.account = c.alice;
  change.login = "alice";
  change.actor = c.admin.id;
  change.idempotency_key = "request-0001";
  change.mode = ChangeMode::kAtDelivery;
  change.device.bytes.fill(2);
  for (const char* name : {"Zoo", "Attic"}) {
    SourceRecord source;
    source.name = name;
    source.account.bytes.fill(3);
    source.login = "al";
    source.dn = "uid=al";
    change.sources.push_back(source);
  }
  REQUIRE(c.store->BeginWaiting(change, Line(1))->claim == ChangeStore::Claim::kBegun);
  const auto sources = [&] { return c.store->SourcesOf({&change.id, 1}).value(); };
  const auto audited = [&] { return c.store->AuditHead()->number; };
  REQUIRE(sources().size() == 2);
  CHECK(sources()[0].name == "Zoo");  // as the request had them
  CHECK(sources()[0].state == SourceState::kPlanned);
  CHECK(sources()[0].account == change.sources[0].account);
  CHECK(sources()[0].dn == "uid=al");
  // While the change itself is open they wait with it.
  CHECK(c.store->OpenSources().value().empty());

  SourceRecord zoo = sources()[0];
  zoo.change = change.id;
  zoo.state = SourceState::kAttempt;
  zoo.server = "ldaps://zoo";
  zoo.password_last_set = 134'000'000'000'000'000;
  zoo.password_version = 4'000'000'000;
  zoo.server_time = 7;
  zoo.attempted = 8;
  const std::uint64_t before = audited();
  REQUIRE(c.store->MoveSource(zoo, SourceState::kPlanned, Line(2)));
  CHECK(audited() == before + 1);
  const auto again = c.store->MoveSource(zoo, SourceState::kPlanned, Line(3));
  REQUIRE_FALSE(again);
  CHECK(again.error().code == ErrorCode::kConflict);
  CHECK(audited() == before + 1);
  const SourceRecord kept = sources()[0];
  CHECK(kept.state == SourceState::kAttempt);
  CHECK(kept.server == "ldaps://zoo");
  CHECK(kept.password_last_set == zoo.password_last_set);
  CHECK(kept.password_version == zoo.password_version);
  CHECK(kept.server_time == 7);
  CHECK(kept.attempted == 8);

  // The change is over: what was not asked never is, what was is to be looked after, and no other
  // change of the account begins before that.
  REQUIRE(c.store->CloseChange(change.id, ChangeStore::From::kWaiting, ChangeState::kFailed,
                               {ErrorCode::kKeyRefused, "No.", {}, 0}, Line(4)));
  CHECK(sources()[1].state == SourceState::kNotSet);
  CHECK_FALSE(sources()[1].error.empty());
  CHECK(c.store->OpenSources().value() == std::vector<ChangeId>{change.id});
  ChangeRecord next = change;
  next.id.bytes.fill(9);
  next.idempotency_key = "request-0002";
  const auto busy = c.store->BeginWaiting(next, Line(5));
  REQUIRE(busy);
  CHECK(busy->claim == ChangeStore::Claim::kAccountBusy);
  CHECK(busy->row.change.id == change.id);
  CHECK_FALSE(c.store->FindChange(next.id).value());
  zoo.state = SourceState::kConfirmed;
  zoo.confirmed = 9;
  REQUIRE(c.store->MoveSource(zoo, SourceState::kAttempt, Line(6)));
  CHECK(sources()[0].confirmed == 9);
  CHECK(c.store->OpenSources().value().empty());
  CHECK(c.store->BeginWaiting(next, Line(7))->claim == ChangeStore::Claim::kBegun);
}

TEST_CASE("every way of bending the audit log is found") {
  Company c;
  for (int i = 1; i <= 20; ++i) REQUIRE(c.store->AppendAudit(Line(i)));
  REQUIRE(c.audit->Verify().value() == 20);
  c.StopStore();
  const auto [sql, word] = GENERATE(table<std::string, std::string>({
      {"UPDATE audit SET detail = 'x' WHERE number = 7", "row 7 was altered"},
      {"UPDATE audit SET time = time + 1 WHERE number = 20", "row 20 was altered"},
      {"UPDATE audit SET actor = 'tes', action = 'tline' WHERE number = 3", "row 3 was altered"},
      {"DELETE FROM audit WHERE number = 9", "row 9 is missing"},
      {"DELETE FROM audit WHERE number > 15", "row 16 is missing"},
      {"DELETE FROM audit", "row 1 is missing"},
      {"UPDATE audit SET number = 100 WHERE number = 4; ", "row 4 is missing"},
      {"UPDATE audit SET hash = previous WHERE number = 5", "row 5 was altered"},
      {"UPDATE audit_head SET hash = (SELECT hash FROM audit WHERE number = 19)",
       "row 20 is not the one"},
  }));
  c.database.Run(sql);
  c.Restart();
  const auto verdict = c.audit->Verify();
  REQUIRE_FALSE(verdict);
  CHECK_THAT(verdict.error().message, Catch::Contains(word));
}

TEST_CASE("many threads write and read, and the chain holds") {
  TestDatabase database;
  const auto opened = database.Open();
  REQUIRE(opened);
  Store& store = **opened;
  const std::uint64_t made = store.Transactions();  // the schema
  std::vector<std::thread> threads;
  std::atomic<int> bad{0};
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([&store, &bad, t] {
      for (int i = 0; i < 25; ++i) {
        if (!store.AppendAudit(Line(t * 100 + i))) ++bad;
        const auto rows = store.AuditBefore(0, 5);
        if (!rows || rows->empty()) ++bad;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(bad == 0);
  CHECK(store.Transactions() == 200 + made);
  CHECK(MakeAuditService(store)->Verify().value() == 200);
}

TEST_CASE("what was acknowledged survives SIGKILL") {
  TestDatabase database;
  { REQUIRE(database.Open()); }
  std::uint64_t acknowledged = 0;
  for (int round = 0; round < 5; ++round) {
    int ends[2] = {};
    REQUIRE(pipe2(ends, O_CLOEXEC) == 0);
    const pid_t child = fork();
    REQUIRE(child >= 0);
    if (child == 0) {
      const auto store = database.Open();
      for (int i = 0; store; ++i) {
        if (!(*store)->AppendAudit(Line(i)) || write(ends[1], "x", 1) != 1) _exit(1);
      }
      _exit(1);
    }
    close(ends[1]);
    char byte = 0;
    for (int i = 0; i < 10 + round; ++i) {
      if (read(ends[0], &byte, 1) == 1) ++acknowledged;
    }
    kill(child, SIGKILL);
    int status = 0;
    waitpid(child, &status, 0);
    CHECK(WIFSIGNALED(status));
    while (read(ends[0], &byte, 1) == 1) ++acknowledged;
    close(ends[0]);
    const auto store = database.Open();
    REQUIRE(store);
    // A database server may still be at the last commit of a client that is gone: the writer's
    // lock is free only after it.
    REQUIRE((*store)->AppendAudit(Line(1000)));
    CHECK((*store)->AuditHead()->number > acknowledged);
    CHECK(MakeAuditService(**store)->Verify());
    acknowledged = (*store)->AuditHead()->number;
  }
}

TEST_CASE("two changes can never be open for one account, whoever inserts") {
  Company c;
  auto desk = c.AddWorkstation("desk-1");
  TestKey key(c.maker);
  c.Enrol(key, c.alice, *desk);
  const auto row = c.store->FindKey(DeviceId{key.device_id})->value();
  const auto begin = [&](const std::string& idempotency_key, std::uint64_t seq) {
    ChangeRow change;
    OsRandom().Fill(change.change.id.bytes);
    OsRandom().Fill(change.change.job.bytes);
    OsRandom().Fill(change.job.hash);
    change.change.account = c.alice;
    change.change.actor = c.admin.id;
    change.change.idempotency_key = idempotency_key;
    change.change.state = ChangeState::kAttempt;
    change.change.device = row.device;
    change.job.id = change.change.job;
    change.job.change = change.change.id;
    change.job.device = row.device;
    change.job.enrolment = row.enrolment;
    change.job.account = c.alice;
    change.job.seq = seq;
    change.job.base_seq = row.last_seq;
    change.job.epoch = row.epoch;
    return c.store->BeginChange(change.change, {change.job}, {}).value();
  };
  using Claim = ChangeStore::Claim;
  const std::uint64_t before = c.store->Transactions();
  CHECK(begin("request-0001", 7).claim == Claim::kSeqTaken);
  CHECK(c.store->Transactions() == before);
  const auto first = begin("request-0001", row.next_seq);
  CHECK(first.claim == Claim::kBegun);
  CHECK(begin("request-0001", row.next_seq + 1).claim == Claim::kRepeated);
  const auto busy = begin("request-0002", row.next_seq + 1);
  CHECK(busy.claim == Claim::kAccountBusy);
  CHECK(busy.row.change.id == first.row.change.id);
  CHECK(c.store->Transactions() == before + 1);

  const ChangeId id = first.row.change.id;
  CHECK(c.store->MarkDoubt(id, "?", {}).error().code == ErrorCode::kConflict);  // it is open
  REQUIRE(c.store->MarkUnknown(id, "?", {}, {}));
  CHECK(c.store->MarkUnknown(id, "?", {}, {}).error().code == ErrorCode::kConflict);
  const auto confirm = [&](const AccountId& account) {
    return c.store->ConfirmChange(id, account, nullptr, 5, [](const DeviceId&) { return false; },
                                  {});
  };
  CHECK(confirm(AccountId{}).error().code == ErrorCode::kConflict);
  REQUIRE(confirm(first.row.change.account));
  CHECK(confirm(first.row.change.account).error().code == ErrorCode::kConflict);
  CHECK(c.store->CloseChange(id, ChangeStore::From::kAny, ChangeState::kFailed, {}, {})
            .error()
            .code == ErrorCode::kConflict);
  CHECK(c.store->MarkDoubt(id, "?", {}).error().code == ErrorCode::kConflict);
  const auto third = begin("request-0003", row.next_seq + 1);
  REQUIRE(third.claim == Claim::kBegun);
  CHECK_FALSE(third.row.change.doubt);
  const ChangeId last = third.row.change.id;
  REQUIRE(c.store->CloseChange(last, ChangeStore::From::kAny, ChangeState::kFailed, {}, {}));
  const auto doubted = c.store->MarkDoubt(last, "Taken after all.", {});
  REQUIRE(doubted);
  CHECK(doubted->change.state == ChangeState::kFailed);
  CHECK(doubted->change.error == "Taken after all.");
  CHECK(doubted->change.doubt);
  const auto fourth = begin("request-0004", row.next_seq + 2);
  REQUIRE(fourth.claim == Claim::kBegun);
  CHECK(fourth.row.change.doubt);
  const auto confirmed = [&](const ChangeStore::Begun& of) {
    const ChangeRecord& change = of.row.change;
    const auto done = c.store->ConfirmChange(change.id, change.account, nullptr, 5,
                                             [](const DeviceId&) { return false; }, {});
    REQUIRE(done);
    return done->row;
  };
  SECTION("a newer change takes the doubt away") {
    CHECK_FALSE(ViewOf(confirmed(fourth)).incident);
    // Unless the older one wrote after it.
    REQUIRE(c.store->MarkDoubt(last, "Taken after all.", {}));
    CHECK(ViewOf(**c.store->FindChange(fourth.row.change.id)).incident);
  }
  SECTION("not one that may have written before the older one did") {
    REQUIRE(c.store->MarkDoubt(last, "Taken after all.", {}));
    CHECK(ViewOf(confirmed(fourth)).incident);
  }
  const auto fifth = begin("request-0005", row.next_seq + 3);
  REQUIRE(fifth.claim == Claim::kBegun);
  CHECK(fifth.row.change.doubt);
  CHECK_FALSE(ViewOf(confirmed(fifth)).incident);
}

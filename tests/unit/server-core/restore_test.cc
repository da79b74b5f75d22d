// A database that was put back from a backup: nothing stale is pushed, and every key tells first
// how it stands.

#include <catch2/catch.hpp>
#include <filesystem>

#include "office.h"
#include "server/core/after_restore.h"
#include "server/core/audit_entry.h"

namespace keyferry::server::testing {
namespace {

namespace fs = std::filesystem;

struct Vault : Office {
  using Office::Office;

  // A backup of what there is now. SQLite: the tests of PostgreSQL restore what is there.
  void Save() {
    saved_at = clock.UnixMillis();
    clock.Advance(std::chrono::minutes(5));
    if (TestDatabase::IsPostgres()) return;
    desk->subscription.reset();
    StopStore();
    fs::copy_file(database.Where() / "server.db", database.Where() / "saved.db");
    Restart();
    Connect(*desk);
    if (plugged) REQUIRE(Sees(*desk, {&key}));
  }
  // The old copy takes the database's place.
  void PutBack() {
    clock.Advance(std::chrono::minutes(5));
    directory.time = clock.UnixMillis() / 1000;
    desk->subscription.reset();
    StopStore();
    if (!TestDatabase::IsPostgres()) {
      for (const char* more : {"server.db-wal", "server.db-shm"}) {
        fs::remove(database.Where() / more);
      }
      fs::copy_file(database.Where() / "saved.db", database.Where() / "server.db",
                    fs::copy_options::overwrite_existing);
    }
    {
      const auto opened = database.Open();
      REQUIRE(opened);
      const auto head = (*opened)->AuditHead();
      REQUIRE((*opened)->BeginAnew({clock.UnixMillis(), saved_at, head->number}, kRestoredReason,
                                   AuditBySystem(clock, "server.restore", "", "ok", "test")));
    }
    Restart();
    desk->Forget();
    Connect(*desk);
  }
  void Out() {
    plugged = false;
    Unplug();
  }
  // The key answers what it is asked.
  ReceiptVerdict Ask() {
    Plug();
    plugged = true;
    return Bring();
  }
  KeyRecord Row() { return **store->FindKey(DeviceId{key.device_id}); }
  std::string LastAudit(const std::string& action) {
    const auto rows = store->AuditBefore(0, 100);
    for (const auto& row : *rows) {
      if (row.entry.action == action) return row.entry.outcome;
    }
    return "none";
  }

  std::int64_t saved_at = 0;
  bool plugged = true;
};

TEST_CASE("after a restore the key is asked first, and the person's next change works") {
  if (TestDatabase::IsPostgres()) return;
  Vault v;
  REQUIRE(v.Change(v.alice, "0123456789"));
  REQUIRE(v.Bring().kind == ReceiptVerdict::kStored);
  v.Save();
  REQUIRE(v.Change(v.alice, "1123456789"));
  REQUIRE(v.Bring().kind == ReceiptVerdict::kStored);
  const std::string delivered = v.key.password;
  v.Out();
  const bool queued = GENERATE(true, false);
  if (queued) REQUIRE(v.Change(v.alice, "2123456789"));  // lost: the directory alone has it
  v.PutBack();

  const auto early = v.Change(v.alice, "3123456789");
  REQUIRE_FALSE(early);
  CHECK(early.error().message.find("restored from a backup") != std::string::npos);
  CHECK(v.Ask().reason == "The key told how it stands.");
  CHECK(v.key.password == delivered);
  CHECK(v.Row().restored == 0);
  CHECK(v.Row().last_seq == v.key.last_seq);
  CHECK(v.Row().receipt_ctr == v.key.receipt_ctr);
  CHECK(v.Row().alarm.empty());
  CHECK_FALSE(v.Row().note.empty());
  CHECK(v.LastAudit("restore.checked") == "unknown");

  REQUIRE(v.Change(v.alice, "3123456789"));
  CHECK(v.Bring().kind == ReceiptVerdict::kStored);
  CHECK(v.key.password == v.AdPassword());
  CHECK(v.Row().note.empty());
  CHECK(v.Row().alarm.empty());
  CHECK(v.Newest(v.alice).state == ChangeState::kDone);
}

TEST_CASE("what waited in the backup is given up, and no key gets it") {
  Vault v;
  v.Out();
  REQUIRE(v.Change(v.alice, "0123456789"));
  v.Save();
  if (!TestDatabase::IsPostgres()) {
    v.Plug();
    REQUIRE(v.Bring().kind == ReceiptVerdict::kStored);
    REQUIRE(v.Change(v.alice, "1123456789"));
    REQUIRE(v.Bring().kind == ReceiptVerdict::kStored);
    v.Out();
  }
  const std::string present = v.key.password;
  v.PutBack();
  const ChangeView old = v.Newest(v.alice);
  CHECK(old.state == ChangeState::kSuperseded);
  CHECK(old.incident);
  CHECK(old.job_state == JobState::kCancelled);
  CHECK(old.last_error.find("restored") == 0);
  v.Ask();
  CHECK(v.key.password == present);
  CHECK(v.desk->Named("job").size() == 1);  // the question
  v.Out();
  v.Plug();
  CHECK(v.desk->Named("job").empty());
  REQUIRE(v.Change(v.alice, "3123456789"));
  CHECK(v.Bring().kind == ReceiptVerdict::kStored);
  CHECK(v.key.password == v.AdPassword());
}

TEST_CASE("a copy that is a day old pushes nothing, and what comes afterwards is the newest") {
  if (TestDatabase::IsPostgres()) return;
  Vault v;
  v.Out();
  REQUIRE(v.Change(v.alice, "0123456789"));  // on offer in the copy
  v.Save();
  v.Plug();
  REQUIRE(v.Bring().kind == ReceiptVerdict::kStored);
  for (const char* request : {"1123456789", "2123456789", "3123456789"}) {
    v.clock.Advance(std::chrono::hours(8));
    v.directory.time = v.clock.UnixMillis() / 1000;
    REQUIRE(v.Change(v.alice, request));
    REQUIRE(v.Bring().kind == ReceiptVerdict::kStored);
  }
  const std::string present = v.key.password;
  const std::uint64_t seq = v.key.last_seq;
  REQUIRE(present == v.AdPassword());
  v.Out();
  v.PutBack();
  v.Ask();
  for (int i = 0; i < 3; ++i) {
    v.changes->Reconcile();
    v.Out();
    v.Plug();
  }
  CHECK(v.desk->Named("job").empty());
  CHECK(v.key.password == present);
  CHECK(v.key.last_seq == seq);
  CHECK(v.AdPassword() == present);

  REQUIRE(v.Change(v.alice, "4123456789"));
  CHECK(v.Bring().kind == ReceiptVerdict::kStored);
  CHECK(v.key.password != present);
  CHECK(v.key.password == v.AdPassword());
}

TEST_CASE("a person whose newest password did not reach the key is named") {
  Vault v;
  v.Out();
  REQUIRE(v.Change(v.alice, "0123456789"));
  v.Save();
  v.PutBack();
  v.Ask();
  CHECK(v.LastAudit("restore.checked") == "needs_password");
  CHECK(v.Row().note.find("set a new one") != std::string::npos);
  const auto check = v.changes->Check(v.admin, v.alice);
  REQUIRE(check);
  CHECK(check->allowed);
  CHECK(check->note == v.Row().note);
}

TEST_CASE("a key that stands as the backup knows it is fine at once") {
  Vault v;
  REQUIRE(v.Change(v.alice, "0123456789"));
  REQUIRE(v.Bring().kind == ReceiptVerdict::kStored);
  const auto set = v.Newest(v.alice).ad_set;
  v.directory.At(v.alice).detail.state.password_last_set = (set + 11'644'473'600'000) * 10'000;
  v.Save();
  v.Out();
  v.PutBack();
  v.Ask();
  CHECK(v.LastAudit("restore.checked") == "ok");
  CHECK(v.Row().note.empty());
}

TEST_CASE("while the directory cannot be asked the key gets nothing after a restore") {
  Vault v;
  v.Save();
  v.Out();
  v.PutBack();
  v.Plug();
  v.directory.down = true;
  CHECK_FALSE(v.Deliver(*v.desk, v.key));
  CHECK(v.Row().restored != 0);
  v.directory.down = false;
  CHECK(v.Bring().kind == ReceiptVerdict::kStored);
  CHECK(v.Row().restored == 0);
}

TEST_CASE("a job from the lost time that comes late is no sign of a clone") {
  if (TestDatabase::IsPostgres()) return;
  Vault v;
  REQUIRE(v.Change(v.alice, "0123456789"));
  REQUIRE(v.Bring().kind == ReceiptVerdict::kStored);
  v.Save();
  REQUIRE(v.Change(v.alice, "1123456789"));
  const Blob spooled = v.NewestJob(*v.desk);  // it lies on the workstation's disk
  v.Out();
  v.PutBack();
  v.Ask();
  const auto verdict = v.Return(*v.desk, v.key, v.key.Put(spooled));
  REQUIRE(verdict);
  CHECK(verdict->kind == ReceiptVerdict::kStored);
  CHECK(v.Row().alarm.empty());
  CHECK(v.Row().restored != 0);  // asked again
  CHECK(v.Bring().reason == "The key told how it stands.");
  CHECK(v.Row().last_seq == v.key.last_seq);
  REQUIRE(v.Change(v.alice, "3123456789"));
  CHECK(v.Bring().kind == ReceiptVerdict::kStored);
  CHECK(v.key.password == v.AdPassword());
  // It comes once more: it is known by its number.
  CHECK(v.Return(*v.desk, v.key, v.key.Put(spooled))->kind == ReceiptVerdict::kRefused);
  CHECK(v.Row().alarm.empty());
}

TEST_CASE("a key that is behind the backup, or has another past, is under suspicion") {
  Vault v;
  TestKey older = v.key;
  REQUIRE(v.Change(v.alice, "0123456789"));
  REQUIRE(v.Bring().kind == ReceiptVerdict::kStored);
  v.Save();
  v.Out();
  v.PutBack();
  v.key = older;
  v.Ask();
  CHECK(v.Row().alarm.find("rolled back") != std::string::npos);
  CHECK(v.Row().restored != 0);
}

TEST_CASE("a change that waited for its key, and sessions, end with a restore") {
  Vault v;
  v.Out();
  REQUIRE(v.ChangeAtDelivery("0123456789"));
  v.Save();
  v.PutBack();
  const ChangeView view = v.Newest(v.alice);
  CHECK(view.state == ChangeState::kFailed);
  CHECK_FALSE(view.incident);
  v.Ask();
  REQUIRE(v.ChangeAtDelivery("1123456789"));
  v.Proceed();
  v.Bring();
  v.Bring();
  CHECK(v.Newest(v.alice).state == ChangeState::kDone);
  CHECK(v.key.password == v.AdPassword());
  CHECK(v.store->Restores()->size() == 1);
}

}  // namespace
}  // namespace keyferry::server::testing

// A database of an older server, as its own statements made it.
#include <sqlite3.h>
#include <sys/stat.h>

#include <catch2/catch.hpp>
#include <fstream>
#include <sstream>

#include "server/core/services.h"
#include "server/storage/sqlite_store.h"
#include "test_database.h"

using namespace keyferry;
using namespace keyferry::server;
using namespace keyferry::server::testing;

namespace {

void Load(const std::filesystem::path& file, const char* dump) {
  std::ifstream in(std::filesystem::path(KEYFERRY_TEST_DATA) / "storage" / dump);
  std::ostringstream sql;
  sql << in.rdbuf();
  REQUIRE_FALSE(sql.str().empty());
  sqlite3* database = nullptr;
  REQUIRE(sqlite3_open(file.c_str(), &database) == SQLITE_OK);
  const int done = sqlite3_exec(database, sql.str().c_str(), nullptr, nullptr, nullptr);
  sqlite3_close(database);
  REQUIRE(done == SQLITE_OK);
  REQUIRE(chmod(file.c_str(), 0600) == 0);
}

}  // namespace

TEST_CASE("a database from when a person had one key goes on with several") {
  TempFolder folder;
  const auto file = folder.path / "server.db";
  Load(file, "one_key_a_person.sql");
  const auto opened = OpenSqliteStore(file);
  REQUIRE(opened);
  Store& store = **opened;
  CHECK(MakeAuditService(store)->Verify());
  const auto keys = store.Keys();
  REQUIRE(keys->size() == 1);
  const KeyRecord& key = keys->front();

  // Nobody stays signed in who has not proved a second factor, which anybody can set up now.
  CHECK(store.Sessions(0)->empty());
  FactorRecord factor;
  factor.account = key.account;
  factor.sealed = {1, 2, 3};
  REQUIRE(store.ProposeFactor(factor));
  CHECK(store.FindFactor(key.account)->value().sealed == factor.sealed);
  CHECK(store.Factors()->empty());

  const auto history = store.History(key.account, 10);
  REQUIRE(history->size() == 3);
  CHECK((*history)[0].change.state == ChangeState::kConfirmed);
  CHECK((*history)[1].change.state == ChangeState::kFailed);
  CHECK((*history)[2].change.state == ChangeState::kDone);
  for (const ChangeRow& row : *history) {
    REQUIRE(row.keys.size() == 1);
    CHECK(row.keys.front().job.id == row.change.job);
    CHECK(row.keys.front().in_use);
  }
  CHECK(store.NewestConfirmed(key.account)->value().change.id == (*history)[0].change.id);
  CHECK(store.TakeReady(key.device, 1)->value().id == (*history)[0].change.job);
  CHECK(store.FindEnrolment(key.enrolment)->value().replaces == DeviceId{});
  REQUIRE(store.OpenHelpDeskOf(key.account));
  CHECK_FALSE(store.OpenHelpDeskOf(key.account)->has_value());

  EnrolmentRecord next = store.FindEnrolment(key.enrolment)->value();
  next.id.bytes.fill(7);
  next.device.bytes.fill(8);
  next.state = EnrolmentState::kWaiting;
  CHECK(store.BeginEnrolment(next, 1, {}).error().code == ErrorCode::kConflict);
  next.replaces = key.device;
  REQUIRE(store.BeginEnrolment(next, 1, {}));
  CHECK(store.FindEnrolment(next.id)->value().replaces == key.device);

  // What waits for the key alone is over when that goes out of use; nothing was delivered of it.
  const auto moved = store.MoveKey(
      {key.device, key.enrolment, KeyState::kActive, KeyState::kCompromised, "lost", "lost"}, {});
  REQUIRE(moved);
  CHECK((*moved)->size() == 1);
  CHECK(store.History(key.account, 1)->front().change.state == ChangeState::kConfirmed);
  CHECK_FALSE(store.History(key.account, 1)->front().keys.front().in_use);
}

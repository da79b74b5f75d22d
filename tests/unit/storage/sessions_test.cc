#include <soci/soci.h>
#include <soci/sqlite3/soci-sqlite3.h>

#include <catch2/catch.hpp>
#include <string>

#include "server/storage/sqlite_sessions.h"

namespace keyferry::server {
namespace {

soci::session Open() { return soci::session(SqliteSessions(), "db=:memory:"); }

TEST_CASE("a kept statement runs with new values, and inside itself") {
  soci::session sql = Open();
  sql << "CREATE TABLE numbers (value INTEGER)";
  for (int i = 0; i < 5; ++i) sql << "INSERT INTO numbers VALUES (:v)", soci::use(i, "v");
  const std::string select = "SELECT value FROM numbers WHERE value >= :v ORDER BY value";
  int least = 3, outer = 0, pairs = 0;
  soci::statement rows = (sql.prepare << select, soci::use(least, "v"), soci::into(outer));
  rows.execute();
  while (rows.fetch()) {
    int inner = -1;
    sql << select, soci::use(outer, "v"), soci::into(inner);
    CHECK(inner == outer);
    ++pairs;
  }
  CHECK(pairs == 2);
  int none = 9, untouched = -1;
  sql << select, soci::use(none, "v"), soci::into(untouched);
  CHECK_FALSE(sql.got_data());
}

TEST_CASE("a statement that failed is not kept, and the next of its kind works") {
  soci::session sql = Open();
  sql << "CREATE TABLE once (value INTEGER PRIMARY KEY)";
  const std::string insert = "INSERT INTO once VALUES (:v)";
  int one = 1, two = 2, count = 0;
  sql << insert, soci::use(one, "v");
  CHECK_THROWS(sql << insert, soci::use(one, "v"));
  sql << insert, soci::use(two, "v");
  sql << "SELECT COUNT(*) FROM once", soci::into(count);
  CHECK(count == 2);
}

TEST_CASE("a kept statement sees a table that was changed since") {
  soci::session sql = Open();
  sql << "CREATE TABLE wide (a INTEGER)";
  sql << "INSERT INTO wide VALUES (1)";
  int sum = 0;
  const std::string select = "SELECT SUM(a) FROM wide";
  sql << select, soci::into(sum);
  sql << "ALTER TABLE wide ADD COLUMN b INTEGER";
  sql << "INSERT INTO wide VALUES (2, 3)";
  sql << select, soci::into(sum);
  CHECK(sum == 3);
  sql << "DROP TABLE wide";  // which a statement that still ran would refuse
  CHECK_THROWS(sql << select, soci::into(sum));
}

TEST_CASE("statements whose text varies do not pile up") {
  soci::session sql = Open();
  const auto used_after = [&sql](int from, int until) {
    for (int i = from; i < until; ++i) {
      int got = 0;
      sql << "SELECT " + std::to_string(i), soci::into(got);
      REQUIRE(got == i);
    }
    return sqlite_api::sqlite3_memory_used();
  };
  const auto full = used_after(0, 600);
  CHECK(used_after(600, 3000) < full + full / 4);
}

}  // namespace
}  // namespace keyferry::server

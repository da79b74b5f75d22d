// Where a PostgreSQL database may be: what is refused, and that no password is repeated.
#include <catch2/catch.hpp>

#include "server/storage/postgres_url.h"

using namespace keyferry;
using namespace keyferry::server;

TEST_CASE("addresses of databases that are understood") {
  const auto local = PostgresUrl::Parse("postgresql:///keyferry?host=/run/postgresql");
  REQUIRE(local);
  CHECK_THAT(local->connection(), Catch::Contains("dbname='keyferry'") &&
                                      Catch::Contains("host='/run/postgresql'") &&
                                      Catch::Contains("target_session_attrs='read-write'") &&
                                      Catch::Contains("connect_timeout='5'"));
  CHECK(local->place() == "keyferry at /run/postgresql");
  REQUIRE(PostgresUrl::Parse("postgres:///keyferry"));
  REQUIRE(PostgresUrl::Parse("postgresql://keyferry@[::1]:5433/keyferry"));
  const auto remote = PostgresUrl::Parse(
      "postgresql://keyferry@db1.example,db2.example/keyferry?sslmode=verify-full&passfile=/etc/"
      "keyferry/db&connect_timeout=2");
  REQUIRE(remote);
  CHECK(remote->place() == "keyferry at db1.example");
  CHECK(remote->password_file() == "/etc/keyferry/db");
  CHECK_THAT(remote->connection(), Catch::Contains("connect_timeout='2'"));
  CHECK_THAT(PostgresUrl::Parse("postgresql:///it's?host=/tmp/a%5Cb")->connection(),
             Catch::Contains("dbname='it\\'s'") && Catch::Contains("host='/tmp/a\\\\b'"));
}

TEST_CASE("addresses of databases that are refused") {
  const auto [text, word] = GENERATE(table<std::string, std::string>({
      {"", "must look like"},
      {"postgresql:", "must look like"},
      {"mysql://localhost/keyferry", "must look like"},
      {"/var/lib/keyferry.db", "must look like"},
      {"postgresql://" + std::string(3000, 'x'), "must look like"},
      {"postgresql://localhost:notaport/keyferry", "must look like"},
      {"postgresql://localhost/keyferry?colour=blue", "invalid URI query parameter"},
      {"postgresql://[::1/keyferry", "must look like"},
      {"postgresql:///key%00ferry", "must look like"},
      {"postgresql://", "names no database"},
      {"postgresql://keyferry@db.example/keyferry", "sslmode=verify-full"},
      {"postgresql://keyferry@db.example/keyferry?sslmode=require", "sslmode=verify-full"},
      {"postgresql:///keyferry?host=/run,db.example", "sslmode=verify-full"},
      {"postgresql:///keyferry?hostaddr=192.0.2.1", "sslmode=verify-full"},
      {"postgresql://keyferry:Canary-7@db.example/keyferry?sslmode=verify-full", "password"},
      {"postgresql://keyferry:Canary-7@db.example:x/keyferry", "password"},
      {"postgresql:///keyferry?password=Canary-7", "password"},
      {"postgresql:///keyferry?%70assword=Canary-7", "password"},
      {"postgresql:///keyferry?sslpassword=Canary-7", "password"},
  }));
  const auto refused = PostgresUrl::Parse(text);
  REQUIRE_FALSE(refused);
  CHECK(refused.error().code == ErrorCode::kInvalidArgument);
  CHECK_THAT(refused.error().message, Catch::Contains(word) && !Catch::Contains("Canary"));
  CHECK_THAT(refused.error().detail, !Catch::Contains("Canary"));
}

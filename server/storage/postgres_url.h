#pragma once

#include <string>

#include "protocol/result.h"

namespace keyferry::server {

// Where a PostgreSQL database is, checked: `postgresql://` or `postgres://` as libpq reads it, with
// what Keyferry insists on added to it. It holds no password: the server signs in to the database
// as its own user over a Unix socket (peer), with a client certificate (sslcert, sslkey), or with a
// password that libpq takes from a file (passfile). Across a network the connection is TLS and the
// database's certificate is verified: sslmode=verify-full.
class PostgresUrl {
 public:
  // kInvalidArgument with what is wrong, a sentence's end that follows "server.storage "; it never
  // repeats what could be a password.
  static Result<PostgresUrl> Parse(const std::string& text);

  const std::string& connection() const { return connection_; }  // as keywords and values
  const std::string& place() const { return place_; }            // "keyferry at HOST", for people
  const std::string& password_file() const { return password_file_; }  // empty = none named

 private:
  std::string connection_, place_, password_file_;
};

}  // namespace keyferry::server

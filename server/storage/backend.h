#pragma once

#include <soci/soci.h>

#include <exception>
#include <memory>
#include <optional>
#include <string>

#include "protocol/result.h"

namespace keyferry::server {

// What differs between databases. Everything else in this room is SQL that SQLite and PostgreSQL
// read alike.
class Backend {
 public:
  virtual ~Backend() = default;
  // Both throw soci::soci_error or an exception that Translate() knows.
  virtual std::unique_ptr<soci::session> OpenWriter() = 0;
  virtual std::unique_ptr<soci::session> OpenReader() = 0;
  // Starts a transaction that will write, and keeps every other writer, of every server on this
  // database, out until it ends: it sees all that those before it stored. Throws.
  virtual void Begin(soci::session& writer) = 0;
  // Throws unless what the transaction did is durable.
  virtual void Commit(soci::session& writer) = 0;
  // After a commit: whether its log should be moved into the database, and does so. Who commits
  // does not wait for that. What fails is tried again with the next one; nothing is lost by it.
  virtual bool WantsCheckpoint(soci::session&) const { return false; }
  virtual void Checkpoint(soci::session&) {}
  // Whether `session` is of no use after `error` and another must be opened in its place. What was
  // not committed on it is undone.
  virtual bool Lost(soci::session& session, const std::exception& error) const = 0;
  // After a Commit() whose session was lost: whether it is stored, asked on a new session once
  // nothing more can happen to it. Nothing = the database does not know. Throws.
  virtual std::optional<bool> Stored(soci::session& fresh) = 0;
  // The database's clock in Unix milliseconds, as an expression.
  virtual const char* Now() const = 0;
  // Column type of a growing primary key.
  virtual const char* GrowingId() const = 0;
  // An exception of this backend as an error for people. Sets `fatal` when the disk failed under a
  // write, so that nothing more may be written before recovery.
  virtual Error Translate(const std::exception& error, bool& fatal) const = 0;
};

}  // namespace keyferry::server

#pragma once

#include <soci/soci.h>

#include <exception>
#include <memory>
#include <string>

#include "protocol/result.h"

namespace keyferry::server {

// What differs between databases. Everything else in this room is SQL that SQLite and PostgreSQL
// read alike.
class Backend {
 public:
  virtual ~Backend() = default;
  // Both throw soci::soci_error.
  virtual std::unique_ptr<soci::session> OpenWriter() = 0;
  virtual std::unique_ptr<soci::session> OpenReader() = 0;
  // Starts a transaction that will write.
  virtual const char* Begin() const = 0;
  // Column type of a growing primary key.
  virtual const char* GrowingId() const = 0;
  // An exception of this backend as an error for people. Sets `fatal` when the disk failed under a
  // write, so that nothing more may be written before recovery.
  virtual Error Translate(const std::exception& error, bool& fatal) const = 0;
};

}  // namespace keyferry::server

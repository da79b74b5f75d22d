#include "server/storage/database.h"

#include "server/storage/rows.h"

namespace keyferry::server {

Database::ReaderLease::ReaderLease(Database& owner) : database(owner) {
  std::unique_lock lock(database.readers_mutex_);
  database.reader_free_.wait(lock, [this] { return !database.idle_.empty(); });
  session = database.idle_.back();
  database.idle_.pop_back();
}

Database::ReaderLease::~ReaderLease() {
  {
    const std::lock_guard lock(database.readers_mutex_);
    database.idle_.push_back(session);
  }
  database.reader_free_.notify_one();
}

tl::unexpected<Error> Database::Failure(const std::exception& error, bool writing) {
  if (dynamic_cast<const DamagedRow*>(&error) != nullptr) {
    return Fail(ErrorCode::kInternal, "The database holds a row that this server cannot read.",
                error.what());
  }
  bool fatal = false;
  Error translated = backend_->Translate(error, fatal);
  if (fatal && writing) failed_ = true;
  return tl::unexpected<Error>(std::move(translated));
}

void Database::Rollback() {
  try {
    *writer_ << "ROLLBACK";
  } catch (const std::exception&) {
    // The database has already rolled back by itself: that is what some of its errors mean.
  }
}

}  // namespace keyferry::server

#include "server/storage/database.h"

#include <system_error>
#include <thread>

#include "server/storage/rows.h"

namespace keyferry::server {
namespace {

constexpr std::chrono::milliseconds kReopenPause{250};
// How long a commit whose answer never came is asked after: a restart of the database.
constexpr std::chrono::seconds kCommitPatience{15};

}  // namespace

Database::ReaderLease::ReaderLease(Database& owner) : database(owner) {
  std::unique_lock lock(database.readers_mutex_);
  database.reader_free_.wait(lock, [this] { return !database.idle_.empty(); });
  session = std::move(database.idle_.back());
  database.idle_.pop_back();
}

Database::ReaderLease::~ReaderLease() {
  {
    const std::lock_guard lock(database.readers_mutex_);
    database.idle_.push_back(std::move(session));
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

Result<std::unique_ptr<soci::session>> Database::Reopen(
    std::unique_ptr<soci::session> (Backend::*open)()) {
  const std::lock_guard lock(reopen_mutex_);
  const auto now = std::chrono::steady_clock::now();
  if (now < reopen_after_) return tl::unexpected<Error>(reopen_error_);
  try {
    return ((*backend_).*open)();
  } catch (const std::exception& error) {
    auto failure = Failure(error, false);
    reopen_error_ = failure.value();
    reopen_after_ = std::chrono::steady_clock::now() + kReopenPause;
    return failure;
  }
}

Result<void> Database::Begin() {
  for (;;) {
    const bool fresh = writer_ == nullptr;
    if (fresh) {
      auto opened = Reopen(&Backend::OpenWriter);
      if (!opened) return tl::unexpected(std::move(opened.error()));
      writer_ = *std::move(opened);
    }
    try {
      backend_->Begin(*writer_);
      return {};
    } catch (const std::exception& error) {
      auto failure = Failure(error);
      const bool lost = backend_->Lost(*writer_, error);
      if (lost) {
        writer_.reset();
      } else {
        Rollback();
      }
      // Nothing was done on the lost connection yet, so once more on a new one.
      if (!lost || fresh) return failure;
    }
  }
}

Result<void> Database::Commit() {
  try {
    backend_->Commit(*writer_);
  } catch (const std::exception& error) {
    auto failure = Failure(error);
    if (!backend_->Lost(*writer_, error)) {
      Rollback();
      return failure;
    }
    writer_.reset();
    if (auto known = AskFate(std::move(failure.value())); !known) return known;
  }
  ++transactions_;
  WakeKeeper();
  return {};
}

void Database::WakeKeeper() {
  if (!backend_->WantsCheckpoint(*writer_)) return;
  wants_checkpoint_ = true;
  checkpoint_due_.notify_one();
  if (keeper_.joinable()) return;
  try {
    keeper_ = std::jthread([this](const std::stop_token& stop) {
      std::unique_lock lock(writer_mutex_);
      while (checkpoint_due_.wait(lock, stop, [this] { return wants_checkpoint_; })) {
        wants_checkpoint_ = false;
        if (writer_ != nullptr && !failed_) backend_->Checkpoint(*writer_);
      }
    });
  } catch (const std::system_error&) {
    // No thread now: tried again after the next commit.
  }
}

Result<void> Database::AskFate(Error lost) {
  const auto end = std::chrono::steady_clock::now() + kCommitPatience;
  do {
    try {
      writer_ = backend_->OpenWriter();
      const std::optional<bool> stored = backend_->Stored(*writer_);
      if (stored && !*stored) return tl::unexpected(std::move(lost));
      if (stored) return {};
      break;
    } catch (const std::exception& error) {
      writer_.reset();
      std::this_thread::sleep_for(kReopenPause);
    }
  } while (std::chrono::steady_clock::now() < end);
  return Fail(ErrorCode::kOutcomeUnknown,
              "The connection to the database broke while this was being stored, so it is not "
              "known whether it was; look again.",
              lost.detail);
}

void Database::Rollback() {
  try {
    *writer_ << "ROLLBACK";
  } catch (const std::exception& error) {
    // The database has already rolled back by itself: that is what some of its errors mean.
    if (backend_->Lost(*writer_, error)) writer_.reset();
  }
}

}  // namespace keyferry::server

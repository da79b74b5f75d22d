#pragma once

#include <soci/soci.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <exception>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "protocol/result.h"
#include "server/storage/backend.h"

namespace keyferry::server {

// A transaction that writes. Work that finds nothing to write clears `commit`; its result is
// returned all the same.
struct Transaction {
  soci::session& sql;
  bool commit = true;
};

// One writing connection behind a mutex, a few reading ones. Exceptions of SOCI end here. A
// connection that is lost is opened anew by the next call that needs it. A thread of its own moves
// the log of what was committed into the database.
class Database {
 public:
  explicit Database(std::unique_ptr<Backend> backend) : backend_(std::move(backend)) {}

  // Opens the writer; then `prepare` runs on it (migrations); then the readers open.
  template <typename F>
  Result<void> Open(F&& prepare) {
    try {
      writer_ = backend_->OpenWriter();
    } catch (const std::exception& error) {
      return Failure(error);
    }
    if (auto prepared = prepare(); !prepared) return prepared;
    try {
      for (int i = 0; i < kReaders; ++i) idle_.push_back(backend_->OpenReader());
    } catch (const std::exception& error) {
      return Failure(error);
    }
    return {};
  }

  // `work` is called with a Transaction& and returns a Result; an error rolls back.
  template <typename F>
  auto Write(F&& work) -> decltype(work(std::declval<Transaction&>())) {
    const std::lock_guard lock(writer_mutex_);
    if (failed_) {
      return Fail(ErrorCode::kUnavailable,
                  "The disk failed under the database; check its volume, then restart the server.");
    }
    if (auto begun = Begin(); !begun) return tl::unexpected(std::move(begun.error()));
    Transaction transaction{*writer_};
    try {
      auto result = work(transaction);
      if (!result || !transaction.commit) {
        Rollback();
        return result;
      }
      if (auto stored = Commit(); !stored) return tl::unexpected(std::move(stored.error()));
      return result;
    } catch (const std::exception& error) {
      auto failure = Failure(error);
      Rollback();
      return failure;
    }
  }

  // `work` is called with a soci::session& and returns a Result; a second time when the connection
  // turns out to be lost.
  template <typename F>
  auto Read(F&& work) -> decltype(work(std::declval<soci::session&>())) {
    ReaderLease lease(*this);
    for (;;) {
      const bool fresh = lease.session == nullptr;
      if (fresh) {
        auto opened = Reopen(&Backend::OpenReader);
        if (!opened) return tl::unexpected(std::move(opened.error()));
        lease.session = *std::move(opened);
      }
      try {
        return work(*lease.session);
      } catch (const std::exception& error) {
        auto failure = Failure(error, false);
        const bool lost = backend_->Lost(*lease.session, error);
        if (lost) lease.session.reset();
        if (!lost || fresh) return failure;
      }
    }
  }

  const Backend& backend() const { return *backend_; }
  std::uint64_t transactions() const { return transactions_; }

 private:
  static constexpr int kReaders = 3;

  struct ReaderLease {
    explicit ReaderLease(Database& owner);
    ~ReaderLease();
    ReaderLease(const ReaderLease&) = delete;
    ReaderLease& operator=(const ReaderLease&) = delete;
    Database& database;
    std::unique_ptr<soci::session> session;  // null after it was lost
  };

  // `writing`: a disk that fails now leaves it unknown what is stored.
  tl::unexpected<Error> Failure(const std::exception& error, bool writing = true);
  // A new session in place of a lost one. After a failure the next ones within a moment fail at
  // once, so that a database that is away does not hold every request for a whole timeout.
  Result<std::unique_ptr<soci::session>> Reopen(std::unique_ptr<soci::session> (Backend::*open)());
  // The rest holds writer_mutex_.
  Result<void> Begin();
  Result<void> Commit();
  Result<void> AskFate(Error lost);  // of a commit whose answer never came
  // Has keeper_ write a checkpoint when that is due.
  void WakeKeeper();
  void Rollback();

  std::unique_ptr<Backend> backend_;
  std::mutex writer_mutex_;
  std::unique_ptr<soci::session> writer_;  // null after it was lost
  std::atomic<bool> failed_{false};        // the disk failed under a write
  std::atomic<std::uint64_t> transactions_{0};
  std::mutex readers_mutex_;
  std::condition_variable reader_free_;
  std::vector<std::unique_ptr<soci::session>> idle_;
  std::mutex reopen_mutex_;
  std::chrono::steady_clock::time_point reopen_after_{};
  Error reopen_error_;
  std::condition_variable_any checkpoint_due_;  // with writer_mutex_
  bool wants_checkpoint_ = false;
  std::jthread keeper_;  // writes checkpoints, from the first one on
};

}  // namespace keyferry::server

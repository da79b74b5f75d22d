#pragma once

#include <filesystem>

#include "protocol/result.h"

namespace keyferry::server {

// What keeps a second process from writing a database file: a lock on FILE.lock, held until the
// object or the process ends.
class FileLock {
 public:
  // kUnavailable when another process holds it, or the lock file cannot be made.
  static Result<FileLock> Take(const std::filesystem::path& database);
  ~FileLock();
  FileLock(FileLock&& other) noexcept;
  FileLock(const FileLock&) = delete;
  FileLock& operator=(const FileLock&) = delete;
  FileLock& operator=(FileLock&&) = delete;

 private:
  explicit FileLock(int fd) : fd_(fd) {}
  int fd_;
};

}  // namespace keyferry::server

#include "server/storage/file_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

namespace keyferry::server {

Result<FileLock> FileLock::Take(const std::filesystem::path& database) {
  const std::string path = database.string() + ".lock";
  FileLock lock(open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (lock.fd_ < 0) {
    return Fail(
        ErrorCode::kUnavailable,
        "The database " + database.string() + " cannot be opened: " + std::strerror(errno) + ".",
        "errno " + std::to_string(errno));
  }
  if (flock(lock.fd_, LOCK_EX | LOCK_NB) != 0) {
    return Fail(ErrorCode::kUnavailable, "Another server is using the database " +
                                             database.string() + "; stop that one first.");
  }
  return lock;
}

FileLock::~FileLock() {
  if (fd_ >= 0) close(fd_);
}

FileLock::FileLock(FileLock&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}

}  // namespace keyferry::server

// files.h for Linux.
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <utility>

#include "client-daemon/core/files.h"
#include "protocol/failpoint.h"

namespace keyferry::daemon {
namespace {

namespace fs = std::filesystem;

class Fd {
 public:
  explicit Fd(int fd) : fd_(fd) {}
  ~Fd() {
    if (fd_ >= 0) close(fd_);
  }
  Fd(const Fd&) = delete;
  Fd& operator=(const Fd&) = delete;
  int get() const { return fd_; }
  bool ok() const { return fd_ >= 0; }
  int Close() { return close(std::exchange(fd_, -1)); }

 private:
  int fd_;
};

tl::unexpected<Error> IoError(const std::string& what, const std::string& path) {
  const int error = errno;
  if (error == ENOSPC || error == EDQUOT) {
    return Fail(ErrorCode::kIo,
                "The disk is full: " + path + " cannot be written. Free some space.",
                std::strerror(error));
  }
  return Fail(ErrorCode::kIo, what + " " + path + " failed: " + std::strerror(error) + ".",
              std::strerror(error));
}

Result<void> SyncDirectory(const std::string& directory) {
  const Fd fd(open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd.ok() || fsync(fd.get()) != 0) return IoError("Saving", directory);
  return {};
}

std::string Parent(const std::string& path) {
  const std::string parent = fs::path(path).parent_path().string();
  return parent.empty() ? "." : parent;
}

}  // namespace

Result<void> MakePrivateDirectory(const std::string& path) {
  const std::string parent = fs::path(path).parent_path().string();
  struct stat info {};
  if (!parent.empty() && stat(parent.c_str(), &info) != 0) {
    if (auto made = MakePrivateDirectory(parent); !made) return made;
  }
  if (mkdir(path.c_str(), 0700) == 0) return SyncDirectory(Parent(path));
  if (errno != EEXIST) return IoError("Making the directory", path);
  if (lstat(path.c_str(), &info) != 0) return IoError("Looking at", path);
  if (!S_ISDIR(info.st_mode)) {
    return Fail(ErrorCode::kInvalidArgument,
                path + " must be a directory; move away what is there.");
  }
  if (info.st_uid != geteuid()) {
    return Fail(ErrorCode::kPermissionDenied,
                path + " belongs to another user; give it to the user of keyferryd (chown).");
  }
  if ((info.st_mode & 077) != 0) {
    return Fail(ErrorCode::kPermissionDenied,
                path + " is open to other users; close it with: chmod 700 " + path);
  }
  return {};
}

Result<void> WriteDurably(const std::string& path, std::span<const std::uint8_t> data) {
  const fs::path target(path);
  const std::string temporary =
      (target.parent_path() / ("." + target.filename().string() + ".tmp")).string();
  unlink(temporary.c_str());  // left by a crash; it was never part of the state
  Fd fd(open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!fd.ok()) return IoError("Writing", path);
  std::size_t done = 0;
  while (done < data.size()) {
    const ssize_t n = write(fd.get(), data.data() + done, data.size() - done);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) {
      auto error = IoError("Writing", path);
      unlink(temporary.c_str());
      return error;
    }
    done += static_cast<std::size_t>(n);
  }
  KEYFERRY_FAILPOINT("daemon.file.written");
  if (fsync(fd.get()) != 0 || fd.Close() != 0 || rename(temporary.c_str(), path.c_str()) != 0) {
    auto error = IoError("Writing", path);
    unlink(temporary.c_str());
    return error;
  }
  KEYFERRY_FAILPOINT("daemon.file.renamed");
  return SyncDirectory(Parent(path));
}

Result<void> RemoveDurably(const std::string& path) {
  if (unlink(path.c_str()) != 0) {
    if (errno == ENOENT) return {};
    return IoError("Removing", path);
  }
  return SyncDirectory(Parent(path));
}

Result<void> MoveDurably(const std::string& from, const std::string& to) {
  if (rename(from.c_str(), to.c_str()) != 0) return IoError("Moving", from);
  if (auto synced = SyncDirectory(Parent(to)); !synced) return synced;
  return SyncDirectory(Parent(from));
}

Result<Bytes> ReadBounded(const std::string& path, std::size_t max_size) {
  // O_NONBLOCK: a FIFO in the way must not hang us; it changes nothing for a regular file.
  const Fd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
  if (!fd.ok()) {
    if (errno == ENOENT) return Fail(ErrorCode::kNotFound, path + " does not exist.");
    return IoError("Reading", path);
  }
  struct stat info {};
  if (fstat(fd.get(), &info) != 0) return IoError("Reading", path);
  if (!S_ISREG(info.st_mode)) {
    return Fail(ErrorCode::kInvalidArgument, path + " is not a regular file.");
  }
  Bytes data(max_size + 1);
  std::size_t size = 0;
  while (size < data.size()) {
    const ssize_t n = read(fd.get(), data.data() + size, data.size() - size);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return IoError("Reading", path);
    if (n == 0) break;
    size += static_cast<std::size_t>(n);
  }
  if (size > max_size) return Fail(ErrorCode::kInvalidArgument, path + " is too long.");
  data.resize(size);
  return data;
}

FileLock::~FileLock() {
  if (file_ != kNone) close(static_cast<int>(file_));
}

Result<FileLock> FileLock::Take(const std::string& path) {
  const int fd = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (fd < 0) return IoError("Locking", path);
  FileLock lock(fd);
  if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK) return IoError("Locking", path);
    char holder[16] = {};
    std::string pid;
    if (pread(fd, holder, sizeof holder - 1, 0) > 0) {
      for (const char* c = holder; *c >= '0' && *c <= '9'; ++c) pid += *c;
    }
    return Fail(ErrorCode::kConflict, path + " is held by another process.", pid);
  }
  const std::string pid = std::to_string(getpid()) + "\n";
  if (ftruncate(fd, 0) != 0 ||
      pwrite(fd, pid.data(), pid.size(), 0) != static_cast<ssize_t>(pid.size())) {
    return IoError("Locking", path);
  }
  return lock;
}

}  // namespace keyferry::daemon

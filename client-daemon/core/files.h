#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "client-daemon/core/encoding.h"
#include "protocol/result.h"

// The few file operations that durability needs; the only calls of the system's of the daemon's
// core. Linux: files_posix.cc; Windows: files_windows.cc, where "mode 0700" and "0600" mean an
// access list, inherited from nobody, with our user, SYSTEM and the administrators alone.
namespace keyferry::daemon {

// Makes `path` (and missing parents) a directory of mode 0700. An existing one must belong to this
// user and be closed to others, else kPermissionDenied with the remedy.
Result<void> MakePrivateDirectory(const std::string& path);

// Replaces `path` by `data`, mode 0600, such that after a crash at any moment the old or the new
// content is there, whole: temporary file, fsync, rename, fsync of the directory (Windows:
// FlushFileBuffers, MoveFileEx with write-through). Once it returns
// success the data survives a power cut. A failed fsync is never tried again on the same file.
Result<void> WriteDurably(const std::string& path, std::span<const std::uint8_t> data);

// Removes `path` and makes that durable. A file that is not there is success.
Result<void> RemoveDurably(const std::string& path);

// Moves within one file system, durably.
Result<void> MoveDurably(const std::string& from, const std::string& to);

// The whole file. kNotFound when it is not there, kInvalidArgument when it is longer than
// `max_size` or not a regular file; symbolic links are not followed.
Result<Bytes> ReadBounded(const std::string& path, std::size_t max_size);

// Names (not paths) of the regular files in a directory, sorted; dot files are left out.
Result<std::vector<std::string>> ListFiles(const std::string& directory);

// An exclusive lock that ends with the process, however it ends.
class FileLock {
 public:
  FileLock() = default;
  ~FileLock();
  FileLock(FileLock&& other) noexcept;
  FileLock& operator=(FileLock&& other) noexcept;

  // Takes `path` and writes our process id into it. kConflict when another process holds it:
  // `detail` is then its process id in decimal (may be empty).
  static Result<FileLock> Take(const std::string& path);

 private:
  static constexpr std::intptr_t kNone = -1;
  explicit FileLock(std::intptr_t file) : file_(file) {}
  std::intptr_t file_ = kNone;  // descriptor; Windows: HANDLE
};

}  // namespace keyferry::daemon

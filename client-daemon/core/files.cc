#include "client-daemon/core/files.h"

#include <algorithm>
#include <filesystem>
#include <utility>

// What is the same on every system; the rest is in files_posix.cc and files_windows.cc.
namespace keyferry::daemon {

namespace fs = std::filesystem;

Result<std::vector<std::string>> ListFiles(const std::string& directory) try {
  std::vector<std::string> names;
  std::error_code error;
  const fs::path folder(std::u8string(directory.begin(), directory.end()));
  for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
    const auto utf8 = it->path().filename().u8string();  // throws when Windows' name is no Unicode
    std::string name(utf8.begin(), utf8.end());
    std::error_code ignored;
    if (name[0] != '.' && it->symlink_status(ignored).type() == fs::file_type::regular) {
      names.push_back(std::move(name));
    }
  }
  if (error) {
    return Fail(ErrorCode::kIo, "Reading the directory " + directory + " failed.", error.message());
  }
  std::sort(names.begin(), names.end());
  return names;
} catch (const fs::filesystem_error& error) {
  return Fail(ErrorCode::kIo, "Reading the directory " + directory + " failed.", error.what());
}

FileLock::FileLock(FileLock&& other) noexcept : file_(std::exchange(other.file_, kNone)) {}

FileLock& FileLock::operator=(FileLock&& other) noexcept {
  std::swap(file_, other.file_);
  return *this;
}

}  // namespace keyferry::daemon

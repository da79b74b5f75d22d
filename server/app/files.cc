#include "server/app/files.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

namespace keyferry::server {
namespace {

namespace fs = std::filesystem;

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return fd_; }

 private:
  int fd_;
};

std::string Why() { return std::strerror(errno); }

tl::unexpected<Error> CannotRead(const fs::path& file, const std::string& why) {
  return Fail(ErrorCode::kIo, "Cannot read " + file.string() + ": " + why + ".");
}

Result<std::size_t> Check(int fd, const fs::path& file, Sharing sharing, std::size_t most) {
  struct stat facts {};
  if (::fstat(fd, &facts) != 0) return CannotRead(file, Why());
  if (!S_ISREG(facts.st_mode)) return CannotRead(file, "it is not a regular file");
  if (facts.st_uid != ::geteuid() && facts.st_uid != 0) {
    return Fail(ErrorCode::kPermissionDenied,
                file.string() + " belongs to another user. Change its owner: chown " +
                    std::to_string(::geteuid()) + " " + file.string());
  }
  const unsigned wide = facts.st_mode & (sharing == Sharing::kSecret ? 077u : 022u);
  if (wide != 0) {
    return Fail(
        ErrorCode::kPermissionDenied,
        std::string(sharing == Sharing::kSecret ? "Others may read " : "Others may change ") +
            file.string() + ". Close it: chmod " +
            (sharing == Sharing::kSecret ? "600 " : "go-w ") + file.string());
  }
  if (facts.st_size < 0 || static_cast<std::uint64_t>(facts.st_size) > most) {
    return CannotRead(file, "it is too large");
  }
  return static_cast<std::size_t>(facts.st_size);
}

Result<void> ReadAll(int fd, const fs::path& file, std::uint8_t* data, std::size_t size) {
  std::size_t at = 0;
  while (at < size) {
    const ssize_t got = ::read(fd, data + at, size - at);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return CannotRead(file, got < 0 ? Why() : "it became shorter");
    at += static_cast<std::size_t>(got);
  }
  return {};
}

Result<void> WriteAll(int fd, const fs::path& file, std::span<const std::uint8_t> bytes) {
  std::size_t at = 0;
  while (at < bytes.size()) {
    const ssize_t put = ::write(fd, bytes.data() + at, bytes.size() - at);
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) return Fail(ErrorCode::kIo, "Cannot write " + file.string() + ": " + Why() + ".");
    at += static_cast<std::size_t>(put);
  }
  if (::fsync(fd) != 0) {
    return Fail(ErrorCode::kIo, "Cannot write " + file.string() + ": " + Why() + ".");
  }
  return {};
}

std::span<const std::uint8_t> BytesOf(std::string_view text) {
  return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}

}  // namespace

Result<void> SyncFolder(const fs::path& directory) {
  const Descriptor folder(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (folder.get() < 0 || ::fsync(folder.get()) != 0) {
    return Fail(ErrorCode::kIo, "Cannot write to " + directory.string() + ": " + Why() + ".");
  }
  return {};
}

Result<std::string> ReadTextFile(const fs::path& file, Sharing sharing) {
  const Descriptor fd(::open(file.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (fd.get() < 0) return CannotRead(file, Why());
  const auto size = Check(fd.get(), file, sharing, 1024 * 1024);
  if (!size) return tl::unexpected(size.error());
  std::string text(*size, '\0');
  auto done = ReadAll(fd.get(), file, reinterpret_cast<std::uint8_t*>(text.data()), text.size());
  if (!done) return tl::unexpected(done.error());
  return text;
}

Result<SecureBytes> ReadSecretFile(const fs::path& file) {
  const Descriptor fd(::open(file.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (fd.get() < 0) return CannotRead(file, Why());
  const auto size = Check(fd.get(), file, Sharing::kSecret, 64 * 1024);
  if (!size) return tl::unexpected(size.error());
  SecureBytes bytes(*size);
  auto done = ReadAll(fd.get(), file, bytes.data(), bytes.size());
  if (!done) return tl::unexpected(done.error());
  return bytes;
}

Result<SecureBytes> ReadSecretLine(const fs::path& file) {
  auto bytes = ReadSecretFile(file);
  if (!bytes) return bytes;
  std::size_t size = bytes->size();
  while (size > 0 && (bytes->data()[size - 1] == '\n' || bytes->data()[size - 1] == '\r')) --size;
  bytes->Truncate(size);
  if (size == 0) return Fail(ErrorCode::kInvalidArgument, file.string() + " is empty.");
  return bytes;
}

Result<void> CreateFile(const fs::path& file, std::span<const std::uint8_t> bytes, unsigned mode) {
  const Descriptor fd(
      ::open(file.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode));
  if (fd.get() < 0) {
    return Fail(errno == EEXIST ? ErrorCode::kConflict : ErrorCode::kIo,
                "Cannot create " + file.string() + ": " + Why() + ".");
  }
  if (::fchmod(fd.get(), mode) != 0) {
    return Fail(ErrorCode::kIo, "Cannot set the mode of " + file.string() + ": " + Why() + ".");
  }
  if (auto done = WriteAll(fd.get(), file, bytes); !done) return done;
  return SyncFolder(file.parent_path());
}

Result<void> CreateFile(const fs::path& file, std::string_view text, unsigned mode) {
  return CreateFile(file, BytesOf(text), mode);
}

Result<void> ReplaceFile(const fs::path& file, std::string_view text, unsigned mode) {
  const fs::path fresh = file.string() + ".new";
  ::unlink(fresh.c_str());  // left by a crash in this function
  if (auto done = CreateFile(fresh, text, mode); !done) return done;
  if (::rename(fresh.c_str(), file.c_str()) != 0) {
    return Fail(ErrorCode::kIo, "Cannot replace " + file.string() + ": " + Why() + ".");
  }
  return SyncFolder(file.parent_path());
}

Result<void> CheckPrivateFolder(const fs::path& directory) {
  struct stat facts {};
  if (::stat(directory.c_str(), &facts) != 0 || !S_ISDIR(facts.st_mode)) {
    return Fail(ErrorCode::kIo,
                directory.string() + " is not there. Make it with: keyferry-server init");
  }
  if ((facts.st_mode & 077) != 0) {
    return Fail(ErrorCode::kPermissionDenied, "Others may enter " + directory.string() +
                                                  ". Close it: chmod 700 " + directory.string());
  }
  if (facts.st_uid != ::geteuid()) {
    return Fail(ErrorCode::kPermissionDenied, directory.string() +
                                                  " belongs to another user. Run as that user, or "
                                                  "change its owner.");
  }
  return {};
}

std::string HostName() {
  std::array<char, 256> name{};
  return ::gethostname(name.data(), name.size() - 1) == 0 ? name.data() : "";
}

}  // namespace keyferry::server

#include "server/app/checkpoint_file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <mutex>
#include <utility>

namespace keyferry::server {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kMaxLine = 16 * 1024;

tl::unexpected<Error> Trouble(const fs::path& file, const char* what) {
  return Fail(ErrorCode::kIo, std::string("Cannot ") + what + " " + file.string() + ": " +
                                  std::strerror(errno) +
                                  ". The audit log's checkpoints are kept there.");
}

// Lines of `file`; the last one only when it is finished.
template <typename Take>
Result<void> EachLine(const fs::path& file, const Take& take) {
  std::error_code ec;
  if (!fs::exists(file, ec)) return {};
  std::ifstream in(file, std::ios::binary);
  if (!in) return Trouble(file, "read");
  std::string line;
  for (std::size_t number = 1; std::getline(in, line) && !in.eof(); ++number) {
    if (line.size() > kMaxLine) continue;
    if (auto taken = take(line, number); !taken) return taken;
  }
  return {};
}

class CheckpointFile final : public CheckpointBook {
 public:
  explicit CheckpointFile(fs::path file) : file_(std::move(file)) {}

  Result<void> Append(const AuditCheckpoint& checkpoint) override {
    const std::lock_guard lock(mutex_);
    const int fd =
        ::open(file_.c_str(), O_RDWR | O_CREAT | O_APPEND | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0) return Trouble(file_, "open");
    std::string line = CheckpointLine(checkpoint) + "\n";
    struct stat facts {};
    char last = '\n';
    if (::fstat(fd, &facts) == 0 && facts.st_size > 0 &&
        ::pread(fd, &last, 1, facts.st_size - 1) == 1 && last != '\n') {
      line.insert(0, "\n");
    }
    const bool written = ::write(fd, line.data(), line.size()) == static_cast<ssize_t>(line.size());
    const bool synced = written && ::fsync(fd) == 0;
    const int error = errno;
    ::close(fd);
    errno = error;
    if (!synced) return Trouble(file_, "write");
    return {};
  }

  Result<std::vector<AuditCheckpoint>> Read() override {
    const std::lock_guard lock(mutex_);
    std::vector<AuditCheckpoint> out;
    std::size_t torn = 0;  // a line that is none is forgiven only where a crash may have left it
    auto read = EachLine(file_, [&](const std::string& line, std::size_t number) -> Result<void> {
      auto checkpoint = ParseCheckpoint(line);
      if (checkpoint) {
        out.push_back(*std::move(checkpoint));
      } else if (line.find("keyferry-audit-checkpoint v1 ") == 0 && ++torn <= 16) {
        // Cut short by a crash while it was written: the one behind it repeats what it said.
      } else if (!line.empty()) {
        return Fail(ErrorCode::kInternal, "Line " + std::to_string(number) + " of " +
                                              file_.string() +
                                              " is not a checkpoint of the audit log.");
      }
      return {};
    });
    if (!read) return tl::unexpected(read.error());
    return out;
  }

 private:
  const fs::path file_;
  std::mutex mutex_;
};

}  // namespace

std::unique_ptr<CheckpointBook> MakeCheckpointFile(fs::path file) {
  return std::make_unique<CheckpointFile>(std::move(file));
}

Result<std::vector<AuditCheckpoint>> ReadCheckpoints(const fs::path& file) {
  std::error_code ec;
  if (!fs::exists(file, ec)) {
    return Fail(ErrorCode::kIo, "There is no file " + file.string() + ".");
  }
  std::vector<AuditCheckpoint> out;
  auto read = EachLine(file, [&](const std::string& line, std::size_t) -> Result<void> {
    if (auto checkpoint = ParseCheckpoint(line)) out.push_back(*std::move(checkpoint));
    return {};
  });
  if (!read) return tl::unexpected(read.error());
  return out;
}

}  // namespace keyferry::server

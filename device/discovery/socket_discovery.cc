#include <poll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <deque>
#include <filesystem>
#include <utility>

#include "device/discovery/discovery.h"

namespace keyferry::device {
namespace {

namespace fs = std::filesystem;

constexpr std::uint32_t kMask = IN_CREATE | IN_MOVED_TO | IN_DELETE | IN_MOVED_FROM |
                                IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR;
constexpr std::uint32_t kTreeChanged =
    IN_ISDIR | IN_DELETE_SELF | IN_MOVE_SELF | IN_IGNORED | IN_Q_OVERFLOW | IN_UNMOUNT;

bool IsSocket(const std::string& path) {
  struct stat info {};
  return stat(path.c_str(), &info) == 0 && S_ISSOCK(info.st_mode);
}

// The directory one step from `ancestor` towards `target`.
fs::path Deeper(const fs::path& target, const fs::path& ancestor) {
  fs::path step = target;
  while (step.has_relative_path() && step.parent_path() != ancestor) step = step.parent_path();
  return step;
}

struct Watched {
  std::string path;
  std::string directory;
  std::string name;
  int wd = -1;  // of `directory`, once it exists
  bool present = false;
};

class SocketDiscovery final : public Discovery {
 public:
  SocketDiscovery(std::vector<Watched> watched, int inotify_fd, int stop_fd)
      : watched_(std::move(watched)), inotify_fd_(inotify_fd), stop_fd_(stop_fd) {
    Rearm();
  }

  ~SocketDiscovery() override {
    close(inotify_fd_);
    close(stop_fd_);
  }

  Result<DiscoveryEvent> Next() override {
    while (events_.empty()) {
      pollfd fds[2] = {{inotify_fd_, POLLIN, 0}, {stop_fd_, POLLIN, 0}};
      if (poll(fds, 2, -1) < 0) {
        if (errno == EINTR) continue;
        return Fail(ErrorCode::kIo, "Waiting for security keys failed.", std::strerror(errno));
      }
      if (fds[1].revents != 0) return Fail(ErrorCode::kUnavailable, "Stopped.");
      if (auto read = ReadEvents(); !read) return tl::unexpected(read.error());
    }
    DiscoveryEvent event = std::move(events_.front());
    events_.pop_front();
    return event;
  }

  void Stop() override {
    const std::uint64_t one = 1;
    [[maybe_unused]] const ssize_t n = write(stop_fd_, &one, sizeof one);
  }

 private:
  Result<void> ReadEvents() {
    alignas(inotify_event) char buffer[8192];
    const ssize_t n = read(inotify_fd_, buffer, sizeof buffer);
    if (n < 0 && (errno == EINTR || errno == EAGAIN)) return {};
    if (n <= 0) return Fail(ErrorCode::kIo, "Waiting for security keys failed.", "inotify");
    bool rearm = false;
    for (ssize_t at = 0; at < n;) {
      const auto* event = reinterpret_cast<const inotify_event*>(buffer + at);
      at += static_cast<ssize_t>(sizeof(inotify_event) + event->len);
      rearm = rearm || (event->mask & kTreeChanged) != 0;
      if (event->len != 0) Named(event->wd, event->name, event->mask);
    }
    if (rearm) Rearm();
    return {};
  }

  void Named(int wd, const char* name, std::uint32_t mask) {
    for (Watched& watched : watched_) {
      if (watched.wd != wd || watched.name != name) continue;
      if ((mask & (IN_CREATE | IN_MOVED_TO)) != 0) {
        if (watched.present) Tell(watched, false);
        Tell(watched, true);
      } else if ((mask & (IN_DELETE | IN_MOVED_FROM)) != 0 && watched.present) {
        Tell(watched, false);
      }
    }
  }

  // Watches the directory of each path, or its nearest ancestor until it exists, then compares with
  // what is there: in this order, so that nothing made in between is missed.
  void Rearm() {
    for (Watched& watched : watched_) {
      watched.wd = Watch(watched.directory);
      const bool present = IsSocket(watched.path);
      if (present != watched.present) Tell(watched, present);
    }
  }

  // Returns the watch descriptor of `target`, or -1 when only an ancestor could be watched.
  int Watch(const fs::path& target) {
    int wd = inotify_add_watch(inotify_fd_, target.c_str(), kMask);
    // Bounded: an ancestor that exists but may not be read would bring us back here for ever.
    for (int attempt = 0; wd < 0 && errno == ENOENT && attempt < 16; ++attempt) {
      fs::path ancestor = target;
      int above = -1;
      while (above < 0 && ancestor != ancestor.root_path()) {
        ancestor = ancestor.parent_path();
        above = inotify_add_watch(inotify_fd_, ancestor.c_str(), kMask);
      }
      std::error_code ignored;
      if (above < 0 || !fs::exists(Deeper(target, ancestor), ignored)) return -1;
      wd = inotify_add_watch(inotify_fd_, target.c_str(), kMask);  // made between the two looks
    }
    return wd;
  }

  void Tell(Watched& watched, bool present) {
    watched.present = present;
    events_.push_back({present ? DiscoveryEvent::kAppeared : DiscoveryEvent::kVanished,
                       {TransportKind::kSocket, watched.path}});
  }

  std::vector<Watched> watched_;
  const int inotify_fd_;
  const int stop_fd_;
  std::deque<DiscoveryEvent> events_;
};

}  // namespace

Result<std::unique_ptr<Discovery>> WatchSockets(std::vector<std::string> paths) {
  std::vector<Watched> watched;
  for (std::string& path : paths) {
    const fs::path parsed(path);
    if (!parsed.is_absolute() || !parsed.has_filename()) {
      return Fail(ErrorCode::kInvalidArgument, "A key socket needs an absolute path, not: " + path);
    }
    watched.push_back(
        {std::move(path), parsed.parent_path().string(), parsed.filename().string(), -1, false});
  }
  const int inotify_fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
  if (inotify_fd < 0) {
    return Fail(ErrorCode::kIo,
                "Security keys cannot be watched for: the system's inotify instances are used up "
                "(fs.inotify.max_user_instances).",
                std::strerror(errno));
  }
  const int stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (stop_fd < 0) {
    close(inotify_fd);
    return Fail(ErrorCode::kIo, "Security keys cannot be watched for.", std::strerror(errno));
  }
  return std::make_unique<SocketDiscovery>(std::move(watched), inotify_fd, stop_fd);
}

}  // namespace keyferry::device

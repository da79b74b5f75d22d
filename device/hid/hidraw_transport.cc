#include "device/hid/hidraw_transport.h"

#include <fcntl.h>
#include <linux/hidraw.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <condition_variable>
#include <cstring>
#include <deque>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>

#include "device/hid/hid_errors.h"
#include "device/hid/report_descriptor.h"
#include "device/hid/sysfs.h"
#include "device/hid/usb_layout.h"
#include "device/key_claim.h"
#include "protocol/framing.h"
#include "protocol/limits.h"

namespace keyferry::device {
namespace {

using protocol::kReportSize;
using Outgoing = std::array<std::uint8_t, kReportSize + 1>;  // report id 0, then the report

constexpr std::size_t kMaxWaiting = 18;  // reports of the longest message (1024 bytes)

class HidrawTransport final : public Transport {
 public:
  HidrawTransport(int fd, int wake_fd, KeyClaim claim, std::string path)
      : fd_(fd), wake_fd_(wake_fd), claim_(std::move(claim)), path_(std::move(path)) {
    writer_ = std::thread([this] { WriteLoop(); });
  }

  ~HidrawTransport() override {
    Cancel();
    writer_.join();
    close(fd_);
    close(wake_fd_);
  }

  Result<void> Write(std::span<const std::uint8_t> report, Deadline deadline) override {
    if (report.size() != kReportSize) {
      return Fail(ErrorCode::kInvalidArgument, "A report to the key has 64 bytes.");
    }
    std::unique_lock lock(mutex_);
    auto queued = Queue(lock, report, deadline);
    lock.unlock();  // whom it wakes would only wait for it
    changed_.notify_all();
    return queued;
  }

  Result<void> WriteAll(std::span<const protocol::Report> reports, Deadline deadline) override {
    std::unique_lock lock(mutex_);
    Result<void> queued;
    for (const protocol::Report& report : reports) {
      queued = Queue(lock, report, deadline);
      if (!queued) break;
    }
    lock.unlock();
    changed_.notify_all();
    return queued;
  }

  Result<std::size_t> Read(std::span<std::uint8_t> buffer, Deadline deadline) override {
    // One byte more than a report, to notice those that are longer: the node cuts them off.
    std::array<std::uint8_t, kReportSize + 1> in;
    while (true) {
      if (auto ready = Wait(deadline); !ready) return tl::unexpected(ready.error());
      const ssize_t n = read(fd_, in.data(), in.size());
      if (n < 0 && (errno == EINTR || errno == EAGAIN)) continue;
      if (n <= 0) return tl::unexpected(End(n < 0 ? std::strerror(errno) : "end of file"));
      const auto size = static_cast<std::size_t>(n);
      if (size > kReportSize || size > buffer.size()) {
        return Fail(ErrorCode::kProtocol, "The key sent a report that is too long.");
      }
      std::copy_n(in.begin(), size, buffer.begin());
      return size;
    }
  }

  void Cancel() override {
    const std::scoped_lock lock(mutex_);
    stop_ = true;
    if (!ended_) ended_ = Cancelled();
    Wake();
  }

  TransportInfo Describe() const override { return {TransportKind::kHid, path_, kReportSize}; }

 private:
  // The key is gone: nobody waits any longer, in either direction. Returns the first reason.
  Error End(const std::string& cause) {
    const std::scoped_lock lock(mutex_);
    if (!ended_) ended_ = Gone(cause);
    Wake();
    return *ended_;
  }

  void Wake() {
    // The eventfd is never read, so every later wait ends at once too.
    const std::uint64_t one = 1;
    [[maybe_unused]] const ssize_t n = write(wake_fd_, &one, sizeof one);
    changed_.notify_all();
  }

  Result<void> Wait(Deadline deadline) {
    while (true) {
      const auto left =
          std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now()).count();
      pollfd fds[2] = {{fd_, POLLIN, 0}, {wake_fd_, POLLIN, 0}};
      const int n = poll(fds, 2, static_cast<int>(std::clamp<long long>(left, 0, 3'600'000)));
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return tl::unexpected(End(std::strerror(errno)));
      if (fds[1].revents != 0) {
        const std::scoped_lock lock(mutex_);
        return tl::unexpected(*ended_);
      }
      // What arrived before the key went is still read.
      if ((fds[0].revents & POLLIN) != 0) return {};
      if (fds[0].revents != 0) return tl::unexpected(End("the node hung up"));
      if (left <= 0) return tl::unexpected(Late());
    }
  }

  // For the writer's thread, which the caller wakes unless it is waited for here.
  Result<void> Queue(std::unique_lock<std::mutex>& lock, std::span<const std::uint8_t> report,
                     Deadline deadline) {
    if (out_.size() >= kMaxWaiting) changed_.notify_all();
    changed_.wait_until(lock, deadline, [this] { return out_.size() < kMaxWaiting || ended_; });
    if (ended_) return tl::unexpected(*ended_);
    if (out_.size() >= kMaxWaiting || std::exchange(late_, false)) return tl::unexpected(Late());
    std::copy(report.begin(), report.end(), out_.emplace_back().begin() + 1);
    return {};
  }

  void WriteLoop() {
    std::unique_lock lock(mutex_);
    while (true) {
      changed_.wait(lock, [this] { return stop_ || (!out_.empty() && !ended_); });
      if (stop_) return;
      const Outgoing report = out_.front();  // stays, so that it counts
      lock.unlock();
      ssize_t n = 0;
      do {
        n = write(fd_, report.data(), report.size());
      } while (n < 0 && errno == EINTR);
      const int error = n < 0 ? errno : 0;
      // The kernel gave up after its 5 s: the key takes nothing now, but it is there.
      const bool late = error == ETIMEDOUT || error == EAGAIN;
      if (n != static_cast<ssize_t>(report.size()) && !late) {
        End(n < 0 ? std::strerror(error) : "short write");
      }
      lock.lock();
      late_ = late;
      out_.pop_front();
      if (late) out_.clear();
      changed_.notify_all();
    }
  }

  const int fd_;
  const int wake_fd_;
  const KeyClaim claim_;
  const std::string path_;

  std::mutex mutex_;  // all below
  std::condition_variable changed_;
  std::optional<Error> ended_;
  bool stop_ = false;
  std::deque<Outgoing> out_;  // for the writer's thread, with the one that it has in hand
  bool late_ = false;         // the kernel gave up on one, which no writer was told yet
  std::thread writer_;
};

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() {
    if (fd_ >= 0) close(fd_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return fd_; }
  int Release() { return std::exchange(fd_, -1); }

 private:
  int fd_;
};

// Asks the open node itself who it is: its number may have gone to another device since it was
// looked up.
Result<void> CheckNode(int fd, const std::string& path, const HidMatch& match) {
  hidraw_devinfo info{};
  if (ioctl(fd, HIDIOCGRAWINFO, &info) < 0) return tl::unexpected(CannotOpen(path, errno));
  const UsbId id{static_cast<std::uint16_t>(info.vendor), static_cast<std::uint16_t>(info.product)};
  if (!match.Has(id)) {
    return tl::unexpected(NotAKey(path, "its ids are " + id.Text()));
  }
  int size = 0;
  if (ioctl(fd, HIDIOCGRDESCSIZE, &size) < 0) return tl::unexpected(CannotOpen(path, errno));
  hidraw_report_descriptor descriptor{};
  if (size < 0 || static_cast<std::size_t>(size) > sizeof descriptor.value) {
    return tl::unexpected(NotAKey(path, "its report descriptor has a size that cannot be"));
  }
  descriptor.size = static_cast<std::uint32_t>(size);
  if (ioctl(fd, HIDIOCGRDESC, &descriptor) < 0) return tl::unexpected(CannotOpen(path, errno));
  const auto key =
      CheckKeyReports(std::span(descriptor.value).first(static_cast<std::size_t>(size)));
  if (!key) return tl::unexpected(NotAKey(path, key.error().message));
  return {};
}

std::unique_ptr<Transport> Make(int fd, KeyClaim claim, std::string path) {
  return std::make_unique<HidrawTransport>(fd, eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK),
                                           std::move(claim), std::move(path));
}

}  // namespace

Result<std::unique_ptr<Transport>> OpenHidraw(const std::string& path, const HidMatch& match) {
  const auto name = HidrawNameOf(path);
  if (!name) return tl::unexpected(name.error());
  const auto known = ReadHidrawDevice(*name);
  if (!known) return tl::unexpected(known.error());
  if (known->usb && match.Has(known->id)) {
    if (auto key = CheckKeyUsb(known->usb->descriptors); !key) {
      return tl::unexpected(NotAKey(path, key.error().message));
    }
  }
  auto claim = KeyClaim::Take(known->ClaimName(), path);
  if (!claim) return tl::unexpected(claim.error());
  Descriptor node(open(path.c_str(), O_RDWR | O_NONBLOCK | O_CLOEXEC));
  if (node.get() < 0) return tl::unexpected(CannotOpen(path, errno));
  if (auto key = CheckNode(node.get(), path, match); !key) return tl::unexpected(key.error());
  const auto still = ReadHidrawDevice(*name);
  if (!still || still->instance != known->instance) {
    return tl::unexpected(Gone("another device came to the same node"));
  }
  return Make(node.Release(), *std::move(claim), path);
}

std::unique_ptr<Transport> AdoptHidraw(int fd, std::string path) {
  return Make(fd, {}, std::move(path));
}

}  // namespace keyferry::device

#include "device/ble/bus_loop.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

namespace keyferry::device {
namespace {

constexpr std::chrono::milliseconds kFirstPause{1000};
constexpr std::chrono::milliseconds kLongestPause{30000};
constexpr int kMessagesATurn = 64;  // then tasks and timers have theirs

// Nothing that a handler does may reach libsystemd's C frames.
template <typename F>
void Guarded(const F& handler) {
  try {
    handler();
  } catch (const sdbus::Error&) {
    // A handler reads with ReadArguments; what is left can only be a message that cannot be sent,
    // and that shows as a connection that breaks.
  }
}

}  // namespace

BusLoop::BusLoop(Options options)
    : options_(std::move(options)), wake_fd_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  // sdbus-c++ 1.2 makes every Variant on one connection of its own, a static that the first of them
  // makes and the end of the program destroys. Made here, it outlives a loop that is a static too;
  // made by the loop's thread, it would go first, under the Variants that the thread has in hand.
  Guarded([] { const sdbus::Variant first; });
}

BusLoop::~BusLoop() {
  Stop();
  if (wake_fd_ >= 0) close(wake_fd_);
}

void BusLoop::Stop() {
  {
    const std::scoped_lock lock(mutex_);
    stopping_ = true;
  }
  Post([] {});
  if (thread_.joinable()) thread_.join();
}

void BusLoop::Start() {
  thread_ = std::thread([this] { Run(); });
}

void BusLoop::Post(std::function<void()> task) {
  const std::scoped_lock lock(mutex_);
  tasks_.push_back(std::move(task));
  const std::uint64_t one = 1;
  [[maybe_unused]] const ssize_t n = write(wake_fd_, &one, sizeof one);
}

bool BusLoop::stopping() {
  const std::scoped_lock lock(mutex_);
  return stopping_;
}

void BusLoop::After(std::chrono::milliseconds delay, std::function<void()> task) {
  timers_.push_back({Clock::now() + delay, std::move(task)});
}

void BusLoop::Call(const std::string& destination, const std::string& path,
                   const std::string& interface, const std::string& method, const Fill& fill,
                   OnReply on_reply, std::chrono::milliseconds timeout) {
  const std::uint64_t id = next_call_++;
  Pending& pending = pending_[id];
  pending.on_reply = std::move(on_reply);
  const auto finish = [this, id](Result<Reply> result) {
    const auto at = pending_.find(id);
    if (at == pending_.end()) return;
    const OnReply handler = std::move(at->second.on_reply);
    answered_.push_back(std::move(at->second.proxy));
    pending_.erase(at);
    Guarded([&] { handler(std::move(result)); });
  };
  const auto fail = [this, finish](Error error) {
    Post([finish, error = std::move(error)] { finish(tl::unexpected(error)); });
  };
  if (!connection_) return fail({ErrorCode::kUnavailable, "D-Bus is not there.", {}, 0});
  try {
    pending.proxy = sdbus::createProxy(*connection_, destination, path);
    auto call = pending.proxy->createMethodCall(interface, method);
    if (fill) fill(call);
    // libsystemd counts in microseconds.
    pending.proxy->callMethod(
        call,
        sdbus::async_reply_handler([finish](sdbus::MethodReply& reply, const sdbus::Error* error) {
          if (error != nullptr) return finish(tl::unexpected(FromBusError(*error)));
          finish(std::ref(reply));
        }),
        static_cast<std::uint64_t>(
            std::chrono::duration_cast<std::chrono::microseconds>(timeout).count()));
  } catch (const sdbus::Error& error) {
    fail(FromBusError(error));
  }
}

void BusLoop::Match(const std::string& rule, OnSignal on_signal) {
  if (!connection_) return;
  try {
    matches_.push_back(
        connection_->addMatch(rule, [handler = std::move(on_signal)](sdbus::Message& message) {
          Guarded([&] { handler(message); });
        }));
  } catch (const sdbus::Error&) {
    // The bus is going; Serve will notice.
  }
}

void BusLoop::Connect() {
  try {
    connection_ = options_.address.empty()
                      ? sdbus::createSystemBusConnection()
                      : sdbus::createSessionBusConnectionWithAddress(options_.address);
  } catch (const sdbus::Error& error) {
    Error reason = FromBusError(error);
    reason.code = ErrorCode::kUnavailable;
    reason.message = "The D-Bus system bus cannot be reached; is dbus running?";
    return Disconnect(reason);
  }
  pause_ = kFirstPause;
  if (options_.on_up) Guarded(options_.on_up);
}

void BusLoop::Disconnect(const Error& reason) {
  matches_.clear();
  answered_.clear();
  auto pending = std::exchange(pending_, {});
  for (auto& [id, call] : pending) call.proxy.reset();
  retry_ = options_.again ? Clock::now() + pause_ : Clock::time_point::max();
  pause_ = std::min(pause_ * 2, kLongestPause);
  // Before the connection itself: what is registered on it goes here.
  if (options_.on_down) Guarded([&] { options_.on_down(reason); });
  connection_.reset();
  for (const auto& [id, call] : pending) {
    Guarded([&handler = call.on_reply, &reason] { handler(tl::unexpected(reason)); });
  }
}

bool BusLoop::Serve() {
  try {
    for (int i = 0; i < kMessagesATurn && connection_->processPendingRequest(); ++i) {
    }
    return true;
  } catch (const sdbus::Error& error) {
    Error reason = FromBusError(error);
    reason.code = ErrorCode::kUnavailable;
    reason.message = "The connection to D-Bus was lost.";
    Disconnect(reason);
    return false;
  }
}

void BusLoop::Wait() {
  pollfd fds[2] = {{wake_fd_, POLLIN, 0}, {-1, 0, 0}};
  std::chrono::milliseconds longest = std::chrono::hours(1);
  const auto until = [&longest](Clock::time_point when) {
    longest = std::clamp(std::chrono::ceil<std::chrono::milliseconds>(when - Clock::now()),
                         std::chrono::milliseconds(0), longest);
  };
  for (const Timer& timer : timers_) until(timer.when);
  if (connection_) {
    try {
      const auto poll_data = connection_->getEventLoopPollData();
      fds[1] = {poll_data.fd, poll_data.events, 0};
      const int limit = poll_data.getPollTimeout();
      if (limit >= 0) longest = std::min(longest, std::chrono::milliseconds(limit));
    } catch (const sdbus::Error&) {
      return;  // Serve will say what it is
    }
  } else if (retry_ != Clock::time_point::max()) {
    until(retry_);
  }
  poll(fds, 2, static_cast<int>(longest.count()));
  std::uint64_t drained = 0;
  [[maybe_unused]] const ssize_t n = read(wake_fd_, &drained, sizeof drained);
}

void BusLoop::Run() {
  while (!stopping()) {
    if (!connection_ && Clock::now() >= retry_) Connect();
    if (connection_) Serve();
    std::deque<std::function<void()>> tasks;
    {
      const std::scoped_lock lock(mutex_);
      tasks.swap(tasks_);
    }
    for (const auto& task : tasks) Guarded(task);
    for (std::size_t i = 0; i < timers_.size();) {
      if (timers_[i].when > Clock::now()) {
        ++i;
        continue;
      }
      const auto task = std::move(timers_[i].task);
      timers_.erase(timers_.begin() + static_cast<std::ptrdiff_t>(i));
      Guarded(task);
    }
    answered_.clear();
    Wait();
  }
  matches_.clear();
  answered_.clear();
  pending_.clear();
  if (options_.on_down) {
    Guarded([&] { options_.on_down({ErrorCode::kUnavailable, "Bluetooth was closed.", {}, 0}); });
  }
  connection_.reset();
}

}  // namespace keyferry::device

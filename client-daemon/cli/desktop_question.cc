#include "client-daemon/cli/desktop_question.h"

#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <future>
#include <map>
#include <mutex>
#include <optional>
#include <vector>

#include "device/ble/bus_loop.h"
#include "device/ble/event_flag.h"

namespace keyferry::daemon::cli {
namespace {

using std::chrono::milliseconds;

constexpr char kName[] = "org.freedesktop.Notifications";
constexpr char kPath[] = "/org/freedesktop/Notifications";
constexpr milliseconds kAnswerLimit{10000};

std::string SessionBus() {
  if (const char* address = std::getenv("DBUS_SESSION_BUS_ADDRESS"); address != nullptr) {
    return address;
  }
  return "unix:path=/run/user/" + std::to_string(getuid()) + "/bus";
}

// Desktops read some HTML in the text, but not all of them in the title.
std::string Escaped(const std::string& text) {
  std::string out;
  for (const char c : text) {
    if (c == '&') {
      out += "&amp;";
    } else if (c == '<') {
      out += "&lt;";
    } else if (c == '>') {
      out += "&gt;";
    } else {
      out += c;
    }
  }
  return out;
}

class BusQuestion final : public DesktopQuestion {
 public:
  explicit BusQuestion(std::string address)
      : loop_({std::move(address), false, [this] { Up(); },
               [this](const Error& reason) { Known(tl::unexpected(reason)); }}) {
    loop_.Start();
  }
  ~BusQuestion() override { loop_.Stop(); }

  Result<void> Ready() {
    auto state = state_.get_future();
    if (state.wait_for(kAnswerLimit) != std::future_status::ready) {
      return Fail(ErrorCode::kDeadline, "The desktop does not answer.");
    }
    return state.get();
  }

  bool Ask(const std::string& title, const std::string& text, const std::string& yes,
           const std::string& no, milliseconds limit, int moot_fd) override {
    {
      const std::scoped_lock lock(mutex_);
      answer_.reset();
      id_.reset();
      given_up_ = false;
      flag_.Lower();
    }
    loop_.Post([=, this] { Show(title, text, yes, no, limit); });
    const auto deadline = std::chrono::steady_clock::now() + limit;
    while (true) {
      {
        const std::scoped_lock lock(mutex_);
        flag_.Lower();
        if (answer_) return *answer_;
      }
      const auto left =
          std::chrono::ceil<milliseconds>(deadline - std::chrono::steady_clock::now());
      pollfd fds[2] = {{flag_.fd(), POLLIN, 0}, {moot_fd, POLLIN, 0}};
      if (left.count() > 0) poll(fds, 2, static_cast<int>(left.count()));
      if (left.count() <= 0 || fds[1].revents != 0) {
        loop_.Post([this] { TakeBack(); });
        return false;
      }
    }
  }

 private:
  void Up() {
    // Before any question: an answer cannot come sooner than the match.
    for (const char* member : {"ActionInvoked", "NotificationClosed"}) {
      loop_.Match(std::string("type='signal',interface='org.freedesktop.Notifications',"
                              "path='/org/freedesktop/Notifications',member='") +
                      member + "'",
                  [this](sdbus::Message& message) { OnSignal(message); });
    }
    loop_.Call(
        kName, kPath, kName, "GetCapabilities", {}, [this](Result<device::BusLoop::Reply> reply) {
          const auto list = reply ? device::ReadArguments<std::vector<std::string>>(reply->get())
                                  : tl::unexpected(reply.error());
          if (list &&
              std::count(std::get<0>(*list).begin(), std::get<0>(*list).end(), "actions") != 0) {
            return Known({});
          }
          Known(Fail(ErrorCode::kUnavailable,
                     "This desktop shows no notifications with buttons; use keyferry in a "
                     "terminal."));
        });
  }

  void Known(Result<void> state) {
    if (!state) Answer(false);  // nobody can press a button any more
    if (!std::exchange(known_, true)) state_.set_value(std::move(state));
  }

  void Answer(bool yes) {
    const std::scoped_lock lock(mutex_);
    if (!answer_) answer_ = yes;
    flag_.Raise();
  }

  void Show(const std::string& title, const std::string& text, const std::string& yes,
            const std::string& no, milliseconds limit) {
    loop_.Call(
        kName, kPath, kName, "Notify",
        [=](sdbus::MethodCall& call) {
          call << std::string("Keyferry") << std::uint32_t{0} << std::string("dialog-password")
               << title << Escaped(text) << std::vector<std::string>{"yes", yes, "no", no}
               << std::map<std::string, sdbus::Variant>{{"urgency",
                                                         sdbus::Variant(std::uint8_t{2})}}
               << static_cast<std::int32_t>(limit.count());
        },
        [this](Result<device::BusLoop::Reply> reply) {
          const auto id = reply ? device::ReadArguments<std::uint32_t>(reply->get())
                                : tl::unexpected(reply.error());
          if (!id) return Answer(false);
          std::unique_lock lock(mutex_);
          id_ = std::get<0>(*id);
          const bool unwanted = std::exchange(given_up_, false);
          lock.unlock();
          if (unwanted) TakeBack();
        });
  }

  void TakeBack() {
    std::optional<std::uint32_t> id;
    {
      const std::scoped_lock lock(mutex_);
      id = id_;
      given_up_ = !id;  // the notice is still on its way to the desktop
    }
    if (!id) return;
    loop_.Call(
        kName, kPath, kName, "CloseNotification", [id](sdbus::MethodCall& call) { call << *id; },
        [](Result<device::BusLoop::Reply>) {});
  }

  void OnSignal(sdbus::Message& message) {
    std::uint32_t id = 0;
    bool yes = false;
    if (message.getMemberName() == "ActionInvoked") {
      const auto pressed = device::ReadArguments<std::uint32_t, std::string>(message);
      if (!pressed) return;
      id = std::get<0>(*pressed);
      yes = std::get<1>(*pressed) == "yes";
    } else {
      const auto closed = device::ReadArguments<std::uint32_t, std::uint32_t>(message);
      if (!closed) return;
      id = std::get<0>(*closed);
    }
    {
      const std::scoped_lock lock(mutex_);
      if (id_ != id) return;
    }
    Answer(yes);
  }

  std::promise<Result<void>> state_;
  bool known_ = false;  // of the loop's thread

  device::EventFlag flag_;
  std::mutex mutex_;  // the next three
  std::optional<bool> answer_;
  std::optional<std::uint32_t> id_;
  bool given_up_ = false;

  device::BusLoop loop_;
};

}  // namespace

Result<std::unique_ptr<DesktopQuestion>> DesktopQuestion::Open(std::string bus_address) {
  auto question =
      std::make_unique<BusQuestion>(bus_address.empty() ? SessionBus() : std::move(bus_address));
  if (auto ready = question->Ready(); !ready) return tl::unexpected(ready.error());
  return Result<std::unique_ptr<DesktopQuestion>>(std::move(question));
}

}  // namespace keyferry::daemon::cli

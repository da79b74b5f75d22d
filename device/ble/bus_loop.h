#pragma once

#include <sdbus-c++/IConnection.h>
#include <sdbus-c++/IProxy.h>
#include <sdbus-c++/Message.h>
#include <sdbus-c++/Types.h>

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <tuple>
#include <vector>

#include "device/ble/bus_errors.h"
#include "device/transport.h"
#include "protocol/result.h"

namespace keyferry::device {

// Reads the arguments of a message; kProtocol when they are of other types or too few.
template <typename... T>
Result<std::tuple<T...>> ReadArguments(sdbus::Message& message) {
  try {
    std::tuple<T...> out;
    std::apply([&](auto&... item) { (message >> ... >> item); }, out);
    if (!message) return Fail(ErrorCode::kProtocol, "A D-Bus answer is too short.");
    return out;
  } catch (const sdbus::Error& error) {
    return Fail(ErrorCode::kProtocol, "A D-Bus answer has other types than it must.",
                error.getName());
  }
}

// One D-Bus connection with a thread of its own, on which everything happens: calls are answered,
// signals handled and tasks run there, so that what belongs to the thread needs no lock. No
// sdbus::Error leaves the handlers given to it, and none is thrown by its members.
//
// May be a static: its thread may then run until the end of the program.
//
// A bus that is not there, or goes, is tried again after 1, 2, 4 … 30 s when `again` is set.
class BusLoop {
 public:
  using Reply = std::reference_wrapper<sdbus::MethodReply>;
  using OnReply = std::function<void(Result<Reply>)>;
  using OnSignal = std::function<void(sdbus::Message&)>;
  using Fill = std::function<void(sdbus::MethodCall&)>;

  struct Options {
    // Empty = the system bus. Any other that cannot be reached costs 1.8 kB a try, which sdbus-c++
    // 1.2 never gives back: for tests and for programs that end.
    std::string address;
    bool again = true;
    std::function<void()> on_up;                // connected; the former matches are gone
    std::function<void(const Error&)> on_down;  // not (any longer) connected
  };

  explicit BusLoop(Options options);
  ~BusLoop();  // Stop

  // Begins; the handlers may be called from now on.
  void Start();
  // Ends the thread; its last act is on_down. Calls that wait for an answer get none. Not from the
  // thread itself.
  void Stop();
  // Runs `task` on the thread. Any thread.
  void Post(std::function<void()> task);

  // The following on the thread only. -------------------------------------------------------------

  void After(std::chrono::milliseconds delay, std::function<void()> task);
  // `on_reply` is called exactly once, later: with the answer, or with an error that names cause
  // and cure.
  void Call(const std::string& destination, const std::string& path, const std::string& interface,
            const std::string& method, const Fill& fill, OnReply on_reply,
            std::chrono::milliseconds timeout = std::chrono::milliseconds(5000));
  // Until the connection ends.
  void Match(const std::string& rule, OnSignal on_signal);
  // Null while there is no connection.
  sdbus::IConnection* connection() { return connection_.get(); }

 private:
  struct Pending {
    OnReply on_reply;
    std::unique_ptr<sdbus::IProxy> proxy;
  };
  struct Timer {
    Clock::time_point when;
    std::function<void()> task;
  };

  void Run();
  void Connect();
  void Disconnect(const Error& reason);
  bool Serve();  // messages that are there; false when the connection broke
  void Wait();
  bool stopping();

  const Options options_;
  const int wake_fd_;

  std::mutex mutex_;
  std::deque<std::function<void()>> tasks_;  // guarded by mutex_
  bool stopping_ = false;                    // guarded by mutex_

  // Of the thread.
  std::unique_ptr<sdbus::IConnection> connection_;
  std::vector<sdbus::Slot> matches_;
  std::map<std::uint64_t, Pending> pending_;
  std::vector<std::unique_ptr<sdbus::IProxy>> answered_;  // not to be ended in their own handler
  std::uint64_t next_call_ = 0;
  std::vector<Timer> timers_;
  Clock::time_point retry_{};
  std::chrono::milliseconds pause_{1000};

  std::thread thread_;
};

}  // namespace keyferry::device

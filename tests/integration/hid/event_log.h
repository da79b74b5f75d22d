#pragma once

#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "device/hid/hid_discovery.h"

// A discovery on a thread of its own, with its events and notes to wait for.
namespace keyferry::test {

// Long: the clock of a guest that boots on a busy machine may run many times too fast. The runner
// ends what really hangs.
inline constexpr std::chrono::minutes kPatience{10};

class EventLog {
 public:
  template <typename Watch>
  explicit EventLog(Watch watch, device::HidMatch match = {}) {
    auto made = watch(std::move(match), [this](const std::string& line) {
      const std::scoped_lock lock(mutex_);
      notes_.push_back(line);
      changed_.notify_all();
    });
    if (!made) throw std::runtime_error(made.error().message);
    discovery_ = *std::move(made);
    thread_ = std::thread([this] { Run(); });
  }
  ~EventLog() {
    discovery_->Stop();
    thread_.join();
  }

  device::DiscoveryEvent Next() {
    std::unique_lock lock(mutex_);
    if (!changed_.wait_for(lock, kPatience, [this] { return !events_.empty(); })) {
      throw std::runtime_error("no event in time");
    }
    auto event = std::move(events_.front());
    events_.pop_front();
    return event;
  }
  std::string Appeared() { return Expect(device::DiscoveryEvent::kAppeared); }
  std::string Vanished() { return Expect(device::DiscoveryEvent::kVanished); }
  std::size_t Waiting() {
    const std::scoped_lock lock(mutex_);
    return events_.size();
  }

  // Waits for a note that holds `words`, and forgets it.
  std::string Note(const std::string& words) {
    std::unique_lock lock(mutex_);
    std::string found;
    const auto look = [&] {
      for (auto it = notes_.begin(); it != notes_.end(); ++it) {
        if (it->find(words) == std::string::npos) continue;
        found = *it;
        notes_.erase(it);
        return true;
      }
      return false;
    };
    if (!changed_.wait_for(lock, kPatience, look)) throw std::runtime_error("no note: " + words);
    return found;
  }

 private:
  std::string Expect(device::DiscoveryEvent::Kind kind) {
    const auto event = Next();
    if (event.kind != kind) throw std::runtime_error("the wrong event: " + event.place.path);
    return event.place.path;
  }

  void Run() {
    while (true) {
      auto event = discovery_->Next();
      const std::scoped_lock lock(mutex_);
      changed_.notify_all();
      if (!event) return;
      events_.push_back(*std::move(event));
    }
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<device::DiscoveryEvent> events_;
  std::vector<std::string> notes_;
  std::unique_ptr<device::Discovery> discovery_;
  std::thread thread_;
};

}  // namespace keyferry::test

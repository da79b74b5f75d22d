#pragma once

#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "device/discovery/discovery.h"

namespace keyferry::test {

// Generous: the guest's processor is emulated and shared.
inline constexpr std::chrono::seconds kGuestPatience{60};

// Follows a discovery on a thread of its own and knows where keys are right now.
class Presence {
 public:
  explicit Presence(std::unique_ptr<device::Discovery> discovery)
      : discovery_(std::move(discovery)), thread_([this] { Run(); }) {}
  ~Presence() {
    discovery_->Stop();
    thread_.join();
  }
  Presence(const Presence&) = delete;
  Presence& operator=(const Presence&) = delete;

  // How often a key came, so far.
  int arrivals() const {
    const std::scoped_lock lock(mutex_);
    return arrivals_;
  }
  std::vector<device::KeyPlace> places() const {
    const std::scoped_lock lock(mutex_);
    return places_;
  }
  // Waits until a key is there after more than `arrivals` came; false after `patience`.
  bool Wait(int arrivals = 0, std::chrono::seconds patience = kGuestPatience) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, patience,
                             [&] { return !places_.empty() && arrivals_ > arrivals; });
  }

 private:
  void Run() {
    while (true) {
      const auto event = discovery_->Next();
      const std::scoped_lock lock(mutex_);
      if (!event) return;
      std::erase_if(places_, [&](const auto& place) { return place.path == event->place.path; });
      if (event->kind == device::DiscoveryEvent::kAppeared) {
        places_.push_back(event->place);
        ++arrivals_;
      }
      changed_.notify_all();
    }
  }

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<device::KeyPlace> places_;
  int arrivals_ = 0;
  const std::unique_ptr<device::Discovery> discovery_;
  std::thread thread_;
};

}  // namespace keyferry::test

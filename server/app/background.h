#pragma once

#include <chrono>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <thread>

namespace keyferry::server {

// A thread that does `work` at once, then every `period` and whenever it is nudged, until it is
// destroyed. Nudges that come while it works make it work once more. After a nudge it waits for
// `settle`, for more of them: what a request has to do comes first.
class Background {
 public:
  Background(std::chrono::milliseconds period, std::function<void()> work,
             std::chrono::milliseconds settle = {})
      : period_(period), settle_(settle), work_(std::move(work)), thread_([this] { Run(); }) {}
  ~Background() {
    {
      const std::lock_guard lock(mutex_);
      ending_ = true;
    }
    wake_.notify_one();
    thread_.join();
  }
  Background(const Background&) = delete;
  Background& operator=(const Background&) = delete;

  void Nudge() {
    {
      const std::lock_guard lock(mutex_);
      nudged_ = true;
    }
    wake_.notify_one();
  }

 private:
  void Run() {
    std::unique_lock lock(mutex_);
    while (!ending_) {
      nudged_ = false;
      lock.unlock();
      work_();
      lock.lock();
      if (wake_.wait_for(lock, period_, [this] { return ending_ || nudged_; })) {
        wake_.wait_for(lock, settle_, [this] { return ending_; });
      }
    }
  }

  const std::chrono::milliseconds period_, settle_;
  const std::function<void()> work_;
  std::mutex mutex_;
  std::condition_variable wake_;
  bool ending_ = false;
  bool nudged_ = false;
  std::thread thread_;
};

}  // namespace keyferry::server

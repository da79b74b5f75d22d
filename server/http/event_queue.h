#pragma once

#include <deque>
#include <functional>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>

#include "server/http/message.h"

namespace keyferry::server {

// The bounded queue behind an EventStream: handlers push from any thread, the connection's strand
// takes. `wake` is called (from the pushing thread, outside the lock) whenever there is something
// new to look at; `run` starts a callback on the pool.
class EventQueue final : public EventStream {
 public:
  static constexpr std::size_t kMostEvents = 256;
  static constexpr std::size_t kMostBytes = 1024 * 1024;

  EventQueue(std::function<void()> wake, std::function<void(std::function<void()>)> run)
      : wake_(std::move(wake)), run_(std::move(run)) {}

  bool Send(std::string_view name, std::string_view data) override {
    {
      const std::lock_guard lock(mutex_);
      if (closing_ || ended_) return false;
      if (queue_.size() >= kMostEvents || bytes_ + data.size() > kMostBytes) {
        overrun_ = true;
        closing_ = true;
      } else {
        queue_.push_back(Frame(name, data));
        bytes_ += queue_.back().size();
      }
    }
    wake_();
    return true;
  }

  void Close() override {
    {
      const std::lock_guard lock(mutex_);
      if (closing_) return;
      closing_ = true;
    }
    wake_();
  }

  void OnClosed(std::function<void()> callback) override {
    {
      const std::lock_guard lock(mutex_);
      if (!ended_) {
        on_closed_ = std::move(callback);
        return;
      }
    }
    run_(std::move(callback));
  }

  // What waits, as one block of text; empty = nothing.
  std::string Take() {
    const std::lock_guard lock(mutex_);
    std::string block;
    block.reserve(bytes_);
    for (const std::string& frame : queue_) block += frame;
    queue_.clear();
    bytes_ = 0;
    return block;
  }

  bool closing() const {
    const std::lock_guard lock(mutex_);
    return closing_;
  }

  // True once when the peer was too slow for the queue.
  bool overrun() const {
    const std::lock_guard lock(mutex_);
    return overrun_;
  }

  // The connection is gone: nothing is taken any more.
  void End() {
    std::function<void()> callback;
    {
      const std::lock_guard lock(mutex_);
      if (ended_) return;
      ended_ = true;
      closing_ = true;
      queue_.clear();
      callback = std::move(on_closed_);
    }
    if (callback) run_(std::move(callback));
  }

  // One event on the wire; line ends inside the parts would start a field of their own, so they go.
  static std::string Frame(std::string_view name, std::string_view data) {
    std::string frame = "event: ";
    AppendLine(frame, name);
    frame += "\ndata: ";
    AppendLine(frame, data);
    frame += "\n\n";
    return frame;
  }

 private:
  static void AppendLine(std::string& out, std::string_view text) {
    for (const char c : text) {
      if (c != '\r' && c != '\n' && c != '\0') out += c;
    }
  }

  const std::function<void()> wake_;
  const std::function<void(std::function<void()>)> run_;
  mutable std::mutex mutex_;
  std::deque<std::string> queue_;
  std::size_t bytes_ = 0;
  bool closing_ = false;
  bool overrun_ = false;
  bool ended_ = false;
  std::function<void()> on_closed_;
};

}  // namespace keyferry::server

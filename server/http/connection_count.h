#pragma once

#include <cstddef>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>

namespace keyferry::server {

// Counts the connections of a listener, in all and by peer address. Thread-safe.
class ConnectionCount : public std::enable_shared_from_this<ConnectionCount> {
 public:
  ConnectionCount(std::size_t most, std::size_t most_per_address)
      : most_(most), most_per_address_(most_per_address) {}

  // Gives its place back when destroyed.
  class Place {
   public:
    Place(std::shared_ptr<ConnectionCount> owner, std::string address)
        : owner_(std::move(owner)), address_(std::move(address)) {}
    Place(const Place&) = delete;
    Place& operator=(const Place&) = delete;
    ~Place() { owner_->Leave(address_); }

   private:
    std::shared_ptr<ConnectionCount> owner_;
    std::string address_;
  };

  // Null when the listener or this address is full.
  std::unique_ptr<Place> Enter(const std::string& address) {
    const std::lock_guard lock(mutex_);
    if (total_ >= most_) return nullptr;
    std::size_t& count = by_address_[address];
    if (count >= most_per_address_) return nullptr;
    ++count;
    ++total_;
    return std::make_unique<Place>(shared_from_this(), address);
  }

  std::size_t total() const {
    const std::lock_guard lock(mutex_);
    return total_;
  }

 private:
  void Leave(const std::string& address) {
    const std::lock_guard lock(mutex_);
    const auto found = by_address_.find(address);
    if (--found->second == 0) by_address_.erase(found);
    --total_;
  }

  const std::size_t most_;
  const std::size_t most_per_address_;
  mutable std::mutex mutex_;
  std::size_t total_ = 0;
  std::unordered_map<std::string, std::size_t> by_address_;
};

}  // namespace keyferry::server

#include "server/app/change_driver.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "protocol/crypto.h"
#include "server/api/json_reader.h"

namespace keyferry::server {
namespace {

constexpr std::chrono::milliseconds kGatherEvents{5};

}  // namespace

ChangeDriver::ChangeDriver(EventBus& bus, std::size_t threads,
                           std::function<void(const AccountId&)> proceed)
    : proceed_(std::move(proceed)) {
  for (std::size_t i = 0; i < threads; ++i) threads_.emplace_back([this] { Run(); });
  subscription_ = bus.Subscribe("jobs", [this](const BusEvent& event) {
    JsonReader in(protocol::AsBytes(event.data));
    const auto account = in.Identifier<AccountId>("account_id");
    if (in.Finish()) Add(account);
  });
}

ChangeDriver::~ChangeDriver() {
  subscription_.reset();
  {
    const std::lock_guard lock(mutex_);
    ending_ = true;
  }
  wake_.notify_all();
  calm_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

void ChangeDriver::Add(const AccountId& account) {
  {
    const std::lock_guard lock(mutex_);
    waiting_.insert(account);
  }
  wake_.notify_one();
}

void ChangeDriver::Run() {
  std::unique_lock lock(mutex_);
  while (true) {
    auto next = waiting_.end();
    wake_.wait(lock, [&] {
      next = std::find_if(waiting_.begin(), waiting_.end(),
                          [this](const AccountId& id) { return working_.count(id) == 0; });
      return ending_ || next != waiting_.end();
    });
    if (ending_) return;
    const AccountId account = *next;
    waiting_.erase(next);
    working_.insert(account);
    // Whoever has moved something has more to do, which somebody waits for, and says more.
    calm_.wait_for(lock, kGatherEvents, [this] { return ending_; });
    if (ending_) return;
    waiting_.erase(account);
    lock.unlock();
    proceed_(account);
    lock.lock();
    working_.erase(account);
    if (waiting_.count(account) != 0) wake_.notify_one();
  }
}

}  // namespace keyferry::server

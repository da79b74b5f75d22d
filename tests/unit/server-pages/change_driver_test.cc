// The threads that drive changes on: nothing that was announced is missed, and one account is never
// driven twice at a time.
#include "server/app/change_driver.h"

#include <atomic>
#include <catch2/catch.hpp>
#include <chrono>
#include <condition_variable>
#include <map>
#include <mutex>
#include <string>

using namespace keyferry::server;

namespace {

AccountId Account(std::uint8_t number) {
  AccountId id;
  id.bytes.fill(number);
  return id;
}

// Counts calls; every call may be held up.
struct Worker {
  void Work(const AccountId& account) {
    std::unique_lock lock(mutex);
    if (++inside[account] > 1) overlapped = true;
    ++calls[account];
    changed.notify_all();
    changed.wait(lock, [this] { return !held; });
    --inside[account];
    changed.notify_all();
  }
  template <typename Condition>
  bool Wait(Condition condition) {
    std::unique_lock lock(mutex);
    return changed.wait_for(lock, std::chrono::seconds(30), condition);
  }
  void Hold(bool on) {
    const std::lock_guard lock(mutex);
    held = on;
    changed.notify_all();
  }

  std::mutex mutex;
  std::condition_variable changed;
  std::map<AccountId, int> calls, inside;
  bool held = false;
  bool overlapped = false;
};

void Announce(EventBus& bus, const AccountId& account) {
  bus.Publish("jobs", {"change", "{\"account_id\":\"" + account.Hex() + "\"}"});
}

}  // namespace

TEST_CASE("an account that is named while it is worked on is worked on once more, alone") {
  const auto bus = MakeEventBus();
  Worker worker;
  worker.held = true;
  ChangeDriver driver(*bus, 4, [&](const AccountId& account) { worker.Work(account); });
  Announce(*bus, Account(1));
  REQUIRE(worker.Wait([&] { return worker.calls[Account(1)] == 1; }));
  for (int i = 0; i < 5; ++i) Announce(*bus, Account(1));
  Announce(*bus, Account(2));  // another one need not wait for it
  REQUIRE(worker.Wait([&] { return worker.calls[Account(2)] == 1; }));
  CHECK(worker.calls[Account(1)] == 1);
  worker.Hold(false);
  REQUIRE(worker.Wait([&] { return worker.calls[Account(1)] == 2; }));
  CHECK_FALSE(worker.overlapped);
}

TEST_CASE("many accounts, few threads: each is worked on after it was named last") {
  const auto bus = MakeEventBus();
  Worker worker;
  std::map<AccountId, std::atomic<int>> moved;
  std::map<AccountId, int> seen;
  for (std::uint8_t i = 0; i < 50; ++i) moved[Account(i)] = 0;
  ChangeDriver driver(*bus, 3, [&](const AccountId& account) {
    const int now = moved.at(account);
    worker.Work(account);
    const std::lock_guard lock(worker.mutex);
    seen[account] = now;
    worker.changed.notify_all();
  });
  for (int round = 1; round <= 20; ++round) {
    for (auto& [account, count] : moved) {
      ++count;
      Announce(*bus, account);
    }
  }
  CHECK(worker.Wait([&] {
    for (const auto& [account, count] : moved) {
      if (seen[account] != 20) return false;
    }
    return true;
  }));
  CHECK_FALSE(worker.overlapped);
}

TEST_CASE("events that name no account are left alone") {
  const auto bus = MakeEventBus();
  Worker worker;
  ChangeDriver driver(*bus, 1, [&](const AccountId& account) { worker.Work(account); });
  for (const char* data : {"{}", "", "{\"account_id\":\"x\"}", "[]"}) {
    bus->Publish("jobs", {"change", data});
  }
  Announce(*bus, Account(3));
  REQUIRE(worker.Wait([&] { return worker.calls[Account(3)] == 1; }));
  CHECK(worker.calls.size() == 1);
}

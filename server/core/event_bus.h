#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace keyferry::server {

// In-process publish/subscribe by topic; carries only what may be shown ("look again", sealed
// jobs), never a secret. Topics: "account/<hex id>" (employee page), "jobs", "keys",
// "workstations", "workstation/<hex id>" (its event stream), "alarm". Thread-safe. A subscriber's
// callback runs on the publisher's thread, must not block, and must not publish.
struct BusEvent {
  std::string name;
  std::string data;  // one line
};

class EventBus {
 public:
  using Callback = std::function<void(const BusEvent&)>;

  // Ends the subscription when destroyed; afterwards the callback is neither running nor called
  // again.
  class Subscription {
   public:
    virtual ~Subscription() = default;
  };

  virtual ~EventBus() = default;
  virtual std::unique_ptr<Subscription> Subscribe(std::string topic, Callback callback) = 0;
  virtual void Publish(std::string_view topic, BusEvent event) = 0;
};

std::unique_ptr<EventBus> MakeEventBus();

}  // namespace keyferry::server

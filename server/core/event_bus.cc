#include "server/core/event_bus.h"

#include <utility>

namespace keyferry::server {
namespace {

// One subscription. Its own mutex is held while the callback runs, so that the destructor of the
// subscription waits for it and no call comes after.
struct Slot {
  std::mutex mutex;
  EventBus::Callback callback;  // empty once it ended
};

class TopicBus final : public EventBus {
 public:
  std::unique_ptr<Subscription> Subscribe(std::string topic, Callback callback) override {
    auto slot = std::make_shared<Slot>();
    slot->callback = std::move(callback);
    {
      const std::lock_guard lock(state_->mutex);
      state_->topics[topic].push_back(slot);
    }
    return std::make_unique<Ticket>(state_, std::move(topic), std::move(slot));
  }

  void Publish(std::string_view topic, BusEvent event) override {
    std::vector<std::shared_ptr<Slot>> slots;
    {
      const std::lock_guard lock(state_->mutex);
      const auto found = state_->topics.find(std::string(topic));
      if (found == state_->topics.end()) return;
      slots = found->second;
    }
    for (const auto& slot : slots) {
      const std::lock_guard lock(slot->mutex);
      if (slot->callback) slot->callback(event);
    }
  }

 private:
  struct State {
    std::mutex mutex;
    std::unordered_map<std::string, std::vector<std::shared_ptr<Slot>>> topics;
  };

  class Ticket final : public Subscription {
   public:
    Ticket(std::shared_ptr<State> state, std::string topic, std::shared_ptr<Slot> slot)
        : state_(std::move(state)), topic_(std::move(topic)), slot_(std::move(slot)) {}
    ~Ticket() override {
      {
        const std::lock_guard lock(state_->mutex);
        const auto found = state_->topics.find(topic_);
        if (found != state_->topics.end()) {
          std::erase(found->second, slot_);
          if (found->second.empty()) state_->topics.erase(found);
        }
      }
      const std::lock_guard lock(slot_->mutex);
      slot_->callback = nullptr;
    }

   private:
    std::shared_ptr<State> state_;
    std::string topic_;
    std::shared_ptr<Slot> slot_;
  };

  std::shared_ptr<State> state_ = std::make_shared<State>();
};

}  // namespace

std::unique_ptr<EventBus> MakeEventBus() { return std::make_unique<TopicBus>(); }

}  // namespace keyferry::server

#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "device/discovery/discovery.h"
#include "protocol/result.h"

namespace keyferry::device {

// One way to find keys, and the words for it ("USB", "Bluetooth").
struct KeyWatch {
  std::string name;
  std::function<Result<std::unique_ptr<Discovery>>()> start;
};

// Several ways to find keys as one stream of events. Each has a thread of its own, so that none
// waits for another; the events of one way keep their order. A way that cannot be started, or
// breaks later, is told once and does not stop the others; keys that it had found stay until their
// ports end. With none left Next waits for Stop.
class MergedDiscovery final : public Discovery {
 public:
  // `name` of the watch and why it does not work, with the cure. Called in the constructor or on
  // the watch's thread; must not call back.
  using OnBroken = std::function<void(const std::string& name, const Error& why)>;

  // A watch whose events are not taken (kMaxWaiting of them) is held back.
  static constexpr std::size_t kMaxWaiting = 256;

  MergedDiscovery(std::vector<KeyWatch> watches, OnBroken on_broken);
  ~MergedDiscovery() override;  // Stop, and waits for the threads

  Result<DiscoveryEvent> Next() override;
  void Stop() override;

 private:
  struct Source {
    std::string name;
    std::unique_ptr<Discovery> discovery;
    std::thread thread;
  };

  void Pump(const Source& source);

  const OnBroken on_broken_;
  std::vector<Source> sources_;

  std::mutex mutex_;  // all below
  std::condition_variable changed_;
  std::deque<DiscoveryEvent> events_;
  bool stopped_ = false;
};

}  // namespace keyferry::device

#include "device/discovery/merged_discovery.h"

#include <utility>

namespace keyferry::device {

MergedDiscovery::MergedDiscovery(std::vector<KeyWatch> watches, OnBroken on_broken)
    : on_broken_(std::move(on_broken)) {
  for (KeyWatch& watch : watches) {
    auto started = watch.start();
    if (started) {
      sources_.push_back({std::move(watch.name), *std::move(started), {}});
    } else {
      on_broken_(watch.name, started.error());
    }
  }
  for (Source& source : sources_) {
    source.thread = std::thread([this, &source] { Pump(source); });
  }
}

MergedDiscovery::~MergedDiscovery() {
  Stop();
  for (Source& source : sources_) source.thread.join();
}

void MergedDiscovery::Pump(const Source& source) {
  while (true) {
    const auto event = source.discovery->Next();
    std::unique_lock lock(mutex_);
    if (stopped_) return;
    if (!event) {
      lock.unlock();
      on_broken_(source.name, event.error());
      return;
    }
    changed_.wait(lock, [this] { return stopped_ || events_.size() < kMaxWaiting; });
    events_.push_back(*event);
    changed_.notify_all();
  }
}

Result<DiscoveryEvent> MergedDiscovery::Next() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return stopped_ || !events_.empty(); });
  if (stopped_) return Fail(ErrorCode::kUnavailable, "Stopped.");
  DiscoveryEvent event = std::move(events_.front());
  events_.pop_front();
  changed_.notify_all();
  return event;
}

void MergedDiscovery::Stop() {
  {
    const std::scoped_lock lock(mutex_);
    stopped_ = true;
    changed_.notify_all();
  }
  for (Source& source : sources_) source.discovery->Stop();
}

}  // namespace keyferry::device

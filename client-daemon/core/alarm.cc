#include "client-daemon/core/alarm.h"

#include <utility>

#include "client-daemon/core/files.h"
#include "client-daemon/core/sealed_file.h"
#include "protocol/bytes.h"

namespace keyferry::daemon {

// The file is there while the alarm stands: since(8).
Alarm::Alarm(std::string path) : path_(std::move(path)) {
  const auto payload = ReadChecked(path_);
  if (!payload && payload.error().code == ErrorCode::kNotFound) return;
  stands_ = true;
  if (!payload) return;
  protocol::Reader reader(*payload);
  const std::uint64_t since = reader.U64();
  if (reader.ok()) since_ = static_cast<std::int64_t>(since);
}

std::int64_t Alarm::Since() const {
  const std::scoped_lock lock(mutex_);
  return since_;
}

void Alarm::Begin() {
  const std::scoped_lock lock(mutex_);
  number_.reset();
}

Result<void> Alarm::Take(const AlarmEvent& event) {
  const std::scoped_lock lock(mutex_);
  if (number_ && event.number < *number_) return {};
  number_ = event.number;
  const bool before = stands_.exchange(event.on);
  const std::int64_t since_before = std::exchange(since_, event.on ? event.since : 0);
  if (!event.on) return before ? RemoveDurably(path_) : Result<void>();
  if (before && since_ == since_before) return {};
  Bytes payload(8);
  protocol::Writer(payload).U64(static_cast<std::uint64_t>(since_));
  return WriteChecked(path_, payload);
}

}  // namespace keyferry::daemon

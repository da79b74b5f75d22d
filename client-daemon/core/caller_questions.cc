#include "client-daemon/core/caller_questions.h"

#include <algorithm>

namespace keyferry::daemon {
namespace {

bool SameName(const std::string& a, const std::string& b) {
  const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; };
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [&](char x, char y) { return lower(x) == lower(y); });
}

}  // namespace

void CallerQuestions::Put(const CallerEvent& event, Clock::time_point now) {
  const std::scoped_lock lock(mutex_);
  std::erase_if(waiting_, [&](const Waiting& one) {
    return one.until <= now || one.event.request == event.request;
  });
  if (waiting_.size() >= kMost) waiting_.erase(waiting_.begin());
  waiting_.push_back({event, now + event.life});
}

void CallerQuestions::Remove(const Id& request) {
  const std::scoped_lock lock(mutex_);
  std::erase_if(waiting_, [&](const Waiting& one) { return one.event.request == request; });
}

std::optional<CallerEvent> CallerQuestions::Of(const std::string& login, Clock::time_point now) {
  const std::scoped_lock lock(mutex_);
  const auto found = std::find_if(waiting_.rbegin(), waiting_.rend(), [&](const Waiting& one) {
    return now < one.until && SameName(one.event.login, login);
  });
  if (found == waiting_.rend()) return std::nullopt;
  return found->event;
}

}  // namespace keyferry::daemon

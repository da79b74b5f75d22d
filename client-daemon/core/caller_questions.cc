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

std::uint64_t CallerQuestions::Microseconds() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return static_cast<std::uint64_t>(
      std::chrono::duration_cast<std::chrono::microseconds>(now).count());
}

void CallerQuestions::Put(const CallerEvent& event, Clock::time_point now) {
  const std::scoped_lock lock(mutex_);
  // The same one, which the server sent again to who came back, keeps its number.
  const auto same = std::find_if(waiting_.begin(), waiting_.end(), [&](const Waiting& one) {
    return one.event.request == event.request && one.event.challenge == event.challenge;
  });
  const std::uint64_t number = same == waiting_.end() ? ++last_ : same->number;
  std::erase_if(waiting_, [&](const Waiting& one) {
    return one.until <= now || one.event.request == event.request;
  });
  if (waiting_.size() >= kMost) waiting_.erase(waiting_.begin());
  waiting_.push_back({event, now + event.life, number});
}

void CallerQuestions::Remove(const Id& request) {
  const std::scoped_lock lock(mutex_);
  std::erase_if(waiting_, [&](const Waiting& one) { return one.event.request == request; });
}

std::vector<AskedCaller> CallerQuestions::All(Clock::time_point now) {
  const std::scoped_lock lock(mutex_);
  std::vector<AskedCaller> out;
  for (auto one = waiting_.rbegin(); one != waiting_.rend(); ++one) {
    if (now >= one->until) continue;
    const CallerEvent& event = one->event;
    out.push_back({one->number, event.login, event.agent, event.ticket, event.reason,
                   std::chrono::ceil<std::chrono::seconds>(one->until - now)});
  }
  return out;
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

#include "client-daemon/core/notice_board.h"

#include <algorithm>

namespace keyferry::daemon {
namespace {

// "CORP\\alice", "alice@corp.example" → "alice".
std::string_view WithoutDomain(std::string_view name) {
  if (const std::size_t slash = name.find('\\'); slash != std::string_view::npos) {
    name.remove_prefix(slash + 1);
  }
  return name.substr(0, name.find('@'));
}

char Lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

}  // namespace

void NoticeBoard::Put(const NoticeEvent& notice) {
  const std::scoped_lock lock(mutex_);
  if (notice.number <= forgotten_) return;
  notices_[notice.number] = notice;
  if (notices_.size() <= kMostNotices) return;
  forgotten_ = notices_.begin()->first;
  notices_.erase(notices_.begin());
}

std::vector<NoticeEvent> NoticeBoard::All() const {
  const std::scoped_lock lock(mutex_);
  std::vector<NoticeEvent> out;
  for (auto one = notices_.rbegin(); one != notices_.rend(); ++one) out.push_back(one->second);
  return out;
}

void NoticeBoard::Remove(std::uint64_t number) {
  const std::scoped_lock lock(mutex_);
  notices_.erase(number);
}

bool IsSameUser(std::string_view local_name, std::string_view login) {
  const std::string_view a = WithoutDomain(local_name), b = WithoutDomain(login);
  return !a.empty() && std::equal(a.begin(), a.end(), b.begin(), b.end(),
                                  [](char one, char other) { return Lower(one) == Lower(other); });
}

}  // namespace keyferry::daemon

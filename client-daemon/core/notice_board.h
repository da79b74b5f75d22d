#pragma once

#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "client-daemon/core/server_port.h"

namespace keyferry::daemon {

// What people whose keys are here were told, as the server said since the start; it says it anew
// with every connection. The newest kMostNotices of all. Thread-safe.
class NoticeBoard {
 public:
  static constexpr std::size_t kMostNotices = 64;

  void Put(const NoticeEvent& notice);
  // Newest first.
  std::vector<NoticeEvent> All() const;
  // The person has objected: it is not shown any more.
  void Remove(std::uint64_t number);

 private:
  mutable std::mutex mutex_;
  std::map<std::uint64_t, NoticeEvent> notices_;  // by number
  std::uint64_t forgotten_ = 0;                   // up to this number there was no room
};

// Whether the local user with this name is the person with this login of the directory: what is
// left of both without a domain, whatever the case of ASCII letters.
bool IsSameUser(std::string_view local_name, std::string_view login);

}  // namespace keyferry::daemon

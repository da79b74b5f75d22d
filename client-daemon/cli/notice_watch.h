#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "client-daemon/cli/desktop_question.h"
#include "client-daemon/core/server_port.h"
#include "protocol/result.h"

namespace keyferry::daemon::cli {

// The daemon's answer to `notices`. kProtocol for one that is none; an answer that refuses is an
// error with its words.
Result<std::vector<NoticeEvent>> ParseNotices(std::string_view answer);
// "A new password was set for alice." A kind of a newer server is said in general words.
std::string ActOf(const NoticeEvent& notice);
// All of them in words, with what to do.
std::string NoticesText(const std::vector<NoticeEvent>& notices);
// The request that says "this was not me", and what its answer means.
std::string NotMeRequest(std::uint64_t number);
Result<void> ParseNotMe(std::string_view answer);

// Shows on the desktop what is new, each once, and asks whether it was the person. What was shown
// is remembered in a file, so that the next session does not show it again.
class NoticeWatch {
 public:
  // One request to the daemon's socket and its answer.
  using AskDaemon = std::function<Result<std::string>(const std::string& request)>;
  NoticeWatch(AskDaemon ask, DesktopQuestion& desktop, std::string seen_file);

  // One round. Blocks while a question is open: ten minutes at most for each.
  Result<void> Look();

 private:
  void Show(const NoticeEvent& notice);

  const AskDaemon ask_;
  DesktopQuestion& desktop_;
  const std::string seen_file_;
  std::uint64_t seen_ = 0;  // the newest that was shown
};

}  // namespace keyferry::daemon::cli

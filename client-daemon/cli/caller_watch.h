#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "client-daemon/cli/desktop_question.h"
#include "client-daemon/core/server_port.h"
#include "protocol/result.h"

namespace keyferry::daemon::cli {

// The daemon's answer to `asked`. kProtocol for one that is none; an answer that refuses is an
// error with its words.
Result<std::vector<AskedCaller>> ParseAsked(std::string_view answer);

// Shows on the desktop what the help desk asks, each question once: who asks, for what, and how to
// answer. It takes no answer itself: number and PIN are typed into a terminal, which shows the same
// once more, and whoever can press a button here proves nothing.
class CallerWatch {
 public:
  // One request to the daemon's socket and its answer.
  using AskDaemon = std::function<Result<std::string>(const std::string& request)>;
  CallerWatch(AskDaemon ask, DesktopQuestion& desktop) : ask_(std::move(ask)), desktop_(desktop) {}

  // One round. Blocks while a question is shown, no longer than it can be answered.
  Result<void> Look();

 private:
  const AskDaemon ask_;
  DesktopQuestion& desktop_;
  std::uint64_t shown_ = 0;  // the newest
};

}  // namespace keyferry::daemon::cli

#pragma once

#include <chrono>
#include <memory>
#include <string>

#include "protocol/result.h"

namespace keyferry::daemon::cli {

// Questions with two buttons on the user's desktop (org.freedesktop.Notifications on the session
// bus). kUnavailable when there is no session bus or no desktop that shows notifications with
// buttons. One question at a time.
class DesktopQuestion {
 public:
  // `bus_address` empty: that of the user's session.
  static Result<std::unique_ptr<DesktopQuestion>> Open(std::string bus_address = {});
  virtual ~DesktopQuestion() = default;

  // True when the person pressed `yes`. False after `no`, when the notice was closed or `limit`
  // passed, or when `moot_fd` became readable; the notice is taken back then. The texts are shown
  // as they are: nothing in them is read as markup.
  virtual bool Ask(const std::string& title, const std::string& text, const std::string& yes,
                   const std::string& no, std::chrono::milliseconds limit, int moot_fd) = 0;
};

}  // namespace keyferry::daemon::cli

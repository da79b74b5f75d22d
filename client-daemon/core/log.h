#pragma once

#include <functional>
#include <string_view>

namespace keyferry::daemon {

enum class LogLevel { kDebug, kInfo, kWarning, kError };

// One event = one line for the person who runs the workstation. Never give it a secret; what comes
// from outside is made printable here. Any thread. Without a sink (tests) nothing is written.
void Log(LogLevel level, std::string_view line);

// Set once, before other threads start; an empty one ends logging.
void SetLogSink(std::function<void(LogLevel, std::string_view)> sink);

}  // namespace keyferry::daemon

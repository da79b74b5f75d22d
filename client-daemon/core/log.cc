#include "client-daemon/core/log.h"

#include <utility>

#include "client-daemon/core/encoding.h"

namespace keyferry::daemon {
namespace {

std::function<void(LogLevel, std::string_view)>& Sink() {
  static std::function<void(LogLevel, std::string_view)> sink;
  return sink;
}

}  // namespace

void Log(LogLevel level, std::string_view line) {
  if (const auto& sink = Sink()) sink(level, Printable(line, 2000));
}

void SetLogSink(std::function<void(LogLevel, std::string_view)> sink) { Sink() = std::move(sink); }

}  // namespace keyferry::daemon

#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "protocol/result.h"
#include "server/app/config.h"

namespace spdlog {
class logger;
}

namespace keyferry::server {

// The server's log: one line an event, "TIME LEVEL TEXT", times in UTC. Nothing secret gets here at
// any level. Thread-safe.
class Log {
 public:
  // To the configured file (appended, mode 0600) or to standard error.
  static Result<std::unique_ptr<Log>> Open(const ServerConfig& config);
  ~Log();

  void Debug(std::string_view text);
  void Info(std::string_view text);
  void Warning(std::string_view text);
  void Problem(std::string_view text);
  void Flush();

 private:
  explicit Log(std::shared_ptr<spdlog::logger> logger) : logger_(std::move(logger)) {}
  std::shared_ptr<spdlog::logger> logger_;
};

// `text` as one line that cannot deceive a reader: control characters, line and paragraph
// separators and bidirectional overrides are written as \u{…}, bytes that are not UTF-8 as \x….
// Longer than `most` bytes is cut and says so.
std::string OneLine(std::string_view text, std::size_t most = 2000);

}  // namespace keyferry::server

#include "client-daemon/app/logging.h"

#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/basic_file_sink.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <memory>

#include "client-daemon/core/log.h"

namespace keyferry::daemon {
namespace {

spdlog::level::level_enum LevelOf(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug:
      return spdlog::level::debug;
    case LogLevel::kInfo:
      return spdlog::level::info;
    case LogLevel::kWarning:
      return spdlog::level::warn;
    case LogLevel::kError:
      return spdlog::level::err;
  }
  return spdlog::level::err;
}

}  // namespace

Result<void> StartLogging(const std::string& level, const std::string& file) {
  std::shared_ptr<spdlog::logger> logger;
  try {
    spdlog::sink_ptr sink;
    if (file.empty()) {
      sink = std::make_shared<spdlog::sinks::stderr_sink_mt>();
    } else {
      sink = std::make_shared<spdlog::sinks::basic_file_sink_mt>(file);
    }
    logger = std::make_shared<spdlog::logger>("keyferryd", std::move(sink));
  } catch (const spdlog::spdlog_ex& error) {
    return Fail(ErrorCode::kIo, "The log file " + file + " cannot be written; check log_file.",
                error.what());
  }
  logger->set_formatter(std::make_unique<spdlog::pattern_formatter>(
      "%Y-%m-%dT%H:%M:%S.%eZ %l %v", spdlog::pattern_time_type::utc));
  logger->set_level(spdlog::level::from_str(level));
  logger->flush_on(spdlog::level::trace);  // a crash must not take the last lines with it
  SetLogSink([logger](LogLevel severity, std::string_view line) {
    logger->log(LevelOf(severity), spdlog::string_view_t(line.data(), line.size()));
  });
  return {};
}

}  // namespace keyferry::daemon

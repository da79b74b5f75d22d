#include "server/app/log.h"

#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/basic_file_sink.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>
#include <sys/stat.h>

#include <cstdio>

namespace keyferry::server {
namespace {

struct Character {
  std::uint32_t value = 0;
  std::size_t size = 0;  // 0 = not UTF-8
};

Character Decode(std::string_view text) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned lead = byte(0);
  if (lead < 0x80) return {lead, 1};
  const std::size_t size = lead >= 0xF0 && lead < 0xF5   ? 4
                           : lead >= 0xE0 && lead < 0xF0 ? 3
                           : lead >= 0xC2 && lead < 0xE0 ? 2
                                                         : 0;
  if (size == 0 || text.size() < size) return {};
  std::uint32_t value = lead & (0x7Fu >> size);
  for (std::size_t i = 1; i < size; ++i) {
    if ((byte(i) & 0xC0u) != 0x80u) return {};
    value = value << 6 | (byte(i) & 0x3Fu);
  }
  return {value, size};
}

bool IsDeceptive(std::uint32_t c) {
  return c < 0x20 || (c >= 0x7F && c < 0xA0) || (c >= 0x200B && c <= 0x200F) ||
         (c >= 0x2028 && c <= 0x202E) || (c >= 0x2060 && c <= 0x206F) || c == 0xFEFF || c == 0x061C;
}

}  // namespace

std::string OneLine(std::string_view text, std::size_t most) {
  std::string out;
  const bool cut = text.size() > most;
  text = text.substr(0, most);
  char escaped[16];
  while (!text.empty()) {
    const Character character = Decode(text);
    if (character.size == 0) {
      std::snprintf(escaped, sizeof escaped, "\\x%02x",
                    static_cast<unsigned>(static_cast<unsigned char>(text[0])));
      out += escaped;
      text.remove_prefix(1);
      continue;
    }
    if (IsDeceptive(character.value)) {
      std::snprintf(escaped, sizeof escaped, "\\u{%x}", static_cast<unsigned>(character.value));
      out += escaped;
    } else {
      out += text.substr(0, character.size);
    }
    text.remove_prefix(character.size);
  }
  if (cut) out += " …";
  return out;
}

Result<std::unique_ptr<Log>> Log::Open(const ServerConfig& config) {
  try {
    std::shared_ptr<spdlog::logger> logger;
    if (config.log.file.empty()) {
      logger = std::make_shared<spdlog::logger>("keyferry",
                                                std::make_shared<spdlog::sinks::stderr_sink_mt>());
    } else {
      logger = std::make_shared<spdlog::logger>(
          "keyferry",
          std::make_shared<spdlog::sinks::basic_file_sink_mt>(config.log.file.string(), false));
      ::chmod(config.log.file.c_str(), 0600);
    }
    logger->set_formatter(std::make_unique<spdlog::pattern_formatter>(
        "%Y-%m-%dT%H:%M:%S.%eZ %-7l %v", spdlog::pattern_time_type::utc));
    logger->set_level(spdlog::level::from_str(config.log.level));
    logger->flush_on(spdlog::level::info);
    return std::unique_ptr<Log>(new Log(std::move(logger)));
  } catch (const spdlog::spdlog_ex& failure) {
    return Fail(ErrorCode::kIo,
                "Cannot write the log file " + config.log.file.string() + ": check log.file.",
                failure.what());
  }
}

Log::~Log() { Flush(); }

void Log::Debug(std::string_view text) {
  if (logger_->should_log(spdlog::level::debug)) logger_->debug("{}", OneLine(text));
}
void Log::Info(std::string_view text) { logger_->info("{}", OneLine(text)); }
void Log::Warning(std::string_view text) { logger_->warn("{}", OneLine(text)); }
void Log::Problem(std::string_view text) { logger_->error("{}", OneLine(text)); }
void Log::Flush() { logger_->flush(); }

}  // namespace keyferry::server

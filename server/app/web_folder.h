#pragma once

#include <filesystem>

#include "server/app/config.h"

namespace keyferry::server {

// Where templates, texts and assets of pages and mails lie.
inline std::filesystem::path WebFolder(const ServerConfig& config) {
  if (!config.web_dir.empty()) return config.web_dir;
  std::error_code ec;
  const auto program = std::filesystem::read_symlink("/proc/self/exe", ec);
  return program.parent_path().parent_path() / "share" / "keyferry" / "web";
}

}  // namespace keyferry::server

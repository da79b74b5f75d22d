#pragma once

#include <cstddef>
#include <filesystem>
#include <string>
#include <vector>

#include "server/app/config.h"
#include "server/app/config_reader.h"

namespace keyferry::server {

// The table [directory] and the blocks [[source]] and [[scope]]: where people and passwords are,
// and over whom a role reaches. `folder` is the one that relative paths count from. What is wrong
// is complained of at `reader`.
void ReadDirectory(ConfigReader& reader, const std::filesystem::path& folder, ServerConfig& config);

// One block each, added to `config`; `reader` is of that block alone and is finished here. Scopes
// name no files.
inline constexpr std::size_t kMaxSources = 4;
Result<void> ReadSource(ConfigReader& reader, const std::filesystem::path& folder,
                        ServerConfig& config);
const std::vector<std::string>& SourceKeys();

inline constexpr std::size_t kMaxScopes = 32;
Result<void> ReadScope(ConfigReader& reader, const std::filesystem::path& folder,
                       ServerConfig& config);
const std::vector<std::string>& ScopeKeys();

}  // namespace keyferry::server

#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "server/app/config.h"
#include "server/app/config_reader.h"

namespace keyferry::server {

// The tables [webhook] and [sms]: whom the server speaks to over HTTPS. `directory` is the folder
// that relative paths count from. What is wrong is complained of at `reader`.
const std::vector<std::string>& OutboundKeys();
void ReadOutbound(ConfigReader& reader, const std::filesystem::path& directory,
                  ServerConfig& config);

}  // namespace keyferry::server

#pragma once

#include <cstdint>
#include <string>

namespace keyferry::server {

bool IsIpAddress(const std::string& text);  // of either family
bool IsHostName(const std::string& text);   // in lower case
// Whether a host is `parent` or below it.
bool IsAtOrBelow(const std::string& host, const std::string& parent);
// "https://HOST", with a port that is not 443, as browsers write it. HOST is a name.
bool IsHttpsOrigin(const std::string& text);
// "https://NAME:PORT"; `name` is a host's name or address.
std::string UrlOf(const std::string& name, std::uint16_t port);

}  // namespace keyferry::server

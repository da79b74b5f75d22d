#include "server/app/host_names.h"

#include <arpa/inet.h>

#include <algorithm>
#include <string_view>

namespace keyferry::server {

bool IsIpAddress(const std::string& text) {
  unsigned char bytes[16];
  return inet_pton(AF_INET, text.c_str(), bytes) == 1 ||
         inet_pton(AF_INET6, text.c_str(), bytes) == 1;
}

bool IsHostName(const std::string& text) {
  if (text.empty() || text.size() > 253 || text.front() == '-' || text.front() == '.' ||
      text.back() == '.') {
    return false;
  }
  return std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.';
  });
}

bool IsAtOrBelow(const std::string& host, const std::string& parent) {
  return host == parent || (host.size() > parent.size() && host.ends_with("." + parent));
}

bool IsHttpsOrigin(const std::string& text) {
  constexpr std::string_view kScheme = "https://";
  if (text.rfind(kScheme, 0) != 0) return false;
  const std::string rest = text.substr(kScheme.size());
  const std::size_t colon = rest.find(':');
  const std::string host = rest.substr(0, colon);
  if (IsIpAddress(host) || !IsHostName(host)) return false;
  if (colon == std::string::npos) return true;
  const std::string port = rest.substr(colon + 1);
  return !port.empty() && port.size() <= 5 && port[0] != '0' && port != "443" &&
         port.find_first_not_of("0123456789") == std::string::npos && std::stoi(port) <= 65535;
}

std::string UrlOf(const std::string& name, std::uint16_t port) {
  const bool v6 = name.find(':') != std::string::npos;
  return "https://" + (v6 ? "[" + name + "]" : name) + ":" + std::to_string(port);
}

}  // namespace keyferry::server

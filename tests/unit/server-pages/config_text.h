#pragma once

#include <catch2/catch.hpp>
#include <string>

#include "server/app/config.h"

namespace keyferry::server {

// The shortest configuration that is good.
inline const char* const kGood = R"([server]
state_dir = "state"
listen = "127.0.0.1:8443"
workstation_listen = "[::1]:8444"
names = ["keyferry.corp.example", "10.0.0.1"]
[directory]
uris = ["ldaps://dc1.corp.example"]
ca_file = "ca.pem"
base_dn = "DC=corp,DC=example"
bind_name = "svc@corp.example"
password_file = "/etc/keyferry/password"
administrator_groups = ["CN=Admins,DC=corp,DC=example"]
[keys]
vendor_ca = ["vendor.pem"]
)";

inline Result<ServerConfig> Parse(const std::string& text) {
  return ServerConfig::Parse(text, "server.toml", "/etc/keyferry");
}

// The same with one piece of it replaced.
inline std::string With(const std::string& from, const std::string& to) {
  std::string text = kGood;
  const std::size_t at = text.find(from);
  REQUIRE(at != std::string::npos);
  return text.replace(at, from.size(), to);
}

}  // namespace keyferry::server

#include "server/storage/postgres_url.h"

#include <libpq-fe.h>

#include <algorithm>
#include <map>
#include <memory>
#include <sstream>
#include <vector>

namespace keyferry::server {
namespace {

struct FreeOptions {
  void operator()(PQconninfoOption* options) const { PQconninfoFree(options); }
};

tl::unexpected<Error> Wrong(std::string what) {
  return Fail(ErrorCode::kInvalidArgument, std::move(what));
}

bool MayHoldPassword(const std::string& text) {
  const std::size_t start = text.find("//") + 2;
  const std::size_t at = text.rfind('@');
  const std::size_t colon = text.find(':', start);
  if (at != std::string::npos && colon != std::string::npos && colon < at) return true;
  std::string lower = text;
  std::transform(lower.begin(), lower.end(), lower.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  // "%70assword" is the same to libpq.
  return lower.find("password") != std::string::npos || lower.find("%7") != std::string::npos;
}

bool IsLocal(const std::string& host) {
  return host.empty() || host.front() == '/' || host.front() == '@' || host == "localhost" ||
         host == "127.0.0.1" || host == "::1";
}

std::vector<std::string> Split(const std::string& list) {
  std::vector<std::string> parts;
  std::istringstream in(list);
  for (std::string part; std::getline(in, part, ',');) parts.push_back(part);
  return parts;
}

std::string Quoted(const std::string& value) {
  std::string out = "'";
  for (const char c : value) {
    if (c == '\'' || c == '\\') out += '\\';
    out += c;
  }
  return out + "'";
}

}  // namespace

Result<PostgresUrl> PostgresUrl::Parse(const std::string& text) {
  constexpr const char* kExample =
      "must look like \"postgresql:///keyferry?host=/run/postgresql\" or "
      "\"postgresql://keyferry@db.example/keyferry?sslmode=verify-full&sslrootcert=/FILE\"";
  const bool scheme = text.rfind("postgresql://", 0) == 0 || text.rfind("postgres://", 0) == 0;
  if (!scheme || text.size() > 2000) return Wrong(std::string(kExample) + ".");
  if (MayHoldPassword(text)) {
    return Wrong(
        "must not hold a password: put it into a file of mode 0600, one line "
        "HOST:PORT:DATABASE:USER:PASSWORD, and name that with passfile=/FILE.");
  }
  char* problem = nullptr;
  const std::unique_ptr<PQconninfoOption, FreeOptions> options(
      PQconninfoParse(text.c_str(), &problem));
  const std::unique_ptr<char, decltype(&PQfreemem)> problem_owner(problem, &PQfreemem);
  if (!options) {
    std::string why = problem == nullptr ? "" : problem;
    while (!why.empty() && (why.back() == '\n' || why.back() == '.')) why.pop_back();
    return Wrong(std::string(kExample) + (why.empty() ? "" : ": " + why) + ".");
  }
  std::map<std::string, std::string> values;
  for (const PQconninfoOption* option = options.get(); option->keyword != nullptr; ++option) {
    if (option->val != nullptr && *option->val != '\0') values[option->keyword] = option->val;
  }
  if (values.count("dbname") == 0) {
    return Wrong("names no database; " + std::string(kExample) + ".");
  }
  const std::string& mode = values["sslmode"];
  std::vector<std::string> hosts = Split(values["host"]);
  for (const std::string& address : Split(values["hostaddr"])) hosts.push_back(address);
  for (const std::string& host : hosts) {
    if (IsLocal(host) || mode == "verify-full") continue;
    return Wrong("reaches " + host +
                 " across the network, so it must say sslmode=verify-full (and, for an authority "
                 "of your own, sslrootcert=/FILE).");
  }
  for (const std::string& port : Split(values["port"])) {
    const bool digits = port.size() <= 5 && std::all_of(port.begin(), port.end(), [](char c) {
                          return c >= '0' && c <= '9';
                        });
    if (!digits || (!port.empty() && (std::stoi(port) < 1 || std::stoi(port) > 65535))) {
      return Wrong(std::string(kExample) + ": its port is no number from 1 to 65535.");
    }
  }
  const std::map<std::string, std::string> defaults = {
      {"application_name", "keyferry-server"},
      {"client_encoding", "UTF8"},
      {"connect_timeout", "5"},
      {"tcp_user_timeout", "10000"},
      {"target_session_attrs", "read-write"},  // of several hosts, the one that takes writes
  };
  for (const auto& [key, value] : defaults) values.try_emplace(key, value);
  PostgresUrl url;
  for (const auto& [key, value] : values) {
    if (!value.empty()) url.connection_ += key + "=" + Quoted(value) + " ";
  }
  url.place_ = values["dbname"] + " at " + (hosts.empty() ? "the local socket" : hosts.front());
  url.password_file_ = values["passfile"];
  return url;
}

}  // namespace keyferry::server

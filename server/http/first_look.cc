#include "server/http/first_look.h"

#include <algorithm>
#include <cctype>

namespace keyferry::server {

bool IsHostOf(std::string_view host, const std::vector<std::string>& hosts) {
  std::string_view name = host;
  const std::size_t colon = host.rfind(':');
  if (colon != std::string_view::npos && host.back() != ']') name = host.substr(0, colon);
  return std::any_of(hosts.begin(), hosts.end(), [name](const std::string& known) {
    return known.size() == name.size() &&
           std::equal(known.begin(), known.end(), name.begin(), [](char a, char b) {
             return a == static_cast<char>(std::tolower(static_cast<unsigned char>(b)));
           });
  });
}

void NoteProgram(std::string_view target, Request& request) {
  for (const char* root : {"api", "workstation"}) {
    const std::string start = "/" + std::string(root) + "/";
    if (target.substr(0, start.size()) == start) request.path = {root};
  }
}

}  // namespace keyferry::server

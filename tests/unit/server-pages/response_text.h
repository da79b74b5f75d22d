#pragma once

#include <cstddef>
#include <string>

#include "server/http/message.h"

// What a test looks for in a page.
namespace keyferry::server {

inline bool Contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}
inline bool Contains(const Response& response, const std::string& part) {
  return Contains(response.body, part);
}

// How often, overlaps too.
inline std::size_t Count(const std::string& text, const std::string& part) {
  std::size_t count = 0;
  for (std::size_t at = 0; (at = text.find(part, at)) != std::string::npos; ++at) ++count;
  return count;
}

}  // namespace keyferry::server

#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "protocol/result.h"

namespace keyferry::server {

// A request target, taken apart once.
struct Target {
  std::vector<std::string> path;
  std::vector<std::pair<std::string, std::string>> query;
};

// Reads an origin-form target of at most 2,048 bytes. There is exactly one spelling of every path:
// segments of [A-Za-z0-9_-] with dots inside, single slashes, nothing encoded; every other spelling
// ("//", "/./", "%2e", ";x", "\", a dot or slash at the end) is kInvalidArgument, so that no two
// layers can read one path differently. Query values are percent-decoded once and must be UTF-8
// without control characters; at most 8, names unique.
Result<Target> ParseTarget(std::string_view target);

// A name or value of a query, percent-encoded so that ParseTarget gives it back.
std::string QueryText(std::string_view text);

}  // namespace keyferry::server

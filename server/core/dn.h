#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace keyferry::server {

std::string LowerCase(std::string_view text);  // of ASCII letters

// A distinguished name (RFC 4514) as its parts, lower case, with escapes resolved and blanks around
// separators dropped, so that two spellings of one name are equal. Empty: it is none.
std::vector<std::string> PartsOfDn(std::string_view dn);
// Whether `dn` lies somewhere below `above`; nothing lies below an empty one.
bool IsBelow(const std::vector<std::string>& dn, const std::vector<std::string>& above);

}  // namespace keyferry::server

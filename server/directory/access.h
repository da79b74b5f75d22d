#pragma once

#include <optional>
#include <set>
#include <string>
#include <string_view>

namespace keyferry::server {

// The extended right User-Force-Change-Password, "Reset password" ([MS-ADTS] 5.1.3.2.1).
inline constexpr std::string_view kResetPasswordRight = "00299570-246d-11d0-a768-00aa006e0529";

struct AccessFacts {
  bool reset_password = false;       // granted to the token, and not denied before
  bool inheritance_blocked = false;  // the entry takes no permissions from its OU
};

// Reads a self-relative security descriptor ([MS-DTYP] section 2.4.6) with its DACL, as a search
// with the SD flags control returns it, for a token of these SIDs. nullopt when it is malformed.
std::optional<AccessFacts> ReadAccess(std::string_view descriptor,
                                      const std::set<std::string, std::less<>>& token);

}  // namespace keyferry::server

#pragma once

#include <chrono>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "server/directory/connection.h"

namespace keyferry::server {

// Which accounts Keyferry never touches, decided by SID and class, never by name. Pure: the adapter
// reads, this judges. Whatever cannot be read counts as protected.

// Why an account is protected, in words that complete "This account is protected (…)", and what to
// do instead, as a sentence.
struct Protection {
  std::string reason;
  std::string advice;
};

// What the decision needs to know about the domain; the same for all accounts for a while.
struct ProtectionContext {
  std::string section = "directory";             // LdapConfig::section
  std::set<std::string, std::less<>> own_token;  // SIDs that the service account's bind carries
  std::vector<std::pair<std::string, std::string>>
      configured;                      // SID, DN of directory.protected_groups
  std::vector<std::string> everyones;  // SIDs of groups that everybody is in by way of a well-known
                                       // principal (Authenticated Users …)
};

// Attributes that JudgeProtection wants; for base searches only (tokenGroups).
const std::vector<std::string>& ProtectionAttributes();

// nullopt = an ordinary account. `foreign_groups`: SIDs of groups that a SID of the account's
// history reaches through a foreign security principal.
std::optional<Protection> JudgeProtection(const LdapEntry& entry,
                                          const std::vector<std::string>& foreign_groups,
                                          const ProtectionContext& context);

// For a fact that the decision needs and the directory did not give.
Protection Unreadable(std::string_view what);

// The actor is the account: by identifier, or by a SID that both have or had.
Protection OwnAccount();

// The name of a protected account or group by its SID: the AdminSDHolder set of Windows and what
// leads to it, as RIDs of any domain (so that SID history counts too) and built-in groups; nullopt
// for others.
std::optional<std::string_view> ProtectedName(std::string_view sid);

// SIDs that every account carries without being told; a group that holds one of them has everybody.
const std::vector<std::string>& EverybodysSids();

}  // namespace keyferry::server

#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "server/core/directory.h"
#include "server/directory/connection.h"

namespace keyferry::server {

// Attributes that the readers below want.
const std::vector<std::string>& PersonAttributes();
// Both include PersonAttributes, and are for base searches only: of an account's page, and of one
// that is about to be changed, which leaves out what a controller has to look far for and no change
// asks: whether the account is locked and when its password expires.
const std::vector<std::string>& StateAttributes();
const std::vector<std::string>& ChangeAttributes();

// Ordinary user accounts in a search: no computers, managed service accounts or trusts
// (sAMAccountType SAM_NORMAL_USER_ACCOUNT, [MS-SAMR] section 2.2.1.9).
inline constexpr std::string_view kUserFilter = "(sAMAccountType=805306368)";

// nullopt when objectGUID is missing or of the wrong size.
std::optional<Person> ReadPerson(const LdapEntry& entry);

// The state, without the protected fields. `now` is a FILETIME (100 ns ticks since 1601).
AccountState ReadState(const LdapEntry& entry, std::int64_t now);
std::int64_t FileTimeNow();

// A decimal integer attribute; 0 when absent or malformed.
std::int64_t ReadInteger(const LdapEntry& entry, std::string_view name);

// "S-1-5-21-a-b-c" + RID of the primary group; empty when it cannot be told.
std::string PrimaryGroupSid(const LdapEntry& entry);

// All values of a SID attribute as text.
std::vector<std::string> ReadSids(const LdapEntry& entry, std::string_view name);

// The binary form of a SID, for a filter value; empty when malformed.
std::string SidBinary(std::string_view sid);

}  // namespace keyferry::server

#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "protocol/result.h"
#include "protocol/secure/secure_bytes.h"
#include "server/core/ids.h"

namespace keyferry::server {

// A value inside a search filter (RFC 4515 section 3): everything but plain ASCII letters, digits
// and a few harmless signs becomes \xx, so any bytes are safe.
std::string EscapeFilter(std::string_view value);

// The bytes that unicodePwd wants: the password in double quotes, UTF-16LE. `password` is UTF-8;
// kInvalidArgument when it is empty, longer than 256 UTF-16 units, holds a NUL or is not UTF-8.
Result<SecureBytes> QuotedUtf16(const SecureBytes& password);

// Text of the directory as it may be shown: invalid UTF-8 replaced by U+FFFD, at most `limit`
// bytes.
std::string CleanText(std::string_view value, std::size_t limit = 1024);

// Orders people's names the way a reader expects without a locale: case and the accents of Latin
// letters do not count, other scripts follow by code point. At most 96 bytes, not for display.
std::string SortKey(std::string_view name);

// Any account by its objectGUID, wherever it was moved or renamed to: "<GUID=…>" as a DN.
std::string GuidDn(const AccountId& id);
// The same for a filter: "(objectGUID=\xx…)".
std::string GuidFilter(const AccountId& id);

// "S-1-5-21-…" from the binary form ([MS-DTYP] section 2.4.2.2); nullopt when malformed.
std::optional<std::string> SidText(std::string_view binary);

// "corp.example.test" from "DC=corp,DC=example,DC=test"; empty when there is no DC in it.
std::string DnsName(std::string_view base_dn);

bool HasControl(std::string_view text);  // any ASCII control character

bool EqualNoCase(std::string_view a, std::string_view b);  // ASCII case only

}  // namespace keyferry::server

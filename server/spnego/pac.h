#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>

namespace keyferry::server {

// The account's SID (S-1-5-…) out of UPN_DNS_INFO ([MS-PAC] section 2.10), which domain controllers
// put into every ticket since their updates of November 2021. Nothing when it holds none, or is not
// as that section has it. At most 4,096 bytes are looked at.
std::optional<std::string> SidOfUpnDnsInfo(std::span<const std::uint8_t> bytes);

}  // namespace keyferry::server

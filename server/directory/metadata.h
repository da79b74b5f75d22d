#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

namespace keyferry::server {

// One attribute's replication metadata: how often it was written in the whole forest, and by which
// controller last.
struct AttributeStamp {
  std::uint32_t version = 0;
  std::int64_t written = 0;               // Unix seconds by the writer's clock
  std::array<std::uint8_t, 16> writer{};  // invocation id
};

// ATTRTYP of unicodePwd in the prefix table that every forest begins with ([MS-DRSR] 5.16.4).
inline constexpr std::uint32_t kUnicodePwd = 0x9005A;

// Out of replPropertyMetaData, the PROPERTY_META_DATA_EXT_VECTOR of [MS-DRSR] 5.158 as every
// controller stores it; nullopt when it is malformed or tells nothing of the attribute.
std::optional<AttributeStamp> ReadStamp(std::string_view repl_property_meta_data,
                                        std::uint32_t attribute);

// "20261121095526.0Z" as Unix seconds; 0 when malformed.
std::int64_t ReadGeneralizedTime(std::string_view text);

}  // namespace keyferry::server

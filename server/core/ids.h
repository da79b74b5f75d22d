#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace keyferry::server {

// A 16-byte identifier with a tag, so that an account can never be passed where a key is meant.
// Hex() is 32 lower-case digits, the form used in URLs, JSON and the database.
template <typename Tag>
struct Id16 {
  std::array<std::uint8_t, 16> bytes{};

  // Accepts exactly 32 hex digits of either case.
  static std::optional<Id16> Parse(std::string_view hex) {
    if (hex.size() != 32) return std::nullopt;
    Id16 id;
    for (std::size_t i = 0; i < 32; ++i) {
      const char c = hex[i];
      std::uint8_t digit = 0;
      if (c >= '0' && c <= '9') {
        digit = static_cast<std::uint8_t>(c - '0');
      } else if (c >= 'a' && c <= 'f') {
        digit = static_cast<std::uint8_t>(c - 'a' + 10);
      } else if (c >= 'A' && c <= 'F') {
        digit = static_cast<std::uint8_t>(c - 'A' + 10);
      } else {
        return std::nullopt;
      }
      id.bytes[i / 2] = static_cast<std::uint8_t>(id.bytes[i / 2] << 4 | digit);
    }
    return id;
  }

  std::string Hex() const {
    static constexpr char kDigits[] = "0123456789abcdef";
    std::string out;
    out.reserve(32);
    for (const std::uint8_t byte : bytes) {
      out += kDigits[byte >> 4];
      out += kDigits[byte & 15];
    }
    return out;
  }

  auto operator<=>(const Id16&) const = default;
};

// AD objectGUID, bytes as the directory returns them; OpenLDAP entryUUID.
using AccountId = Id16<struct AccountTag>;
using DeviceId = Id16<struct DeviceTag>;            // a security key
using JobId = Id16<struct JobTag>;                  // UUID of a sealed job
using ChangeId = Id16<struct ChangeTag>;            // UUID of one password change
using WorkstationId = Id16<struct WorkstationTag>;  // UUID, also the host_id of its HostCerts
using EnrolmentId = Id16<struct EnrolmentTag>;      // UUID of one enrolment of a key
using PolicyId = Id16<struct PolicyTag>;            // UUID of a rotation policy
using SessionId = Id16<struct SessionTag>;          // a session; never its cookie
using TokenId = Id16<struct TokenTag>;              // an API token; never the token itself
using FidoKeyId = Id16<struct FidoKeyTag>;  // a FIDO2 key to sign in with; not its credential

}  // namespace keyferry::server

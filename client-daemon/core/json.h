#pragma once

#include <array>
#include <boost/json/object.hpp>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>

#include "client-daemon/core/encoding.h"
#include "protocol/result.h"

// Reading JSON of outside origin into types. Include from .cc files only.
namespace keyferry::daemon {

// One object of at most 64 KiB and 8 levels; anything else is kProtocol.
Result<boost::json::object> ParseObject(std::string_view text);

// True when every member's name is in `known`.
bool HasOnly(const boost::json::object& object, std::initializer_list<std::string_view> known);

// The member, or nothing when it is missing or of another type, size or form.
std::optional<std::string> GetText(const boost::json::object& object, std::string_view name,
                                   std::size_t max_size);
std::optional<std::uint64_t> GetNumber(const boost::json::object& object, std::string_view name);
std::optional<Id> GetId(const boost::json::object& object, std::string_view name);
std::optional<Bytes> GetBytes(const boost::json::object& object, std::string_view name,
                              std::size_t max_size);
// Present and null.
bool IsNull(const boost::json::object& object, std::string_view name);

template <std::size_t N>
std::optional<std::array<std::uint8_t, N>> GetArray(const boost::json::object& object,
                                                    std::string_view name) {
  const auto text = GetText(object, name, (N + 2) / 3 * 4);
  if (!text) return std::nullopt;
  return DecodeBase64Exactly<N>(*text);
}

}  // namespace keyferry::daemon

#pragma once

#include <cstdint>
#include <string>

// What attributes of Active Directory hold.
namespace keyferry::server {

inline constexpr const char* kDomain = "S-1-5-21-1111-2222-3333-";  // and a RID

// A number as the directory writes it: least byte first.
inline std::string Little(std::uint64_t value, int size) {
  std::string out;
  for (int i = 0; i < size; ++i) out += static_cast<char>(value >> (8 * i) & 0xFF);
  return out;
}

}  // namespace keyferry::server

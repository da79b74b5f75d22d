#pragma once

#include <cstdint>
#include <string>

namespace keyferry::test {

// The password that job `seq` of the power cut scenario brings: long, and another each time, so
// that a mix of two would show.
inline std::string PowerCutPassword(std::uint64_t seq) {
  std::string password = "Outage-" + std::to_string(seq) + "-";
  while (password.size() < 100) password += static_cast<char>('a' + (seq + password.size()) % 26);
  return password;
}

inline constexpr char kPowerCutPin[] = "246813";

}  // namespace keyferry::test

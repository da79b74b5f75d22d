#pragma once

#include <algorithm>
#include <boost/json.hpp>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "protocol/crypto.h"
#include "tests/support/vectors/vectors.h"

// How the files of test vectors write their fields: byte strings as hex, numbers as unsigned 64-bit
// integers. A missing or malformed field throws, which RunFile reports as a failed check.
namespace keyferry::vectors {

namespace json = boost::json;
using Blob = std::vector<std::uint8_t>;

inline Blob Unhex(std::string_view hex) {
  Blob out;
  if (hex.size() % 2 != 0) throw std::runtime_error("odd hex");
  for (std::size_t i = 0; i < hex.size(); i += 2) {
    out.push_back(
        static_cast<std::uint8_t>(std::stoul(std::string(hex.substr(i, 2)), nullptr, 16)));
  }
  return out;
}

inline Blob Get(const json::object& o, const char* name) {
  return Unhex(std::string_view(o.at(name).as_string()));
}
inline std::string Text(const json::object& o, const char* name) {
  return std::string(o.at(name).as_string());
}
inline std::uint64_t Number(const json::object& o, const char* name) {
  return o.at(name).to_number<std::uint64_t>();
}

template <std::size_t N>
protocol::Bytes<N> Array(const json::object& o, const char* name) {
  const Blob blob = Get(o, name);
  if (blob.size() != N) throw std::runtime_error(std::string(name) + " has the wrong size");
  protocol::Bytes<N> out{};
  std::copy(blob.begin(), blob.end(), out.begin());
  return out;
}

template <std::size_t N>
protocol::Secret<N> Private(const json::object& o, const char* name) {
  return protocol::Secret<N>(Array<N>(o, name));
}

template <typename A>
bool Same(const A& a, const Blob& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end());
}

// The files that need a key's rules (key_vectors.cc): jobs put to a key that stands as the file
// says, and HID reports sent to a key without a session.
void RunKeyJobs(const json::object& file, const OnCase& report);
void RunHidExchanges(const json::object& file, const OnCase& report);

}  // namespace keyferry::vectors

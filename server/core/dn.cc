#include "server/core/dn.h"

#include <algorithm>

namespace keyferry::server {
namespace {

constexpr std::size_t kMaxDn = 1024;

int HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

}  // namespace

std::string LowerCase(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return out;
}

std::vector<std::string> PartsOfDn(std::string_view dn) {
  if (dn.empty() || dn.size() > kMaxDn) return {};
  std::vector<std::string> parts;
  std::string part;
  std::size_t kept = 0;  // of `part`: what is no blank, or is an escaped one
  bool named = false;    // the separator of type and value was there
  const auto trim = [&] { part.resize(kept); };
  const auto finish = [&] {
    trim();
    const bool good = named && !part.empty() && part.front() != '\0' && part.back() != '\0';
    parts.push_back(LowerCase(part));
    part.clear();
    kept = 0;
    named = false;
    return good;
  };
  for (std::size_t i = 0; i < dn.size(); ++i) {
    char c = dn[i];
    if (c == ',') {
      if (!finish()) return {};
      continue;
    }
    if (c == '=' && !named) {
      trim();
      if (part.empty()) return {};
      // A byte that no value holds, so that no value can look like another type's.
      part += '\0';
      kept = part.size();
      named = true;
      continue;
    }
    if (c == ' ' && (part.empty() || part.back() == '\0')) continue;
    bool escaped = false;
    if (c == '\\') {
      if (i + 1 == dn.size()) return {};
      const int high = HexDigit(dn[i + 1]);
      const int low = i + 2 < dn.size() ? HexDigit(dn[i + 2]) : -1;
      if (high >= 0 && low >= 0) {
        c = static_cast<char>(high * 16 + low);
        i += 2;
      } else {
        c = dn[++i];
      }
      if (c == '\0') return {};
      escaped = true;
    } else if (static_cast<unsigned char>(c) < 0x20) {
      return {};
    }
    part += c;
    if (c != ' ' || escaped) kept = part.size();
  }
  if (!finish()) return {};
  return parts;
}

bool IsBelow(const std::vector<std::string>& dn, const std::vector<std::string>& above) {
  return !above.empty() && dn.size() > above.size() &&
         std::equal(above.rbegin(), above.rend(), dn.rbegin());
}

}  // namespace keyferry::server

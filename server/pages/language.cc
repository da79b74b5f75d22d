#include "server/pages/language.h"

#include <algorithm>

namespace keyferry::server {
namespace {

constexpr int kMostRanges = 16;

std::string_view Trimmed(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

bool SameTag(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](char x, char y) {
    const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c; };
    return lower(x) == lower(y);
  });
}

// qvalue in thousandths; 0 when it is none.
int Weight(std::string_view text) {
  if (text.empty() || text.size() > 5 || (text[0] != '0' && text[0] != '1')) return 0;
  int weight = (text[0] - '0') * 1000;
  if (text.size() > 1 && text[1] != '.') return 0;
  int step = 100;
  for (std::size_t i = 2; i < text.size(); ++i, step /= 10) {
    if (text[i] < '0' || text[i] > '9') return 0;
    weight += (text[i] - '0') * step;
  }
  return std::min(weight, 1000);
}

}  // namespace

std::string ChooseLanguage(const std::vector<std::string>& known, std::string_view chosen,
                           std::string_view accept_language) {
  for (const std::string& tag : known) {
    if (tag == chosen) return tag;
  }
  const std::string* best = &known.front();
  int best_weight = 0;
  for (int i = 0; i < kMostRanges && !accept_language.empty(); ++i) {
    const std::size_t comma = accept_language.find(',');
    std::string_view range = Trimmed(accept_language.substr(0, comma));
    accept_language =
        comma == std::string_view::npos ? std::string_view() : accept_language.substr(comma + 1);
    int weight = 1000;
    if (const std::size_t semicolon = range.find(';'); semicolon != std::string_view::npos) {
      const std::string_view q = Trimmed(range.substr(semicolon + 1));
      weight = q.substr(0, 2) == "q=" ? Weight(q.substr(2)) : 0;
      range = Trimmed(range.substr(0, semicolon));
    }
    if (weight <= best_weight) continue;
    for (const std::string& tag : known) {
      const bool part = range.size() > tag.size() && range[tag.size()] == '-';
      if (!SameTag(part ? range.substr(0, tag.size()) : range, tag)) continue;
      best = &tag;
      best_weight = weight;
    }
  }
  return *best;
}

std::string LanguageCookie(std::string_view tag) {
  return std::string(kLanguageCookie) + "=" + std::string(tag) +
         "; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=31536000";
}

}  // namespace keyferry::server

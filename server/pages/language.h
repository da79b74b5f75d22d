#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace keyferry::server {

// Which of the languages that there are a reader gets: the one that was chosen, else the first that
// the browser asks for (Accept-Language, RFC 9110 section 12.5.4; the first 16 ranges count, and
// "uk-UA" is served by "uk"), else the first of `known`. `known` is not empty.
std::string ChooseLanguage(const std::vector<std::string>& known, std::string_view chosen,
                           std::string_view accept_language);

inline constexpr char kLanguageCookie[] = "__Host-keyferry-language";
// As a Set-Cookie value, for a year.
std::string LanguageCookie(std::string_view tag);

}  // namespace keyferry::server

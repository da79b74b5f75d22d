#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "protocol/result.h"
#include "protocol/secure/secure_bytes.h"

namespace keyferry::server {

inline constexpr std::size_t kMostAnswer = 256;  // bytes of an answer as it is typed

// What of a typed answer counts: NFKC with case folded away (NFKC_Casefold of Unicode), runs of
// white space as one blank, none at the ends. So "  Zürich " and "ZU\u0308RICH" are one answer.
// kInvalidArgument: longer than kMostAnswer, no UTF-8, or with control characters. Locked memory.
Result<SecureBytes> PlainAnswer(std::string_view typed);
// Characters (code points) of what PlainAnswer gave.
std::size_t AnswerLength(const SecureBytes& plain);
// The words of a text, each as PlainAnswer would give it: what stands between white space and
// punctuation.
std::vector<std::string> PlainWords(std::string_view text);

}  // namespace keyferry::server

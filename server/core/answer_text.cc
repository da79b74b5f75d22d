#include "server/core/answer_text.h"

#include <unicode/bytestream.h>
#include <unicode/normalizer2.h>
#include <unicode/uchar.h>
#include <unicode/utf8.h>

#include <algorithm>
#include <optional>

namespace keyferry::server {
namespace {

constexpr std::size_t kGrowth = 18;  // of NFKC_Casefold at most, in code points (UAX 15 and 44)
constexpr UChar32 kBlank = ' ';

tl::unexpected<Error> NoText() {
  return Fail(ErrorCode::kInvalidArgument,
              "An answer is too long, or holds characters that cannot be typed.");
}

// Calls `take` with each code point; false at the first that is none or that it does not take.
template <typename Take>
bool EachOf(std::string_view text, Take take) {
  const auto* const bytes = reinterpret_cast<const std::uint8_t*>(text.data());
  const auto size = static_cast<std::int32_t>(text.size());
  for (std::int32_t at = 0; at < size;) {
    UChar32 point = 0;
    U8_NEXT(bytes, at, size, point);
    if (point < 0 || !take(point)) return false;
  }
  return true;
}

bool IsTypable(UChar32 point) {
  return point == '\t' || (u_charType(point) != U_CONTROL_CHAR && u_isdefined(point));
}

// NFKC_Casefold; nothing where it does not fit.
std::optional<SecureBytes> CaseFolded(std::string_view text) {
  UErrorCode status = U_ZERO_ERROR;
  const icu::Normalizer2* const nfkc = icu::Normalizer2::getNFKCCasefoldInstance(status);
  if (U_FAILURE(status)) return std::nullopt;
  SecureBytes out(text.size() * kGrowth + 1);
  icu::CheckedArrayByteSink sink(reinterpret_cast<char*>(out.data()),
                                 static_cast<std::int32_t>(out.size()));
  nfkc->normalizeUTF8(0, icu::StringPiece(text.data(), static_cast<std::int32_t>(text.size())),
                      sink, nullptr, status);
  if (U_FAILURE(status) || sink.Overflowed()) return std::nullopt;
  SecureBytes fitting(static_cast<std::size_t>(sink.NumberOfBytesWritten()));
  std::copy_n(out.data(), fitting.size(), fitting.data());
  return fitting;
}

// The code points of `text`, with one blank for each run of those that `parts` says yes to.
template <typename Parts>
SecureBytes Parted(const SecureBytes& text, Parts parts) {
  SecureBytes out(text.size() + 1);
  std::int32_t size = 0;
  bool gap = false;
  EachOf(text.view(), [&](UChar32 point) {
    if (parts(point)) {
      gap = size != 0;
      return true;
    }
    if (gap) out.data()[size++] = static_cast<std::uint8_t>(kBlank);
    gap = false;
    U8_APPEND_UNSAFE(out.data(), size, static_cast<std::uint32_t>(point));
    return true;
  });
  SecureBytes fitting(static_cast<std::size_t>(size));
  std::copy_n(out.data(), fitting.size(), fitting.data());
  return fitting;
}

}  // namespace

Result<SecureBytes> PlainAnswer(std::string_view typed) {
  if (typed.size() > kMostAnswer || !EachOf(typed, IsTypable)) return NoText();
  const auto folded = CaseFolded(typed);
  if (!folded) return NoText();
  return Parted(*folded, [](UChar32 point) { return u_isUWhiteSpace(point) != 0; });
}

std::size_t AnswerLength(const SecureBytes& plain) {
  std::size_t count = 0;
  EachOf(plain.view(), [&count](UChar32) { return ++count != 0; });
  return count;
}

std::vector<std::string> PlainWords(std::string_view text) {
  std::vector<std::string> words;
  const auto folded = CaseFolded(text);
  if (!folded) return words;
  const SecureBytes parted =
      Parted(*folded, [](UChar32 point) { return u_isUWhiteSpace(point) || u_ispunct(point); });
  std::string_view rest = parted.view();
  while (!rest.empty()) {
    const std::size_t end = std::min(rest.find(' '), rest.size());
    words.emplace_back(rest.substr(0, end));
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  return words;
}

}  // namespace keyferry::server

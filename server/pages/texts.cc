#include "server/pages/texts.h"

#include <toml++/toml.h>

#include <array>
#include <fstream>
#include <optional>
#include <sstream>
#include <vector>

namespace keyferry::server {
namespace {

namespace fs = std::filesystem;

constexpr std::uintmax_t kMostBytes = 1024 * 1024;
constexpr std::string_view kMessages = "messages";

bool IsValue(std::string_view text, std::size_t at) {
  return text[at] == '%' && at + 1 < text.size() && text[at + 1] >= '1' && text[at + 1] <= '9';
}

// The values that a text asks for, as bits.
unsigned ValuesOf(std::string_view text) {
  unsigned bits = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (IsValue(text, i)) bits |= 1u << (text[i + 1] - '1');
  }
  return bits;
}

// The bytes of a pattern that are not values.
std::size_t OwnWords(std::string_view pattern) {
  std::size_t values = 0;
  for (std::size_t i = 0; i < pattern.size(); ++i)
    if (IsValue(pattern, i)) ++values;
  return pattern.size() - 2 * values;
}

void Flatten(const toml::table& table, const std::string& prefix, TextMap& out) {
  for (const auto& [key, node] : table) {
    const std::string name = prefix + std::string(key.str());
    if (const auto* const inner = node.as_table()) {
      Flatten(*inner, name + ".", out);
    } else if (const auto text = node.value<std::string>()) {
      out.emplace(name, *text);
    }
  }
}

void PutSource(TextMap& texts, std::string_view source) {
  static constexpr std::string_view kSource = "@directory@";
  for (auto& [key, value] : texts) {
    for (std::size_t at = 0; (at = value.find(kSource, at)) != std::string::npos;
         at += source.size()) {
      value.replace(at, kSource.size(), source);
    }
  }
}

// What stands in `sentence` for the values of `pattern`; nothing when it is another sentence. Each
// value reaches to the first place where what follows it fits.
std::optional<std::array<std::string_view, 9>> Match(std::string_view pattern,
                                                     std::string_view sentence) {
  std::array<std::string_view, 9> values{};
  std::size_t at = 0;
  for (std::size_t i = 0; i < pattern.size();) {
    if (!IsValue(pattern, i)) {
      if (at >= sentence.size() || sentence[at] != pattern[i]) return std::nullopt;
      ++at, ++i;
      continue;
    }
    const auto index = static_cast<std::size_t>(pattern[i + 1] - '1');
    i += 2;
    std::size_t end = i;
    while (end < pattern.size() && !IsValue(pattern, end)) ++end;
    const std::string_view next = pattern.substr(i, end - i);
    const std::size_t found = next.empty() ? sentence.size() : sentence.find(next, at);
    if (found == std::string_view::npos) return std::nullopt;
    // The last piece must end the sentence.
    const bool last = end == pattern.size();
    const std::size_t stop = last && !next.empty() && sentence.size() >= at + next.size() &&
                                     sentence.substr(sentence.size() - next.size()) == next
                                 ? sentence.size() - next.size()
                                 : found;
    values[index] = sentence.substr(at, stop - at);
    at = stop;
  }
  if (at != sentence.size()) return std::nullopt;
  return values;
}

}  // namespace

Result<std::string> ReadPageFile(const fs::path& file) {
  std::error_code ec;
  const auto size = fs::file_size(file, ec);
  std::ifstream in(file, std::ios::binary);
  if (ec || !in || size > kMostBytes) {
    return Fail(ErrorCode::kIo, "Cannot read " + file.string() + ".", ec.message());
  }
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

Result<Texts> ReadTexts(const fs::path& file, std::string_view source) {
  const std::string name = file.filename().string();
  const auto text = ReadPageFile(file);
  if (!text) return tl::unexpected(text.error());
  Texts texts;
  try {
    toml::table table = toml::parse(*text);
    if (const auto* const messages = table[kMessages].as_table()) {
      for (const auto& [key, node] : *messages) {
        if (const auto value = node.value<std::string>()) {
          texts.sentences.emplace(std::string(key.str()), *value);
        }
      }
      table.erase(kMessages);
    }
    Flatten(table, "", texts.entries);
  } catch (const toml::parse_error& failure) {
    std::ostringstream where;
    where << name << ":" << failure.source().begin.line << ": " << failure.description();
    return Fail(ErrorCode::kInvalidArgument, where.str());
  }
  texts.tag = file.stem().string();
  for (const auto& [sentence, value] : texts.sentences) {
    if (OwnWords(sentence) != 0 && (ValuesOf(value) & ~ValuesOf(sentence)) == 0) continue;
    return Fail(ErrorCode::kInvalidArgument,
                name + ": \"" + value +
                    "\" names a value that its English sentence has not, or that is all values.");
  }
  PutSource(texts.entries, source);
  PutSource(texts.sentences, source);
  return texts;
}

Result<void> Overlay(Texts& base, const Texts& over, std::string_view file) {
  for (const auto& [key, value] : over.entries) {
    const auto found = base.entries.find(key);
    if (found == base.entries.end()) {
      return Fail(ErrorCode::kInvalidArgument,
                  std::string(file) + ": there is no text \"" + key + "\" in the pages.");
    }
    if ((ValuesOf(value) & ~ValuesOf(found->second)) != 0) {
      return Fail(ErrorCode::kInvalidArgument, std::string(file) + ": the text \"" + key +
                                                   "\" names a value (%1 … %9) that it does not "
                                                   "get.");
    }
    found->second = value;
  }
  for (const auto& [sentence, value] : over.sentences) base.sentences[sentence] = value;
  base.tag = over.tag;
  return {};
}

std::string Fill(std::string_view text, const std::string_view* values, std::size_t count) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (IsValue(text, i)) {
      const auto index = static_cast<std::size_t>(text[i + 1] - '1');
      if (index < count) out += values[index];
      ++i;
    } else {
      out += text[i];
    }
  }
  return out;
}

std::string Translate(const Texts& texts, std::string_view sentence) {
  if (const auto exact = texts.sentences.find(sentence); exact != texts.sentences.end()) {
    return exact->second;
  }
  // Of the patterns that fit, the one with the most words of its own.
  const std::string* meaning = nullptr;
  std::array<std::string_view, 9> values{};
  std::size_t most = 0;
  for (const auto& [pattern, value] : texts.sentences) {
    const std::size_t own = OwnWords(pattern);
    if (own <= most) continue;
    const auto match = Match(pattern, sentence);
    if (!match) continue;
    most = own;
    meaning = &value;
    values = *match;
  }
  if (meaning == nullptr) return std::string(sentence);
  // What varies may be a sentence itself, as in "… Nothing was changed."
  std::array<std::string, 9> inner;
  std::array<std::string_view, 9> views{};
  for (std::size_t i = 0; i < inner.size(); ++i) {
    inner[i] = Translate(texts, values[i]);  // shorter: something of the pattern is its own
    views[i] = inner[i];
  }
  return Fill(*meaning, views.data(), views.size());
}

}  // namespace keyferry::server

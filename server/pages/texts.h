#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <string_view>

#include "protocol/result.h"

namespace keyferry::server {

using TextMap = std::map<std::string, std::string, std::less<>>;

// The texts of one language, from a file like strings/uk.toml: `lang` (the BCP 47 tag, which is the
// file's name too), `language` (its name in itself), `dir` ("ltr" or "rtl"), and tables of texts
// with %1 … %9 for values. A text under [messages] is what is shown for an English sentence of the
// server, which is its key; there %1 … %9 stand for what varies in it.
struct Texts {
  std::string tag;
  TextMap entries;    // "table.key"
  TextMap sentences;  // English sentence → this language's; only those that are translated
};

// A file of the pages: at most 1 MiB. kIo names it.
Result<std::string> ReadPageFile(const std::filesystem::path& file);

// kInvalidArgument names file and line, or file and key; kIo names the file.
// `source` takes the place of @directory@.
Result<Texts> ReadTexts(const std::filesystem::path& file, std::string_view source);

// Lays `over` over `base`, key by key. kInvalidArgument names the key: one that `base` does not
// know, or a value (%3) that the text in `base` does not have.
Result<void> Overlay(Texts& base, const Texts& over, std::string_view file);

// The English text with its values in place.
std::string Fill(std::string_view text, const std::string_view* values, std::size_t count);

// The sentence in the language of `texts`; itself when it has no translation.
std::string Translate(const Texts& texts, std::string_view sentence);

}  // namespace keyferry::server

#include "server/api/json_reader.h"

#include <sodium.h>

#include <boost/json/basic_parser_impl.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/value.hpp>

#include "server/http/form.h"

namespace keyferry::server {
namespace {

namespace json = boost::json;

// Boost.JSON keeps the last of two members with one name; two readers could then understand one
// text differently. This handler only looks for such twins.
struct TwinFinder {
  static constexpr std::size_t max_object_size = 64;
  static constexpr std::size_t max_array_size = 512;
  static constexpr std::size_t max_key_size = 64;
  static constexpr std::size_t max_string_size = 16 * 1024;

  std::vector<std::set<std::string>> levels;
  std::string key;
  bool twins = false;

  bool on_document_begin(json::error_code&) { return true; }
  bool on_document_end(json::error_code&) { return true; }
  bool on_object_begin(json::error_code&) {
    levels.emplace_back();
    return true;
  }
  bool on_object_end(std::size_t, json::error_code&) {
    levels.pop_back();
    return true;
  }
  bool on_array_begin(json::error_code&) { return true; }
  bool on_array_end(std::size_t, json::error_code&) { return true; }
  bool on_key_part(json::string_view part, std::size_t, json::error_code&) {
    key.append(part.data(), part.size());
    return true;
  }
  bool on_key(json::string_view part, std::size_t, json::error_code&) {
    key.append(part.data(), part.size());
    if (!levels.back().insert(std::move(key)).second) twins = true;
    key.clear();
    return true;
  }
  bool on_string_part(json::string_view, std::size_t, json::error_code&) { return true; }
  bool on_string(json::string_view, std::size_t, json::error_code&) { return true; }
  bool on_number_part(json::string_view, json::error_code&) { return true; }
  bool on_int64(std::int64_t, json::string_view, json::error_code&) { return true; }
  bool on_uint64(std::uint64_t, json::string_view, json::error_code&) { return true; }
  bool on_double(double, json::string_view, json::error_code&) { return true; }
  bool on_bool(bool, json::error_code&) { return true; }
  bool on_null(json::error_code&) { return true; }
  bool on_comment_part(json::string_view, json::error_code&) { return true; }
  bool on_comment(json::string_view, json::error_code&) { return true; }
};

json::parse_options Options() {
  json::parse_options options;
  options.max_depth = 4;
  return options;
}

bool IsBase64(std::string_view text, std::vector<std::uint8_t>& out) {
  out.resize(text.size() / 4 * 3 + 3);
  std::size_t size = 0;
  const char* end = nullptr;
  if (sodium_base642bin(out.data(), out.size(), text.data(), text.size(), nullptr, &size, &end,
                        sodium_base64_VARIANT_ORIGINAL) != 0 ||
      end != text.data() + text.size()) {
    return false;
  }
  out.resize(size);
  return true;
}

}  // namespace

JsonReader::JsonReader(std::span<const std::uint8_t> body) {
  const json::string_view text(reinterpret_cast<const char*>(body.data()), body.size());
  json::error_code ec;
  json::basic_parser<TwinFinder> check(Options());
  const std::size_t read = check.write_some(false, text.data(), text.size(), ec);
  if (ec || read != text.size()) {
    Complain("The content is not valid JSON.");
    return;
  }
  if (check.handler().twins) {
    Complain("A JSON member is given twice.");
    return;
  }
  json::value value = json::parse(text, ec, {}, Options());
  if (ec || !value.is_object()) {
    Complain("The content must be one JSON object.");
    return;
  }
  object_ = std::move(value.get_object());
}

void JsonReader::Complain(std::string message) {
  if (complaint_.empty()) complaint_ = std::move(message);
}

const json::value* JsonReader::Find(const char* name, bool required) {
  asked_.insert(name);
  const json::value* const found = object_.if_contains(name);
  if (found == nullptr && required) Complain(std::string(name) + " is missing.");
  return found;
}

std::string JsonReader::Text(const char* name, std::size_t least, std::size_t most,
                             bool multiline) {
  const json::value* const value = Find(name, true);
  if (value == nullptr) return {};
  const json::string* const text = value->if_string();
  if (text == nullptr || text->size() < least || text->size() > most ||
      HasControl(std::string_view(text->data(), text->size()), multiline ? "\n\t" : "")) {
    Complain(std::string(name) + " must be text of " + std::to_string(least) + " to " +
             std::to_string(most) + " bytes.");
    return {};
  }
  return std::string(text->data(), text->size());
}

std::string JsonReader::OptionalText(const char* name, std::size_t most, bool multiline) {
  return Find(name, false) == nullptr ? std::string() : Text(name, 0, most, multiline);
}

std::vector<std::string> JsonReader::Texts(const char* name, std::size_t most, std::size_t bytes) {
  const json::value* const value = Find(name, true);
  if (value == nullptr) return {};
  const json::array* const array = value->if_array();
  std::vector<std::string> texts;
  bool good = array != nullptr && array->size() <= most;
  for (std::size_t i = 0; good && i < array->size(); ++i) {
    const json::string* const text = (*array)[i].if_string();
    good = text != nullptr && !text->empty() && text->size() <= bytes &&
           !HasControl(std::string_view(text->data(), text->size()));
    if (good) texts.emplace_back(text->data(), text->size());
  }
  if (good) return texts;
  Complain(std::string(name) + " must be a list of at most " + std::to_string(most) +
           " texts of 1 to " + std::to_string(bytes) + " bytes.");
  return {};
}

std::optional<std::vector<std::string>> JsonReader::OptionalTexts(const char* name,
                                                                  std::size_t most,
                                                                  std::size_t bytes) {
  if (Find(name, false) == nullptr) return std::nullopt;
  return Texts(name, most, bytes);
}

bool JsonReader::Bool(const char* name) {
  const json::value* const value = Find(name, true);
  if (value == nullptr) return false;
  const bool* const truth = value->if_bool();
  if (truth == nullptr) Complain(std::string(name) + " must be true or false.");
  return truth != nullptr && *truth;
}

bool JsonReader::OptionalBool(const char* name, bool absent) {
  return Find(name, false) == nullptr ? absent : Bool(name);
}

std::int64_t JsonReader::Integer(const char* name, std::int64_t least, std::int64_t most) {
  const json::value* const value = Find(name, true);
  if (value == nullptr) return least;
  const std::int64_t* const number = value->if_int64();
  if (number == nullptr || *number < least || *number > most) {
    Complain(std::string(name) + " must be a whole number from " + std::to_string(least) + " to " +
             std::to_string(most) + ".");
    return least;
  }
  return *number;
}

std::vector<std::int64_t> JsonReader::Integers(const char* name, std::size_t count,
                                               std::int64_t least, std::int64_t most) {
  std::vector<std::int64_t> out;
  const json::value* const value = Find(name, true);
  if (value == nullptr) return out;
  const json::array* const array = value->if_array();
  bool good = array != nullptr && array->size() <= count;
  for (std::size_t i = 0; good && i < array->size(); ++i) {
    const std::int64_t* const number = (*array)[i].if_int64();
    good = number != nullptr && *number >= least && *number <= most;
    if (good) out.push_back(*number);
  }
  if (!good) {
    Complain(std::string(name) + " must be at most " + std::to_string(count) +
             " whole numbers from " + std::to_string(least) + " to " + std::to_string(most) + ".");
    return {};
  }
  return out;
}

std::vector<std::uint8_t> JsonReader::Bytes(const char* name, std::size_t least, std::size_t most) {
  const std::string text = Text(name, 0, (most + 2) / 3 * 4);
  std::vector<std::uint8_t> bytes;
  if (!IsBase64(text, bytes) || bytes.size() < least || bytes.size() > most) {
    Complain(std::string(name) + " must be base64 of " + std::to_string(least) + " to " +
             std::to_string(most) + " bytes.");
    return {};
  }
  return bytes;
}

std::optional<std::vector<std::uint8_t>> JsonReader::NullableBytes(const char* name,
                                                                   std::size_t least,
                                                                   std::size_t most) {
  const json::value* const value = Find(name, true);
  if (value == nullptr || value->is_null()) return std::nullopt;
  return Bytes(name, least, most);
}

std::vector<JsonReader> JsonReader::Objects(const char* name, std::size_t most) {
  std::vector<JsonReader> readers;
  const json::value* const value = Find(name, true);
  if (value == nullptr) return readers;
  const json::array* const array = value->if_array();
  if (array == nullptr || array->size() > most) {
    Complain(std::string(name) + " must be a list of at most " + std::to_string(most) + ".");
    return readers;
  }
  for (const json::value& element : *array) {
    const json::object* const object = element.if_object();
    if (object == nullptr) {
      Complain(std::string(name) + " must be a list of objects.");
      return {};
    }
    readers.emplace_back(*object);
  }
  return readers;
}

Result<void> JsonReader::Finish() {
  for (const auto& member : object_) {
    const std::string_view name(member.key().data(), member.key().size());
    if (asked_.find(name) != asked_.end()) continue;
    std::string known;
    for (const std::string& one : asked_) known += (known.empty() ? "" : ", ") + one;
    Complain("There is a JSON member too many; it may have: " + known + ".");
  }
  if (!complaint_.empty()) return Fail(ErrorCode::kInvalidArgument, complaint_);
  return {};
}

}  // namespace keyferry::server

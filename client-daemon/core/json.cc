#include "client-daemon/core/json.h"

#include <algorithm>
#include <boost/json/parse.hpp>

namespace keyferry::daemon {
namespace {

constexpr std::size_t kMaxText = 64 * 1024;

const boost::json::string* FindString(const boost::json::object& object, std::string_view name) {
  const boost::json::value* value = object.if_contains(name);
  return value == nullptr ? nullptr : value->if_string();
}

}  // namespace

Result<boost::json::object> ParseObject(std::string_view text) {
  boost::json::parse_options options;
  options.max_depth = 8;
  boost::json::error_code error;
  boost::json::value value;
  if (text.size() <= kMaxText) value = boost::json::parse(text, error, {}, options);
  if (error || !value.is_object()) {
    return Fail(ErrorCode::kProtocol, "The message is not a JSON object.",
                error ? error.message() : std::string());
  }
  return std::move(value.get_object());
}

bool HasOnly(const boost::json::object& object, std::initializer_list<std::string_view> known) {
  return std::all_of(object.begin(), object.end(), [&](const auto& member) {
    return std::find(known.begin(), known.end(), std::string_view(member.key())) != known.end();
  });
}

std::optional<std::string> GetText(const boost::json::object& object, std::string_view name,
                                   std::size_t max_size) {
  const boost::json::string* text = FindString(object, name);
  if (text == nullptr || text->size() > max_size) return std::nullopt;
  return std::string(text->data(), text->size());
}

std::optional<std::uint64_t> GetNumber(const boost::json::object& object, std::string_view name) {
  const boost::json::value* value = object.if_contains(name);
  if (value == nullptr) return std::nullopt;
  if (value->is_uint64()) return value->get_uint64();
  if (value->is_int64() && value->get_int64() >= 0) {
    return static_cast<std::uint64_t>(value->get_int64());
  }
  return std::nullopt;
}

std::optional<Id> GetId(const boost::json::object& object, std::string_view name) {
  const boost::json::string* text = FindString(object, name);
  if (text == nullptr) return std::nullopt;
  return ParseId({text->data(), text->size()});
}

std::optional<Bytes> GetBytes(const boost::json::object& object, std::string_view name,
                              std::size_t max_size) {
  const boost::json::string* text = FindString(object, name);
  if (text == nullptr) return std::nullopt;
  return DecodeBase64({text->data(), text->size()}, max_size);
}

bool IsNull(const boost::json::object& object, std::string_view name) {
  const boost::json::value* value = object.if_contains(name);
  return value != nullptr && value->is_null();
}

}  // namespace keyferry::daemon

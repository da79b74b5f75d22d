#include "schema.h"

#include <boost/json/serialize.hpp>
#include <regex>
#include <stdexcept>

namespace keyferry::server::test {

namespace json = boost::json;

namespace {

std::string Text(const json::string& text) { return {text.data(), text.size()}; }

bool HasType(std::string_view type, const json::value& value) {
  if (type == "string") return value.is_string();
  if (type == "integer") return value.is_int64() || value.is_uint64();
  if (type == "boolean") return value.is_bool();
  if (type == "object") return value.is_object();
  if (type == "array") return value.is_array();
  if (type == "null") return value.is_null();
  throw std::runtime_error("type " + std::string(type));
}

std::size_t Characters(const std::string& text) {
  std::size_t count = 0;
  for (const char c : text) count += (static_cast<unsigned char>(c) & 0xC0) != 0x80;
  return count;
}

}  // namespace

const json::value& Schemas::Resolve(const json::value& schema) const {
  const json::value* const to = schema.as_object().if_contains("$ref");
  if (to == nullptr) return schema;
  const json::value* at = &document_;
  std::string rest = Text(to->as_string()).substr(2);
  while (!rest.empty()) {
    const std::size_t slash = rest.find('/');
    at = &at->as_object().at(rest.substr(0, slash));
    rest = slash == std::string::npos ? "" : rest.substr(slash + 1);
  }
  return Resolve(*at);
}

std::string Schemas::JudgeText(const json::object& schema, const std::string& text,
                               const std::string& where) const {
  if (const auto* const pattern = schema.if_contains("pattern")) {
    if (!std::regex_search(text, std::regex(Text(pattern->as_string()), std::regex::ECMAScript))) {
      return where + " is not like " + Text(pattern->as_string()) + ": " + text;
    }
  }
  const auto* const least = schema.if_contains("minLength");
  const auto* const most = schema.if_contains("maxLength");
  const auto size = static_cast<std::int64_t>(Characters(text));
  if ((least != nullptr && size < least->as_int64()) ||
      (most != nullptr && size > most->as_int64())) {
    return where + " has " + std::to_string(size) + " characters";
  }
  return {};
}

std::string Schemas::JudgeObject(const json::object& schema, const json::object& value,
                                 const std::string& where) const {
  static const json::object kNone;
  const auto* const named = schema.if_contains("properties");
  const json::object& properties = named == nullptr ? kNone : named->as_object();
  if (const auto* const required = schema.if_contains("required")) {
    for (const json::value& name : required->as_array()) {
      if (!value.contains(name.as_string())) return where + " lacks " + Text(name.as_string());
    }
  }
  const auto* const more = schema.if_contains("additionalProperties");
  for (const auto& member : value) {
    const std::string name(member.key().data(), member.key().size());
    const auto* const inner = properties.if_contains(member.key());
    if (inner == nullptr && more != nullptr) return where + " has " + name + " too many";
    if (inner == nullptr) continue;
    if (auto wrong = Judge(*inner, member.value(), where + "." + name); !wrong.empty()) {
      return wrong;
    }
  }
  return {};
}

std::string Schemas::Judge(const json::value& unresolved, const json::value& value,
                           const std::string& where) const {
  const json::object& schema = Resolve(unresolved).as_object();
  if (const auto* const type = schema.if_contains("type")) {
    bool good = false;
    if (type->is_array()) {
      for (const json::value& one : type->as_array()) {
        good = good || HasType(Text(one.as_string()), value);
      }
    } else {
      good = HasType(Text(type->as_string()), value);
    }
    if (!good) return where + " is of another type: " + json::serialize(value);
  }
  if (const auto* const allowed = schema.if_contains("enum")) {
    bool good = false;
    for (const json::value& one : allowed->as_array()) good = good || one == value;
    if (!good) return where + " is none of the names: " + json::serialize(value);
  }
  if (const auto* const only = schema.if_contains("const"); only != nullptr && *only != value) {
    return where + " is " + json::serialize(value);
  }
  if (HasType("integer", value)) {
    const auto number = value.to_number<std::int64_t>();
    const auto* const least = schema.if_contains("minimum");
    const auto* const most = schema.if_contains("maximum");
    if ((least != nullptr && number < least->as_int64()) ||
        (most != nullptr && number > most->as_int64())) {
      return where + " is out of bounds: " + std::to_string(number);
    }
  }
  if (value.is_string()) return JudgeText(schema, Text(value.as_string()), where);
  if (value.is_object()) return JudgeObject(schema, value.as_object(), where);
  if (const auto* const items = schema.if_contains("items"); items != nullptr && value.is_array()) {
    std::size_t i = 0;
    for (const json::value& item : value.as_array()) {
      auto wrong = Judge(*items, item, where + "[" + std::to_string(i++) + "]");
      if (!wrong.empty()) return wrong;
    }
  }
  return {};
}

json::value Schemas::Example(const json::value& unresolved) const {
  const json::object& schema = Resolve(unresolved).as_object();
  if (const auto* const only = schema.if_contains("const")) return *only;
  if (const auto* const allowed = schema.if_contains("enum")) return allowed->as_array().back();
  if (const auto* const given = schema.if_contains("examples")) return given->as_array().front();
  const json::value& type = schema.at("type");
  const std::string kind =
      Text(type.is_array() ? type.as_array().at(0).as_string() : type.as_string());
  if (kind == "boolean") return true;
  if (kind == "integer") return schema.contains("minimum") ? schema.at("minimum") : json::value(1);
  if (kind == "array") return json::array{Example(schema.at("items"))};
  if (kind == "object") {
    json::object out;
    for (const auto& member : schema.at("properties").as_object()) {
      out[member.key()] = Example(member.value());
    }
    return out;
  }
  if (schema.contains("contentEncoding")) return json::string(std::string(43, 'A') + "=");
  if (const auto* const pattern = schema.if_contains("pattern")) {
    if (Text(pattern->as_string()).find("{32}") != std::string::npos) {
      return json::string(std::string(32, 'a'));
    }
  }
  return json::string("x");
}

}  // namespace keyferry::server::test

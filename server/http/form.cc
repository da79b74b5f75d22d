#include "server/http/form.h"

#include <algorithm>
#include <optional>

namespace keyferry::server {
namespace {

int HexValue(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

// Calls put(byte) for every decoded byte; false on a bad escape.
template <typename Put>
bool Decode(std::string_view in, Put put) {
  for (std::size_t i = 0; i < in.size(); ++i) {
    if (in[i] == '+') {
      put(std::uint8_t{' '});
    } else if (in[i] == '%') {
      if (i + 2 >= in.size()) return false;
      const int high = HexValue(in[i + 1]);
      const int low = HexValue(in[i + 2]);
      if (high < 0 || low < 0) return false;
      put(static_cast<std::uint8_t>(high << 4 | low));
      i += 2;
    } else {
      put(static_cast<std::uint8_t>(in[i]));
    }
  }
  return true;
}

std::optional<std::size_t> DecodedSize(std::string_view in) {
  std::size_t size = 0;
  if (!Decode(in, [&size](std::uint8_t) { ++size; })) return std::nullopt;
  return size;
}

tl::unexpected<Error> Bad(std::string message) {
  return Fail(ErrorCode::kInvalidArgument, std::move(message));
}

// Browsers send CRLF for the line ends of a text area.
std::string WithLf(std::string text) {
  text.erase(std::remove(text.begin(), text.end(), '\r'), text.end());
  return text;
}

}  // namespace

bool IsUtf8(std::span<const std::uint8_t> bytes) {
  for (std::size_t i = 0; i < bytes.size();) {
    const std::uint8_t lead = bytes[i];
    std::size_t more = 0;
    std::uint32_t value = 0;
    if (lead < 0x80) {
      ++i;
      continue;
    }
    if ((lead & 0xE0) == 0xC0) {
      more = 1;
      value = lead & 0x1Fu;
    } else if ((lead & 0xF0) == 0xE0) {
      more = 2;
      value = lead & 0x0Fu;
    } else if ((lead & 0xF8) == 0xF0) {
      more = 3;
      value = lead & 0x07u;
    } else {
      return false;
    }
    if (bytes.size() - i <= more) return false;
    for (std::size_t k = 1; k <= more; ++k) {
      if ((bytes[i + k] & 0xC0) != 0x80) return false;
      value = value << 6 | (bytes[i + k] & 0x3Fu);
    }
    static constexpr std::uint32_t kLeast[] = {0, 0x80, 0x800, 0x10000};
    if (value < kLeast[more] || value > 0x10FFFF || (value >= 0xD800 && value <= 0xDFFF)) {
      return false;
    }
    i += more + 1;
  }
  return true;
}

bool HasControl(std::string_view text, std::string_view allowed) {
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto c = static_cast<unsigned char>(text[i]);
    if ((c < 0x20 || c == 0x7F) && allowed.find(text[i]) == std::string_view::npos) return true;
    if (c == 0xC2 && i + 1 < text.size() && static_cast<unsigned char>(text[i + 1]) < 0xA0) {
      return true;
    }
  }
  return false;
}

Result<std::string> DecodeComponent(std::string_view encoded, std::size_t max) {
  const auto size = DecodedSize(encoded);
  if (!size || *size > max) return Bad("A part of the address could not be read.");
  std::string out;
  out.reserve(*size);
  Decode(encoded, [&out](std::uint8_t byte) { out += static_cast<char>(byte); });
  return out;
}

bool Form::Has(std::string_view name) const {
  return text_.find(name) != text_.end() || secrets_.find(name) != secrets_.end();
}

std::string_view Form::Text(std::string_view name) const {
  const auto found = text_.find(name);
  return found == text_.end() ? std::string_view() : found->second;
}

SecureBytes Form::TakeSecret(std::string_view name) {
  const auto found = secrets_.find(name);
  return found == secrets_.end() ? SecureBytes() : std::move(found->second);
}

Result<Form> ParseForm(std::span<const std::uint8_t> body, std::span<const FormField> fields) {
  if (body.size() > 64 * 1024) return Bad("The form is too large.");
  std::string_view rest(reinterpret_cast<const char*>(body.data()), body.size());
  Form form;
  while (!rest.empty()) {
    const std::size_t end = rest.find('&');
    const std::string_view pair = rest.substr(0, end);
    rest = end == std::string_view::npos ? std::string_view() : rest.substr(end + 1);
    const std::size_t equals = pair.find('=');
    if (equals == std::string_view::npos) return Bad("The form is damaged.");
    const auto name = DecodeComponent(pair.substr(0, equals), 64);
    if (!name) return Bad("The form is damaged.");
    const auto field = std::find_if(fields.begin(), fields.end(),
                                    [&](const FormField& known) { return known.name == *name; });
    if (field == fields.end()) return Bad("The form holds a field that does not belong there.");
    if (form.Has(*name)) return Bad("The form holds a field twice.");
    const std::string_view encoded = pair.substr(equals + 1);
    const auto size = DecodedSize(encoded);
    if (!size) return Bad("The form is damaged.");
    if (*size > field->max) {
      return Bad("A field is too long: at most " + std::to_string(field->max) + " bytes.");
    }
    if (field->secret) {
      SecureBytes value(*size);
      std::size_t at = 0;
      Decode(encoded, [&](std::uint8_t byte) { value.data()[at++] = byte; });
      if (!IsUtf8(value.span()) || value.view().find('\0') != std::string_view::npos) {
        return Bad("A field holds characters that cannot be used.");
      }
      form.secrets_.emplace(*name, std::move(value));
    } else {
      auto value = DecodeComponent(encoded, field->max);
      if (!value || !IsUtf8(*value) || HasControl(*value, "\r\n\t")) {
        return Bad("A field holds characters that cannot be used.");
      }
      form.text_.emplace(*name, WithLf(std::move(*value)));
    }
  }
  for (const FormField& field : fields) {
    if (field.required && !form.Has(field.name)) return Bad("The form is not complete.");
  }
  return form;
}

}  // namespace keyferry::server

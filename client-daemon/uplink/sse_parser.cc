#include "client-daemon/uplink/sse_parser.h"

#include <utility>

namespace keyferry::daemon {

Result<void> SseParser::Feed(std::string_view piece) {
  for (const char c : piece) {
    if (c == '\n' && std::exchange(after_cr_, false)) continue;  // CR LF is one line end
    after_cr_ = c == '\r';
    if (c == '\n' || c == '\r') {
      if (auto line = Line(); !line) return line;
      line_.clear();
    } else if (line_.size() == kMaxEvent) {
      return Fail(ErrorCode::kProtocol, "The server sent an event that is too long.");
    } else {
      line_ += c;
    }
  }
  return {};
}

Result<void> SseParser::Line() {
  std::string_view line = line_;
  if (std::exchange(first_line_, false) && line.substr(0, 3) == "\xEF\xBB\xBF")
    line.remove_prefix(3);
  if (line.empty()) {
    if (has_data_) {
      if (event_.name.empty()) event_.name = "message";
      handler_(std::exchange(event_, {}));
    }
    event_ = {};
    has_data_ = false;
    return {};
  }
  const std::size_t colon = line.find(':');
  const std::string_view field = line.substr(0, colon);
  std::string_view value;
  if (colon != std::string_view::npos) value = line.substr(colon + 1);
  if (!value.empty() && value[0] == ' ') value.remove_prefix(1);
  if (field == "event") {
    event_.name = value;
  } else if (field == "data") {
    if (has_data_) event_.data += '\n';
    event_.data += value;
    has_data_ = true;
  }
  if (event_.name.size() + event_.data.size() > kMaxEvent) {
    return Fail(ErrorCode::kProtocol, "The server sent an event that is too long.");
  }
  return {};
}

}  // namespace keyferry::daemon

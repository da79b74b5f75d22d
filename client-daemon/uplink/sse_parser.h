#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <string_view>

#include "protocol/result.h"

namespace keyferry::daemon {

struct ServerEvent {
  std::string name;  // "message" when the stream named none
  std::string data;  // lines joined with LF
};

// Parser of text/event-stream (WHATWG HTML, section 9.2), fed with pieces of any size. Bounded: an
// event (name and data together) may have kMaxEvent bytes, a line as many; more is kProtocol and
// the parser is then of no further use. `id:` and `retry:` are read over, as the server replays
// what is due.
class SseParser {
 public:
  static constexpr std::size_t kMaxEvent = 64 * 1024;
  using Handler = std::function<void(ServerEvent)>;

  explicit SseParser(Handler handler) : handler_(std::move(handler)) {}
  Result<void> Feed(std::string_view piece);

 private:
  Result<void> Line();

  Handler handler_;
  std::string line_;
  ServerEvent event_;
  bool has_data_ = false;
  bool after_cr_ = false;
  bool first_line_ = true;
};

}  // namespace keyferry::daemon

#pragma once

#include <cstddef>
#include <string_view>

#include "client-daemon/agent/wiped_buffer.h"

namespace keyferry::daemon::login {

// One line typed by a person (or, for scripts, given on standard input), in memory that is wiped.
class SecretLine {
 public:
  // Shows `prompt` on the terminal and reads a line from it without echo; Backspace and Ctrl-U
  // work. False when there is no terminal, or the person gave up (Ctrl-C, Ctrl-D).
  bool Ask(const char* prompt);
  // The next line of standard input; false at its end, or when the line is too long.
  bool ReadFromStdin();

  std::string_view text() const {
    return {reinterpret_cast<const char*>(buffer_.first(size_).data()), size_};
  }

 private:
  bool Take(int fd, bool editing);

  WipedBuffer<128> buffer_;
  std::size_t size_ = 0;
};

}  // namespace keyferry::daemon::login

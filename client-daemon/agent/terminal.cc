#include "client-daemon/agent/terminal.h"

#include <fcntl.h>
#include <termios.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace keyferry::daemon::login {
namespace {

constexpr std::uint8_t kCtrlC = 3;
constexpr std::uint8_t kCtrlD = 4;
constexpr std::uint8_t kBackspace = 8;
constexpr std::uint8_t kCtrlU = 21;
constexpr std::uint8_t kDelete = 127;

// The terminal without echo, line editing and signals, until the end of the scope: so Ctrl-C cannot
// leave it mute.
class Quiet {
 public:
  explicit Quiet(int fd) : fd_(fd) {
    changed_ = tcgetattr(fd, &before_) == 0;
    termios quiet = before_;
    quiet.c_lflag &= ~static_cast<tcflag_t>(ECHO | ICANON | ISIG);
    quiet.c_cc[VMIN] = 1;
    quiet.c_cc[VTIME] = 0;
    changed_ = changed_ && tcsetattr(fd, TCSAFLUSH, &quiet) == 0;
  }
  ~Quiet() {
    if (changed_) tcsetattr(fd_, TCSAFLUSH, &before_);
  }
  Quiet(const Quiet&) = delete;
  Quiet& operator=(const Quiet&) = delete;
  bool ok() const { return changed_; }

 private:
  const int fd_;
  termios before_{};
  bool changed_ = false;
};

void Show(int fd, const char* text) {
  [[maybe_unused]] const ssize_t n = write(fd, text, std::strlen(text));
}

}  // namespace

bool SecretLine::Ask(const char* prompt) {
  const int fd = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY);
  if (fd < 0) return false;
  bool taken = false;
  {
    const Quiet quiet(fd);
    if (quiet.ok()) {
      Show(fd, prompt);
      taken = Take(fd, true);
      Show(fd, "\r\n");
    }
  }
  close(fd);
  return taken;
}

bool SecretLine::ReadFromStdin() { return Take(STDIN_FILENO, false); }

// Byte by byte, so that nothing is left in a buffer of somebody else's.
bool SecretLine::Take(int fd, bool editing) {
  size_ = 0;
  while (true) {
    std::uint8_t byte = 0;
    const ssize_t got = read(fd, &byte, 1);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return size_ > 0;
    if (byte == '\n' || (editing && byte == '\r')) return true;
    if (editing && (byte == kCtrlC || byte == kCtrlD)) return false;
    if (editing && byte == kCtrlU) {
      size_ = 0;
    } else if (editing && (byte == kBackspace || byte == kDelete)) {
      // A whole character: UTF-8's following bytes, then its first one.
      while (size_ > 0 && (buffer_.data()[size_ - 1] & 0xC0) == 0x80) --size_;
      if (size_ > 0) --size_;
    } else if (size_ == buffer_.size()) {
      return false;
    } else {
      buffer_.data()[size_++] = byte;
    }
  }
}

}  // namespace keyferry::daemon::login

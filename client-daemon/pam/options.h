#pragma once

#include <cstddef>
#include <cstring>

namespace keyferry::daemon::login {

// The words behind pam_keyferry.so in a file of /etc/pam.d; docs/login.md explains them. The texts
// belong to libpam and live as long as the call.
struct Options {
  const char* socket = "/run/keyferry-agent/agent.sock";
  const char* prompt = "PIN of your security key: ";
  int timeout_ms = 3000;  // what the agent may take in all, typing and touch apart: 1 … 10 s
  bool debug = false;
  const char* bad = nullptr;  // the first word that is no option or has no sensible value

  static Options Parse(int argc, const char** argv) {
    Options options;
    for (int i = 0; i < argc; ++i) {
      const char* word = argv[i];
      if (const char* path = After(word, "socket="); path != nullptr && path[0] == '/') {
        options.socket = path;
      } else if (const char* text = After(word, "prompt="); text != nullptr && text[0] != '\0') {
        options.prompt = text;
      } else if (const char* value = After(word, "timeout=");
                 value != nullptr && Seconds(value) > 0) {
        options.timeout_ms = Seconds(value) * 1000;
      } else if (std::strcmp(word, "debug") == 0) {
        options.debug = true;
      } else if (options.bad == nullptr) {
        options.bad = word;
      }
    }
    return options;
  }

 private:
  static const char* After(const char* word, const char* name) {
    const std::size_t size = std::strlen(name);
    return std::strncmp(word, name, size) == 0 ? word + size : nullptr;
  }
  // 1 … 10, else 0.
  static int Seconds(const char* text) {
    if (text[0] >= '1' && text[0] <= '9' && text[1] == '\0') return text[0] - '0';
    return std::strcmp(text, "10") == 0 ? 10 : 0;
  }
};

}  // namespace keyferry::daemon::login

// keyferry-agent: the login agent (docs/login.md).
#include <fcntl.h>
#include <pwd.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

#include "client-daemon/agent/agent_config.h"
#include "client-daemon/agent/agent_server.h"
#include "client-daemon/agent/agent_state.h"
#include "client-daemon/agent/daemon_client.h"
#include "client-daemon/agent/introduction.h"
#include "client-daemon/core/encoding.h"
#include "client-daemon/core/log.h"
#include "protocol/secure/secure_bytes.h"

namespace {

using namespace keyferry;
using namespace keyferry::daemon;
using namespace keyferry::daemon::login;

constexpr time_t kAskAgainSeconds = 2;    // until the LOGIN key is certified
constexpr time_t kLookAgainSeconds = 30;  // afterwards: the daemon may have been set up anew

int Complain(const std::string& message) {
  std::fprintf(stderr, "keyferry-agent: %s\n", message.c_str());
  return 1;
}

const char* Name(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug:
      return "debug";
    case LogLevel::kInfo:
      return "info";
    case LogLevel::kWarning:
      return "warning";
    case LogLevel::kError:
      break;
  }
  return "error";
}

// As keyferryd's lines: 2024-06-07T12:34:56.789Z info text.
std::string Stamp() {
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  tm utc{};
  gmtime_r(&now.tv_sec, &utc);
  std::array<char, 32> date{};
  const std::size_t size = strftime(date.data(), date.size(), "%Y-%m-%dT%H:%M:%S", &utc);
  std::array<char, 8> millis{};
  std::snprintf(millis.data(), millis.size(), ".%03dZ",
                static_cast<int>(now.tv_nsec / 1000000 % 1000));
  return std::string(date.data(), size) + millis.data();
}

// One write(2) a line: lines of several threads do not mix.
bool LogTo(const AgentConfig& config) {
  int fd = STDERR_FILENO;
  if (!config.log_file.empty()) {
    fd =
        open(config.log_file.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) return false;
  }
  SetLogSink([fd, least = config.log_level](LogLevel level, std::string_view text) {
    if (level < least) return;
    const std::string line = Stamp() + " " + Name(level) + " " + std::string(text) + "\n";
    [[maybe_unused]] const ssize_t n = write(fd, line.data(), line.size());
  });
  return true;
}

std::optional<std::string> NameOf(uid_t uid) {
  std::array<char, 16384> buffer;
  passwd entry{};
  passwd* found = nullptr;
  if (getpwuid_r(uid, &entry, buffer.data(), buffer.size(), &found) != 0 || found == nullptr) {
    return std::nullopt;
  }
  return std::string(found->pw_name);
}

// sd_notify(3), for Type=notify.
void TellSystemd(const char* message) {
  const char* path = std::getenv("NOTIFY_SOCKET");
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path == nullptr || path[0] == '\0' || std::strlen(path) >= sizeof address.sun_path) return;
  std::memcpy(address.sun_path, path, std::strlen(path));
  if (address.sun_path[0] == '@') address.sun_path[0] = '\0';
  const int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return;
  const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + std::strlen(path));
  sendto(fd, message, std::strlen(message), MSG_NOSIGNAL,
         reinterpret_cast<const sockaddr*>(&address), size);
  close(fd);
}

int Run(const AgentConfig& config) {
  sigset_t ends;
  sigemptyset(&ends);
  sigaddset(&ends, SIGTERM);
  sigaddset(&ends, SIGINT);
  // Before any thread: all inherit it, and only sigtimedwait below takes them.
  pthread_sigmask(SIG_BLOCK, &ends, nullptr);
  signal(SIGPIPE, SIG_IGN);

  const auto state = AgentState::Open(config.state_dir, config.root_pub);
  if (!state) return Complain(state.error().message);
  DaemonClient daemon(config.daemon_socket);
  const Services services{daemon, **state, NameOf};
  auto server = AgentServer::Start({config.socket, config.allow_users, {}}, services);
  if (!server) return Complain(server.error().message);
  Log(LogLevel::kInfo, "keyferry-agent " KEYFERRY_VERSION " listens at " + config.socket);
  std::puts("ready");
  std::fflush(stdout);
  TellSystemd("READY=1");

  std::string last;
  int signal_number = -1;
  do {
    const Introduction now = Introduce(daemon, **state);
    if (now.words != last) {
      Log(now.certified ? LogLevel::kInfo : LogLevel::kWarning, now.words);
      last = now.words;
    }
    const timespec pause{now.certified ? kLookAgainSeconds : kAskAgainSeconds, 0};
    signal_number = sigtimedwait(&ends, nullptr, &pause);
  } while (signal_number < 0);
  TellSystemd("STOPPING=1");
  server->reset();
  Log(LogLevel::kInfo, "stopped");
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  HardenProcess();
  if (argc == 2 && std::strcmp(argv[1], "--version") == 0) {
    std::puts("keyferry-agent " KEYFERRY_VERSION);
    return 0;
  }
  if (argc != 3 || std::strcmp(argv[1], "--config") != 0) {
    return Complain("usage: keyferry-agent --config FILE | --version");
  }
  const auto config = LoadAgentConfig(argv[2]);
  if (!config) return Complain(config.error().message);
  if (!LogTo(*config)) {
    return Complain("`log_file`: " + config->log_file +
                    " cannot be opened: " + std::strerror(errno));
  }
  return Run(*config);
}

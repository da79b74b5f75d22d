// keyferry notices: what was done to the people whose keys are here, and "this was not me".
#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <memory>
#include <thread>

#include "client-daemon/cli/caller_watch.h"
#include "client-daemon/cli/commands.h"
#include "client-daemon/cli/notice_watch.h"
#include "client-daemon/core/files.h"
#include "client-daemon/ipc/ask.h"

namespace keyferry::daemon::cli {
namespace {

constexpr std::chrono::milliseconds kPatience{20'000};  // the daemon may ask the server
constexpr std::chrono::seconds kLookEvery{10};
constexpr std::chrono::seconds kAskedEvery{3};

struct NoticeOptions {
  std::string socket = "/run/keyferry/daemon.sock";
  std::uint64_t not_me = 0;
  bool json = false;
};

Result<std::string> AskAt(const std::string& socket, const std::string& request) {
  return AskDaemon(socket, request, kPatience);
}

int ListNotices(const NoticeOptions& options) {
  const auto answer = AskAt(options.socket, R"({"op":"notices"})");
  if (!answer) return Complain(answer.error());
  if (options.json) {
    std::printf("%s\n", answer->c_str());
    return 0;
  }
  const auto notices = ParseNotices(*answer);
  if (!notices) return Complain(notices.error());
  std::fputs(NoticesText(*notices).c_str(), stdout);
  return 0;
}

int SayNotMe(const NoticeOptions& options) {
  const auto answer = AskAt(options.socket, NotMeRequest(options.not_me));
  if (!answer) return Complain(answer.error());
  if (const auto said = ParseNotMe(*answer); !said) return Complain(said.error());
  std::puts(
      "Your security keys are suspended, nothing new reaches them, and the administrators are "
      "told. Do not give anybody your PIN, a password or a code.");
  return 0;
}

// What was shown is remembered here.
Result<std::string> SeenFile() {
  const char* const state = std::getenv("XDG_STATE_HOME");
  const char* const home = std::getenv("HOME");
  if ((state == nullptr || *state == '\0') && (home == nullptr || *home == '\0')) {
    return Fail(ErrorCode::kInvalidArgument, "HOME is not set.");
  }
  const std::string folder =
      (state != nullptr && *state != '\0' ? std::string(state)
                                          : std::string(home) + "/.local/state") +
      "/keyferry";
  if (auto made = MakePrivateDirectory(folder); !made) return tl::unexpected(made.error());
  return folder + "/notices-seen";
}

// Looks for ever, and says each trouble once.
[[noreturn]] void WatchFor(const std::function<Result<void>()>& look, std::chrono::seconds every) {
  std::string trouble;
  while (true) {
    const auto looked = look();
    const std::string now = looked ? std::string() : looked.error().message;
    if (!now.empty() && now != trouble) std::fprintf(stderr, "keyferry: %s\n", now.c_str());
    trouble = now;
    std::this_thread::sleep_for(every);
  }
}

int WatchNotices(const NoticeOptions& options) {
  const auto file = SeenFile();
  if (!file) return Complain(file.error());
  // One each: a notice may stay open for minutes, and whom the help desk asks is on the telephone.
  auto desktop = DesktopQuestion::Open();
  if (!desktop) return Complain(desktop.error());
  auto callers = DesktopQuestion::Open();
  if (!callers) return Complain(callers.error());
  const auto ask = [&options](const std::string& request) {
    return AskAt(options.socket, request);
  };
  NoticeWatch notices(ask, **desktop, *file);
  CallerWatch asked(ask, **callers);
  std::thread([&asked] { WatchFor([&asked] { return asked.Look(); }, kAskedEvery); }).detach();
  WatchFor([&notices] { return notices.Look(); }, kLookEvery);
}

}  // namespace

void AddNotices(CLI::App& app, int& exit_code) {
  auto options = std::make_shared<NoticeOptions>();
  CLI::App* command = app.add_subcommand(
      "notices", "What was done to your password, keys or account; and \"this was not me\"");
  command->add_option("--socket", options->socket, "the daemon's socket")->capture_default_str();
  command
      ->add_option("--not-me", options->not_me,
                   "the notice with this number was not you: suspends your keys")
      ->check(CLI::PositiveNumber);
  command->add_flag("--json", options->json, "the daemon's own answer, for programs");
  CLI::App* agent = command->add_subcommand(
      "agent",
      "Shows on the desktop what is new, and what the help desk asks; started in the session");
  agent->callback([options, &exit_code] { exit_code = WatchNotices(*options); });
  command->callback([options, agent, &exit_code] {
    if (agent->parsed()) return;
    exit_code = options->not_me != 0 ? SayNotMe(*options) : ListNotices(*options);
  });
}

}  // namespace keyferry::daemon::cli

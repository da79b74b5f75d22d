// What the help desk asks, on the person's desktop.
#include <catch2/catch.hpp>

#include "client-daemon/cli/caller_watch.h"
#include "client-daemon/core/caller_questions.h"
#include "client-daemon/ipc/messages.h"

using namespace keyferry;
using namespace keyferry::daemon;
using namespace std::chrono_literals;
using daemon::cli::CallerWatch;

namespace {

CallerEvent TouchAsked(std::uint8_t request, std::uint8_t challenge,
                       const std::string& login = "alice") {
  CallerEvent event;
  event.request[0] = request;
  event.challenge[0] = challenge;
  event.login = login;
  event.agent = "Anna Agent (anna)";
  event.ticket = "INC-1";
  event.reason = "forgot it";
  event.life = 180s;
  return event;
}

struct Shown final : cli::DesktopQuestion {
  bool Ask(const std::string& title, const std::string& text, const std::string&,
           const std::string&, std::chrono::milliseconds limit, int) override {
    texts.push_back(title + "|" + text);
    limits.push_back(limit);
    return false;
  }
  std::vector<std::string> texts;
  std::vector<std::chrono::milliseconds> limits;
};

// The daemon's socket, over the questions that the daemon has.
struct Daemon {
  Result<std::string> Ask(const std::string& request) {
    if (down) return Fail(ErrorCode::kUnavailable, "No keyferryd is there.");
    const auto parsed = ParseRequest(request);
    REQUIRE(parsed);
    REQUIRE(parsed->op == IpcRequest::kAsked);
    return FormatAsked(questions.All(now));
  }
  CallerWatch Watch(Shown& shown) {
    return CallerWatch([this](const std::string& request) { return Ask(request); }, shown);
  }
  explicit Daemon(std::uint64_t first = 0) : questions(first) {}
  CallerQuestions questions;
  CallerQuestions::Clock::time_point now{};
  bool down = false;
};

}  // namespace

TEST_CASE("asked: each question of the help desk is shown once, and once more when asked anew") {
  Daemon daemon;
  Shown shown;
  CallerWatch watch = daemon.Watch(shown);
  REQUIRE(watch.Look());
  CHECK(shown.texts.empty());
  daemon.questions.Put(TouchAsked(1, 1), daemon.now);
  for (int i = 0; i < 3; ++i) REQUIRE(watch.Look());
  REQUIRE(shown.texts.size() == 1);
  for (const char* part : {"Anna Agent (anna)", "alice", "INC-1", "forgot it",
                           "keyferry help-desk answer", "keyferry help-desk deny"}) {
    INFO(part);
    CHECK(shown.texts[0].find(part) != std::string::npos);
  }
  CHECK(shown.limits[0] == 180s);
  daemon.questions.Put(TouchAsked(1, 1), daemon.now);  // the server sent it again
  REQUIRE(watch.Look());
  CHECK(shown.texts.size() == 1);
  daemon.questions.Put(TouchAsked(1, 2), daemon.now);  // the agent asked again
  REQUIRE(watch.Look());
  CHECK(shown.texts.size() == 2);
  daemon.questions.Put(TouchAsked(2, 3, "bob"), daemon.now);
  daemon.now += 100s;
  REQUIRE(watch.Look());
  REQUIRE(shown.texts.size() == 3);
  CHECK(shown.texts[2].find("bob") != std::string::npos);
  CHECK(shown.limits[2] == 80s);
}

TEST_CASE("asked: what is over is not shown") {
  Daemon daemon;
  Shown shown;
  CallerWatch watch = daemon.Watch(shown);
  daemon.questions.Put(TouchAsked(1, 1), daemon.now);
  daemon.questions.Put(TouchAsked(2, 2), daemon.now);
  REQUIRE(watch.Look());
  CHECK(shown.texts.size() == 2);
  daemon.questions.Put(TouchAsked(3, 3), daemon.now);
  daemon.questions.Remove(TouchAsked(3, 3).request);
  REQUIRE(watch.Look());
  daemon.now += 180s;
  daemon.questions.Put(TouchAsked(4, 4), daemon.now - 180s);
  REQUIRE(watch.Look());
  CHECK(shown.texts.size() == 2);
}

TEST_CASE("asked: an older question is not shown again, a new daemon's first one is") {
  Daemon daemon, again(1000);
  Daemon* there = &daemon;
  Shown shown;
  CallerWatch watch([&](const std::string& request) { return there->Ask(request); }, shown);
  daemon.questions.Put(TouchAsked(1, 1), daemon.now);
  daemon.questions.Put(TouchAsked(2, 2), daemon.now);
  REQUIRE(watch.Look());
  CHECK(shown.texts.size() == 2);
  daemon.questions.Remove(TouchAsked(2, 2).request);
  REQUIRE(watch.Look());
  CHECK(shown.texts.size() == 2);
  again.questions.Put(TouchAsked(1, 1), again.now);
  there = &again;
  REQUIRE(watch.Look());
  CHECK(shown.texts.size() == 3);
  // Without being told, a daemon counts from the time.
  CallerQuestions usual;
  usual.Put(TouchAsked(1, 1), again.now);
  CHECK(usual.All(again.now).front().number > 1'000'000'000'000'000u);
  again.down = true;
  CHECK(watch.Look().error().code == ErrorCode::kUnavailable);
}

TEST_CASE("asked: what an answer is made of is not told, and what is told disturbs no terminal") {
  Daemon daemon;
  CallerEvent event = TouchAsked(1, 0xAB);
  event.reason = "a\nb\x1b";
  daemon.questions.Put(event, daemon.now);
  const std::string answer = FormatAsked(daemon.questions.All(daemon.now));
  CHECK(answer.find("challenge") == std::string::npos);
  CHECK(answer.find("request_id") == std::string::npos);
  const auto parsed = cli::ParseAsked(answer);
  REQUIRE(parsed);
  CHECK(parsed->front().reason.find('\n') == std::string::npos);
  CHECK(parsed->front().reason.find('\x1b') == std::string::npos);
  CHECK(cli::ParseAsked(FormatError({ErrorCode::kPermissionDenied, "Not for you.", {}, 0}))
            .error()
            .message == "Not for you.");
  for (const char* bad : {"", "{}", "[]", R"({"ok":true})", R"({"ok":true,"questions":{}})",
                          R"({"ok":true,"questions":[1]})", R"({"ok":true,"questions":[{}]})",
                          R"({"ok":true,"questions":[{"number":1,"seconds":-1}]})",
                          R"({"ok":true,"questions":[{"number":1,"seconds":90000}]})"}) {
    INFO(bad);
    CHECK(cli::ParseAsked(bad).error().code == ErrorCode::kProtocol);
  }
  CHECK_FALSE(ParseRequest(R"({"op":"asked","login":"bob"})"));
}

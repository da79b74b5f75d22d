// What a workstation shows of what was done to people, and "this was not me" from there.
#include <unistd.h>

#include <catch2/catch.hpp>
#include <deque>

#include "client-daemon/cli/notice_watch.h"
#include "client-daemon/core/notice_board.h"
#include "client-daemon/ipc/messages.h"
#include "client-daemon/uplink/messages.h"
#include "tests/unit/client-daemon/workstation_rig.h"

using namespace keyferry;
using namespace keyferry::daemon;
using daemon::cli::NoticeWatch;
using test::WorkstationRig;

namespace {

NoticeEvent Told(std::uint64_t number, const std::string& login = "alice") {
  return {number, login, "password_set", "boss", "192.0.2.1", "INC-1: forgot it", 1'800'000'000};
}

// Answers as the test has laid down: yes or no.
struct Desktop final : cli::DesktopQuestion {
  bool Ask(const std::string& title, const std::string& text, const std::string& yes,
           const std::string&, std::chrono::milliseconds, int) override {
    asked.push_back(title + "|" + text + "|" + yes);
    if (answers.empty()) return false;
    const bool answer = answers.front();
    answers.pop_front();
    return answer;
  }
  std::deque<bool> answers;
  std::vector<std::string> asked;
};

// A daemon's socket that has these notices.
struct Socket {
  Result<std::string> Ask(const std::string& request) {
    requests.push_back(request);
    if (down) return Fail(ErrorCode::kUnavailable, "No keyferryd is there.");
    if (request.find("not_me") == std::string::npos) return FormatNotices(notices);
    return refused ? FormatError(*refused) : FormatOk();
  }
  NoticeWatch Watch(Desktop& desktop, const std::string& file) {
    return NoticeWatch([this](const std::string& request) { return Ask(request); }, desktop, file);
  }
  std::vector<NoticeEvent> notices;
  std::vector<std::string> requests;
  std::optional<Error> refused;
  bool down = false;
};

}  // namespace

TEST_CASE("notices: the event is read whole, and what it says cannot disturb a terminal") {
  const auto notice = ParseNoticeEvent(
      R"({"number":7,"login":"alice","kind":"new_kind","by":"bo\u001bss","address":"","reason":"a\nb","time":1800000000,"more":1})");
  REQUIRE(notice);
  CHECK(notice->number == 7);
  CHECK(notice->kind == "new_kind");
  CHECK(notice->by == "bo?ss");
  CHECK(notice->reason == "a?b");
  for (const char* bad :
       {"{}", R"({"number":7})", "[]",
        R"({"number":"7","login":"a","kind":"k","by":"b","address":"","reason":"","time":1})",
        R"({"number":7,"login":"a","kind":"k","by":"b","address":"","reason":"","time":-1})"}) {
    INFO(bad);
    CHECK_FALSE(ParseNoticeEvent(bad));
  }
}

TEST_CASE("notices: the newest are kept, each once") {
  NoticeBoard board;
  for (std::uint64_t i = 1; i <= NoticeBoard::kMostNotices + 10; ++i) {
    board.Put(Told(i));
    board.Put(Told(i));
  }
  board.Put(Told(3));  // there was no room for it any more
  const auto all = board.All();
  REQUIRE(all.size() == NoticeBoard::kMostNotices);
  CHECK(all.front().number == NoticeBoard::kMostNotices + 10);
  CHECK(all.back().number == 11);
  board.Remove(all.front().number);
  CHECK(board.All().front().number == NoticeBoard::kMostNotices + 9);
}

TEST_CASE("notices: whose they are is told by the name without a domain") {
  CHECK(IsSameUser("alice", "alice"));
  CHECK(IsSameUser("Alice@corp.example", "alice"));
  CHECK(IsSameUser("CORP\\alice", "ALICE"));
  CHECK_FALSE(IsSameUser("alice2", "alice"));
  CHECK_FALSE(IsSameUser("ali", "alice"));
  CHECK_FALSE(IsSameUser("", ""));
  CHECK_FALSE(IsSameUser("@corp", "@corp"));
}

TEST_CASE("notices: the daemon carries the word to the server, and shows the notice no more") {
  WorkstationRig rig;
  rig.workstation->OnNotice(Told(7));
  rig.workstation->OnNotice(Told(8));
  CHECK(rig.workstation->NotMe(9).error().code == ErrorCode::kNotFound);
  CHECK(rig.granter.not_me.empty());
  rig.granter.not_me_error = Error{ErrorCode::kUnavailable, "The server cannot be asked.", {}, 0};
  CHECK(rig.workstation->NotMe(7).error().code == ErrorCode::kUnavailable);
  CHECK(rig.workstation->Notices().size() == 2);  // it can be said again
  rig.granter.not_me_error.reset();
  REQUIRE(rig.workstation->NotMe(7));
  CHECK(rig.granter.not_me == std::vector<std::uint64_t>{7});
  REQUIRE(rig.workstation->Notices().size() == 1);
  CHECK(rig.workstation->Notices().front().number == 8);
}

TEST_CASE("notices: the requests of the socket are read strictly") {
  CHECK(ParseRequest(R"({"op":"notices"})")->op == IpcRequest::kNotices);
  const auto not_me = ParseRequest(R"({"op":"not_me","number":7})");
  REQUIRE(not_me);
  CHECK(not_me->op == IpcRequest::kNotMe);
  CHECK(not_me->number == 7);
  for (const char* bad :
       {R"({"op":"notices","login":"alice"})", R"({"op":"not_me"})",
        R"({"op":"not_me","number":"7"})", R"({"op":"not_me","number":7,"login":"bob"})",
        R"({"op":"not_me","number":-7})"}) {
    INFO(bad);
    CHECK_FALSE(ParseRequest(bad));
  }
}

TEST_CASE("notices: the command line says what was done, by whom and how to stop it") {
  const auto notices = cli::ParseNotices(FormatNotices({Told(7)}));
  REQUIRE(notices);
  const std::string text = cli::NoticesText(*notices);
  for (const char* part : {"7  A new password was set for alice.", "by boss from 192.0.2.1",
                           "INC-1: forgot it", "--not-me NUMBER"}) {
    INFO(part);
    CHECK(text.find(part) != std::string::npos);
  }
  NoticeEvent other = Told(8);
  other.kind = "of_a_newer_server";
  CHECK(cli::ActOf(other) == "Something was done to the account of alice.");
  CHECK(cli::NoticesText({}).find("Nothing new") == 0);
  CHECK_FALSE(cli::ParseNotices("{}"));
  CHECK_FALSE(cli::ParseNotices(R"({"ok":true,"notices":[1]})"));
  const auto refused = cli::ParseNotices(FormatError({ErrorCode::kNotFound, "No.", {}, 0}));
  CHECK(refused.error().message == "No.");
}

TEST_CASE("notices: the desktop shows each once, the oldest first, also in the next session") {
  test::TempDir dir;
  Desktop desktop;
  Socket socket;
  socket.notices = {Told(8), Told(7)};
  {
    NoticeWatch watch = socket.Watch(desktop, dir / "seen");
    REQUIRE(watch.Look());
    REQUIRE(desktop.asked.size() == 2);
    CHECK(desktop.asked[0].find("A new password was set for alice.|") == 0);
    CHECK(desktop.asked[0].find("|This was not me") != std::string::npos);
    REQUIRE(watch.Look());
    CHECK(desktop.asked.size() == 2);
  }
  NoticeWatch next = socket.Watch(desktop, dir / "seen");
  REQUIRE(next.Look());
  CHECK(desktop.asked.size() == 2);
  socket.notices = {Told(9), Told(8), Told(7)};
  REQUIRE(next.Look());
  CHECK(desktop.asked.size() == 3);
  for (const std::string& request : socket.requests) {
    CHECK(request.find("not_me") == std::string::npos);
  }
  socket.down = true;
  CHECK(next.Look().error().code == ErrorCode::kUnavailable);
}

TEST_CASE("notices: the button asks once more, then says it, and what came of it is shown") {
  test::TempDir dir;
  Desktop desktop;
  Socket socket;
  socket.notices = {Told(7)};
  desktop.answers = {true, false};  // pressed, then thought better of it
  REQUIRE(socket.Watch(desktop, dir / "a").Look());
  CHECK(desktop.asked.size() == 2);
  CHECK(socket.requests.size() == 1);
  desktop.answers = {true, true};
  REQUIRE(socket.Watch(desktop, dir / "b").Look());
  CHECK(socket.requests.back() == R"({"op":"not_me","number":7})");
  CHECK(desktop.asked.back().find("It is stopped|") == 0);
  socket.refused = Error{ErrorCode::kUnavailable, "The server cannot be asked now.", {}, 0};
  desktop.answers = {true, true};
  REQUIRE(socket.Watch(desktop, dir / "c").Look());
  CHECK(desktop.asked.back().find("It could not be stopped from here|The server cannot be asked "
                                  "now. Use the link of the mail") == 0);
}

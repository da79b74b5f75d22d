// Reading a new password out: only where the policy says so, once, and never to be had again.
#include <thread>

#include "help_desk_rig.h"

using namespace keyferry;
using namespace keyferry::server;
using namespace keyferry::server::testing;

using State = HelpDeskState;

namespace {

constexpr auto kReadOut = HelpDeskProcess::kReadOut;
constexpr char kStaff[] = "CN=Staff,DC=corp,DC=example";

HelpDeskConfig Reading() {
  HelpDeskConfig config;
  config.read_out = true;
  config.resets_per_day = 100;
  config.privileged_groups = {kStaff};
  return config;
}

struct Reader : Desk {
  Reader() : Desk(Reading()) {}
  Result<SecureBytes> Read(const HelpDeskId& id) { return service->Act(agent, id, At(id)); }
  bool Offered(const HelpDeskId& id) {
    const auto view = service->Get(agent, id);
    REQUIRE(view);
    return std::count(view->processes.begin(), view->processes.end(), kReadOut) == 1;
  }
};

}  // namespace

TEST_CASE("a password is read out only where the policy says so") {
  Desk desk;
  const HelpDeskId id = desk.Opened();
  const auto view = desk.service->Get(desk.agent, id);
  CHECK(view->processes == std::vector{HelpDeskProcess::kReset, HelpDeskProcess::kUnlock,
                                       HelpDeskProcess::kMustChange});
  CHECK(desk.Choose(id, kReadOut).error().code == ErrorCode::kPermissionDenied);
  CHECK(desk.Row(id).state == State::kIdentified);
  // Where it was turned off after it was chosen, it is not carried out either.
  Reader reader;
  const HelpDeskId chosen = reader.In(State::kVerified, kReadOut);
  reader.config.read_out = false;
  reader.StartAgain();
  CHECK(reader.Read(chosen).error().code == ErrorCode::kPermissionDenied);
  CHECK(reader.directory.writes == 0);
}

TEST_CASE("the agent sees it once; the directory asks for another one; the key has it too") {
  Reader desk;
  const std::uint64_t before = desk.AuditHead();
  const HelpDeskId id = desk.In(State::kVerified, kReadOut);
  CHECK(desk.Offered(id));
  const std::uint64_t version = desk.At(id);
  const auto seen = desk.Read(id);
  REQUIRE(seen);
  CHECK(seen->view() == desk.AdPassword());
  CHECK(seen->size() >= 12);
  CHECK(desk.directory.At(desk.alice).detail.state.password_last_set == 0);  // must change
  const ChangeView change = desk.Newest(desk.alice);
  CHECK(change.must_change);
  CHECK(change.generated);
  CHECK(desk.Row(id).change == change.id);
  // Never again, by any step.
  CHECK(IsMoved(desk.service->Act(desk.agent, id, version).error()));
  CHECK(IsMoved(desk.Read(id).error()));
  CHECK(desk.Audited(before) == std::vector<std::string>{"open ok", "process ok", "verify ok",
                                                         "verified ok", "act ok", "acted ok",
                                                         "read_out ok"});
  REQUIRE(desk.Deliver(*desk.desk, desk.key));
  CHECK(desk.key.password == desk.AdPassword());
  REQUIRE(desk.service->Confirm(desk.agent, id, desk.At(id)));

  // No file of the database, and nothing of the log, has it.
  const std::string password(seen->view());
  const auto rows = desk.store->AuditAfter(0, 1000);
  for (const auto& row : *rows) CHECK(row.entry.detail.find(password) == std::string::npos);
  for (const std::string& line : desk.log) CHECK(line.find(password) == std::string::npos);
  const auto found = desk.database.Search(password);
  CHECK(found.files != 0);
  CHECK(found.with.empty());
}

TEST_CASE("of twenty clicks one sees it") {
  Reader desk;
  const HelpDeskId id = desk.In(State::kVerified, kReadOut);
  const std::uint64_t version = desk.At(id);
  std::atomic<int> seen{0}, empty{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 20; ++i) {
    threads.emplace_back([&] {
      const auto read = desk.service->Act(desk.agent, id, version);
      if (read) ++(read->empty() ? empty : seen);
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(seen == 1);
  CHECK(empty == 0);
  CHECK(desk.directory.writes == 1);
}

TEST_CASE("a server that dies takes the password with it") {
  for (const Write crash : {Write::kCrashBefore, Write::kCrashAfter}) {
    Reader desk;
    const HelpDeskId id = desk.In(State::kVerified, kReadOut);
    const std::string former = desk.AdPassword();
    desk.directory.script = {crash};
    CHECK_THROWS_AS(desk.Read(id), Crash);
    desk.StartAgain();
    desk.clock.Advance(std::chrono::seconds(61));
    desk.changes->Reconcile();
    const std::uint64_t before = desk.AuditHead();
    const int writes = desk.directory.writes;
    const auto again = desk.Read(id);
    CHECK(desk.directory.writes == writes);  // nothing is made anew behind the agent's back
    if (crash == Write::kCrashAfter) {
      REQUIRE(again);
      CHECK(again->empty());
      CHECK(desk.AdPassword() != former);
      CHECK(desk.Row(id).state == State::kActed);
      CHECK(desk.Row(id).error.find("nobody has seen the new password") != std::string::npos);
      CHECK(desk.Audited(before) == std::vector<std::string>{"acted ok", "read_out lost"});
    } else {
      if (again) CHECK(again->empty());
      CHECK(desk.AdPassword() == former);
      CHECK_FALSE(desk.Row(id).error.empty());
    }
  }
}

TEST_CASE("one that was interrupted before the change is not made by the next click unseen") {
  Reader desk;
  const HelpDeskId id = desk.In(State::kVerified, kReadOut);
  // As a server leaves it that dies between the first transaction and the change.
  HelpDeskStore::Step step;
  step.next = desk.Row(id);
  step.from = State::kVerified;
  step.next.state = State::kActing;
  ++step.next.acts;
  step.next.acted = desk.clock.UnixMillis();
  REQUIRE(desk.store->StepHelpDesk(step).value() == HelpDeskStore::Stepped::kDone);
  CHECK(desk.Read(id).error().code == ErrorCode::kUnavailable);
  CHECK(desk.directory.writes == 0);
  CHECK(desk.Row(id).state == State::kVerified);
  const auto seen = desk.Read(id);
  REQUIRE(seen);
  CHECK(seen->view() == desk.AdPassword());
}

TEST_CASE("where the outcome is not known nobody sees a password") {
  for (const Write lost : {Write::kLostAndAppliedLate, Write::kLostThenNotApplied}) {
    Reader desk;
    const HelpDeskId id = desk.In(State::kVerified, kReadOut);
    desk.directory.script = {lost};
    const auto read = desk.Read(id);
    if (read) CHECK(read->empty());
    CHECK_FALSE(desk.Row(id).error.empty());
  }
  // The answer was lost, and the directory's record shows that it has this very password.
  Reader desk;
  const HelpDeskId id = desk.In(State::kVerified, kReadOut);
  desk.directory.script = {Write::kLostThenApplied};
  const auto read = desk.Read(id);
  REQUIRE(read);
  if (!read->empty()) CHECK(read->view() == desk.AdPassword());
}

TEST_CASE("what cannot be written to the audit log is not shown") {
  Reader desk;
  const HelpDeskId id = desk.In(State::kVerified, kReadOut);
  // Somebody else moves the request while the directory is asked: its last step is not taken.
  desk.directory.on_write = [&] {
    HelpDeskStore::Step step;
    step.next = desk.Row(id);
    step.from = step.next.state;
    REQUIRE(desk.store->StepHelpDesk(step).value() == HelpDeskStore::Stepped::kDone);
  };
  const std::uint64_t before = desk.AuditHead();
  const auto read = desk.Read(id);
  CHECK(IsMoved(read.error()));
  CHECK(desk.directory.writes == 1);
  CHECK(desk.Audited(before) == std::vector<std::string>{"act ok"});
}

TEST_CASE("a privileged person's password is never read out, whenever they became one") {
  Reader desk;
  const HelpDeskId id = desk.In(State::kVerified, kReadOut);
  desk.directory.At(desk.alice).groups = {kStaff};
  CHECK(desk.Read(id).error().code == ErrorCode::kPermissionDenied);
  CHECK(desk.directory.writes == 0);
  REQUIRE(desk.service->Cancel(desk.agent, id, desk.At(id)));
  HelpDeskId next = desk.Opened();
  CHECK(desk.Row(next).privileged);
  CHECK_FALSE(desk.Offered(next));
  CHECK(desk.Choose(next, kReadOut).error().code == ErrorCode::kPermissionDenied);
  REQUIRE(desk.service->Cancel(desk.agent, next, desk.At(next)));
  // What was known when the request was opened counts as well.
  next = desk.Opened();
  desk.directory.At(desk.alice).groups.clear();
  CHECK(desk.Choose(next, kReadOut).error().code == ErrorCode::kPermissionDenied);
  // A directory that cannot tell is no permission.
  REQUIRE(desk.service->Cancel(desk.agent, next, desk.At(next)));
  next = desk.In(State::kVerified, kReadOut);
  desk.directory.down = true;
  CHECK_FALSE(desk.Read(next));
  CHECK(desk.directory.writes == 0);
}

TEST_CASE("only a generated password that must be changed is given out by a change") {
  Reader desk;
  SecureBytes out;
  for (int i = 0; i < 3; ++i) {
    ChangeRequest request = desk.Request(desk.alice, "read-out-" + std::to_string(i));
    request.read_out = &out;
    request.must_change = i != 0;
    if (i == 1) request.mode = ChangeMode::kAtDelivery;
    if (i == 2) {
      request.generate = false;
      request.typed = SecureBytes::CopyOf(std::string_view("Typed-By-Somebody-1"));
    }
    CHECK(desk.changes->Start(desk.admin, std::move(request)).error().code ==
          ErrorCode::kInvalidArgument);
    CHECK(out.empty());
  }
  CHECK(desk.directory.writes == 0);
  // A repeated request gives it to nobody.
  for (const bool first : {true, false}) {
    ChangeRequest request = desk.Request(desk.alice, "read-out-again");
    request.must_change = true;
    SecureBytes copy;
    request.read_out = &copy;
    REQUIRE(desk.changes->Start(desk.admin, std::move(request)));
    CHECK(copy.empty() != first);
    if (first) CHECK(copy.view() == desk.AdPassword());
  }
  CHECK(desk.directory.writes == 1);
}

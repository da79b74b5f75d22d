// How a caller proves who they are, and what does not.
#include "help_desk_rig.h"
#include "server/core/desk_bound_changes.h"

using namespace keyferry;
using namespace keyferry::server;
using namespace keyferry::server::testing;

using State = HelpDeskState;

TEST_CASE("three failed attempts of one verification close the request") {
  Desk desk;
  const std::uint64_t before = desk.AuditHead();
  const HelpDeskId id = desk.In(State::kVerifying);
  CHECK_FALSE(desk.Verify(id, Desk::Told("E 4712")).value());
  CHECK_FALSE(desk.Verify(id, Desk::Called(false)).value());
  CHECK_FALSE(desk.Verify(id, Desk::Told("E 4713")).value());
  const auto view = desk.service->Get(desk.agent, id);
  REQUIRE(view);
  CHECK(view->offers.at(3).left == 1);
  CHECK(view->offers.at(1).left == 2);
  CHECK_FALSE(desk.Verify(id, Desk::Told("E 4714")).value());
  CHECK(desk.Row(id).state == State::kBlocked);
  CHECK(IsMoved(desk.Verify(id, Desk::Told("E 4711")).error()));
  CHECK(desk.Audited(before).back() == "blocked blocked");
  // What was typed is nowhere.
  const auto rows = desk.store->AuditAfter(before, 100);
  REQUIRE(rows);
  for (const auto& row : *rows) CHECK(row.entry.detail.find("471") == std::string::npos);
}

TEST_CASE("a code is for one request, once, for its time, and never shown to the agent") {
  Desk desk;
  const HelpDeskId id = desk.In(State::kVerifying);
  CHECK(desk.Verify(id, Desk::Coded("12345678")).error().code == ErrorCode::kInvalidArgument);
  const auto send = [&] { return desk.service->SendCode(desk.agent, id, desk.At(id)); };
  REQUIRE(send());
  const std::string first = desk.box.Code();
  REQUIRE(send());
  const std::string second = desk.box.Code();
  CHECK(first != second);  // 1 in 10^8
  CHECK_FALSE(desk.Verify(id, Desk::Coded(first)).value());
  for (const char* bad :
       {"", "1234567", "123456789", "1234567a", "12345678\n", "１２３４５６７８"}) {
    CHECK(desk.Verify(id, Desk::Coded(bad)).error().code == ErrorCode::kInvalidArgument);
  }
  REQUIRE(desk.Verify(id, Desk::Coded(second.substr(0, 4) + " " + second.substr(4))).value());
  CHECK(desk.Verify(id, Desk::Coded(second)).error().code == ErrorCode::kConflict);
  // Neither the database nor the view has it.
  desk.StopStore();
  for (const char* table : {"help_desk_requests", "help_desk_attempts"}) {
    CHECK(desk.database.Text(std::string("SELECT CAST(COUNT(*) AS TEXT) FROM ") + table) != "0");
  }
  CHECK(desk.database.Text("SELECT MAX(code_hash) FROM help_desk_attempts").empty());
}

TEST_CASE("the mail server is down: no code is out, no attempt is lost") {
  Desk desk;
  const HelpDeskId id = desk.In(State::kVerifying);
  desk.box.down = true;
  CHECK(desk.service->SendCode(desk.agent, id, desk.At(id)).error().code ==
        ErrorCode::kUnavailable);
  auto view = desk.service->Get(desk.agent, id);
  REQUIRE(view);
  CHECK(view->offers.at(2).sent == 0);
  CHECK(view->offers.at(2).left == 3);
  desk.box.down = false;
  REQUIRE(desk.service->SendCode(desk.agent, id, desk.At(id)));
  REQUIRE(desk.service->SendCode(desk.agent, id, desk.At(id)));
  CHECK(desk.service->SendCode(desk.agent, id, desk.At(id)).error().code ==
        ErrorCode::kRateLimited);
  REQUIRE(desk.Verify(id, Desk::Coded(desk.box.Code())).value());
}

TEST_CASE("where the directory lacks what a method needs, it cannot be used") {
  Desk desk;
  Person& person = desk.directory.At(desk.alice).detail.person;
  person.mail = "not an address";
  person.phone.clear();
  person.employee_id = "  ";
  const HelpDeskId id = desk.In(State::kVerifying);
  const auto view = desk.service->Get(desk.agent, id);
  REQUIRE(view);
  CHECK(view->offers.at(0).unavailable.empty());
  for (std::size_t i = 1; i < 4; ++i) CHECK_FALSE(view->offers.at(i).unavailable.empty());
  CHECK(desk.Verify(id, Desk::Called(true)).error().code == ErrorCode::kConflict);
  CHECK(desk.Verify(id, Desk::Told("")).error().code == ErrorCode::kConflict);
  CHECK(desk.service->SendCode(desk.agent, id, desk.At(id)).error().code == ErrorCode::kConflict);
  CHECK(desk.box.recipients.empty());
}

TEST_CASE("what the agent compares is shown once for each answer, audited without the value") {
  HelpDeskConfig config;
  config.confirm_personal_data = true;
  config.personal_data = {PersonalField::kEmployeeId, PersonalField::kDepartment};
  config.needed_points = 1;
  Desk desk(config);
  const HelpDeskId id = desk.In(State::kVerifying);
  const std::uint64_t before = desk.AuditHead();
  const auto show = [&] { return desk.service->ShowPersonalData(desk.agent, id, desk.At(id)); };
  CHECK(desk.OfferOf(id, HelpDeskMethod::kPersonalData).confirms);
  // Neither before it was shown, nor by typing.
  CHECK(desk.Verify(id, Desk::Compared(true)).error().code == ErrorCode::kInvalidArgument);
  CHECK(desk.Verify(id, Desk::Told("E 4711")).error().code == ErrorCode::kInvalidArgument);
  const std::uint64_t at = desk.At(id);
  const auto shown = show();
  REQUIRE(shown);
  CHECK(shown->values ==
        std::vector<std::pair<PersonalField, std::string>>{
            {PersonalField::kEmployeeId, "E 4711"}, {PersonalField::kDepartment, "Purchase"}});
  CHECK(shown->version == desk.At(id));
  CHECK(IsMoved(desk.service->ShowPersonalData(desk.agent, id, at).error()));  // a second click
  CHECK(desk.Verify(id, Desk::Compared({})).error().code == ErrorCode::kInvalidArgument);
  CHECK(desk.Verify(id, Desk::Told("E 4711")).error().code == ErrorCode::kInvalidArgument);
  CHECK_FALSE(desk.Verify(id, Desk::Compared(false)).value());
  // One answer for each look.
  CHECK(desk.Verify(id, Desk::Compared(true)).error().code == ErrorCode::kInvalidArgument);
  CHECK(desk.OfferOf(id, HelpDeskMethod::kPersonalData).left == 2);
  REQUIRE(show());
  REQUIRE(show());
  CHECK(show().error().code == ErrorCode::kRateLimited);
  desk.StartAgain();
  REQUIRE(desk.Verify(id, Desk::Compared(true)).value());
  CHECK(desk.Row(id).state == State::kVerified);
  CHECK(IsMoved(show().error()));
  CHECK(desk.Audited(before) == std::vector<std::string>{"shown ok", "verify wrong", "shown ok",
                                                         "shown ok", "verify ok", "verified ok"});
  const auto rows = desk.store->AuditAfter(before, 100);
  REQUIRE(rows);
  CHECK(rows->front().entry.actor == "agent");
  CHECK_THAT(rows->front().entry.detail,
             Catch::Matchers::StartsWith("Personal data: employee_id department."));
  CHECK_THAT(rows->at(4).entry.detail,
             Catch::Matchers::StartsWith(
                 "By personal data: employee_id department, compared by the agent."));
  for (const auto& row : *rows) {
    for (const char* value : {"4711", "Purchase"}) {
      CHECK(row.entry.detail.find(value) == std::string::npos);
    }
  }
}

TEST_CASE("what the agent compares never suffices for privileged people, and others never see it") {
  HelpDeskConfig config;
  config.confirm_personal_data = true;
  config.points[static_cast<std::size_t>(HelpDeskMethod::kPersonalData)] = 5;
  config.privileged_groups = {"CN=Bosses,DC=corp,DC=example"};
  Desk desk(config);
  desk.directory.At(desk.alice).groups = {"cn=bosses, dc=corp,dc=example"};
  const HelpDeskId id = desk.In(State::kVerifying);
  REQUIRE(desk.Row(id).privileged);
  const Actor other = desk.Agent("other");
  CHECK(desk.service->ShowPersonalData(other, id, desk.At(id)).error().code ==
        ErrorCode::kPermissionDenied);
  REQUIRE(desk.service->ShowPersonalData(desk.agent, id, desk.At(id)));
  REQUIRE(desk.Verify(id, Desk::Compared(true)).value());
  CHECK(desk.Row(id).state == State::kVerifying);
  CHECK(desk.service->Get(desk.agent, id)->needs_strong);
}

TEST_CASE(
    "where the agent types what the caller says, nothing is shown and their word is nothing") {
  Desk desk;
  const HelpDeskId id = desk.In(State::kVerifying);
  CHECK_FALSE(desk.OfferOf(id, HelpDeskMethod::kPersonalData).confirms);
  CHECK(desk.service->ShowPersonalData(desk.agent, id, desk.At(id)).error().code ==
        ErrorCode::kPermissionDenied);
  CHECK(desk.Verify(id, Desk::Compared(true)).error().code == ErrorCode::kInvalidArgument);
  HelpDeskAnswer both = Desk::Told("E 4712");
  both.matches = true;
  CHECK_FALSE(desk.Verify(id, std::move(both)).value());
}

TEST_CASE("what the policy does not allow does not exist") {
  HelpDeskConfig config;
  config.points = {0, 2, 0, 1};
  config.needed_points = 3;
  config.needed_methods = 2;
  Desk desk(config);
  const HelpDeskId id = desk.Opened();
  REQUIRE(desk.Choose(id));
  CHECK(desk.Verify(id, Desk::Seen()).error().code == ErrorCode::kPermissionDenied);
  CHECK(desk.service->SendCode(desk.agent, id, desk.At(id)).error().code ==
        ErrorCode::kPermissionDenied);
  CHECK(desk.service->Get(desk.agent, id)->offers.size() == 2);
  REQUIRE(desk.Verify(id, Desk::Called(true)).value());
  CHECK(desk.Verify(id, Desk::Called(true)).error().code == ErrorCode::kConflict);
  CHECK(desk.Row(id).state == State::kVerifying);
  REQUIRE(desk.Verify(id, Desk::Told("E 4711")).value());
  CHECK(desk.Row(id).state == State::kVerified);
}

TEST_CASE("agents set passwords for verified callers only, administrators as ever") {
  Desk desk;
  const CorePorts ports{*desk.store,
                        desk.directory,
                        desk.clock,
                        OsRandom(),
                        *desk.bus,
                        *desk.issuer,
                        desk.ca,
                        *desk.attestation,
                        desk.waiter,
                        *desk.presence,
                        [](std::string_view) {}};
  const auto bound = MakeDeskBoundChanges(ports, *desk.changes);
  const auto refused = bound->Check(desk.agent, desk.alice);
  REQUIRE(refused);
  CHECK_FALSE(refused->allowed);
  const std::uint64_t before = desk.AuditHead();
  CHECK(bound->Start(desk.agent, desk.Request(desk.alice, "request-1")).error().code ==
        ErrorCode::kPermissionDenied);
  CHECK(desk.directory.writes == 0);
  const auto rows = desk.store->AuditAfter(before, 10);
  REQUIRE(rows->size() == 1);
  CHECK(rows->front().entry.action == "password.set");
  CHECK(rows->front().entry.outcome == "denied");
  CHECK(rows->front().entry.actor == "agent");
  CHECK(bound->Check(desk.admin, desk.alice)->allowed);
  REQUIRE(bound->Start(desk.admin, desk.Request(desk.alice, "request-2")));
  CHECK(desk.directory.writes == 1);
}

TEST_CASE("for privileged people no voice, mail or knowledge suffices") {
  HelpDeskConfig config;
  config.privileged_groups = {"CN=Bosses,DC=corp,DC=example"};
  Desk desk(config);
  desk.directory.At(desk.alice).groups = {"cn=bosses, dc=corp,dc=example"};
  const HelpDeskId id = desk.Opened();
  CHECK(desk.Row(id).privileged);
  REQUIRE(desk.Choose(id));
  REQUIRE(desk.Verify(id, Desk::Called(true)).value());
  REQUIRE(desk.service->SendCode(desk.agent, id, desk.At(id)));
  REQUIRE(desk.Verify(id, Desk::Coded(desk.box.Code())).value());
  REQUIRE(desk.Verify(id, Desk::Told("E 4711")).value());
  CHECK(desk.Row(id).state == State::kVerifying);
  CHECK(desk.service->Get(desk.agent, id)->needs_strong);
  REQUIRE(desk.Verify(id, Desk::Seen()).value());
  CHECK(desk.Row(id).state == State::kVerified);
}

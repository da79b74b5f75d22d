// The pages of four eyes: who sees which buttons, and what the forms do.
#include <catch2/catch.hpp>
#include <set>
#include <string>

#include "fake_services.h"
#include "response_text.h"
#include "server/core/encoding.h"

using namespace keyferry;
using namespace keyferry::server;
using fake::World;

namespace {

struct Table : World {
  Table() : World(KEYFERRY_WEB_DIR) { fake::Populate(*this); }
  Approval& row() { return four_eyes.approvals.front(); }
  std::string At() { return "/approvals/" + row().id.Hex(); }
  Response Page() { return Send(Get(At())); }
  std::string Hash() { return ToHex(row().hash); }
  static std::string Csrf() { return std::string("csrf=") + kCsrf; }
};

}  // namespace

TEST_CASE("what waits is listed, and who may decide is shown exactly what is asked") {
  Table table;
  const Response list = table.Send(table.Get("/approvals"));
  CHECK(list.status == 200);
  CHECK(Contains(list, table.At()));
  CHECK(Contains(list, "You may decide."));
  const Response page = table.Page();
  for (const char* part :
       {"olga.officer", "INC-7: forgot it", "This is a privileged person.", "at once",
        "Unlocks the account", "value=\"approve\"", "value=\"refuse\""}) {
    INFO(part);
    CHECK(Contains(page, part));
  }
  CHECK(Contains(page, table.Hash()));
  CHECK_FALSE(Contains(page, "Withdraw"));
  CHECK_FALSE(Contains(page, "{{"));
  table.four_eyes.approvals.clear();
  CHECK(Contains(table.Send(table.Get("/approvals")), "Nothing waits for a second person"));
}

TEST_CASE("the decision carries the hash of what was on the page, and a refusal comes back to it") {
  Table table;
  const std::string form = Table::Csrf() + "&hash=" + table.Hash() + "&reason=she+called";
  CHECK(table.Send(table.Post(table.At(), form + "&do=approve")).status == 303);
  CHECK(table.Send(table.Post(table.At(), form + "&do=refuse")).status == 303);
  const std::string head = table.Hash().substr(0, 8);
  CHECK(table.four_eyes.calls ==
        std::vector<std::string>{"approve alice.admin " + head + " she called",
                                 "refuse alice.admin " + head + " she called"});
  for (const char* bad : {"&do=approve&hash=12&reason=abc", "&do=maybe&reason=abc"}) {
    std::string damaged = Table::Csrf() + bad;
    if (damaged.find("hash=") == std::string::npos) damaged += "&hash=" + table.Hash();
    CHECK(table.Send(table.Post(table.At(), damaged)).status == 400);
  }
  CHECK(table.four_eyes.calls.size() == 2);
  table.four_eyes.error = Error{
      ErrorCode::kPermissionDenied, "You asked for this yourself; somebody else decides.", {}, 0};
  const Response refused = table.Send(table.Post(table.At(), form + "&do=approve"));
  CHECK(refused.status == 403);
  CHECK(Contains(refused, "You asked for this yourself; somebody else decides."));
  CHECK(Contains(refused, ">she called</textarea>"));
}

TEST_CASE("who asked waits, withdraws, and carries out what was approved, as it was asked") {
  Table table;
  table.row().asker = fake::MakeId<AccountId>(0xAA);
  CHECK_FALSE(Contains(table.Page(), "value=\"approve\""));
  CHECK(Contains(table.Page(), "Withdraw"));
  CHECK_FALSE(Contains(table.Page(), "Carry it out"));
  CHECK(table.Send(table.Post(table.At() + "/withdraw", Table::Csrf())).status == 303);
  CHECK(table.four_eyes.calls.back() == "withdraw alice.admin");

  table.row().state = ApprovalState::kApproved;
  table.row().facts.emplace_back("source", "Lab");
  const Response page = table.Page();
  const std::string person = table.row().account.Hex();
  for (const std::string& part : {"action=\"/employees/" + person + "/password\"",
                                  std::string("name=\"mode\" value=\"generate\""),
                                  std::string("name=\"reason\" value=\"INC-7: forgot it\""),
                                  std::string("name=\"when\" value=\"now\""),
                                  std::string("name=\"source0\" value=\"Lab\"")}) {
    INFO(part);
    CHECK(Contains(page, part));
  }
  // What a form of the page cannot ask for, or what began at the help desk, is done where it began.
  table.row().facts[1].second = "true";
  CHECK_FALSE(Contains(table.Page(), "Carry it out"));
  CHECK(Contains(table.Page(), "Go back to where you asked for it"));
  table.row().action = GuardedAction::kKey;
  table.row().facts = {{"device", "d1"}, {"workstation", "b0"}, {"replaces", "d2"}};
  const Response key = table.Page();
  CHECK(Contains(key, "action=\"/employees/" + person + "/key\""));
  CHECK(Contains(key, "name=\"replace\" value=\"d2\""));
  table.row().action = GuardedAction::kFactorReset;
  table.row().facts.clear();
  const Response factor = table.Page();
  CHECK(Contains(factor, "Reset of the second factor"));
  CHECK(Contains(factor, "action=\"/second-factors/" + person + "/reset\""));
  table.row().action = GuardedAction::kKeyResume;
  table.row().facts = {{"device", "d1"}};
  const Response resume = table.Page();
  CHECK(Contains(resume, "Resuming of a suspended key"));
  CHECK(Contains(resume, "action=\"/keys/d1/step\""));
  CHECK(Contains(resume, "name=\"step\" value=\"resume\""));
  CHECK(Contains(resume, "name=\"reason\" value=\"INC-7: forgot it\""));
  table.row().state = ApprovalState::kUsed;
  CHECK_FALSE(Contains(table.Page(), "<form class=\"card"));
}

TEST_CASE("the resuming of a key that needs a second person leads to its approval") {
  Table table;
  table.keys.step_error = Error{ErrorCode::kConflict, "A second person has to approve this first.",
                                std::string(kApprovalDetail) + ": " + table.row().id.Hex(), 0};
  const Response asked = table.Send(table.Post("/keys/" + table.keys.keys[0].device.Hex() + "/step",
                                               Table::Csrf() + "&step=resume&reason=found"));
  CHECK(asked.status == 303);
  bool leads = false;
  for (const auto& [name, value] : asked.headers) leads = leads || value == table.At();
  CHECK(leads);
}

TEST_CASE("the reset of a second factor that needs a second person leads to its approval") {
  Table table;
  const std::string address = "/second-factors/" + table.row().account.Hex() + "/reset";
  table.factors.reset_error =
      Error{ErrorCode::kConflict, "A second person has to approve this first.",
            std::string(kApprovalDetail) + ": " + table.row().id.Hex(), 0};
  const Response asked = table.Send(table.Post(address, Table::Csrf()));
  CHECK(asked.status == 303);
  bool leads = false;
  for (const auto& [name, value] : asked.headers) leads = leads || value == table.At();
  CHECK(leads);
  // Any other refusal is a page of its own.
  table.factors.reset_error =
      Error{ErrorCode::kNotFound, "This person has no second factor.", {}, 0};
  CHECK(table.Send(table.Post(address, Table::Csrf())).status == 404);
}

TEST_CASE("a password that needs a second person leads to its approval") {
  Table table;
  table.changes.preflight.second_person = "This is a privileged person.";
  const std::string person = table.row().account.Hex();
  CHECK(Contains(table.Send(table.Get("/employees/" + person + "/password")),
                 "A second person has to approve this"));
  table.changes.start_error =
      Error{ErrorCode::kConflict, "A second person has to approve this first.",
            std::string(kApprovalDetail) + ": " + table.row().id.Hex(), 0};
  const Response sent = table.Send(table.Post("/employees/" + person + "/password",
                                              Table::Csrf() + "&once=12345678&mode=generate"));
  CHECK(sent.status == 303);
  bool leads = false;
  for (const auto& [name, value] : sent.headers) leads = leads || value == table.At();
  CHECK(leads);
}

TEST_CASE("every state, action, fact and value has its words in each language") {
  Table table;
  std::set<std::string> wanted = {"approval_value.true", "approval_value.false"};
  for (int i = 0; i <= static_cast<int>(ApprovalState::kUsed); ++i) {
    wanted.insert(std::string("approval_state.") + Name(static_cast<ApprovalState>(i)));
    wanted.insert(std::string("approval_text.") + Name(static_cast<ApprovalState>(i)));
  }
  for (int i = 0; i <= static_cast<int>(kLastGuardedAction); ++i) {
    wanted.insert(std::string("approval_action.") + Name(static_cast<GuardedAction>(i)));
  }
  for (const char* fact :
       {"mode", "must_change", "unlock", "source", "device", "workstation", "replaces"}) {
    wanted.insert(std::string("approval_fact.") + fact);
  }
  for (const ChangeMode mode : {ChangeMode::kNow, ChangeMode::kAtDelivery}) {
    wanted.insert(std::string("approval_value.") + Name(mode));
  }
  for (const std::string& key : wanted) {
    INFO(key);
    CHECK(table.catalog->HasText(key));
  }
}

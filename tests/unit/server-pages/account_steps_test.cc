// The pages on which an account is unlocked or has to change its password.
#include <catch2/catch.hpp>

#include "fake_services.h"
#include "response_text.h"

using namespace keyferry;
using namespace keyferry::server;
using fake::MakeId;
using fake::World;

namespace {

struct Counter : World {
  Counter() : World(KEYFERRY_WEB_DIR) { fake::Populate(*this); }
  PersonDetail& Person() { return directory.people[0]; }
  std::string At(const std::string& step = {}) {
    return "/employees/" + Person().person.id.Hex() + step;
  }
  Response Page(const std::string& step = {}) { return Send(Get(At(step))); }
  Response Send2(const std::string& step, const std::string& reason) {
    return Send(Post(At(step), std::string("csrf=") + kCsrf + "&reason=" + reason));
  }
  static std::string Location(const Response& response) {
    for (const auto& [name, value] : response.headers) {
      if (name == "Location") return value;
    }
    return {};
  }
  using World::Send;
};

}  // namespace

TEST_CASE("the employee's page offers what the account's state and the reader's role allow") {
  Counter counter;
  const std::string unlock = "href=\"" + counter.At("/unlock") + "\"",
                    change = "href=\"" + counter.At("/must-change") + "\"";
  AccountState& state = counter.Person().state;
  state.locked = false;
  CHECK_FALSE(Contains(counter.Page(), unlock));
  CHECK(Contains(counter.Page(), change));
  state.locked = state.must_change = true;
  CHECK(Contains(counter.Page(), unlock));
  CHECK_FALSE(Contains(counter.Page(), change));
  state.must_change = false;
  // An agent serves verified callers, at the help desk.
  Request agent = counter.Get(counter.At());
  agent.headers["cookie"] = std::string(kSessionCookie) + "=" + World::kHelpDeskToken;
  const Response theirs = counter.Send(std::move(agent));
  CHECK(theirs.status == 200);
  CHECK_FALSE(Contains(theirs, unlock));
  CHECK_FALSE(Contains(theirs, change));
  state.is_protected = true;
  CHECK_FALSE(Contains(counter.Page(), unlock));
}

TEST_CASE("an account's step wants a reason, does what it says, and comes back") {
  Counter counter;
  const std::string id = counter.Person().person.id.Hex();
  for (const auto& [step, name, words] :
       {std::tuple("/unlock", "unlock", "The lock-out in Active Directory ends at once"),
        std::tuple("/must-change", "must_change", "asks for a new password")}) {
    INFO(step);
    const Response form = counter.Page(step);
    CHECK(form.status == 200);
    CHECK(Contains(form, words));
    CHECK(Contains(form, "action=\"" + counter.At(step) + "\""));
    const Response empty = counter.Send2(step, "");
    CHECK(empty.status == 422);
    CHECK(Contains(empty, "id=\"reason-problem\""));
    CHECK(counter.Send2(step, std::string(201, 'x')).status == 422);
    const Response done = counter.Send2(step, "here+in+person");
    CHECK(done.status == 303);
    CHECK(Counter::Location(done) == counter.At());
    CHECK(counter.account_steps.calls.back() ==
          std::string("alice.admin ") + name + " " + id + " here in person");
  }
  CHECK(counter.account_steps.calls.size() == 2);
}

TEST_CASE("what keeps an account's step from being done is said, with what was typed") {
  Counter counter;
  counter.account_steps.error = Error{ErrorCode::kConflict, "This account is not locked.", {}, 0};
  const Response refused = counter.Send2("/unlock", "here+in+person");
  CHECK(refused.status == 409);
  CHECK(Contains(refused, "This account is not locked."));
  CHECK(Contains(refused, "value=\"here in person\""));
  const Approval& waits = counter.four_eyes.approvals.front();
  counter.account_steps.error = Error{ErrorCode::kConflict, "A second person has to approve this.",
                                      std::string(kApprovalDetail) + ": " + waits.id.Hex(), 0};
  CHECK(Counter::Location(counter.Send2("/unlock", "x+y+z")) == "/approvals/" + waits.id.Hex());
  // Who asked carries it out by the same form.
  Approval& row = counter.four_eyes.approvals.front();
  row.asker = MakeId<AccountId>(0xAA);
  row.state = ApprovalState::kApproved;
  row.action = GuardedAction::kMustChange;
  row.facts = kOnEmployeePage;
  const Response page = counter.Send(counter.Get("/approvals/" + row.id.Hex()));
  CHECK(Contains(page, "action=\"/employees/" + row.account.Hex() + "/must-change\""));
  CHECK(Contains(page, "page, without a verified caller"));
  // What began at the help desk goes on there.
  row.facts.clear();
  CHECK(Contains(counter.Send(counter.Get("/approvals/" + row.id.Hex())),
                 "Go back to where you asked for it"));
}

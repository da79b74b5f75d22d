#pragma once

#include <algorithm>
#include <functional>
#include <string>
#include <vector>

#include "help_desk_rig.h"
#include "server/core/four_eyes.h"
#include "server/core/roles.h"

namespace keyferry::server::testing {

constexpr const char* kVips = "CN=Board,OU=Groups,DC=corp,DC=example";
constexpr const char* kAdmins = "CN=Keyferry Admins,OU=Groups,DC=corp,DC=example";

inline FourEyesConfig Eyes() {
  FourEyesConfig config;
  config.privileged_groups = {kVips};
  config.roles_of = [](const std::vector<std::string>& groups) {
    return MemberOf(groups, {kAdmins}) ? Roles(Role::kAdministrator) : Roles();
  };
  return config;
}

// The help desk's office, with two administrators and a privileged Alice.
struct Board : Desk {
  explicit Board(FourEyesConfig eyes_like = Eyes(), bool privileged = true) : Desk() {
    eyes_config = std::move(eyes_like);
    if (privileged) directory.At(alice).groups = {kVips};
    second = Admin("second");
    directory.At(admin.id).groups = {kAdmins};
    StartAgain();
  }
  Actor Admin(const std::string& login) {
    Actor actor = Agent(login);
    actor.roles = Role::kAdministrator;
    directory.At(actor.id).groups = {kAdmins};
    return actor;
  }
  Result<ChangeView> Set(const std::string& once, std::function<void(ChangeRequest&)> change = {}) {
    std::string key_once = "request-" + once;
    std::replace(key_once.begin(), key_once.end(), ' ', '-');
    ChangeRequest request = Request(alice, key_once);
    if (change) change(request);
    return changes->Start(admin, std::move(request));
  }
  // Asked for; what waits for a second person.
  Approval Asked() {
    const auto refused = Set("asked");
    REQUIRE_FALSE(refused);
    INFO(refused.error().message);
    const auto id = ApprovalNeeded(refused.error());
    REQUIRE(id);
    return Row(*id);
  }
  Approval Row(const ApprovalId& id) { return store->FindApproval(id)->value(); }
  Result<void> Decide(const Actor& actor, const Approval& row, bool approve = true) {
    return eyes->Decide(actor, row.id, row.hash, approve, "she called me");
  }
  Approval Approved() {
    const Approval row = Asked();
    REQUIRE(Decide(second, row));
    return Row(row.id);
  }
  // "action outcome" of the rows of approvals and passwords since `number`.
  std::vector<std::string> Log(std::uint64_t number) {
    std::vector<std::string> out;
    const auto rows = store->AuditAfter(number, 1000);
    REQUIRE(rows);
    for (const auto& row : *rows) {
      CHECK(row.entry.target == "alice");
      out.push_back(row.entry.action + " " + row.entry.outcome);
    }
    return out;
  }
  void Later(std::int64_t seconds) { clock.Advance(std::chrono::seconds(seconds)); }

  Actor second;
};

using Lines = std::vector<std::string>;

}  // namespace keyferry::server::testing

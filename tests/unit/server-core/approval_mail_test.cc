// Who may approve is told by mail that somebody waits for it.
#include "server/core/approval_mail.h"

#include <algorithm>
#include <map>

#include "help_desk_rig.h"
#include "server/core/roles.h"

using namespace keyferry;
using namespace keyferry::server;
using namespace keyferry::server::testing;

namespace {

constexpr const char* kVips = "CN=Board,OU=Groups,DC=corp,DC=example";
constexpr const char* kAdministrators = "CN=Keyferry Admins,OU=Groups,DC=corp,DC=example";
constexpr const char* kAuditors = "CN=Auditors,OU=Groups,DC=corp,DC=example";
constexpr const char* kUrl = "https://keyferry.example";

Roles RolesIn(const std::vector<std::string>& groups) {
  Roles roles;
  if (MemberOf(groups, {kAdministrators})) roles |= Role::kAdministrator;
  if (MemberOf(groups, {kAuditors})) roles |= Role::kAuditor;
  return roles;
}

struct Staff final : GroupReader {
  Result<GroupMembers> Members(std::string_view group, std::size_t) override {
    ++asked;
    if (down) return Fail(ErrorCode::kUnavailable, "The directory cannot be reached.");
    GroupMembers out;
    out.members = of[std::string(group)];
    return out;
  }
  std::map<std::string, std::vector<GroupMember>, std::less<>> of;
  bool down = false;
  int asked = 0;
};

// A privileged Alice, for whom the administrator asks, and those who could approve.
struct Waiting : Desk {
  Waiting() {
    FourEyesConfig eyes_like;
    eyes_like.privileged_groups = {kVips};
    eyes_like.roles_of = RolesIn;
    eyes_config = std::move(eyes_like);
    directory.At(alice).groups = {kVips};
    Add(admin.id, "boss@corp.example", kAdministrators);
    second = Agent("second").id;
    Add(second, "Second@corp.example", kAdministrators);
    StartAgain();
    templates.approval_waits = *MailTemplate::Parse(
        "Subject: {{asker}} waits\n\n{{name}}|{{person}}|{{login}}|{{reason}}|{{until}}|{{link}}\n",
        {"name", "asker", "person", "login", "reason", "until", "link"});
    Open();
  }
  void Add(const AccountId& id, const std::string& address, const char* group) {
    directory.At(id).groups = {group};
    directory.At(id).detail.person.mail = address;
    GroupMember member;
    member.person = directory.At(id).detail.person;
    members.of[group].push_back(member);
  }
  // A server that starts.
  void Open(std::size_t most = 20) {
    CorePorts ports = Ports();
    ports.four_eyes = eyes.get();
    mail = std::make_unique<ApprovalMail>(
        ApprovalMailPorts{ports, *eyes, members, *outbox, templates.approval_waits},
        ApprovalMailConfig{{kAdministrators, kAuditors}, RolesIn, most});
  }
  ApprovalId Ask(const std::string& reason) {
    ChangeRequest request = Request(alice, "request-0001");
    request.reason = reason;
    const auto refused = changes->Start(admin, std::move(request));
    REQUIRE_FALSE(refused);
    const auto id = ApprovalNeeded(refused.error());
    REQUIRE(id);
    return *id;
  }
  std::vector<std::string> Tick() {
    mail->Tick(kUrl);
    outbox->Tick();
    auto out = box.recipients;
    std::sort(out.begin(), out.end());
    return out;
  }

  Staff members;
  AccountId second;
  std::unique_ptr<ApprovalMail> mail;
};

using Addresses = std::vector<std::string>;

}  // namespace

TEST_CASE("who may approve is told once, in the template's words, and who asked is not") {
  Waiting office;
  CHECK(office.Tick().empty());
  const ApprovalId id = office.Ask("a lost <phone>");
  CHECK(office.Tick() == Addresses{"second@corp.example"});
  const std::string text = office.box.texts.at(0);
  for (const std::string& part : {std::string("|alice|"), std::string("|a lost <phone>|"),
                                  kUrl + std::string("/approvals/") + id.Hex()}) {
    INFO(text);
    CHECK(text.find(part) != std::string::npos);
  }
  const int asked = office.members.asked;
  CHECK(office.Tick().size() == 1);
  CHECK(office.members.asked == asked);  // nobody is looked for again
  office.Open();                         // another server, or this one after a restart
  CHECK(office.Tick().size() == 1);
  office.Ask("another reason");  // in place of the first one
  CHECK(office.Tick().size() == 2);
}

TEST_CASE("told is nobody who could not decide it") {
  Waiting office;
  AccountId other;
  SECTION("no right to approve") {
    other = office.Agent("auditor").id;
    office.Add(other, "auditor@corp.example", kAuditors);
  }
  SECTION("in the group's list, but no longer in the group") {
    other = office.Agent("former").id;
    office.Add(other, "former@corp.example", kAdministrators);
    office.directory.At(other).groups.clear();
  }
  SECTION("disabled") {
    other = office.Agent("gone").id;
    office.Add(other, "gone@corp.example", kAdministrators);
    office.directory.At(other).detail.state.disabled = true;
  }
  SECTION("another account of who asked") {
    other = office.Agent("boss.two").id;
    office.directory.At(office.admin.id).detail.person.employee_id = "E-1";
    office.directory.At(other).detail.person.employee_id = "E-1";
    office.Add(other, "boss.two@corp.example", kAdministrators);
  }
  SECTION("another account of whom it is about") {
    other = office.Agent("alice.admin").id;
    office.directory.At(office.alice).detail.person.employee_id = "E-2";
    office.directory.At(other).detail.person.employee_id = "E-2";
    office.Add(other, "alice.admin@corp.example", kAdministrators);
  }
  SECTION("whom it is about") {
    office.Add(office.alice, "alice@corp.example", kAdministrators);
    office.directory.At(office.alice).groups.push_back(kVips);
  }
  SECTION("no address that can be used") {
    other = office.Agent("mute").id;
    office.Add(other, "not an address", kAdministrators);
  }
  office.Ask("reason");
  CHECK(office.Tick() == Addresses{"second@corp.example"});
}

TEST_CASE("nobody is told of what is decided, withdrawn or out of time") {
  Waiting office;
  const ApprovalId id = office.Ask("reason");
  SECTION("withdrawn") { REQUIRE(office.eyes->Withdraw(office.admin, id)); }
  SECTION("out of time") { office.clock.Advance(std::chrono::hours(2)); }
  CHECK(office.Tick().empty());
}

TEST_CASE("a directory that is away only delays it, and the number of mails is bounded") {
  Waiting office;
  for (int i = 0; i < 30; ++i) {
    const std::string login = "many" + std::to_string(i);
    office.Add(office.Agent(login).id, login + "@corp.example", kAdministrators);
  }
  office.Open(5);
  office.Ask("reason");
  office.members.down = true;
  CHECK(office.Tick().empty());
  office.members.down = false;
  CHECK(office.Tick().size() == 5);
  CHECK(office.Tick().size() == 5);
}

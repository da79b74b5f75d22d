// Doors beside the pages by which one person might do alone what takes two
// (server/core/four_eyes.h): tokens, rotation, changes that wait, keys that were suspended.
#include <atomic>
#include <thread>

#include "four_eyes_rig.h"
#include "server/core/mail.h"
#include "server/core/rotation_service.h"

using namespace keyferry;
using namespace keyferry::server;
using namespace keyferry::server::testing;

namespace {

// What a token of the API acts as: `maker` empty: one that was made on the server's console.
Actor TokenOf(const Actor* maker) {
  Actor token;
  if (maker != nullptr) token.id = maker->id;
  token.login = "token robot";
  token.roles = Role::kAdministrator;
  return token;
}

struct Doors : Board {
  explicit Doors(bool privileged = true) : Board(Eyes(), privileged), spare(maker) {
    other = AddWorkstation("desk-2");
    REQUIRE(Sees(*other, {&spare}, 0));
  }
  void Suspend() { REQUIRE(keys->Step(admin, Device(), KeyStep::kSuspend, "left at home")); }
  DeviceId Device() const { return DeviceId{key.device_id}; }
  Result<KeyView> Resume(const std::string& reason = "found again") {
    return keys->Step(admin, Device(), KeyStep::kResume, reason);
  }
  bool Suspended() { return keys->Get(Device())->state == KeyState::kSuspended; }
  // Everything that a token may do to a privileged person's password or keys is refused, and
  // `look` looks at each refusal before the next is tried.
  void TryAll(const Actor& actor, const std::function<void(const Error&)>& look) {
    const auto refused = [&look](const auto& done) {
      REQUIRE_FALSE(done);
      INFO(done.error().message);
      look(done.error());
    };
    refused(changes->Start(actor, Request(alice, "set-it-now")));
    ChangeRequest later = Request(alice, "when-the-key-comes");
    later.mode = ChangeMode::kAtDelivery;
    refused(changes->Start(actor, std::move(later)));
    refused(keys->BeginEnrolment(actor, alice, DeviceId{spare.device_id}, other->id, std::nullopt));
    Suspend();
    refused(keys->Step(actor, Device(), KeyStep::kResume, "found again"));
    CHECK(Suspended());
    CHECK(directory.writes == 0);
    CHECK(changes->History(alice, 1)->empty());
    CHECK(store->OpenEnrolments(clock.UnixMillis())->empty());
  }
  TestKey spare;
  std::unique_ptr<TestWorkstation> other;
};

// Everybody, for a policy.
struct OneGroup final : GroupReader {
  Result<GroupMembers> Members(std::string_view, std::size_t) override { return members; }
  GroupMembers members;
};

}  // namespace

TEST_CASE(
    "a token of the console gets past nobody: what takes two is refused, and cannot be asked") {
  Doors doors;
  doors.TryAll(TokenOf(nullptr), [](const Error& refusal) {
    CHECK(refusal.code == ErrorCode::kPermissionDenied);
    CHECK_FALSE(ApprovalNeeded(refusal));
  });
  CHECK(doors.eyes->List(doors.second)->empty());
  // Others take one person, or one token.
  Board plain(Eyes(), false);
  CHECK(plain.changes->Start(TokenOf(nullptr), plain.Request(plain.alice, "plain-one")));
}

TEST_CASE("a person's token asks in their name: they cannot approve it, and it approves nothing") {
  Doors doors;
  const Actor token = TokenOf(&doors.admin);
  doors.TryAll(token, [&](const Error& refusal) {
    const auto id = ApprovalNeeded(refusal);
    REQUIRE(id);
    const Approval row = doors.Row(*id);
    CHECK(row.asker == doors.admin.id);
    CHECK(row.asker_login == "token robot");
    CHECK(doors.Decide(doors.admin, row).error().code == ErrorCode::kPermissionDenied);
    CHECK(doors.Decide(token, row).error().code == ErrorCode::kPermissionDenied);
  });
  for (const RightInfo& info : AllRights()) {
    if (info.right == Right::kApprovalsWrite) CHECK(std::string_view(info.scope).empty());
  }
}

TEST_CASE("a privileged person's suspended key: asked, approved, resumed, once") {
  Doors doors;
  doors.Suspend();
  const auto refused = doors.Resume();
  REQUIRE_FALSE(refused);
  const auto id = ApprovalNeeded(refused.error());
  REQUIRE(id);
  CHECK(doors.Suspended());
  const Approval row = doors.Row(*id);
  CHECK(row.action == GuardedAction::kKeyResume);
  CHECK(row.facts == ApprovalFacts{{"device", doors.Device().Hex()}});
  CHECK(row.reason == "found again");
  CHECK(RightOf(row.action) == Right::kKeysWrite);
  CHECK(doors.Decide(doors.admin, row).error().code == ErrorCode::kPermissionDenied);
  REQUIRE(doors.Decide(doors.second, row));
  // For another reason it is another thing, which takes the place of the first.
  SECTION("as it was asked") {
    std::atomic<int> done{0};
    std::vector<std::thread> threads;
    for (int i = 0; i < 20; ++i) {
      threads.emplace_back([&doors, &done] { done += doors.Resume() ? 1 : 0; });
    }
    for (std::thread& thread : threads) thread.join();
    CHECK(done == 1);
    CHECK_FALSE(doors.Suspended());
    CHECK(doors.Row(*id).state == ApprovalState::kUsed);
    REQUIRE(doors.keys->Step(doors.admin, doors.Device(), KeyStep::kSuspend, "again"));
    CHECK(ApprovalNeeded(doors.Resume().error()));
  }
  SECTION("for another reason") {
    CHECK(ApprovalNeeded(doors.Resume("she called").error()) != *id);
    CHECK(doors.Row(*id).state == ApprovalState::kWithdrawn);
    CHECK(doors.Suspended());
  }
  SECTION("the store itself looks at it") {
    KeyStore::KeyMove move{doors.Device(),
                           doors.store->FindKey(doors.Device())->value().enrolment,
                           KeyState::kSuspended,
                           KeyState::kActive,
                           "x",
                           ""};
    move.only_if.approval = ApprovalUse{row.id, row.version, doors.clock.UnixMillis(), {}};
    CHECK(doors.store->MoveKey(move, {}).error().code == ErrorCode::kConflict);
    CHECK(doors.Suspended());
  }
}

TEST_CASE("other people's keys are resumed by one person, and suspending waits for nobody") {
  Doors doors(false);
  doors.Suspend();
  REQUIRE(doors.Resume());
  CHECK_FALSE(doors.Suspended());
  Doors board;
  board.Suspend();
  CHECK(board.Suspended());
}

TEST_CASE("a policy sets nobody's password that takes two, and its preview says why") {
  const bool privileged = GENERATE(true, false);
  Board board(Eyes(), privileged);
  OneGroup staff;
  GroupMember member;
  member.person.id = board.alice;
  member.person.login = "alice";
  staff.members.members.push_back(member);
  CorePorts ports = board.Ports();
  ports.four_eyes = board.eyes.get();
  const MailTemplates templates;
  MailOutbox outbox(*board.store, nullptr, board.clock, [](std::string_view) {});
  const auto rotation = MakeRotationService({ports, *board.changes, staff, outbox, templates});
  RotationPolicy policy;
  policy.name = "Daily";
  policy.group_dn = "cn=staff";
  policy.max_age_days = 1;
  policy = rotation->Put(board.admin, policy).value();

  // Without privilege it is the further key of this hour that takes two.
  TestKey spare(board.maker);
  const auto desk = board.AddWorkstation("desk-2");
  REQUIRE(board.Sees(*desk, {&spare}, 0));
  if (!privileged) {
    REQUIRE(board.keys->BeginEnrolment(board.admin, board.alice, DeviceId{spare.device_id},
                                       desk->id, std::nullopt));
  }
  rotation->Tick();
  CHECK(board.changes->History(board.alice, 1)->empty());
  const auto looked = rotation->Preview(board.admin, policy);
  REQUIRE(looked->members.size() == 1);
  CHECK(looked->members[0].verdict == RotationCandidate::Verdict::kSkipped);
  CHECK(looked->members[0].reason.find("Two people") != std::string::npos);
  if (privileged) return;
  board.Later(86'401);
  rotation->Tick();
  CHECK(board.changes->History(board.alice, 1)->size() == 1);
}

TEST_CASE("a password that has waited for days counts as new for a further key") {
  Board board(Eyes(), false);
  board.Unplug();
  REQUIRE(board.ChangeAtDelivery("waits-for-days"));
  board.Later(3 * 86'400);
  TestKey spare(board.maker);
  const auto desk = board.AddWorkstation("desk-2");
  REQUIRE(board.Sees(*desk, {&spare}, 0));
  const auto begun = board.keys->BeginEnrolment(board.admin, board.alice, DeviceId{spare.device_id},
                                                desk->id, std::nullopt);
  REQUIRE_FALSE(begun);
  CHECK(ApprovalNeeded(begun.error()));
}

// Rotation by policy, its preview and its mails; the queue of mails.

#include <catch2/catch.hpp>

#include "office.h"
#include "server/core/activation_mail.h"
#include "server/core/rotation_service.h"

namespace keyferry::server::testing {
namespace {

constexpr std::int64_t kDay = 86400;

class FakeGroups final : public GroupReader {
 public:
  Result<GroupMembers> Members(std::string_view group_dn, std::size_t limit) override {
    if (group_dn != "cn=staff") return Fail(ErrorCode::kNotFound, "There is no such group.");
    GroupMembers out = members;
    if (out.members.size() > limit) {
      out.members.resize(limit);
      out.complete = false;
    }
    return out;
  }
  GroupMembers members;
};

class FakeMailer final : public Mailer {
 public:
  Result<void> Send(const MailMessage& message) override {
    if (!script.empty()) {
      const ErrorCode code = script.front();
      script.pop_front();
      return Fail(code, "The mail server said no.");
    }
    sent.emplace_back(message.recipient,
                      message.subject + "\n" +
                          std::string(message.text.span().begin(), message.text.span().end()));
    return {};
  }
  Result<void> Probe() override { return {}; }
  std::deque<ErrorCode> script;
  std::vector<std::pair<std::string, std::string>> sent;
};

struct Rota : Office {
  explicit Rota(bool mail = true) {
    outbox =
        std::make_unique<MailOutbox>(*store, mail ? &mailer : nullptr, clock,
                                     [this](std::string_view line) { said.emplace_back(line); });
    templates.password_expires = {"In {{days}} days", "{{name}} {{login}} {{date}}\n"};
    templates.activation_code = {"Code for {{login}}", "code {{code}}\n"};
    rotation = MakeRotationService({Ports(), *changes, groups, *outbox, templates});
    policy.name = "Quarterly";
    policy.group_dn = "cn=staff";
    policy.max_age_days = 90;
    policy.notify_days = {3, 14};
  }
  CorePorts Ports() {
    return {*store,
            directory,
            clock,
            OsRandom(),
            *bus,
            *issuer,
            ca,
            *attestation,
            waiter,
            *presence,
            [this](std::string_view line) { said.emplace_back(line); }};
  }
  // Somebody whose password is so old.
  AccountId Member(const AccountId& id, const std::string& login, std::int64_t days) {
    GroupMember member;
    member.person.id = id;
    member.person.login = login;
    member.person.display_name = login;
    member.person.mail = login + "@corp.example";
    member.password_last_set =
        days < 0 ? 0 : (clock.UnixSeconds() - days * kDay + 11'644'473'600) * 10'000'000;
    groups.members.members.push_back(member);
    return id;
  }
  std::size_t Audited(const std::string& action, const std::string& actor = {}) {
    std::size_t count = 0;
    const auto rows = store->AuditBefore(0, 200);
    for (const auto& row : *rows) {
      if (row.entry.action == action && (actor.empty() || row.entry.actor == actor)) ++count;
    }
    return count;
  }

  FakeGroups groups;
  FakeMailer mailer;
  std::vector<std::string> said;
  std::unique_ptr<MailOutbox> outbox;
  MailTemplates templates;
  std::unique_ptr<RotationService> rotation;
  RotationPolicy policy;
};

using Verdict = RotationCandidate::Verdict;

TEST_CASE("rotation goes to the preset sources, and skips whom one of them refuses") {
  FakeDirectory lab, archive;
  Rota r;
  r.sources = {{"Lab", "openldap", PersonKey::kLogin, true, &lab},
               {"Archive", "openldap", PersonKey::kLogin, false, &archive}};
  archive.Add("alice");
  r.Reboot();
  r.rotation = MakeRotationService({r.Ports(), *r.changes, r.groups, *r.outbox, r.templates});
  r.Member(r.alice, "alice", 91);
  const auto verdict = [&] { return r.rotation->Preview(r.admin, r.policy)->members.at(0); };
  CHECK(verdict().verdict == Verdict::kDue);  // has no account there
  const AccountId there = lab.Add("alice");
  CHECK(verdict().verdict == Verdict::kDue);
  lab.At(there).detail.state.disabled = true;
  CHECK(verdict().verdict == Verdict::kSkipped);
  CHECK_THAT(verdict().reason, Catch::Contains("\"Lab\"") && Catch::Contains("disabled"));
  lab.At(there).detail.state.disabled = false;
  REQUIRE(r.rotation->Put(r.admin, r.policy));
  r.rotation->Tick();
  const ChangeView begun = r.Newest(r.alice);
  CHECK(begun.mode == ChangeMode::kAtDelivery);
  REQUIRE(begun.sources.size() == 1);
  CHECK(begun.sources[0].name == "Lab");
  r.Proceed();
  r.Bring();
  CHECK(lab.At(there).password == r.AdPassword());
  CHECK(archive.writes == 0);
}

TEST_CASE("a policy's preview says who is due, who is not, who is skipped, and changes nothing") {
  Rota r;
  r.Member(r.alice, "alice", 91);
  r.Member(r.directory.Add("bob"), "bob", 89);
  r.Member(r.directory.Add("carol"), "carol", 200);  // has no key
  r.Member(r.directory.Add("dave"), "dave", -1);     // must change anyway, and has no key
  const auto preview = r.rotation->Preview(r.admin, r.policy);
  REQUIRE(preview);
  REQUIRE(preview->members.size() == 4);
  CHECK(preview->complete);
  CHECK(preview->members[0].verdict == Verdict::kDue);
  CHECK(preview->members[1].verdict == Verdict::kNotYet);
  CHECK(preview->members[1].due == r.clock.UnixSeconds() + kDay);
  CHECK(preview->members[2].verdict == Verdict::kSkipped);
  CHECK(preview->members[2].reason.find("no active key") != std::string::npos);
  CHECK(preview->members[3].verdict == Verdict::kSkipped);
  CHECK(r.changes->History(r.alice, 10)->empty());
  CHECK(r.store->Policies()->empty());
  CHECK(r.mailer.sent.empty());

  r.directory.At(r.alice).detail.state.is_protected = true;
  CHECK(r.rotation->Preview(r.admin, r.policy)->members[0].verdict == Verdict::kSkipped);
  r.policy.group_dn = "cn=other";
  CHECK(r.rotation->Preview(r.admin, r.policy).error().code == ErrorCode::kNotFound);
  Actor helper = r.admin;
  helper.roles = Role::kHelpDesk;
  CHECK(r.rotation->Preview(helper, r.policy).error().code == ErrorCode::kPermissionDenied);
  CHECK(r.rotation->Put(helper, r.policy).error().code == ErrorCode::kPermissionDenied);
}

TEST_CASE("a due password is renewed at delivery, once, with the policy as the actor") {
  Rota r;
  r.Member(r.alice, "alice", 91);
  REQUIRE(r.rotation->Put(r.admin, r.policy));
  r.Unplug();
  r.rotation->Tick();
  const ChangeView change = r.Newest(r.alice);
  CHECK(change.state == ChangeState::kIntent);
  CHECK(change.mode == ChangeMode::kAtDelivery);
  CHECK(change.actor_login == "policy Quarterly");
  CHECK(r.rotation->Preview(r.admin, r.policy)->members[0].verdict == Verdict::kWaiting);
  r.rotation->Tick();
  CHECK(r.changes->History(r.alice, 10)->size() == 1);
  CHECK(r.Audited("policy.run", "policy Quarterly") == 1);
  CHECK(r.Audited("password.wait", "policy Quarterly") == 1);
  CHECK(r.rotation->List()->front().last_result == "1 begun, 0 refused, 0 skipped.");

  const std::string before = r.AdPassword();
  r.Plug();
  CHECK(r.AdPassword() == before);  // the key first
  r.Bring();
  r.Bring();
  CHECK(r.Newest(r.alice).state == ChangeState::kDone);
  CHECK(r.key.password == r.AdPassword());
  CHECK(r.AdPassword() != before);
  CHECK(r.Audited("password.set", "policy Quarterly") == 1);
}

TEST_CASE("a policy that is off, or outside its window, starts nothing") {
  Rota r;
  r.Member(r.alice, "alice", 91);
  const std::time_t now = r.clock.UnixSeconds();
  std::tm local{};
  localtime_r(&now, &local);
  const std::int64_t minute = local.tm_hour * 60 + local.tm_min;
  bool begins = false;
  SECTION("off") { r.policy.enabled = false; }
  SECTION("window is over") {
    r.policy.window_from = (minute + 2) % 1440;
    r.policy.window_until = (minute + 1) % 1440 + (minute == 1439 ? 1440 : 0);
    r.policy.window_until = (minute + 60) % 1440;
  }
  SECTION("window over midnight, open") {
    r.policy.window_from = minute;
    r.policy.window_until = std::max<std::int64_t>(1, minute);
    begins = true;
  }
  REQUIRE(r.rotation->Put(r.admin, r.policy));
  r.rotation->Tick();
  CHECK(r.changes->History(r.alice, 10)->empty() != begins);
}

TEST_CASE("policies are checked, named once, changed and removed, all audited") {
  Rota r;
  const auto stored = r.rotation->Put(r.admin, r.policy);
  REQUIRE(stored);
  CHECK(stored->notify_days == std::vector<std::int64_t>{14, 3});
  CHECK(r.rotation->Put(r.admin, r.policy).error().code == ErrorCode::kConflict);
  RotationPolicy changed = *stored;
  changed.max_age_days = 30;
  REQUIRE(r.rotation->Put(r.admin, changed));
  CHECK(r.rotation->List()->front().max_age_days == 30);
  for (const auto& spoil : std::vector<std::function<void(RotationPolicy&)>>{
           [](RotationPolicy& p) { p.name.clear(); }, [](RotationPolicy& p) { p.name = "a\nb"; },
           [](RotationPolicy& p) { p.name.assign(65, 'a'); },
           [](RotationPolicy& p) { p.group_dn.clear(); },
           [](RotationPolicy& p) { p.max_age_days = 0; },
           [](RotationPolicy& p) { p.max_age_days = 3651; },
           [](RotationPolicy& p) { p.window_from = 1440; },
           [](RotationPolicy& p) { p.window_until = 0; },
           [](RotationPolicy& p) { p.notify_days = {0}; },
           [](RotationPolicy& p) { p.notify_days = {1, 2, 3, 4, 5, 6}; }}) {
    RotationPolicy bad = changed;
    spoil(bad);
    CHECK(r.rotation->Put(r.admin, bad).error().code == ErrorCode::kInvalidArgument);
  }
  changed.group_dn = "cn=nobody";
  CHECK(r.rotation->Put(r.admin, changed).error().code == ErrorCode::kNotFound);
  REQUIRE(r.rotation->Remove(r.admin, stored->id));
  CHECK(r.rotation->Remove(r.admin, stored->id).error().code == ErrorCode::kNotFound);
  CHECK(r.rotation->Put(r.admin, *stored).error().code == ErrorCode::kNotFound);
  CHECK(r.Audited("policy.create") == 1);
  CHECK(r.Audited("policy.change") == 1);
  CHECK(r.Audited("policy.remove") == 1);
}

TEST_CASE("who is due soon is told, once for each of the days") {
  Rota r;
  r.Member(r.alice, "alice", 78);  // 12 days left
  r.Member(r.directory.Add("bob"), "bob", 60);
  REQUIRE(r.rotation->Put(r.admin, r.policy));
  r.rotation->Tick();
  r.rotation->Tick();
  r.outbox->Tick();
  REQUIRE(r.mailer.sent.size() == 1);
  CHECK(r.mailer.sent[0].first == "alice@corp.example");
  CHECK(r.mailer.sent[0].second.find("In 12 days\nalice alice 20") == 0);
  CHECK(r.Audited("mail.queue", "policy Quarterly") == 1);
  CHECK(r.Audited("mail.sent") == 1);
  r.clock.Advance(std::chrono::hours(24 * 10));
  r.rotation->Tick();
  r.outbox->Tick();
  CHECK(r.mailer.sent.size() == 2);  // alice, 3 days before
}

TEST_CASE("mails wait for the mail server, one after the other, and are given up in the end") {
  Rota r;
  REQUIRE(*r.outbox->Queue("a", "a@corp.example", "One", "text", "boss"));
  CHECK_FALSE(*r.outbox->Queue("a", "a@corp.example", "One", "text", "boss"));
  REQUIRE(*r.outbox->Queue("b", "b@corp.example", "Two", "text", "boss"));
  REQUIRE(*r.outbox->Queue("c", "c@corp.example", "Three", "text", "boss"));
  r.mailer.script = {ErrorCode::kUnavailable};
  r.outbox->Tick();
  CHECK(r.mailer.sent.empty());  // the others are not tried on a dead server
  CHECK(r.said.size() == 1);
  r.mailer.script = {ErrorCode::kInvalidArgument};
  r.outbox->Tick();  // "a" rests; "b" is refused for good; "c" goes
  REQUIRE(r.mailer.sent.size() == 1);
  CHECK(r.mailer.sent[0].first == "c@corp.example");
  auto counts = r.store->CountMails(0);
  CHECK(counts->queued == 1);
  CHECK(counts->failed == 1);
  CHECK(counts->last_error == "The mail server said no.");
  for (int i = 0; i < 60; ++i) {
    r.mailer.script = {ErrorCode::kUnavailable};
    r.clock.Advance(std::chrono::hours(4));
    r.outbox->Tick();
  }
  counts = r.store->CountMails(0);
  CHECK(counts->queued == 0);
  CHECK(counts->failed == 2);
  CHECK(r.Audited("mail.sent") == 3);
}

TEST_CASE("the queue of mails is bounded, and takes no address that could smuggle a header") {
  Rota r;
  OutboxLimits limits;
  limits.waiting = 2;
  MailOutbox small(*r.store, &r.mailer, r.clock, {}, limits);
  REQUIRE(small.Queue("a", "a@corp.example", "s", "t", ""));
  REQUIRE(small.Queue("b", "a@corp.example", "s", "t", ""));
  CHECK(small.Queue("c", "a@corp.example", "s", "t", "").error().code == ErrorCode::kRateLimited);
  for (const char* address :
       {"", "@", "a@", "@b", "a@b@c", "a b@c", "a@b\r\nBcc: x@y", "a@b>", "<a@b", "a,b@c",
        "\"a\"@b", "a@b;c", "-a@b", "a@\xC3\xA4.example", "a:b@c", "a(b)@c", "a@b c"}) {
    INFO(address);
    CHECK_FALSE(IsMailAddress(address));
    CHECK(small.Queue("d", address, "s", "t", "").error().code == ErrorCode::kInvalidArgument);
  }
  CHECK(IsMailAddress("o'neil+key@sub.corp.example"));
  MailOutbox none(*r.store, nullptr, r.clock, {}, {});
  CHECK_FALSE(none.on());
  CHECK(none.Queue("e", "a@b", "s", "t", "").error().code == ErrorCode::kUnsupported);
}

TEST_CASE("an activation code goes out at once and is stored nowhere") {
  Rota r;
  r.directory.At(r.alice).detail.person.mail = "alice@corp.example";
  const auto mail = MakeActivationMail(r.Ports(), *r.outbox, r.templates);
  const auto sent = mail->Send(r.admin, r.alice, "ABCD-EFGH-JKMN-PQRS");
  REQUIRE(sent);
  CHECK(*sent == "alice@corp.example");
  REQUIRE(r.mailer.sent.size() == 1);
  CHECK(r.mailer.sent[0].second.find("code ABCD-EFGH-JKMN-PQRS") != std::string::npos);
  CHECK(r.store->CountMails(0)->queued == 0);
  const auto rows = r.store->AuditBefore(0, 200);
  for (const auto& row : *rows) {
    CHECK(row.entry.detail.find("ABCD-EFGH") == std::string::npos);
  }
  r.mailer.script = {ErrorCode::kUnavailable};
  CHECK_FALSE(mail->Send(r.admin, r.alice, "ABCD-EFGH-JKMN-PQRS"));
  CHECK(r.Audited("enrolment.mail") == 2);
  r.directory.At(r.alice).detail.person.mail = "";
  CHECK(mail->Send(r.admin, r.alice, "ABCD").error().code == ErrorCode::kInvalidArgument);
}

TEST_CASE("a mail's text is checked before it is used") {
  const auto parse = [](std::string_view text) { return MailTemplate::Parse(text, {"name"}); };
  const auto good = parse("Subject: Hello {{name}}\n\nDear {{name}},\n{ {x}} }}\n");
  REQUIRE(good);
  CHECK(FillSubject(*good, {{"name", "A\r\nBcc: x"}}).find('\n') == std::string::npos);
  const SecureBytes body = FillBody(*good, {{"name", "Ann {{name}}"}});
  CHECK(std::string(body.span().begin(), body.span().end()) == "Dear Ann {{name}},\n{ {x}} }}\n");
  CHECK_FALSE(parse("Hello\n\ntext"));
  CHECK_FALSE(parse("Subject: a\ntext"));
  CHECK_FALSE(parse("Subject: {{code}}\n\ntext"));
  CHECK_FALSE(parse("Subject: a\n\n{{code}}"));
  CHECK_FALSE(parse("Subject: a\n\n{{name"));
  CHECK_FALSE(parse("Subject: a\x01\n\ntext"));
}

TEST_CASE("one server at a time holds a task, and leaves its place to the next") {
  Rota r;
  CHECK(*r.store->TakeLease("task", "one", 60'000));
  CHECK(*r.store->TakeLease("task", "one", 60'000));
  CHECK_FALSE(*r.store->TakeLease("task", "two", 60'000));
  CHECK(*r.store->SetLeasePosition("task", "one", 7));
  CHECK_FALSE(*r.store->SetLeasePosition("task", "two", 8));
  CHECK(*r.store->LeasePosition("task") == 7);
  REQUIRE(r.store->EndLease("task", "two"));
  CHECK_FALSE(*r.store->TakeLease("task", "two", 60'000));
  REQUIRE(r.store->EndLease("task", "one"));
  CHECK(*r.store->TakeLease("task", "two", 60'000));
  CHECK_FALSE(*r.store->SetLeasePosition("task", "one", 9));
  CHECK(*r.store->LeasePosition("task") == 7);
}

TEST_CASE("the audit log belongs to one audit key") {
  Rota r;
  REQUIRE(r.store->BindRoot(Bytes(65, 4)));
  REQUIRE(r.store->BindAuditKey(Bytes(65, 1)));
  REQUIRE(r.store->BindAuditKey(Bytes(65, 1)));
  const auto other = r.store->BindAuditKey(Bytes(65, 2));
  REQUIRE_FALSE(other);
  CHECK(other.error().code == ErrorCode::kConflict);
  CHECK(other.error().message.find("another audit key") != std::string::npos);
}

}  // namespace
}  // namespace keyferry::server::testing

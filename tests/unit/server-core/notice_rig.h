#pragma once

#include <deque>
#include <regex>

#include "help_desk_rig.h"
#include "server/core/notices.h"

namespace keyferry::server::testing {

struct Post final : Mailer {
  Result<void> Send(const MailMessage& message) override {
    const std::lock_guard lock(mutex);
    if (!script.empty()) {
      const ErrorCode code = script.front();
      script.pop_front();
      return Fail(code, "The mail server said no.");
    }
    mails.push_back({message.recipient, message.subject, std::string(message.text.view())});
    return {};
  }
  Result<void> Probe() override { return {}; }
  struct Mail {
    std::string to, subject, text;
  };
  std::mutex mutex;
  std::deque<ErrorCode> script;
  std::vector<Mail> mails;
};

struct Officers final : GroupReader {
  Result<GroupMembers> Members(std::string_view, std::size_t) override {
    ++asked;
    GroupMembers out;
    GroupMember member;
    member.person.display_name = "Boss";
    member.person.mail = "Boss@corp.example";
    out.members = {member};
    return out;
  }
  int asked = 0;
};

// The office whose people have mail addresses, and what tells them.
struct Told : Office {
  explicit Told(bool mail = true, NoticeConfig wanted = {}) : config(std::move(wanted)) {
    directory.At(alice).detail.person.mail = "alice@corp.example";
    config.administrator_groups = {"CN=Administrators"};
    config.administrators = {"security@corp.example", "boss@corp.example"};
    has_mail = mail;
    NoticeTexts& texts = templates.notices;
    texts.person = {"{{login}}: {{what}}",
                    "{{name}}|{{when}}|{{by}}|{{address}}|{{key}}|{{reason}}|{{hours}}|{{link}}"};
    texts.manager = {"{{person}}: {{what}}", "{{name}}|{{login}}|{{by}}|{{reason}}"};
    texts.objection = {"{{person}} objects", "{{name}}|{{what}}|{{by}}|{{from}}|{{link}}"};
    for (int i = 0; i <= static_cast<int>(kLastNoticeKind); ++i) {
      const std::string name = Name(static_cast<NoticeKind>(i));
      texts.acts[name] = "act " + name;
    }
    Start();
    Forget();
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
            [this](std::string_view line) { log.emplace_back(line); },
            {},
            people};
  }
  void Start() {
    service.reset();
    outbox = std::make_unique<MailOutbox>(*store, has_mail ? &post : nullptr, clock,
                                          [](std::string_view) {});
    service = MakeNoticeService({Ports(), officers, *outbox, templates, gateway}, config);
    service->SetUrl("https://keys.example:8443");
  }
  void StartAgain() {
    service.reset();
    outbox.reset();
    Reboot();
    Start();
  }
  // What came before the test begins.
  void Forget() {
    service->Tick();
    post.mails.clear();
    desk->Forget();
  }
  std::vector<NoticeRecord> Notices() { return store->NoticesOf(alice, 50).value(); }
  NoticeRecord Newest() { return Notices().front(); }
  // The token of the newest mail with a link.
  std::string Token() {
    for (auto mail = post.mails.rbegin(); mail != post.mails.rend(); ++mail) {
      std::smatch match;
      const std::regex link("https://keys\\.example:8443/not-me\\?t=([A-Za-z0-9_-]{54})$");
      if (std::regex_search(mail->text, match, link)) return match[1].str();
    }
    FAIL("no mail with a link");
    return {};
  }
  // A change whose notice was mailed; the link's token.
  std::string Changed(const std::string& request = "key-00000001") {
    REQUIRE(Change(alice, request));
    service->Tick();
    return Token();
  }
  Result<void> Object(const std::string& token, const std::string& address = "198.51.100.7") {
    return service->Object(token, address);
  }
  Actor Colleague(const std::string& login) {
    Actor actor = admin;
    actor.id = directory.Add(login);
    actor.login = login;
    return actor;
  }
  std::vector<std::string> Audited(const std::string& action) {
    std::vector<std::string> out;
    const std::vector<AuditView> rows = audit->List(0, 200).value();
    for (const AuditView& row : rows) {
      if (row.action == action) out.push_back(row.outcome + " " + row.actor + " " + row.target);
    }
    return out;
  }
  std::size_t To(const std::string& address) {
    std::size_t count = 0;
    for (const Post::Mail& mail : post.mails) {
      if (mail.to == address) ++count;
    }
    return count;
  }

  NoticeConfig config;
  SmsGateway* gateway = nullptr;
  bool has_mail = true;
  Post post;
  Officers officers;
  MailTemplates templates;
  std::unique_ptr<MailOutbox> outbox;
  std::unique_ptr<NoticeService> service;
};

}  // namespace keyferry::server::testing

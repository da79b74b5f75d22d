#pragma once

#include <catch2/catch.hpp>
#include <functional>
#include <memory>
#include <mutex>
#include <regex>
#include <string>
#include <vector>

#include "office.h"
#include "server/core/help_desk.h"

namespace keyferry::server::testing {

struct MailBox final : Mailer {
  Result<void> Send(const MailMessage& message) override {
    if (down) return Fail(ErrorCode::kUnavailable, "The mail server does not answer.");
    const std::lock_guard lock(mutex);
    recipients.push_back(message.recipient);
    texts.emplace_back(message.text.view());
    return {};
  }
  Result<void> Probe() override { return {}; }
  // The eight digits of the newest mail.
  std::string Code() {
    const std::lock_guard lock(mutex);
    std::smatch match;
    REQUIRE(std::regex_search(texts.back(), match, std::regex("([0-9]{4}) ([0-9]{4})")));
    return match[1].str() + match[2].str();
  }
  bool down = false;
  std::mutex mutex;
  std::vector<std::string> recipients, texts;
};

// The office with an agent, and Alice as a caller.
struct Desk : Office {
  explicit Desk(HelpDeskConfig wanted = {}) : config(std::move(wanted)) {
    Person& person = directory.At(alice).detail.person;
    person.mail = "alice@corp.example";
    person.phone = "+49 30 1234";
    person.employee_id = "E 4711";
    person.department = "Purchase";
    agent = Agent("agent");
    for (const auto& [name, place] : {std::pair("reset", &templates.help_desk_reset),
                                      std::pair("unlock", &templates.help_desk_unlock),
                                      std::pair("must_change", &templates.help_desk_must_change),
                                      std::pair("read_out", &templates.help_desk_read_out)}) {
      *place = *MailTemplate::Parse(
          std::string("Subject: After ") + name + "\n\n{{name}} {{login}} {{agent}} {{ticket}}\n",
          {"name", "login", "agent", "ticket"});
    }
    templates.help_desk_code = *MailTemplate::Parse(
        "Subject: Code for {{name}}\n\n{{code}} for {{agent}}, {{login}}, {{minutes}}\n",
        {"name", "login", "agent", "minutes", "code"});
    templates.manager_asked = *MailTemplate::Parse(
        "Subject: {{person}}?\n\n{{name}} {{login}} {{agent}} {{ticket}} {{reason}} {{process}} "
        "{{minutes}}\n{{link}}\n",
        {"name", "person", "login", "agent", "ticket", "reason", "process", "minutes", "link"});
    Start();
  }
  Actor Agent(const std::string& login) {
    Actor actor;
    actor.id = directory.Add(login);
    actor.login = login;
    actor.roles = Role::kHelpDesk;
    actor.address = "192.0.2.7";
    return actor;
  }
  void Start() {
    const CorePorts ports{*store,
                          directory,
                          clock,
                          OsRandom(),
                          *bus,
                          *issuer,
                          ca,
                          *attestation,
                          waiter,
                          *presence,
                          [](std::string_view) {},
                          {},
                          people,
                          eyes.get()};
    outbox = std::make_unique<MailOutbox>(*store, &box, clock, [](std::string_view) {});
    service =
        MakeHelpDeskService({ports, *changes, *outbox, templates,
                             [this](const HelpDeskRequest& request, const std::string& manager) {
                               if (denied) denied(request, manager);
                             },
                             gateway},
                            config);
  }
  // The server dies and starts again.
  void StartAgain() {
    service.reset();
    outbox.reset();
    Reboot();
    Start();
  }

  HelpDeskOpening Opening() const { return {alice, "forgot it on holiday", "INC-1"}; }
  HelpDeskId Opened() {
    const auto opened = service->Open(agent, Opening());
    REQUIRE(opened);
    return opened->id;
  }
  // As the agent's page has it; the policy must allow the method.
  HelpDeskOffer OfferOf(const HelpDeskId& id, HelpDeskMethod method) {
    const auto view = service->Get(agent, id);
    REQUIRE(view);
    for (const HelpDeskOffer& offer : view->offers) {
      if (offer.method == method) return offer;
    }
    FAIL("the method is not offered");
    return {};
  }
  HelpDeskRequest Row(const HelpDeskId& id) { return store->FindHelpDesk(id)->value(); }
  std::uint64_t At(const HelpDeskId& id) { return Row(id).version; }
  static HelpDeskAnswer Seen() {
    HelpDeskAnswer answer;
    answer.method = HelpDeskMethod::kInPerson;
    answer.seen = SeenDocument::kBadge;
    return answer;
  }
  static HelpDeskAnswer Called(bool reached) {
    HelpDeskAnswer answer;
    answer.method = HelpDeskMethod::kCallBack;
    answer.reached = reached;
    return answer;
  }
  static HelpDeskAnswer Coded(std::string_view code) {
    HelpDeskAnswer answer;
    answer.method = HelpDeskMethod::kMailCode;
    answer.code = SecureBytes::CopyOf(code);
    return answer;
  }
  static HelpDeskAnswer Told(std::string employee_id) {
    HelpDeskAnswer answer;
    answer.method = HelpDeskMethod::kPersonalData;
    answer.personal = {{PersonalField::kEmployeeId, std::move(employee_id)}};
    return answer;
  }
  static HelpDeskAnswer Compared(std::optional<bool> matches) {
    HelpDeskAnswer answer;
    answer.method = HelpDeskMethod::kPersonalData;
    answer.matches = matches;
    return answer;
  }
  Result<void> Choose(const HelpDeskId& id, HelpDeskProcess process = HelpDeskProcess::kReset) {
    return service->Choose(agent, id, At(id), process);
  }
  Result<bool> Verify(const HelpDeskId& id, HelpDeskAnswer answer) {
    return service->Verify(agent, id, At(id), std::move(answer));
  }
  Result<void> Act(const HelpDeskId& id) {
    auto acted = service->Act(agent, id, At(id));
    if (!acted) return tl::unexpected(std::move(acted.error()));
    CHECK(acted->empty());
    return {};
  }
  // A fresh request, brought to `state` by the steps that lead there.
  HelpDeskId In(HelpDeskState state, HelpDeskProcess process = HelpDeskProcess::kReset) {
    const HelpDeskId id = Opened();
    if (state == HelpDeskState::kIdentified) return id;
    if (state == HelpDeskState::kCancelled) {
      REQUIRE(service->Cancel(agent, id, At(id)));
      return id;
    }
    if (state == HelpDeskState::kExpired) {
      clock.Advance(std::chrono::seconds(config.request_seconds));
      REQUIRE(service->Get(agent, id));
      return id;
    }
    REQUIRE(Choose(id, process));
    if (state == HelpDeskState::kVerifying) return id;
    if (state == HelpDeskState::kBlocked) {
      for (std::uint32_t i = 0; i < config.attempts; ++i) REQUIRE(Verify(id, Told("no")));
      return id;
    }
    REQUIRE(Verify(id, Seen()).value());
    if (state == HelpDeskState::kVerified) return id;
    if (state == HelpDeskState::kActing) {
      directory.script = {Write::kCrashBefore};
      CHECK_THROWS_AS(Act(id), Crash);
      StartAgain();
      return id;
    }
    REQUIRE(Act(id));
    if (state == HelpDeskState::kActed) return id;
    REQUIRE(service->Confirm(agent, id, At(id)));
    return id;
  }
  // Actions and outcomes in the audit log since `number`, oldest first.
  std::vector<std::string> Audited(std::uint64_t number) {
    std::vector<std::string> out;
    const auto rows = store->AuditAfter(number, 1000);
    REQUIRE(rows);
    for (const auto& row : *rows) {
      if (row.entry.action.rfind("help_desk.", 0) != 0) continue;
      CHECK(row.entry.detail.find("Ticket INC-1: forgot it on holiday") != std::string::npos);
      CHECK(row.entry.target == "alice");
      out.push_back(row.entry.action.substr(10) + " " + row.entry.outcome);
    }
    return out;
  }
  std::uint64_t AuditHead() { return store->AuditHead()->number; }

  HelpDeskConfig config;
  MailBox box;
  MailTemplates templates;
  SmsGateway* gateway = nullptr;
  std::function<void(const HelpDeskRequest&, const std::string&)> denied;
  Actor agent;
  std::unique_ptr<MailOutbox> outbox;
  std::unique_ptr<HelpDeskService> service;
};

inline bool IsMoved(const Error& error) {
  return error.code == ErrorCode::kConflict && error.detail == kMovedDetail;
}

}  // namespace keyferry::server::testing

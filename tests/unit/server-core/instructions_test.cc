// What to do, by mail, after the help desk has served: once, to the directory's address, no secret.
#include "help_desk_rig.h"

using namespace keyferry;
using namespace keyferry::server;
using namespace keyferry::server::testing;

using State = HelpDeskState;

namespace {

HelpDeskConfig WithReading() {
  HelpDeskConfig config;
  config.read_out = true;
  return config;
}

struct Mailing : Desk {
  Mailing() : Desk(WithReading()) {}
  Result<void> Mail(const HelpDeskId& id) { return service->MailInstructions(agent, id, At(id)); }
  bool Offered(const HelpDeskId& id) { return service->Get(agent, id)->can_mail; }
};

}  // namespace

TEST_CASE("what to do is mailed once it is carried out, and once") {
  for (const auto& [process, subject] :
       {std::pair(HelpDeskProcess::kReset, "After reset"),
        std::pair(HelpDeskProcess::kUnlock, "After unlock"),
        std::pair(HelpDeskProcess::kMustChange, "After must_change"),
        std::pair(HelpDeskProcess::kReadOut, "After read_out")}) {
    INFO(subject);
    Mailing desk;
    const std::uint64_t before = desk.AuditHead();
    const HelpDeskId id = desk.In(State::kVerified, process);
    CHECK_FALSE(desk.Offered(id));
    CHECK(IsMoved(desk.Mail(id).error()));
    const auto acted = desk.service->Act(desk.agent, id, desk.At(id));
    REQUIRE(acted);
    CHECK(desk.Offered(id));
    REQUIRE(desk.Mail(id));
    CHECK_FALSE(desk.Offered(id));
    CHECK(desk.Row(id).mailed == desk.clock.UnixMillis());
    CHECK(desk.Row(id).state == State::kActed);
    CHECK(IsMoved(desk.Mail(id).error()));
    desk.outbox->Tick();
    CHECK(desk.box.recipients == std::vector<std::string>{"alice@corp.example"});
    CHECK(desk.box.texts == std::vector<std::string>{"Person alice alice agent INC-1\n"});
    CHECK(desk.box.texts[0].find(desk.AdPassword()) == std::string::npos);
    const auto audited = desk.Audited(before);
    CHECK(audited.back() == "instructions ok");
    REQUIRE(desk.service->Confirm(desk.agent, id, desk.At(id)));
    CHECK(IsMoved(desk.Mail(id).error()));
  }
}

TEST_CASE("without a usable address, or a mail server, nothing is mailed and nothing said to be") {
  Mailing desk;
  const HelpDeskId id = desk.In(State::kActed);
  for (const char* address : {"", "nobody", "a@b\r\nBcc: x@y"}) {
    desk.directory.At(desk.alice).detail.person.mail = address;
    CHECK(desk.Mail(id).error().code == ErrorCode::kConflict);
  }
  desk.directory.down = true;
  CHECK_FALSE(desk.Mail(id));
  desk.directory.down = false;
  CHECK(desk.Row(id).mailed == 0);
  desk.directory.At(desk.alice).detail.person.mail = "alice@corp.example";
  desk.outbox =
      std::make_unique<MailOutbox>(*desk.store, nullptr, desk.clock, [](std::string_view) {});
  desk.service.reset();
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
  desk.service =
      MakeHelpDeskService({ports, *desk.changes, *desk.outbox, desk.templates}, desk.config);
  CHECK_FALSE(desk.Offered(id));
  CHECK(desk.Mail(id).error().code == ErrorCode::kUnsupported);
  CHECK(desk.Row(id).mailed == 0);
}

TEST_CASE("where the queue is full the request says so, and it may be asked for again") {
  Mailing desk;
  const HelpDeskId id = desk.In(State::kActed);
  OutboxLimits none;
  none.waiting = 0;
  const auto reopen = [&desk](OutboxLimits limits) {
    desk.service.reset();
    desk.outbox = std::make_unique<MailOutbox>(
        *desk.store, &desk.box, desk.clock, [](std::string_view) {}, limits);
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
    desk.service =
        MakeHelpDeskService({ports, *desk.changes, *desk.outbox, desk.templates}, desk.config);
  };
  reopen(none);
  const std::uint64_t before = desk.AuditHead();
  CHECK(desk.Mail(id).error().code == ErrorCode::kRateLimited);
  CHECK(desk.Row(id).mailed == 0);
  CHECK(desk.Audited(before) ==
        std::vector<std::string>{"instructions ok", "instructions rate_limited"});
  reopen({});
  REQUIRE(desk.Mail(id));
  CHECK(desk.Row(id).mailed != 0);
}

#include "fake_services.h"

namespace keyferry::server::fake {

Result<HelpDeskRequest> FakeHelpDesk::Open(const Actor& actor, const HelpDeskOpening& opening) {
  calls.push_back("open " + actor.login + " " + opening.account.Hex() + " " + opening.ticket + " " +
                  opening.reason);
  if (error) return tl::unexpected(*error);
  return view.request;
}

Result<HelpDeskView> FakeHelpDesk::Get(const Actor&, const HelpDeskId& id) {
  if (id != view.request.id) return Fail(ErrorCode::kNotFound, "There is no such request.");
  return view;
}

Result<std::vector<HelpDeskRequest>> FakeHelpDesk::Mine(const Actor&) {
  if (view.request.id == HelpDeskId{}) return std::vector<HelpDeskRequest>{};
  return std::vector<HelpDeskRequest>{view.request};
}

Result<void> FakeHelpDesk::Step(const char* name, const Actor& actor, const HelpDeskId& id,
                                std::uint64_t version) {
  if (id != view.request.id) return Fail(ErrorCode::kNotFound, "There is no such request.");
  calls.push_back(std::string(name) + " " + actor.login + " " + std::to_string(version));
  if (error) return tl::unexpected(*error);
  return {};
}

Result<void> FakeHelpDesk::Choose(const Actor& actor, const HelpDeskId& id, std::uint64_t version,
                                  HelpDeskProcess process) {
  return Step((std::string("choose ") + Name(process)).c_str(), actor, id, version);
}

Result<void> FakeHelpDesk::SendCode(const Actor& actor, const HelpDeskId& id,
                                    std::uint64_t version) {
  return Step("send", actor, id, version);
}

Result<bool> FakeHelpDesk::Verify(const Actor& actor, const HelpDeskId& id, std::uint64_t version,
                                  HelpDeskAnswer answer) {
  std::string what = std::string("verify ") + Name(answer.method);
  if (answer.seen) what += std::string(" seen ") + Name(*answer.seen);
  if (answer.reached) what += " reached";
  if (answer.matches) what += *answer.matches ? " matches" : " differs";
  if (!answer.code.empty()) what += " code " + std::string(answer.code.view());
  for (const auto& [field, said] : answer.personal) {
    what += std::string(" ") + Name(field) + "=" + said;
  }
  for (const SecureBytes& said : answer.answers) what += " " + std::string(said.view());
  auto done = Step(what.c_str(), actor, id, version);
  if (!done) return tl::unexpected(done.error());
  return right;
}

Result<SecureBytes> FakeHelpDesk::Act(const Actor& actor, const HelpDeskId& id,
                                      std::uint64_t version) {
  auto done = Step("act", actor, id, version);
  if (!done) return tl::unexpected(std::move(done.error()));
  return SecureBytes::CopyOf(std::string_view(read_out));
}

Result<void> FakeHelpDesk::MailInstructions(const Actor& actor, const HelpDeskId& id,
                                            std::uint64_t version) {
  return Step("mail", actor, id, version);
}

Result<void> FakeHelpDesk::Confirm(const Actor& actor, const HelpDeskId& id,
                                   std::uint64_t version) {
  return Step("confirm", actor, id, version);
}

Result<void> FakeHelpDesk::Cancel(const Actor& actor, const HelpDeskId& id, std::uint64_t version) {
  return Step("cancel", actor, id, version);
}

}  // namespace keyferry::server::fake

#include "server/core/activation_mail.h"

#include <utility>

#include "server/core/audit_entry.h"
#include "server/core/encoding.h"

namespace keyferry::server {

namespace {

class OutboxActivationMail final : public ActivationMail {
 public:
  OutboxActivationMail(const CorePorts& ports, MailOutbox& outbox, const MailTemplates& templates)
      : ports_(ports), outbox_(outbox), templates_(templates) {}

  Result<std::string> Send(const Actor& actor, const AccountId& account,
                           std::string_view code) override {
    if (!May(actor.roles, Right::kKeysWrite)) {
      return Fail(ErrorCode::kPermissionDenied, "You are not allowed to do this.");
    }
    if (auto reach = CheckReach(ports_, actor, Right::kKeysWrite, account); !reach) {
      return tl::unexpected(std::move(reach.error()));
    }
    const auto detail = ports_.directory.Get(account);
    if (!detail) return tl::unexpected(detail.error());
    const Person& person = detail->person;
    const std::string name = Presentable(person.display_name, 128),
                      login = Presentable(person.login, 128);
    const MailTemplate& text = templates_.activation_code;
    const auto sent =
        outbox_.SendNow({person.mail, FillSubject(text, {{"name", name}, {"login", login}}),
                         FillBody(text, {{"name", name}, {"login", login}, {"code", code}})});
    const auto audited = ports_.store.AppendAudit(
        AuditOf(ports_.clock, actor, "enrolment.mail", person.login,
                sent ? "ok" : OutcomeName(sent.error().code),
                sent ? "The activation code went to " + Presentable(person.mail, 254) + "."
                     : sent.error().message));
    if (!sent) return tl::unexpected(sent.error());
    if (!audited) return tl::unexpected(audited.error());
    return person.mail;
  }

 private:
  const CorePorts ports_;
  MailOutbox& outbox_;
  const MailTemplates& templates_;
};

}  // namespace

std::unique_ptr<ActivationMail> MakeActivationMail(const CorePorts& ports, MailOutbox& outbox,
                                                   const MailTemplates& templates) {
  return std::make_unique<OutboxActivationMail>(ports, outbox, templates);
}

}  // namespace keyferry::server

#include "server/core/activation_mail.h"

#include <utility>

#include "server/core/audit_entry.h"
#include "server/core/encoding.h"

namespace keyferry::server {

Result<std::string> ActivationMail::Send(const Actor& actor, const AccountId& account,
                                         std::string_view code) {
  if (actor.role != Role::kAdministrator) {
    return Fail(ErrorCode::kPermissionDenied, "Only administrators may do this.");
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

}  // namespace keyferry::server

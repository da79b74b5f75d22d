#pragma once

#include <string>
#include <string_view>

#include "server/core/mail.h"
#include "server/core/mail_template.h"
#include "server/core/services.h"

namespace keyferry::server {

// The activation code of an enrolment, by mail to its employee: sent at once and never stored.
// Thread-safe; blocks on directory and mail server.
class ActivationMail {
 public:
  // All outlives it.
  ActivationMail(const CorePorts& ports, MailOutbox& outbox, const MailTemplates& templates)
      : ports_(ports), outbox_(outbox), templates_(templates) {}

  bool on() const { return outbox_.on(); }
  // The address that it went to. Audited, without the code, however it ends.
  Result<std::string> Send(const Actor& actor, const AccountId& account, std::string_view code);

 private:
  const CorePorts ports_;
  MailOutbox& outbox_;
  const MailTemplates& templates_;
};

}  // namespace keyferry::server

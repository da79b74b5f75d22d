#pragma once

#include <memory>
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
  virtual ~ActivationMail() = default;
  // The address that it went to. Audited, without the code, however it ends.
  virtual Result<std::string> Send(const Actor& actor, const AccountId& account,
                                   std::string_view code) = 0;
};
// All outlives it.
std::unique_ptr<ActivationMail> MakeActivationMail(const CorePorts& ports, MailOutbox& outbox,
                                                   const MailTemplates& templates);

}  // namespace keyferry::server

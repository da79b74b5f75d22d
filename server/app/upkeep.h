#pragma once

#include <memory>

#include "server/app/config.h"
#include "server/app/log.h"
#include "server/app/mail_texts.h"
#include "server/core/activation_mail.h"
#include "server/core/notices.h"
#include "server/core/rotation.h"
#include "server/core/services.h"

namespace keyferry::server {

// What the server does by its own clock beside changes: mails, notices and rotation. With several
// servers on one database one of them does it; another takes over when it dies.
class Upkeep {
 public:
  // Everything outlives it. kInvalidArgument names what is wrong with a shipped
  // mail's text; with one of the organisation's own the log does.
  // `sms`: null where there is no gateway.
  static Result<std::unique_ptr<Upkeep>> Make(const ServerConfig& config, const CorePorts& ports,
                                              ChangeService& changes, SmsGateway* sms, Log& log);
  virtual ~Upkeep() = default;  // ends its threads
  virtual RotationService& rotation() = 0;
  virtual ActivationMail* activation_mail() = 0;  // null without a mail server
  virtual MailOutbox& outbox() = 0;
  virtual const MailTemplates& templates() = 0;
  virtual NoticeService& notices() = 0;
  // `url`: of the pages, "https://name:port".
  virtual void Start(std::string url) = 0;
};

// What is mailed: the shipped texts and the organisation's own, in the configured language.
Result<MailTexts> LoadMailTexts(const ServerConfig& config);
// The mail server as the configuration wants it; null when there is none. Reads the password file.
Result<std::unique_ptr<Mailer>> OpenMailer(const ServerConfig& config);

}  // namespace keyferry::server

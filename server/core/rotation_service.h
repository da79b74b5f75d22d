#pragma once

#include <memory>

#include "server/core/group_reader.h"
#include "server/core/mail.h"
#include "server/core/mail_template.h"
#include "server/core/rotation.h"
#include "server/core/services.h"

namespace keyferry::server {

// What rotation stands on; all of it outlives the service.
struct RotationPorts {
  CorePorts core;
  ChangeService& changes;
  GroupReader& groups;
  MailOutbox& outbox;
  const MailTemplates& templates;
};
std::unique_ptr<RotationService> MakeRotationService(RotationPorts ports);

}  // namespace keyferry::server

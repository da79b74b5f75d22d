#pragma once

#include <functional>
#include <string>
#include <vector>

#include "server/core/clock.h"
#include "server/core/group_reader.h"
#include "server/core/help_desk_records.h"
#include "server/core/mail.h"
#include "server/core/mail_template.h"
#include "server/core/session.h"

namespace keyferry::server {

struct AgentAlarmPorts {
  GroupReader& groups;
  MailOutbox& outbox;
  const MailTemplates& templates;
  const Clock& clock;
  std::function<void(std::string_view)> log;
};

// For FourEyes::OnLimit: queues a mail to each of `addresses` and to every member of
// `administrator_groups` (DNs) who has an address, once in an hour and agent whatever the number of
// servers. Everything outlives it.
std::function<void(const Actor& actor, std::uint32_t resets)> MakeAgentAlarm(
    AgentAlarmPorts ports, std::vector<std::string> administrator_groups,
    std::vector<std::string> addresses);

// For HelpDeskPorts::denied, likewise: one mail a request to each of them.
std::function<void(const HelpDeskRequest& request, const std::string& manager)> MakeDeniedAlarm(
    AgentAlarmPorts ports, std::vector<std::string> administrator_groups,
    std::vector<std::string> addresses);

}  // namespace keyferry::server

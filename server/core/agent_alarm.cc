#include "server/core/agent_alarm.h"

#include <utility>

#include "server/core/administrators.h"
#include "server/core/encoding.h"

namespace keyferry::server {

std::function<void(const Actor&, std::uint32_t)> MakeAgentAlarm(
    AgentAlarmPorts ports, std::vector<std::string> administrator_groups,
    std::vector<std::string> addresses) {
  return [ports = std::move(ports), administrator_groups = std::move(administrator_groups),
          addresses = std::move(addresses)](const Actor& actor, std::uint32_t resets) {
    if (!ports.outbox.on()) return;
    const auto names =
        AdministratorAddresses(ports.groups, administrator_groups, addresses, ports.log);
    const std::string hour = std::to_string(ports.clock.UnixMillis() / 3'600'000),
                      count = std::to_string(resets),
                      agent = Presentable(
                          actor.display_name.empty() ? actor.login : actor.display_name, 128);
    const MailTemplate& text = ports.templates.agent_limit;
    for (const auto& [address, name] : names) {
      const MailValues values = {
          {"name", name}, {"agent", agent}, {"login", actor.login}, {"resets", count}};
      const SecureBytes body = FillBody(text, values);
      const auto queued =
          ports.outbox.Queue("agent-limit/" + actor.id.Hex() + "/" + hour + "/" + address, address,
                             FillSubject(text, values), body.view(), "system");
      if (!queued) ports.log("agent limit, mail to " + address + ": " + queued.error().message);
    }
  };
}

std::function<void(const HelpDeskRequest&, const std::string&)> MakeDeniedAlarm(
    AgentAlarmPorts ports, std::vector<std::string> administrator_groups,
    std::vector<std::string> addresses) {
  return [ports = std::move(ports), administrator_groups = std::move(administrator_groups),
          addresses = std::move(addresses)](const HelpDeskRequest& request,
                                            const std::string& manager) {
    if (!ports.outbox.on()) return;
    const auto names =
        AdministratorAddresses(ports.groups, administrator_groups, addresses, ports.log);
    const std::string person =
        Presentable(request.display_name.empty() ? request.login : request.display_name, 128);
    const MailTemplate& text = ports.templates.manager_denied;
    for (const auto& [address, name] : names) {
      const MailValues values = {{"name", name},
                                 {"person", person},
                                 {"login", request.login},
                                 {"manager", manager},
                                 {"agent", request.agent_login},
                                 {"ticket", request.ticket},
                                 {"reason", request.reason}};
      const SecureBytes body = FillBody(text, values);
      const auto queued =
          ports.outbox.Queue("manager-denied/" + request.id.Hex() + "/" + address, address,
                             FillSubject(text, values), body.view(), "system");
      if (!queued)
        ports.log("a manager's denial, mail to " + address + ": " + queued.error().message);
    }
  };
}

}  // namespace keyferry::server

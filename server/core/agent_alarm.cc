#include "server/core/agent_alarm.h"

#include <set>
#include <utility>

#include "server/core/encoding.h"

namespace keyferry::server {
namespace {

constexpr std::size_t kMostAdministrators = 200;  // of one group

}  // namespace

std::function<void(const Actor&, std::uint32_t)> MakeAgentAlarm(
    AgentAlarmPorts ports, std::vector<std::string> administrator_groups) {
  return [ports = std::move(ports), administrator_groups = std::move(administrator_groups)](
             const Actor& actor, std::uint32_t resets) {
    if (!ports.outbox.on()) return;
    const std::string hour = std::to_string(ports.clock.UnixMillis() / 3'600'000),
                      count = std::to_string(resets),
                      agent = Presentable(
                          actor.display_name.empty() ? actor.login : actor.display_name, 128);
    const MailTemplate& text = ports.templates.agent_limit;
    std::set<AccountId> told;
    for (const std::string& group : administrator_groups) {
      const auto members = ports.groups.Members(group, kMostAdministrators);
      if (!members) {
        ports.log("agent limit: the administrators were not told: " + members.error().message);
        continue;
      }
      for (const GroupMember& member : members->members) {
        const Person& person = member.person;
        if (person.mail.empty() || !told.insert(person.id).second) continue;
        const std::string name = Presentable(person.display_name, 128);
        const MailValues values = {
            {"name", name}, {"agent", agent}, {"login", actor.login}, {"resets", count}};
        const auto queued = ports.outbox.Queue(
            "agent-limit/" + actor.id.Hex() + "/" + hour + "/" + person.id.Hex(), person.mail,
            FillSubject(text, values), FillBody(text, values).view(), "system");
        if (!queued)
          ports.log("agent limit, mail to " + person.mail + ": " + queued.error().message);
      }
    }
  };
}

}  // namespace keyferry::server

#include "server/core/approval_mail.h"

#include <ctime>
#include <map>
#include <utility>

#include "server/core/dispatch.h"
#include "server/core/dn.h"
#include "server/core/encoding.h"

namespace keyferry::server {
namespace {

constexpr std::size_t kMostOpen = 200;
constexpr std::size_t kMostMembers = 200;  // of one group

std::string EndOf(std::int64_t millis) {
  const std::time_t seconds = millis / 1000;
  std::tm utc{};
  gmtime_r(&seconds, &utc);
  char text[32];
  return std::string(text, std::strftime(text, sizeof text, "%Y-%m-%d %H:%M UTC", &utc));
}

}  // namespace

void ApprovalMail::Tick(const std::string& url) {
  if (!ports_.outbox.on() || !config_.roles_of) return;
  const CorePorts& core = ports_.core;
  const std::int64_t now = core.clock.UnixMillis();
  const auto rows = core.store.Approvals(now, kMostOpen);
  if (!rows) return Log(core, "mails to approvers", rows.error());
  std::set<ApprovalId> still;
  for (const Approval& row : *rows) {
    if (row.state != ApprovalState::kOpen || now >= row.expires) continue;
    if (told_.count(row.id) != 0 || Tell(row, url)) still.insert(row.id);
  }
  told_ = std::move(still);
}

Result<bool> ApprovalMail::May(const Person& person, const Approval& row) {
  if (person.id == row.asker || person.id == row.account) return false;
  const auto groups = ports_.core.directory.GroupsOf(person.id);
  if (!groups && groups.error().code == ErrorCode::kNotFound) return false;
  if (!groups) return tl::unexpected(groups.error());
  Actor actor;
  actor.id = person.id;
  actor.login = person.login;
  actor.display_name = person.display_name;
  actor.roles = config_.roles_of(*groups);
  return ports_.four_eyes.MayApprove(actor, row);
}

bool ApprovalMail::Tell(const Approval& row, const std::string& url) {
  const CorePorts& core = ports_.core;
  bool whole = true;
  const auto missed = [&](const Error& error) {
    Log(core, "mails to the approvers of " + row.id.Hex(), error);
    whole = false;
  };
  std::map<std::string, Person> people;  // by address: one mail each, though in several groups
  for (const std::string& group : config_.groups) {
    const auto members = ports_.groups.Members(group, kMostMembers);
    if (!members) {
      missed(members.error());
      continue;
    }
    for (const GroupMember& member : members->members) {
      if (people.size() >= config_.most) break;
      const std::string address = LowerCase(member.person.mail);
      if (!IsMailAddress(address) || people.count(address) != 0) continue;
      const auto may = May(member.person, row);
      if (!may) {
        missed(may.error());
        continue;
      }
      if (*may) people.emplace(address, member.person);
    }
  }
  const std::string asker = Presentable(row.asker_login, 128),
                    person =
                        Presentable(row.display_name.empty() ? row.login : row.display_name, 128),
                    login = Presentable(row.login, 128),
                    reason = row.reason.empty() ? "–" : Presentable(row.reason, 500),
                    until = EndOf(row.expires), link = url + "/approvals/" + row.id.Hex();
  for (const auto& [address, approver] : people) {
    const std::string name =
        Presentable(approver.display_name.empty() ? approver.login : approver.display_name, 128);
    const MailValues values = {{"name", name},   {"asker", asker},   {"person", person},
                               {"login", login}, {"reason", reason}, {"until", until},
                               {"link", link}};
    const SecureBytes body = FillBody(ports_.text, values);
    const auto queued =
        ports_.outbox.Queue("approval/" + row.id.Hex() + "/" + address, address,
                            FillSubject(ports_.text, values), body.view(), "system");
    if (!queued && queued.error().code != ErrorCode::kInvalidArgument) missed(queued.error());
  }
  return whole;
}

}  // namespace keyferry::server

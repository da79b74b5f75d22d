#include "server/core/administrators.h"

#include "server/core/dn.h"
#include "server/core/encoding.h"

namespace keyferry::server {
namespace {

constexpr std::size_t kMostAdministrators = 200;  // of one group

}  // namespace

std::map<std::string, std::string> AdministratorAddresses(
    GroupReader& groups, const std::vector<std::string>& administrator_groups,
    const std::vector<std::string>& addresses, const std::function<void(std::string_view)>& log) {
  std::map<std::string, std::string> names;
  for (const std::string& group : administrator_groups) {
    const auto members = groups.Members(group, kMostAdministrators);
    if (!members) {
      log("not every administrator is told by mail: " + members.error().message);
      continue;
    }
    for (const GroupMember& member : members->members) {
      const Person& person = member.person;
      if (person.mail.empty()) continue;
      names[LowerCase(person.mail)] = Presentable(person.display_name, 128);
    }
  }
  for (const std::string& address : addresses) names.try_emplace(LowerCase(address), address);
  return names;
}

}  // namespace keyferry::server

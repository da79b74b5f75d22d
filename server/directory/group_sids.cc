#include "server/directory/group_sids.h"

#include <utility>

#include "server/directory/access.h"
#include "server/directory/person.h"
#include "server/directory/text.h"

namespace keyferry::server {
namespace {

constexpr std::int64_t kSecurityEnabled = -2147483648;  // groupType's highest bit

}  // namespace

Result<std::optional<std::vector<std::string>>> GroupSids::Of(ServerGroup& servers,
                                                              const std::vector<std::string>& dns) {
  auto groups = Kept(dns);
  if (!groups) {
    const Deadline until = std::chrono::steady_clock::now() + config_.context_life;
    auto read =
        servers.Read(Turn::kChange, [&](const Session& session) -> Result<std::vector<Group>> {
          std::vector<LdapSearch> searches(dns.size());
          for (std::size_t i = 0; i < dns.size(); ++i) {
            searches[i].base = dns[i];
            searches[i].scope = LdapSearch::Scope::kBase;
            searches[i].attributes = {"objectSid", "groupType"};
          }
          std::vector<Group> out;
          for (const auto& found : EntriesTogether(session, searches)) {
            Group group;
            group.until = until;
            if (!found && found.error().code != ErrorCode::kNotFound) {
              return tl::unexpected<Error>(found.error());
            }
            if (found && !found->empty()) {
              auto sid = SidText(found->front().Get("objectsid"));
              const bool security =
                  (ReadInteger(found->front(), "grouptype") & kSecurityEnabled) != 0;
              group.kind = sid && security ? Group::Kind::kSecurity : Group::Kind::kDistribution;
              if (sid) group.sid = *std::move(sid);
            }
            out.push_back(std::move(group));
          }
          return out;
        });
    if (!read) return tl::unexpected<Error>(std::move(read.error()));
    groups = *std::move(read);
    const std::lock_guard lock(mutex_);
    for (std::size_t i = 0; i < dns.size(); ++i) groups_[dns[i]] = (*groups)[i];
  }
  std::vector<std::string> sids;
  for (Group& group : *groups) {
    if (group.kind == Group::Kind::kDistribution) return std::nullopt;
    if (group.kind == Group::Kind::kSecurity) sids.push_back(std::move(group.sid));
  }
  return sids;
}

std::optional<std::vector<GroupSids::Group>> GroupSids::Kept(const std::vector<std::string>& dns) {
  const std::lock_guard lock(mutex_);
  const auto now = std::chrono::steady_clock::now();
  std::vector<Group> out;
  for (const std::string& dn : dns) {
    const auto kept = groups_.find(dn);
    if (kept == groups_.end() || now >= kept->second.until) return std::nullopt;
    out.push_back(kept->second);
  }
  return out;
}

}  // namespace keyferry::server

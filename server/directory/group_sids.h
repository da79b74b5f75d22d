#pragma once

#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "protocol/result.h"
#include "server/directory/ldap_config.h"
#include "server/directory/server_group.h"

namespace keyferry::server {

// SIDs of the few groups that configuration names, kept for LdapConfig::context_life: what a logon
// token is compared with. Thread-safe. The configuration outlives it.
class GroupSids {
 public:
  explicit GroupSids(const LdapConfig& config) : config_(config) {}

  // Of the groups (DNs) that are there; nullopt when one of them is a distribution group, which no
  // token carries ([MS-ADTS] section 3.1.1.4.5.19). Errors: of the search.
  Result<std::optional<std::vector<std::string>>> Of(ServerGroup& servers,
                                                     const std::vector<std::string>& dns);

 private:
  struct Group {
    enum class Kind { kMissing, kDistribution, kSecurity } kind = Kind::kMissing;
    std::string sid;  // of a security group
    Deadline until;
  };
  // What is kept of all of them, or nothing.
  std::optional<std::vector<Group>> Kept(const std::vector<std::string>& dns);

  const LdapConfig& config_;
  std::mutex mutex_;
  std::map<std::string, Group> groups_;  // by DN as configured
};

}  // namespace keyferry::server

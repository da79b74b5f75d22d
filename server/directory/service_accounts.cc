#include "server/directory/service_accounts.h"

#include <algorithm>
#include <utility>

#include "server/directory/ldap_directory.h"
#include "server/directory/person.h"
#include "server/directory/server_group.h"
#include "server/directory/text.h"

namespace keyferry::server {
namespace {

constexpr std::size_t kMostAccounts = 10;
constexpr std::int64_t kAes = 8 | 16;

}  // namespace

Result<std::vector<ServiceAccount>> FindServiceAccounts(LdapConfig config,
                                                        const std::string& name) {
  config.connections = 1;
  if (auto good = CheckLdapConfig(&config); !good) return tl::unexpected<Error>(good.error());
  ServerGroup servers(config);
  LdapSearch search;
  search.base = config.base_dn;
  search.filter = "(servicePrincipalName=" + EscapeFilter(name) + ")";
  search.attributes = {"sAMAccountName", "msDS-KeyVersionNumber", "msDS-SupportedEncryptionTypes"};
  search.limit = kMostAccounts;
  const auto entries =
      servers.Read(Turn::kPage, [&](const Session& session) { return Entries(session, search); });
  if (!entries) return tl::unexpected<Error>(entries.error());
  std::vector<ServiceAccount> out;
  for (const LdapEntry& entry : *entries) {
    ServiceAccount account;
    account.login = CleanText(entry.Get("samaccountname"), 64);
    account.key_version = static_cast<std::uint32_t>(
        std::clamp<std::int64_t>(ReadInteger(entry, "msds-keyversionnumber"), 0, UINT32_MAX));
    account.aes = (ReadInteger(entry, "msds-supportedencryptiontypes") & kAes) != 0;
    out.push_back(std::move(account));
  }
  return out;
}

}  // namespace keyferry::server

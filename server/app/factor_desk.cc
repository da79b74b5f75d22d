#include "server/app/factor_desk.h"

#include <strings.h>

#include "server/app/open.h"
#include "server/core/audit_entry.h"

namespace keyferry::server {

Result<std::string> ResetFactorOf(const ServerConfig& config, std::string_view login) {
  const auto store = OpenStore(config);
  if (!store) return tl::unexpected(store.error());
  const auto factors = (*store)->Factors();
  if (!factors) return tl::unexpected(factors.error());
  Actor console;
  console.login = "console";
  const SystemClock clock;
  const std::string wanted(login);
  for (const FactorRecord& factor : *factors) {
    if (::strcasecmp(factor.login.c_str(), wanted.c_str()) != 0) continue;
    AuditEntry audit =
        AuditOf(clock, console, "factor.reset", factor.login, "ok", "On the server's console.");
    audit.notice = NoticeDraft{
        NoticeKind::kFactorReset, factor.account, factor.login, {}, console.login, {}, {}, {}};
    const auto reset =
        (*store)->ResetFactor(factor.account, "factor/" + factor.account.Hex(), audit, {});
    if (!reset) return tl::unexpected(reset.error());
    return "Reset the second factor of " + factor.login +
           ". It is set up anew at the next sign-in; all sessions have ended.";
  }
  return Fail(ErrorCode::kNotFound, "Nobody with the login " + wanted + " has a second factor.");
}

}  // namespace keyferry::server

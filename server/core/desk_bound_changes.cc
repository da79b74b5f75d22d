#include "server/core/desk_bound_changes.h"

#include <utility>

#include "server/core/audit_entry.h"
#include "server/core/rights.h"

namespace keyferry::server {
namespace {

constexpr const char* kVerifyFirst =
    "At the help desk passwords are set for verified callers only; begin a help desk request.";

class DeskBoundChanges final : public ChangeService {
 public:
  DeskBoundChanges(const CorePorts& ports, ChangeService& changes)
      : ports_(ports), changes_(changes) {}

  Result<Preflight> Check(const Actor& actor, const AccountId& account) override {
    auto preflight = changes_.Check(actor, account);
    if (preflight && preflight->allowed && IsBound(actor)) {
      preflight->allowed = false;
      preflight->reason = kVerifyFirst;
    }
    return preflight;
  }

  Result<ChangeView> Start(const Actor& actor, ChangeRequest request) override {
    if (!IsBound(actor)) return changes_.Start(actor, std::move(request));
    const auto detail = ports_.directory.Get(request.account);
    const std::string target = detail ? detail->person.login : request.account.Hex();
    auto audited =
        ports_.store.AppendAudit(AuditOf(ports_.clock, actor, "password.set", target,
                                         OutcomeName(ErrorCode::kPermissionDenied), kVerifyFirst));
    if (!audited) return tl::unexpected(std::move(audited.error()));
    return Fail(ErrorCode::kPermissionDenied, kVerifyFirst);
  }

  std::vector<SourceChoice> Sources() override { return changes_.Sources(); }
  Result<std::vector<ChangeView>> History(const AccountId& account, std::size_t limit) override {
    return changes_.History(account, limit);
  }
  Result<ChangeView> Get(const ChangeId& id) override { return changes_.Get(id); }
  void Proceed(const AccountId& account) override { changes_.Proceed(account); }
  void Reconcile() override { changes_.Reconcile(); }

 private:
  static bool IsBound(const Actor& actor) {
    return May(actor.roles, Right::kChangesWrite) && !actor.roles.Has(Role::kAdministrator);
  }

  const CorePorts ports_;
  ChangeService& changes_;
};

}  // namespace

std::unique_ptr<ChangeService> MakeDeskBoundChanges(const CorePorts& ports,
                                                    ChangeService& changes) {
  return std::make_unique<DeskBoundChanges>(ports, changes);
}

}  // namespace keyferry::server

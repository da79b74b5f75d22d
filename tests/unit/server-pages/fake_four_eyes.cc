#include "fake_services.h"
#include "server/core/encoding.h"

namespace keyferry::server::fake {

Result<std::vector<ApprovalView>> FakeFourEyes::List(const Actor& actor) {
  std::vector<ApprovalView> out;
  for (const Approval& row : approvals) out.push_back(*Get(actor, row.id));
  return out;
}

Result<ApprovalView> FakeFourEyes::Get(const Actor& actor, const ApprovalId& id) {
  for (const Approval& row : approvals) {
    if (row.id != id) continue;
    ApprovalView view;
    view.row = row;
    view.mine = row.asker == actor.id;
    view.open = row.state == ApprovalState::kOpen;
    view.may_decide = view.open && !view.mine && May(actor.roles, RightOf(row.action));
    return view;
  }
  return Fail(ErrorCode::kNotFound, "There is no such approval.");
}

Result<void> FakeFourEyes::Decide(const Actor& actor, const ApprovalId& id, const Hash32& hash,
                                  bool approve, std::string_view answer) {
  if (auto view = Get(actor, id); !view) return tl::unexpected(view.error());
  calls.push_back(std::string(approve ? "approve " : "refuse ") + actor.login + " " +
                  ToHex(hash).substr(0, 8) + " " + std::string(answer));
  if (error) return tl::unexpected(*error);
  return {};
}

Result<void> FakeFourEyes::Withdraw(const Actor& actor, const ApprovalId& id) {
  if (auto view = Get(actor, id); !view) return tl::unexpected(view.error());
  calls.push_back("withdraw " + actor.login);
  if (error) return tl::unexpected(*error);
  return {};
}

}  // namespace keyferry::server::fake

#include "server/core/attributes.h"

#include "server/core/audit_entry.h"

namespace keyferry::server {
namespace {

class DefaultAttributeService final : public AttributeService {
 public:
  explicit DefaultAttributeService(const CorePorts& ports) : ports_(ports) {}

  Result<std::vector<DirectoryAttribute>> Show(const Actor& actor, const AccountId& id) override {
    if (!May(actor.roles, Right::kAttributesRead)) {
      return Fail(ErrorCode::kPermissionDenied,
                  "You are not allowed to do this; ask an administrator.");
    }
    if (auto reach = CheckReach(ports_, actor, Right::kAttributesRead, id); !reach) {
      return tl::unexpected(std::move(reach.error()));
    }
    const auto detail = ports_.directory.Get(id);
    if (!detail) return tl::unexpected(detail.error());
    auto shown = ports_.directory.Attributes(id);
    if (!shown) return shown;
    std::string names;
    for (const DirectoryAttribute& one : *shown) names += (names.empty() ? "" : ", ") + one.name;
    auto audited = ports_.store.AppendAudit(
        AuditOf(ports_.clock, actor, "person.attributes", detail->person.login, "ok", names));
    if (!audited) return tl::unexpected(std::move(audited.error()));
    return shown;
  }

 private:
  const CorePorts ports_;
};

}  // namespace

bool MayBeShown(std::string_view attribute) {
  if (attribute.empty() || attribute.size() > 60) return false;
  std::string lower;
  for (const char c : attribute) {
    const char small = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    const bool letter = small >= 'a' && small <= 'z';
    const bool other = (c >= '0' && c <= '9') || c == '-';
    if (!letter && (!other || lower.empty())) return false;
    lower += small;
  }
  for (const char* secret : {"pwd", "password", "laps", "credential", "pkcs12", "key", "secret"}) {
    if (lower.find(secret) != std::string::npos) return false;
  }
  return true;
}

std::unique_ptr<AttributeService> MakeAttributeService(const CorePorts& ports) {
  return std::make_unique<DefaultAttributeService>(ports);
}

}  // namespace keyferry::server

#include "server/core/audit_filters.h"

#include "server/core/audit_entry.h"
#include "server/core/encoding.h"

namespace keyferry::server {
namespace {

class DefaultAuditFilterService final : public AuditFilterService {
 public:
  DefaultAuditFilterService(AuditFilterStore& store, const Clock& clock,
                            protocol::RandomSource& random)
      : store_(store), clock_(clock), random_(random) {}

  Result<std::vector<SavedAuditFilter>> Mine(const Actor& actor) override {
    return store_.AuditFilters(actor.id);
  }

  Result<void> Save(const Actor& actor, std::string_view name, std::string_view query) override {
    if (name.empty() || name.size() > kMaxFilterName || !IsPrintableUtf8(name)) {
      return Fail(ErrorCode::kInvalidArgument, "Give the filter a name of at most 60 bytes.");
    }
    if (query.size() > kMaxFilterQuery) {
      return Fail(ErrorCode::kInvalidArgument, "This filter is too long to be kept.");
    }
    SavedAuditFilter filter;
    if (!random_.Fill(filter.id.bytes)) {
      return Fail(ErrorCode::kInternal, "The system gave no random numbers.");
    }
    filter.owner = actor.id;
    filter.name = name;
    filter.query = query;
    return store_.SaveAuditFilter(
        filter, kMostAuditFilters,
        AuditOf(clock_, actor, "audit.filter_save", Presentable(name, kMaxFilterName), "ok", {}));
  }

  Result<void> Forget(const Actor& actor, const AuditFilterId& id) override {
    return store_.ForgetAuditFilter(
        actor.id, id, AuditOf(clock_, actor, "audit.filter_remove", id.Hex(), "ok", {}));
  }

 private:
  AuditFilterStore& store_;
  const Clock& clock_;
  protocol::RandomSource& random_;
};

}  // namespace

std::unique_ptr<AuditFilterService> MakeAuditFilterService(AuditFilterStore& store,
                                                           const Clock& clock,
                                                           protocol::RandomSource& random) {
  return std::make_unique<DefaultAuditFilterService>(store, clock, random);
}

}  // namespace keyferry::server

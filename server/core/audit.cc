#include "server/core/audit.h"

#include <utility>

#include "protocol/crypto.h"
#include "server/core/audit_chain.h"
#include "server/core/audit_format.h"
#include "server/core/audit_verify.h"
#include "server/core/encoding.h"
#include "server/core/services.h"

namespace keyferry::server {
namespace {

class ChainedAuditService final : public AuditService {
 public:
  explicit ChainedAuditService(Store& store) : store_(store) {}

  Result<std::vector<AuditView>> List(std::uint64_t before, std::size_t limit) override {
    auto rows = store_.AuditBefore(before, limit);
    if (!rows) return tl::unexpected(std::move(rows.error()));
    return Views(*std::move(rows));
  }

  Result<AuditPage> Search(const AuditFilter& filter, std::uint64_t before,
                           std::size_t limit) override {
    auto found = store_.MatchAudit(filter, {true, before, limit, kReadAtOnce});
    if (!found) return tl::unexpected(std::move(found.error()));
    AuditPage page;
    page.rows = Views(std::move(found->rows));
    if (found->more) page.next = found->edge;
    return page;
  }

  Result<AuditExtract> Export(AuditFormat format, std::uint64_t after, std::size_t limit,
                              std::string_view version, const AuditFilter& filter) override {
    const auto found = store_.MatchAudit(filter, {false, after, limit, kReadAtOnce});
    if (!found) return tl::unexpected(found.error());
    AuditExtract extract;
    extract.more = found->more;
    extract.last = found->edge;
    extract.rows = found->rows.size();
    if (format == AuditFormat::kCsv && after == 0) extract.text = AuditCsvHeader();
    for (const AuditStore::Row& row : found->rows) {
      switch (format) {
        case AuditFormat::kJsonLines:
          extract.text += AuditAsJson(row) + "\n";
          break;
        case AuditFormat::kCsv:
          extract.text += AuditAsCsv(row);
          break;
        case AuditFormat::kCef:
          extract.text += AuditAsCef(row, version) + "\n";
          break;
      }
    }
    return extract;
  }

  Result<std::uint64_t> Verify() override {
    const auto report = VerifyAudit(store_, {});
    if (!report) return tl::unexpected(report.error());
    return report->last;
  }

 private:
  static constexpr std::size_t kReadAtOnce = 100'000;  // rows

  static std::vector<AuditView> Views(std::vector<AuditStore::Row> rows) {
    std::vector<AuditView> views;
    views.reserve(rows.size());
    for (AuditStore::Row& row : rows) {
      AuditEntry& entry = row.entry;
      views.push_back({row.number, entry.time, std::move(entry.actor), std::move(entry.action),
                       std::move(entry.target), std::move(entry.outcome), std::move(entry.detail),
                       std::move(entry.address), ToHex(row.hash)});
    }
    return views;
  }

  Store& store_;
};

}  // namespace

Hash32 ChainHash(std::uint64_t number, const Hash32& previous, const AuditEntry& entry) {
  std::array<std::uint8_t, 8> eight{};
  protocol::Sha256 hash;
  hash.Update(protocol::Label("keyferry/audit/v1"));
  protocol::Writer(eight).U64(number);
  hash.Update(eight).Update(previous);
  protocol::Writer(eight).U64(static_cast<std::uint64_t>(entry.time));
  hash.Update(eight);
  for (const std::string* text : {&entry.actor, &entry.action, &entry.target, &entry.outcome,
                                  &entry.detail, &entry.address}) {
    std::array<std::uint8_t, 4> length{};
    protocol::Writer(length).U32(static_cast<std::uint32_t>(text->size()));
    hash.Update(length).Update(protocol::AsBytes(*text));
  }
  return hash.Final();
}

std::unique_ptr<AuditService> MakeAuditService(Store& store) {
  return std::make_unique<ChainedAuditService>(store);
}

}  // namespace keyferry::server

#include "server/core/audit.h"

#include <utility>

#include "protocol/crypto.h"
#include "server/core/audit_chain.h"
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
    std::vector<AuditView> views;
    views.reserve(rows->size());
    for (AuditStore::Row& row : *rows) {
      AuditEntry& entry = row.entry;
      views.push_back({row.number, entry.time, std::move(entry.actor), std::move(entry.action),
                       std::move(entry.target), std::move(entry.outcome), std::move(entry.detail),
                       std::move(entry.address), ToHex(row.hash)});
    }
    return views;
  }

  Result<std::uint64_t> Verify() override {
    // The head first: rows appended meanwhile lie beyond it and are left for the next check.
    const auto head = store_.AuditHead();
    if (!head) return tl::unexpected(head.error());
    constexpr std::size_t kBatch = 500;
    std::uint64_t number = 0;
    Hash32 previous{};
    while (number < head->number) {
      const auto rows = store_.AuditAfter(number, kBatch);
      if (!rows) return tl::unexpected(rows.error());
      if (rows->empty()) break;
      for (const AuditStore::Row& row : *rows) {
        if (row.number != number + 1) return Broken(number + 1, "is missing");
        if (row.previous != previous)
          return Broken(row.number, "does not follow the one before it");
        if (row.hash != ChainHash(row.number, previous, row.entry)) {
          return Broken(row.number, "was altered");
        }
        number = row.number;
        previous = row.hash;
        if (number == head->number) break;
      }
    }
    if (number != head->number) return Broken(number + 1, "is missing");
    if (previous != head->hash) return Broken(number, "is not the one that was last written");
    return number;
  }

 private:
  static tl::unexpected<Error> Broken(std::uint64_t number, const char* what) {
    return Fail(ErrorCode::kInternal, "The audit log was tampered with: row " +
                                          std::to_string(number) + " " + what + ".");
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

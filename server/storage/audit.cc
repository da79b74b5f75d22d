#include "server/core/audit_chain.h"
#include "server/storage/audit_rows.h"
#include "server/storage/rows.h"
#include "server/storage/sql_store.h"

namespace keyferry::server {
namespace {

struct HeadColumns {
  long long number = 0;
  std::string hash;
  template <typename Prepared>
  void Into(Prepared& p) {
    p, soci::into(number), soci::into(hash);
  }
  AuditStore::Head Read() const { return {Unsigned(number), ReadFixed<32>(hash)}; }
};

struct CutColumns {
  long long number = 0, time = 0;
  std::string hash, key_id, signature;
  template <typename Prepared>
  void Into(Prepared& p) {
    p, soci::into(number), soci::into(hash), soci::into(time), soci::into(key_id),
        soci::into(signature);
  }
  AuditCheckpoint Read() const {
    return {AuditCheckpoint::kCut, Unsigned(number),        ReadFixed<32>(hash), time,
            ReadFixed<8>(key_id),  ReadFixed<64>(signature)};
  }
};

AuditStore::Head ReadHead(soci::session& sql) {
  const auto head =
      FirstOf(Select<HeadColumns>(sql, "SELECT number, hash FROM audit_head WHERE id = 1"));
  if (!head) throw DamagedRow("audit_head is empty");
  return *head;
}

}  // namespace

void AppendChained(soci::session& sql, const AuditEntry& entry) {
  const AuditStore::Head head = ReadHead(sql);
  const std::uint64_t number = head.number + 1;
  const std::string hash = ToHex(ChainHash(number, head.hash, entry));
  const std::string previous = ToHex(head.hash);
  const long long row = Signed(number);
  const long long time = entry.time;
  Execute(sql,
          "INSERT INTO audit (number, time, actor, action, target, outcome, detail, address, "
          "previous, hash) VALUES (:number, :time, :actor, :action, :target, :outcome, :detail, "
          ":address, :previous, :hash)",
          row, time, entry.actor, entry.action, entry.target, entry.outcome, entry.detail,
          entry.address, previous, hash);
  Execute(sql, "UPDATE audit_head SET number = :number, hash = :hash WHERE id = 1", row, hash);
  if (entry.notice) PutNotice(sql, row, entry);
}

Result<void> SqlStore::AppendAudit(const AuditEntry& audit) {
  return database_.Write([&](Transaction& t) -> Result<void> {
    AppendChained(t.sql, audit);
    return {};
  });
}

Result<std::vector<AuditStore::Row>> SqlStore::AuditBefore(std::uint64_t before,
                                                           std::size_t limit) {
  return database_.Read([&](soci::session& sql) -> Result<std::vector<Row>> {
    const long long below = before == 0 || before > INT64_MAX ? INT64_MAX : Signed(before);
    const long long count = Signed(limit);
    return Select<AuditColumns>(sql,
                                std::string("SELECT ") + AuditColumns::kList +
                                    " FROM audit WHERE number < :below ORDER BY number DESC "
                                    "LIMIT :count",
                                below, count);
  });
}

Result<std::vector<AuditStore::Row>> SqlStore::AuditAfter(std::uint64_t after, std::size_t limit) {
  return database_.Read([&](soci::session& sql) -> Result<std::vector<Row>> {
    const long long above = Signed(after);
    const long long count = Signed(limit);
    return Select<AuditColumns>(sql,
                                std::string("SELECT ") + AuditColumns::kList +
                                    " FROM audit WHERE number > :above ORDER BY number "
                                    "LIMIT :count",
                                above, count);
  });
}

Result<void> SqlStore::CutAudit(const AuditCheckpoint& cut, const AuditEntry& audit) {
  return database_.Write([&](Transaction& t) -> Result<void> {
    const long long number = Signed(cut.number), time = cut.time;
    Execute(t.sql, "DELETE FROM audit WHERE number <= :number", number);
    Execute(t.sql,
            "INSERT INTO audit_cuts (number, hash, time, key_id, signature) VALUES (:number, "
            ":hash, :time, :key, :signature)",
            number, ToHex(cut.hash), time, ToHex(cut.kid), ToHex(cut.signature));
    AppendChained(t.sql, audit);
    return {};
  });
}

Result<std::optional<AuditCheckpoint>> SqlStore::AuditCut() {
  return database_.Read([](soci::session& sql) -> Result<std::optional<AuditCheckpoint>> {
    return FirstOf(Select<CutColumns>(sql,
                                      "SELECT number, hash, time, key_id, signature FROM "
                                      "audit_cuts ORDER BY number DESC LIMIT 1"));
  });
}

Result<AuditStore::Head> SqlStore::AuditHead() {
  return database_.Read([](soci::session& sql) -> Result<Head> { return ReadHead(sql); });
}

}  // namespace keyferry::server

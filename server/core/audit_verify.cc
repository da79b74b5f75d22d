#include "server/core/audit_verify.h"

#include <algorithm>
#include <map>
#include <string>

#include "server/core/audit_chain.h"

namespace keyferry::server {
namespace {

constexpr std::size_t kRowsAtOnce = 500;

tl::unexpected<Error> Tampered(const std::string& how) {
  return Fail(ErrorCode::kInternal, "The audit log was tampered with: " + how + ".");
}

std::string Row(std::uint64_t number) { return "row " + std::to_string(number); }

}  // namespace

std::vector<AuditCheckpoint> Standing(const std::vector<AuditCheckpoint>& checkpoints) {
  std::vector<AuditCheckpoint> out;
  for (const AuditCheckpoint& checkpoint : checkpoints) {
    const bool lost =
        std::any_of(checkpoints.begin(), checkpoints.end(), [&](const AuditCheckpoint& restore) {
          return restore.kind == AuditCheckpoint::kRestore && restore.time > checkpoint.time &&
                 restore.number < checkpoint.number;
        });
    if (!lost) out.push_back(checkpoint);
  }
  return out;
}

Result<void> AdoptRestores(AuditStore& store, CheckpointBook& book,
                           const std::vector<RestoreRecord>& restores,
                           const protocol::P256Public& audit_pub) {
  if (restores.empty()) return {};
  const auto known = book.Read();
  if (!known) return tl::unexpected(known.error());
  for (auto restore = restores.rbegin(); restore != restores.rend(); ++restore) {
    const auto rows = store.AuditAfter(restore->audit_number, 1);
    if (!rows) return tl::unexpected(rows.error());
    if (rows->empty()) continue;
    const auto told = ParseCheckpoint(rows->front().entry.detail);
    if (!told || told->kind != AuditCheckpoint::kRestore || told->number != restore->audit_number ||
        !VerifySignature(*told, audit_pub) ||
        std::find(known->begin(), known->end(), *told) != known->end()) {
      continue;
    }
    if (auto kept = book.Append(*told); !kept) return kept;
  }
  return {};
}

Result<void> CheckNotOlder(AuditStore& store, CheckpointBook& book) {
  const auto known = book.Read();
  if (!known) return tl::unexpected(known.error());
  const auto head = store.AuditHead();
  if (!head) return tl::unexpected(head.error());
  std::uint64_t newest = 0;
  for (const AuditCheckpoint& checkpoint : Standing(*known)) {
    newest = std::max(newest, checkpoint.number);
  }
  if (newest <= head->number) return {};
  return Fail(ErrorCode::kConflict,
              "The database is an older copy: its audit log ends at " + Row(head->number) +
                  ", and this server has signed " + Row(newest) +
                  ". If it was put back from a backup on purpose, run: keyferry-server restore "
                  "--in-place; otherwise look for who did.");
}

Result<AuditReport> VerifyAudit(AuditStore& store, const AuditTrust& trust) {
  // The head first: rows appended meanwhile lie beyond it and are left for the next check.
  const auto head = store.AuditHead();
  if (!head) return tl::unexpected(head.error());
  const auto cut = store.AuditCut();
  if (!cut) return tl::unexpected(cut.error());
  AuditReport report;
  std::uint64_t number = 0;
  Hash32 previous{};
  if (*cut) {
    if ((*cut)->kind != AuditCheckpoint::kCut || !VerifySignature(**cut, trust.pub)) {
      return Tampered(
          "the record of what was removed under the retention rule has no good "
          "signature");
    }
    number = report.cut = (*cut)->number;
    previous = (*cut)->hash;
  }

  std::map<std::uint64_t, Hash32> vouched;
  for (const AuditCheckpoint& checkpoint : trust.checkpoints) {
    if (!VerifySignature(checkpoint, trust.pub)) {
      return Tampered("the checkpoint of " + Row(checkpoint.number) +
                      " has no good signature of this server's audit key");
    }
    if (checkpoint.kind != AuditCheckpoint::kRestore) continue;
    ++report.restores;
    if (checkpoint.time >= report.restored_at) {
      report.restored_at = checkpoint.time;
      report.restored_from = checkpoint.number;
    }
  }
  for (const AuditCheckpoint& checkpoint : Standing(trust.checkpoints)) {
    const std::string name = "the checkpoint of " + Row(checkpoint.number);
    if (checkpoint.number > head->number) {
      return Tampered("it ends at " + Row(head->number) + ", but a checkpoint knows " +
                      Row(checkpoint.number) + ": rows were cut off its end");
    }
    const auto [known, fresh] = vouched.emplace(checkpoint.number, checkpoint.hash);
    if (!fresh && known->second != checkpoint.hash) {
      return Tampered(name + " contradicts another one: the log was forked");
    }
  }
  const auto agrees = [&](std::uint64_t row, const Hash32& hash) {
    const auto found = vouched.find(row);
    if (found == vouched.end()) return true;
    ++report.checkpoints;
    report.signed_until = row;
    return found->second == hash;
  };
  if (*cut && !agrees(number, previous)) {
    return Tampered("what was removed up to " + Row(number) + " is not what a checkpoint signed");
  }

  while (number < head->number) {
    const auto rows = store.AuditAfter(number, kRowsAtOnce);
    if (!rows) return tl::unexpected(rows.error());
    if (rows->empty()) break;
    for (const AuditStore::Row& row : *rows) {
      if (row.number != number + 1) return Tampered(Row(number + 1) + " is missing");
      if (row.previous != previous) {
        return Tampered(Row(row.number) + " does not follow the one before it");
      }
      if (row.hash != ChainHash(row.number, previous, row.entry)) {
        return Tampered(Row(row.number) + " was altered");
      }
      if (!agrees(row.number, row.hash)) {
        return Tampered(Row(row.number) +
                        " is not the one that a checkpoint signed: rows up to it "
                        "were written anew");
      }
      number = row.number;
      previous = row.hash;
      if (report.first == 0) {
        report.first = number;
        report.first_time = row.entry.time;
      }
      if (number == head->number) break;
    }
  }
  if (number != head->number) return Tampered(Row(number + 1) + " is missing");
  if (previous != head->hash) return Tampered(Row(number) + " is not the one last written");
  report.last = report.first == 0 ? 0 : number;
  return report;
}

}  // namespace keyferry::server

#include "server/core/audit_keeper.h"

#include <string>
#include <utility>

#include "server/core/audit_chain.h"
#include "server/core/audit_entry.h"
#include "server/core/audit_verify.h"

namespace keyferry::server {
namespace {

constexpr std::int64_t kComplainEvery = 60'000;
constexpr std::size_t kBatch = 500;

}  // namespace

AuditKeeper::AuditKeeper(AuditStore& store, const Clock& clock, const AuditSigner& signer,
                         CheckpointBook& book, AuditPolicy policy, LogLine log, Forwarded forwarded)
    : store_(store),
      clock_(clock),
      signer_(signer),
      book_(book),
      policy_(policy),
      log_(std::move(log)),
      forwarded_(std::move(forwarded)) {}

void AuditKeeper::Complain(std::string_view what) {
  const std::int64_t now = clock_.UnixMillis();
  if (now < next_complaint_) return;
  next_complaint_ = now + kComplainEvery;
  if (log_) log_(what);
}

bool AuditKeeper::Load() {
  if (loaded_) return true;
  const auto known = book_.Read();
  if (!known) {
    Complain(known.error().message);
    return false;
  }
  for (const AuditCheckpoint& checkpoint : *known) {
    // In the order in which they were written: a restore goes back.
    if (checkpoint.number < number_ && checkpoint.kind != AuditCheckpoint::kRestore) continue;
    number_ = checkpoint.number;
    hash_ = checkpoint.hash;
  }
  // Another node may have cut off more than this one's book knows.
  const auto cut = store_.AuditCut();
  if (!cut) return false;
  if (*cut && (*cut)->number > number_) {
    number_ = (*cut)->number;
    hash_ = (*cut)->hash;
  }
  loaded_ = true;
  due_ = clock_.UnixMillis();  // what another run left unsigned is signed at once
  return true;
}

void AuditKeeper::Tick() {
  const auto head = store_.AuditHead();
  if (!head || !Load()) return;
  const std::int64_t now = clock_.UnixMillis();
  if (head->number < number_) {
    return Complain("The audit log was tampered with: it ends before its last checkpoint.");
  }
  if (head->number == number_) {
    due_ = 0;
  } else {
    if (due_ == 0) due_ = now + policy_.checkpoint_seconds * 1000;
    if (now >= due_ || head->number - number_ >= policy_.checkpoint_rows) Checkpoint(*head);
  }
  if (policy_.retention_days > 0 && now >= next_retain_) {
    next_retain_ = now + kDaySeconds * 1000;
    if (const auto cut = Cut(); !cut) Complain(cut.error().message);
  }
}

void AuditKeeper::Finish() {
  const auto head = store_.AuditHead();
  if (head && Load() && head->number > number_) Checkpoint(*head);
}

bool AuditKeeper::Follows(const AuditStore::Head& head) {
  std::uint64_t number = number_;
  Hash32 previous = hash_;
  const auto cut = store_.AuditCut();
  if (!cut) return false;
  if (*cut && (*cut)->number > number) {  // another node removed rows that this one never signed
    number = (*cut)->number;
    previous = (*cut)->hash;
  }
  while (number < head.number) {
    const auto rows = store_.AuditAfter(number, kBatch);
    if (!rows || rows->empty()) return false;
    for (const AuditStore::Row& row : *rows) {
      if (row.number != number + 1 || row.previous != previous ||
          row.hash != ChainHash(row.number, previous, row.entry)) {
        return false;
      }
      number = row.number;
      previous = row.hash;
      if (number == head.number) break;
    }
  }
  return previous == head.hash;
}

void AuditKeeper::Checkpoint(const AuditStore::Head& head) {
  if (!Follows(head)) {
    return Complain(
        "The audit log was tampered with: it no longer follows from its last checkpoint. Run "
        "keyferry-server audit verify.");
  }
  const auto signed_head =
      signer_.Sign(AuditCheckpoint::kHead, head.number, head.hash, clock_.UnixMillis());
  if (!signed_head) return Complain(signed_head.error().message);
  if (const auto kept = book_.Append(*signed_head); !kept) return Complain(kept.error().message);
  number_ = head.number;
  hash_ = head.hash;
  due_ = 0;
}

Result<std::optional<std::uint64_t>> AuditKeeper::Cut() {
  const auto known = book_.Read();
  const auto former = store_.AuditCut();
  if (!known) return tl::unexpected(known.error());
  if (!former) return tl::unexpected(former.error());
  const std::int64_t now = clock_.UnixMillis();
  const std::int64_t oldest = now - policy_.retention_days * kDaySeconds * 1000;
  const std::uint64_t sent = forwarded_ ? forwarded_() : UINT64_MAX;
  const std::vector<AuditCheckpoint> standing = Standing(*known);
  const AuditCheckpoint* last = nullptr;
  // A checkpoint that is old enough vouches for rows that are older still.
  for (const AuditCheckpoint& checkpoint : standing) {
    if (checkpoint.time <= oldest && checkpoint.number <= sent &&
        (!*former || checkpoint.number > (*former)->number) &&
        (last == nullptr || checkpoint.number > last->number)) {
      last = &checkpoint;
    }
  }
  if (last == nullptr) return std::nullopt;
  const auto whole = VerifyAudit(store_, {signer_.pub(), *known});
  if (!whole) {
    Error error = whole.error();
    error.message += " Nothing is removed from it.";
    return tl::unexpected(std::move(error));
  }
  const auto cut = signer_.Sign(AuditCheckpoint::kCut, last->number, last->hash, now);
  if (!cut) return tl::unexpected(cut.error());
  const std::string detail = "rows up to " + std::to_string(last->number) + ", older than " +
                             std::to_string(policy_.retention_days) + " days; " +
                             CheckpointLine(*cut);
  if (const auto done =
          store_.CutAudit(*cut, AuditBySystem(clock_, "audit.retention", "", "ok", detail));
      !done) {
    return tl::unexpected(done.error());
  }
  if (const auto kept = book_.Append(*cut); !kept) return tl::unexpected(kept.error());
  return last->number;
}

}  // namespace keyferry::server

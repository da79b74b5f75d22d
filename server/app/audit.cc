#include "server/app/audit.h"

#include <unistd.h>

#include <array>
#include <charconv>
#include <cstdio>
#include <utility>

#include "server/app/background.h"
#include "server/app/checkpoint_file.h"
#include "server/app/files.h"
#include "server/app/open.h"
#include "server/app/state.h"
#include "server/core/audit_format.h"
#include "server/core/audit_keeper.h"
#include "server/core/audit_verify.h"
#include "server/syslog/audit_forwarder.h"

#ifndef KEYFERRY_VERSION
#error "KEYFERRY_VERSION comes from CMake"
#endif

namespace keyferry::server {
namespace {

constexpr std::chrono::seconds kEvery{1};
constexpr std::size_t kBatch = 500;

// Decimal digits in a file, replaced in one step.
class PositionFile final : public ForwardPosition {
 public:
  explicit PositionFile(std::filesystem::path file) : file_(std::move(file)) {}

  Result<std::uint64_t> Read() override {
    std::error_code ec;
    if (!std::filesystem::exists(file_, ec)) return 0;
    const auto text = ReadTextFile(file_, Sharing::kOthersMayRead);
    if (!text) return tl::unexpected(text.error());
    std::uint64_t number = 0;
    const char* const last = text->data() + text->size();
    const auto [end, failure] = std::from_chars(text->data(), last, number);
    if (failure != std::errc() || end == last || *end != '\n') {
      return Fail(ErrorCode::kInvalidArgument,
                  file_.string() + " is damaged; remove it to send the audit log to syslog anew.");
    }
    return number;
  }

  Result<void> Write(std::uint64_t number) override {
    return ReplaceFile(file_, std::to_string(number) + "\n", 0600);
  }

 private:
  const std::filesystem::path file_;
};

// The book that also tells syslog.
class ToldBook final : public CheckpointBook {
 public:
  ToldBook(std::unique_ptr<CheckpointBook> book, AuditForwarder* forwarder)
      : book_(std::move(book)), forwarder_(forwarder) {}
  Result<void> Append(const AuditCheckpoint& checkpoint) override {
    auto kept = book_->Append(checkpoint);
    if (kept && forwarder_ != nullptr) forwarder_->Announce(checkpoint);
    return kept;
  }
  Result<std::vector<AuditCheckpoint>> Read() override { return book_->Read(); }

 private:
  std::unique_ptr<CheckpointBook> book_;
  AuditForwarder* forwarder_;
};

class Keeping final : public AuditKeeping {
 public:
  Keeping(const ServerConfig& config, Store& store, const Clock& clock, Log& log,
          std::unique_ptr<AuditSigner> signer, std::string syslog_ca)
      : clock_(clock),
        signer_(std::move(signer)),
        position_(StateFiles(config.state_dir).forwarded) {
    const auto warn = [&log](std::string_view line) { log.Warning(line); };
    if (!config.audit.syslog_host.empty()) {
      forwarder_ = std::make_unique<AuditForwarder>(
          store, position_,
          SyslogTarget{config.audit.syslog_host, config.audit.syslog_port, config.audit.syslog_tls,
                       std::move(syslog_ca)},
          SyslogOrigin{HostName(), std::to_string(getpid())}, KEYFERRY_VERSION, warn);
    }
    book_ = std::make_unique<ToldBook>(MakeCheckpointFile(StateFiles(config.state_dir).checkpoints),
                                       forwarder_.get());
    AuditPolicy policy;
    policy.checkpoint_rows = static_cast<std::uint64_t>(config.audit.checkpoint_rows);
    policy.checkpoint_seconds = config.audit.checkpoint_minutes * 60;
    policy.retention_days = config.audit.retention_days;
    keeper_ = std::make_unique<AuditKeeper>(
        store, clock, *signer_, *book_, policy, warn,
        forwarder_ ? AuditKeeper::Forwarded([this] { return forwarder_->forwarded(); })
                   : AuditKeeper::Forwarded());
    keeping_ = std::make_unique<Background>(kEvery, [this] { keeper_->Tick(); });
    if (forwarder_) {
      forwarding_ =
          std::make_unique<Background>(kEvery, [this] { forwarder_->Tick(clock_.UnixMillis()); });
    }
  }

  ~Keeping() override {
    keeping_.reset();
    forwarding_.reset();
    keeper_->Finish();
    if (forwarder_ && !forwarder_->down()) forwarder_->Tick(clock_.UnixMillis());
  }

 private:
  const Clock& clock_;
  std::unique_ptr<AuditSigner> signer_;
  PositionFile position_;
  std::unique_ptr<AuditForwarder> forwarder_;
  std::unique_ptr<CheckpointBook> book_;
  std::unique_ptr<AuditKeeper> keeper_;
  std::unique_ptr<Background> keeping_;
  std::unique_ptr<Background> forwarding_;
};

}  // namespace

Result<std::unique_ptr<AuditKeeping>> AuditKeeping::Start(const ServerConfig& config, Store& store,
                                                          const Clock& clock, Log& log) {
  auto signer = LoadAuditSigner(config);
  if (!signer) return tl::unexpected(signer.error());
  std::string ca;
  if (!config.audit.syslog_host.empty() && config.audit.syslog_tls) {
    auto text = ReadTextFile(config.audit.syslog_ca, Sharing::kOthersMayRead);
    if (!text) return tl::unexpected(text.error());
    ca = std::move(*text);
  }
  return std::make_unique<Keeping>(config, store, clock, log, std::move(*signer), std::move(ca));
}

Result<std::string> VerifyAuditLog(const ServerConfig& config,
                                   const std::vector<std::filesystem::path>& more) {
  auto store = OpenStore(config);
  if (!store) return tl::unexpected(store.error());
  const auto pub = LoadAuditPub(config);
  if (!pub) return tl::unexpected(pub.error());
  const std::filesystem::path file = StateFiles(config.state_dir).checkpoints;
  auto checkpoints = MakeCheckpointFile(file)->Read();
  if (!checkpoints) return tl::unexpected(checkpoints.error());
  AuditTrust trust{*pub, std::move(*checkpoints)};
  for (const std::filesystem::path& other : more) {
    auto further = ReadCheckpoints(other);
    if (!further) return tl::unexpected(further.error());
    if (further->empty()) {
      return Fail(ErrorCode::kInvalidArgument, "There is no checkpoint in " + other.string() + ".");
    }
    trust.checkpoints.insert(trust.checkpoints.end(), further->begin(), further->end());
  }
  const auto report = VerifyAudit(**store, trust);
  if (!report) return tl::unexpected(report.error());
  // A young log may have none yet; from then on there must be one.
  const std::int64_t age = SystemClock().UnixMillis() - report->first_time;
  const bool expected =
      report->last >= 2 * static_cast<std::uint64_t>(config.audit.checkpoint_rows) ||
      age > 2 * config.audit.checkpoint_minutes * 60'000 || report->cut != 0;
  if (report->last != 0 && report->checkpoints == 0 && expected) {
    return Fail(
        ErrorCode::kInternal,
        "The chain of entries is whole, but no checkpoint vouches for it: " + file.string() +
            " is gone or was never written. Start the server once if it never ran with "
            "this version; otherwise the log may have been cut off or written anew.");
  }
  std::string words = "The audit log is whole: ";
  if (report->last == 0) return words + "it is empty.";
  words += "entries " + std::to_string(report->first) + " to " + std::to_string(report->last);
  if (report->cut != 0) {
    words += ", those before removed under the retention rule (signed)";
  }
  if (report->checkpoints == 0) return words + "; no checkpoint yet.";
  words += "; checkpoints: " + std::to_string(report->checkpoints) + ", the newest of entry " +
           std::to_string(report->signed_until) + ".";
  return words;
}

Result<std::uint64_t> ExportAuditLog(const ServerConfig& config, const AuditExport& wanted) {
  auto store = OpenStore(config);
  if (!store) return tl::unexpected(store.error());
  std::FILE* out = stdout;
  if (!wanted.file.empty()) {
    if (auto made = CreateFile(wanted.file, std::string_view(), 0600); !made) {
      return tl::unexpected(made.error());
    }
    out = std::fopen(wanted.file.c_str(), "we");
    if (out == nullptr) {
      return Fail(ErrorCode::kIo, "Cannot write " + wanted.file.string() + ".");
    }
  }
  const auto close = [&](bool good) {
    good = std::fflush(out) == 0 && good;
    if (out == stdout) return good;
    good = fsync(fileno(out)) == 0 && good;
    return std::fclose(out) == 0 && good;
  };
  const auto put = [out](const std::string& text) {
    return std::fwrite(text.data(), 1, text.size(), out) == text.size();
  };
  std::uint64_t count = 0;
  bool good = wanted.format != "csv" || put(AuditCsvHeader());
  std::uint64_t after = wanted.from == 0 ? 0 : wanted.from - 1;
  for (bool more = true; good && more;) {
    const auto rows = (*store)->AuditAfter(after, kBatch);
    if (!rows) {
      close(false);
      return tl::unexpected(rows.error());
    }
    more = rows->size() == kBatch;
    for (const AuditStore::Row& row : *rows) {
      if (wanted.to != 0 && row.number > wanted.to) {
        more = false;
        break;
      }
      after = row.number;
      good = good && put(wanted.format == "csv"   ? AuditAsCsv(row)
                         : wanted.format == "cef" ? AuditAsCef(row, KEYFERRY_VERSION) + "\n"
                                                  : AuditAsJson(row) + "\n");
      ++count;
    }
  }
  if (!close(good)) {
    return Fail(ErrorCode::kIo,
                "The export could not be written to its end; the volume is full or "
                "the reader went away.");
  }
  return count;
}

}  // namespace keyferry::server

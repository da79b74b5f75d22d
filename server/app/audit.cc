#include "server/app/audit.h"

#include <unistd.h>

#include <array>
#include <charconv>
#include <cstdio>
#include <utility>

#include "protocol/secure/system_random.h"
#include "server/app/background.h"
#include "server/app/checkpoint_file.h"
#include "server/app/files.h"
#include "server/app/open.h"
#include "server/app/state.h"
#include "server/core/audit_format.h"
#include "server/core/audit_keeper.h"
#include "server/core/audit_verify.h"
#include "server/core/encoding.h"
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

// With several servers on one database one of them forwards, and the position lies in the database.
class SharedPosition final : public ForwardPosition {
 public:
  // `former`: where a version that knew no shared one kept its own.
  SharedPosition(Store& store, const Clock& clock, std::string holder, ForwardPosition& former)
      : store_(store), clock_(clock), holder_(std::move(holder)), former_(former) {}

  // Whether this server is the one, now. `fresh`: it was not before, so the position is another's.
  bool Mine(bool& fresh) {
    fresh = false;
    const auto now = clock_.Now();
    if (mine_ && now < renew_) return true;
    const auto taken = store_.TakeLease(kTask, holder_, kLease.count());
    fresh = taken && *taken && !mine_;
    mine_ = taken && *taken;
    renew_ = now + kLease / 3;
    return mine_;
  }
  void Leave() {
    if (mine_) (void)store_.EndLease(kTask, holder_);
    mine_ = false;
  }

  Result<std::uint64_t> Read() override {
    auto position = store_.LeasePosition(kTask);
    return position && *position == 0 ? former_.Read() : position;
  }
  Result<void> Write(std::uint64_t number) override {
    const auto written = store_.SetLeasePosition(kTask, holder_, number);
    if (!written) return tl::unexpected(written.error());
    if (*written) return {};
    mine_ = false;
    return Fail(ErrorCode::kConflict, "Another server has taken over sending to syslog.");
  }

 private:
  static constexpr const char* kTask = "audit.syslog";
  static constexpr std::chrono::milliseconds kLease{15'000};
  Store& store_;
  const Clock& clock_;
  const std::string holder_;
  ForwardPosition& former_;
  bool mine_ = false;
  std::chrono::steady_clock::time_point renew_{};
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
    if (config.postgres) {
      shared_ = std::make_unique<SharedPosition>(store, clock, RandomName(), position_);
    }
    ForwardPosition* const position =
        shared_ ? static_cast<ForwardPosition*>(shared_.get()) : &position_;
    const auto warn = [&log](std::string_view line) { log.Warning(line); };
    if (!config.audit.syslog_host.empty()) {
      forwarder_ = std::make_unique<AuditForwarder>(
          store, *position,
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
        forwarder_ ? AuditKeeper::Forwarded([position]() -> std::uint64_t {
          const auto sent = position->Read();
          return sent ? *sent : 0;
        })
                   : AuditKeeper::Forwarded());
    keeping_ = std::make_unique<Background>(kEvery, [this] { keeper_->Tick(); });
    if (forwarder_) {
      forwarding_ = std::make_unique<Background>(kEvery, [this] { Forward(); });
    }
  }

  ~Keeping() override {
    keeping_.reset();
    forwarding_.reset();
    keeper_->Finish();
    if (forwarder_ && !forwarder_->down()) Forward();
    if (shared_) shared_->Leave();
  }

 private:
  static std::string RandomName() {
    std::array<std::uint8_t, 16> name{};
    return OsRandom().Fill(name) ? ToHex(name) : HostName() + std::to_string(getpid());
  }
  void Forward() {
    bool fresh = false;
    if (shared_ && !shared_->Mine(fresh)) return;
    if (fresh) forwarder_->Reload();
    forwarder_->Tick(clock_.UnixMillis());
  }

  const Clock& clock_;
  std::unique_ptr<AuditSigner> signer_;
  PositionFile position_;
  std::unique_ptr<SharedPosition> shared_;  // instead, where there may be several servers
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
  auto store = ReadStore(config);
  if (!store) return tl::unexpected(store.error());
  return VerifyAuditLog(config, **store, more);
}

Result<std::string> VerifyAuditLog(const ServerConfig& config, Store& store,
                                   const std::vector<std::filesystem::path>& more) {
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
  const auto report = VerifyAudit(store, trust);
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
  if (report->restores != 0) {
    words += "; put back from a backup " +
             (report->restores == 1 ? std::string("once")
                                    : std::to_string(report->restores) + " times") +
             ", last at " + std::to_string(report->restored_at / 1000) +
             " (Unix seconds): what then followed entry " + std::to_string(report->restored_from) +
             " is lost (signed)";
  }
  if (report->checkpoints == 0) return words + "; no checkpoint yet.";
  words += "; checkpoints: " + std::to_string(report->checkpoints) + ", the newest of entry " +
           std::to_string(report->signed_until) + ".";
  return words;
}

Result<std::string> CutAuditLog(const ServerConfig& config, int days) {
  auto store = OpenStore(config);
  if (!store) return tl::unexpected(store.error());
  const auto signer = LoadAuditSigner(config);
  if (!signer) return tl::unexpected(signer.error());
  const StateFiles files(config.state_dir);
  const auto book = MakeCheckpointFile(files.checkpoints);
  const SystemClock clock;
  PositionFile file(files.forwarded);
  SharedPosition shared(**store, clock, {}, file);
  ForwardPosition& position = config.postgres ? static_cast<ForwardPosition&>(shared) : file;
  AuditPolicy policy;
  policy.retention_days = days;
  AuditKeeper keeper(
      **store, clock, **signer, *book, policy, {},
      config.audit.syslog_host.empty() ? AuditKeeper::Forwarded() : [&position]() -> std::uint64_t {
        const auto sent = position.Read();
        return sent ? *sent : 0;
      });
  const auto cut = keeper.Cut();
  if (!cut) return tl::unexpected(cut.error());
  if (!*cut) {
    return "Nothing was removed: no signed checkpoint is " + std::to_string(days) + " days old" +
           (config.audit.syslog_host.empty() ? "." : ", or syslog has not got the entries yet.");
  }
  return "Entries up to " + std::to_string(**cut) + " were removed (signed).";
}

Result<std::uint64_t> ExportAuditLog(const ServerConfig& config, const AuditExport& wanted) {
  auto store = ReadStore(config);
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

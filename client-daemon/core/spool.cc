#include "client-daemon/core/spool.h"

#include <algorithm>
#include <tuple>
#include <utility>

#include "client-daemon/core/files.h"
#include "client-daemon/core/sealed_file.h"
#include "protocol/failpoint.h"
#include "protocol/job.h"
#include "protocol/receipt.h"

namespace keyferry::daemon {
namespace {

using protocol::kReceiptSize;

std::optional<SpooledJob> ParseJob(Bytes sealed) {
  const auto parsed = protocol::ParsedJob::Parse(sealed);
  if (!parsed) return std::nullopt;
  const protocol::JobHeader& header = parsed->header;
  return SpooledJob{header.job_id, header.device_id, header.seq, std::move(sealed)};
}

// Payload of a receipt's file: device(16) ‖ enrolment(16, zero = none) ‖ receipt.
std::optional<SpooledReceipt> ParseReceipt(const std::string& name, const Bytes& payload) {
  protocol::Reader reader(payload);
  SpooledReceipt out;
  out.name = name;
  out.device = reader.Array<16>();
  const Id enrolment = reader.Array<16>();
  const auto receipt = reader.Take(kReceiptSize);
  if (!reader.AtEnd() || !protocol::Receipt::Parse(receipt)) return std::nullopt;
  if (enrolment != Id{}) out.enrolment = enrolment;
  out.receipt.assign(receipt.begin(), receipt.end());
  return out;
}

}  // namespace

Spool::Spool(std::string directory, Warn warn)
    : directory_(std::move(directory)), warn_(std::move(warn)) {}

Result<std::unique_ptr<Spool>> Spool::Open(const std::string& directory, Warn warn) {
  for (const char* part : {"", "/jobs", "/receipts", "/used", "/bad"}) {
    if (auto made = MakePrivateDirectory(directory + part); !made) {
      return tl::unexpected(made.error());
    }
  }
  std::unique_ptr<Spool> spool(new Spool(directory, std::move(warn)));
  if (auto loaded = spool->Load(); !loaded) return tl::unexpected(loaded.error());
  return spool;
}

Result<void> Spool::Load() {
  const std::string bad = directory_ + "/bad";
  const auto jobs =
      LoadChecked(directory_ + "/jobs", bad, warn_, [this](const std::string& name, Bytes payload) {
        auto job = ParseJob(std::move(payload));
        if (!job || name != Hex(job->job) + ".job" || jobs_.size() == kMaxJobs) return false;
        jobs_.emplace(job->job, *std::move(job));
        return true;
      });
  if (!jobs) return tl::unexpected(jobs.error());
  const auto receipts = LoadChecked(directory_ + "/receipts", bad, warn_,
                                    [this](const std::string& name, Bytes payload) {
                                      auto receipt = ParseReceipt(name, payload);
                                      if (!receipt || receipts_.size() == kMaxReceipts)
                                        return false;
                                      receipts_.emplace(name, *std::move(receipt));
                                      return true;
                                    });
  if (!receipts) return tl::unexpected(receipts.error());
  const auto used =
      LoadChecked(directory_ + "/used", bad, warn_, [this](const std::string& name, Bytes payload) {
        const auto device = ParseId(std::string_view(name).substr(0, 32));
        if (!device || payload.size() != 8) return false;
        used_[*device] = protocol::Reader(payload).U64();
        return true;
      });
  if (!used) return tl::unexpected(used.error());
  set_aside_ = *jobs + *receipts + *used;
  return {};
}

Result<void> Spool::PutJob(const SpooledJob& job) {
  const auto parsed = ParseJob(job.sealed);
  if (!parsed || parsed->job != job.job || parsed->device != job.device || parsed->seq != job.seq) {
    return Fail(ErrorCode::kInvalidArgument,
                "The server sent a job that does not match its own description.");
  }
  const std::scoped_lock lock(mutex_);
  if (const auto known = jobs_.find(job.job); known != jobs_.end()) {
    if (known->second.sealed == job.sealed) return {};
    return Fail(ErrorCode::kInvalidArgument, "The server sent two different jobs under one id.");
  }
  if (jobs_.size() >= kMaxJobs) {
    return Fail(ErrorCode::kUnavailable,
                "Too many jobs wait on this workstation for keys that are "
                "not plugged in; it takes no more.");
  }
  const std::string path = directory_ + "/jobs/" + Hex(job.job) + ".job";
  if (auto written = WriteChecked(path, job.sealed); !written) return written;
  jobs_.emplace(job.job, job);
  return {};
}

std::vector<SpooledJob> Spool::JobsOf(const Id& device) const {
  std::vector<SpooledJob> out;
  {
    const std::scoped_lock lock(mutex_);
    for (const auto& [id, job] : jobs_) {
      if (job.device == device) out.push_back(job);
    }
  }
  std::sort(out.begin(), out.end(),
            [](const SpooledJob& a, const SpooledJob& b) { return a.seq < b.seq; });
  return out;
}

std::optional<SpooledJob> Spool::FindJob(const Id& job) const {
  const std::scoped_lock lock(mutex_);
  const auto found = jobs_.find(job);
  if (found == jobs_.end()) return std::nullopt;
  return found->second;
}

Result<void> Spool::RemoveJob(const Id& job) {
  const std::scoped_lock lock(mutex_);
  if (jobs_.count(job) == 0) return {};
  if (auto gone = RemoveDurably(directory_ + "/jobs/" + Hex(job) + ".job"); !gone) return gone;
  KEYFERRY_FAILPOINT("daemon.job.removed");
  jobs_.erase(job);
  return {};
}

Result<void> Spool::PutReceipt(const Id& device, std::optional<Id> enrolment,
                               std::span<const std::uint8_t> receipt) {
  if (!protocol::Receipt::Parse(receipt)) {
    return Fail(ErrorCode::kInvalidArgument, "This is no receipt.");
  }
  const std::string name = ReceiptName(receipt);
  const std::scoped_lock lock(mutex_);
  if (receipts_.count(name) != 0) return {};
  if (receipts_.size() >= kMaxReceipts) {
    return Fail(ErrorCode::kUnavailable,
                "Too many receipts wait for the server; deliveries go on once it is reachable.");
  }
  Bytes payload(device.begin(), device.end());
  const Id owner = enrolment.value_or(Id{});
  payload.insert(payload.end(), owner.begin(), owner.end());
  payload.insert(payload.end(), receipt.begin(), receipt.end());
  if (auto written = WriteChecked(directory_ + "/receipts/" + name, payload); !written) {
    return written;
  }
  receipts_.emplace(name,
                    SpooledReceipt{name, device, enrolment, Bytes(receipt.begin(), receipt.end())});
  return {};
}

Result<void> Spool::FinishJob(const Id& job, const Id& device,
                              std::span<const std::uint8_t> receipt) {
  if (auto kept = PutReceipt(device, std::nullopt, receipt); !kept) return kept;
  KEYFERRY_FAILPOINT("daemon.receipt.kept");
  return RemoveJob(job);
}

Result<void> Spool::PutEnrolmentReceipt(const Id& enrolment, const Id& device,
                                        std::span<const std::uint8_t> receipt) {
  return PutReceipt(device, enrolment, receipt);
}

std::vector<SpooledReceipt> Spool::Receipts() const {
  const std::scoped_lock lock(mutex_);
  std::vector<SpooledReceipt> out;
  for (const auto& [name, receipt] : receipts_) out.push_back(receipt);
  // The server follows each key's chain: in the order of its counter.
  const auto ctr = [](const SpooledReceipt& receipt) {
    return protocol::Receipt::Parse(receipt.receipt)->receipt_ctr;
  };
  std::sort(out.begin(), out.end(), [&](const SpooledReceipt& a, const SpooledReceipt& b) {
    return std::tuple(a.device, ctr(a), a.name) < std::tuple(b.device, ctr(b), b.name);
  });
  return out;
}

std::string Spool::ReceiptName(std::span<const std::uint8_t> receipt) {
  const protocol::Hash hash = protocol::ReceiptHash(receipt);
  return Hex(std::span(hash).first(16)) + ".receipt";
}

bool Spool::HasReceiptFor(const std::array<std::uint8_t, 32>& job_hash) const {
  const std::scoped_lock lock(mutex_);
  return std::any_of(receipts_.begin(), receipts_.end(), [&](const auto& entry) {
    return protocol::Receipt::Parse(entry.second.receipt)->job_hash == job_hash;
  });
}

Result<void> Spool::RemoveReceipt(const std::string& name) {
  const std::scoped_lock lock(mutex_);
  if (receipts_.count(name) == 0) return {};
  if (auto gone = RemoveDurably(directory_ + "/receipts/" + name); !gone) return gone;
  receipts_.erase(name);
  return {};
}

Result<void> Spool::PutUsed(const Id& device, std::uint64_t seq) {
  const std::scoped_lock lock(mutex_);
  const auto known = used_.find(device);
  if (known != used_.end() && known->second >= seq) return {};
  if (known == used_.end() && used_.size() >= kMaxJobs) {
    return Fail(ErrorCode::kUnavailable, "Too many logins wait to be told to the server.");
  }
  Bytes payload(8);
  protocol::Writer(payload).U64(seq);
  const std::string path = directory_ + "/used/" + Hex(device) + ".used";
  if (auto written = WriteChecked(path, payload); !written) return written;
  used_[device] = seq;
  return {};
}

std::map<Id, std::uint64_t> Spool::Used() const {
  const std::scoped_lock lock(mutex_);
  return used_;
}

Result<void> Spool::RemoveUsed(const Id& device, std::uint64_t seq) {
  const std::scoped_lock lock(mutex_);
  const auto known = used_.find(device);
  if (known == used_.end() || known->second > seq) return {};
  if (auto gone = RemoveDurably(directory_ + "/used/" + Hex(device) + ".used"); !gone) return gone;
  used_.erase(known);
  return {};
}

SpoolCounts Spool::Counts() const {
  const std::scoped_lock lock(mutex_);
  return {jobs_.size(), receipts_.size(), set_aside_};
}

}  // namespace keyferry::daemon

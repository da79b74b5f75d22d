#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "client-daemon/core/encoding.h"
#include "protocol/result.h"

namespace keyferry::daemon {

struct SpooledJob {
  Id job{};
  Id device{};
  std::uint64_t seq = 0;
  Bytes sealed;
};

struct SpooledReceipt {
  std::string name;  // of its file, for RemoveReceipt
  Id device{};
  std::optional<Id> enrolment;  // receipt number 1 of this enrolment, else of a job
  Bytes receipt;
};

struct SpoolCounts {
  std::size_t jobs = 0;
  std::size_t receipts = 0;
  std::size_t set_aside = 0;  // damaged files since the start
};

// What is on the workstation's disk between server and key, one file each: sealed jobs, signed
// receipts, logins to be told to the server. Nothing here can be opened by anyone but the key.
//
//   DIR/jobs/<job_id>.job   DIR/receipts/<hash>.receipt   DIR/used/<device_id>.used   DIR/bad/…
//
// A file is `KFS1 ‖ payload ‖ SHA-256 of both`, written with fsync of file and directory before the
// call returns; one that does not read back whole is moved to DIR/bad, told to `warn`, and
// everything else goes on. Bounded: kMaxJobs, kMaxReceipts. Thread-safe; blocks on the disk.
class Spool {
 public:
  static constexpr std::size_t kMaxJobs = 256;
  static constexpr std::size_t kMaxReceipts = 1024;
  using Warn = std::function<void(const std::string&)>;

  // Opens (and makes) the directory and reads what is there.
  static Result<std::unique_ptr<Spool>> Open(const std::string& directory, Warn warn);

  // Takes a sealed job; device, seq and job_id are read from its header and must be the ones given.
  // One that is there already is success. kUnavailable when the spool is full, kInvalidArgument for
  // a job that is not one, or that differs from the one with the same id.
  Result<void> PutJob(const SpooledJob& job);
  std::vector<SpooledJob> JobsOf(const Id& device) const;  // lowest seq first
  std::optional<SpooledJob> FindJob(const Id& job) const;
  Result<void> RemoveJob(const Id& job);

  // Keeps the key's answer, then drops the job: after a crash in between both are there, and the
  // key answers the job with the same receipt again.
  Result<void> FinishJob(const Id& job, const Id& device, std::span<const std::uint8_t> receipt);
  Result<void> PutEnrolmentReceipt(const Id& enrolment, const Id& device,
                                   std::span<const std::uint8_t> receipt);
  std::vector<SpooledReceipt> Receipts() const;  // of each key, lowest receipt_ctr first
  Result<void> RemoveReceipt(const std::string& name);
  static std::string ReceiptName(std::span<const std::uint8_t> receipt);
  // Whether a receipt for the job of this hash waits for the server.
  bool HasReceiptFor(const std::array<std::uint8_t, 32>& job_hash) const;

  // The highest seq of `device` whose password has logged somebody in, until the server knows.
  Result<void> PutUsed(const Id& device, std::uint64_t seq);
  std::map<Id, std::uint64_t> Used() const;
  Result<void> RemoveUsed(const Id& device, std::uint64_t seq);  // no-op when a higher one came

  SpoolCounts Counts() const;

 private:
  Spool(std::string directory, Warn warn);
  Result<void> Load();
  Result<void> PutReceipt(const Id& device, std::optional<Id> enrolment,
                          std::span<const std::uint8_t> receipt);

  const std::string directory_;
  const Warn warn_;
  mutable std::mutex mutex_;
  std::map<Id, SpooledJob> jobs_;
  std::map<std::string, SpooledReceipt> receipts_;
  std::map<Id, std::uint64_t> used_;
  std::size_t set_aside_ = 0;
};

}  // namespace keyferry::daemon

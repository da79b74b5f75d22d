#pragma once

#include <optional>
#include <vector>

#include "protocol/certs.h"
#include "protocol/framing.h"
#include "protocol/job.h"
#include "protocol/receipt.h"

// A second, smallest reading of what a key answers: sections 2, 3 and 6 of PROTOCOL.md without
// storage, sessions or time. It exists so that the vectors check the rules themselves, apart from
// the firmware that follows them.
namespace keyferry::vectors {

struct ReferenceKey {
  protocol::Id device_id{};
  protocol::Id account_id{};
  std::uint32_t firmware = 0;
  std::uint32_t boot = 0;
  protocol::P256Private sig_priv;
  protocol::P256Public root_pub{};
  protocol::P256Public issuer_pub{};
  protocol::Kid revoked_kid{};
  std::uint32_t issuer_epoch = 0;
  std::uint32_t min_host_epoch = 0;
  bool pin_set = false;
  std::uint32_t epoch = 0;
  protocol::X25519Pair recipient;           // of `epoch`
  protocol::X25519Pair previous_recipient;  // of `epoch` - 1
  protocol::X25519Pair next_recipient;      // what the key will make
  std::uint64_t last_seq = 0;
  std::uint64_t receipt_ctr = 0;
  protocol::Hash last_job_hash{};
  std::vector<std::uint8_t> last_receipt;
  std::optional<protocol::Id> pending_job;  // job_id of the held password

  struct Answer {
    protocol::Status status = protocol::Status::kOk;
    std::vector<std::uint8_t> receipt;  // empty when the answer is unsigned
  };
  // The answer to PUT_JOB. The state stays as it is: every case starts from it anew.
  Answer PutJob(protocol::ByteView job) const;

 private:
  protocol::Status Check(const protocol::ParsedJob& job, protocol::JobType& type) const;
  Answer Sign(protocol::Receipt receipt) const;
};

// What a fresh key with the given cids answers to HID reports while it has no session. HS1 is only
// checked, never answered: a good one would need random bytes.
class ReferenceLink {
 public:
  ReferenceLink(std::vector<std::uint32_t> cids, std::uint32_t firmware)
      : cids_(std::move(cids)), firmware_(firmware) {}
  std::vector<protocol::Report> Take(const protocol::Report& report);

 private:
  std::optional<protocol::FrameError> CheckFirst(const protocol::HidFrame& frame) const;
  void Handle(std::uint32_t cid, std::vector<protocol::Report>& out);

  std::vector<std::uint32_t> cids_;
  std::uint32_t firmware_;
  std::uint32_t owner_ = 0;
  protocol::Assembler assembler_;
};

}  // namespace keyferry::vectors

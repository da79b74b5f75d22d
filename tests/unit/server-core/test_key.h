#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "protocol/certs.h"
#include "protocol/job.h"
#include "protocol/receipt.h"

// A key in a few lines, as the server sees it: it enrols, opens jobs by the rules of PROTOCOL.md
// section 2 and signs receipts. Faults are plain data.
namespace keyferry::server::testing {

using Blob = std::vector<std::uint8_t>;

// The maker of keys: a CA that attests them.
struct Maker {
  explicit Maker(const std::string& name);
  std::string name;
  protocol::P256Private ca;
  std::string ca_pem;
};

class TestKey {
 public:
  explicit TestKey(const Maker& maker, bool simulator = false);

  protocol::Id device_id{};
  protocol::Id account_id{};
  bool simulator = false;
  // Copies of a key share their past: assigning an older copy rolls it back, using two clones it.
  std::uint64_t last_seq = 0;
  std::uint64_t receipt_ctr = 0;
  std::uint32_t epoch = 0;
  std::string password;  // of the last SET_PASSWORD that it accepted
  std::string login;
  std::string pending;  // of the last HOLD, until COMMIT or DROP
  std::string previous;
  bool wiped = false;

  struct Answer {
    Blob statement;
    Blob attestation;
  };
  Answer Begin(const Blob& begin_body);
  Blob Finish(const Blob& grant);
  Blob Put(const Blob& job);
  // What a daemon gets that looks into the journal when the key says REPLAY.
  Blob PutOrLookUp(const Blob& job);
  Blob WipeLocally();
  // Signs any receipt, honest or not.
  Blob Sign(protocol::Receipt receipt) const;
  protocol::Receipt Draft() const;
  // Signs any assertion of its own, honest or not.
  Blob Assert(protocol::Assertion assertion) const;
  const Blob& attestation() const { return attestation_; }
  void AttestAs(const Maker& maker, const protocol::Id& id);

 private:
  Blob Negative(protocol::Status status, const Blob& job) const;
  void RollRecipient();

  protocol::P256Private attestation_key_, sign_key_;
  protocol::P256Public attestation_pub_{}, sign_pub_{};
  protocol::X25519Private noise_key_;
  protocol::X25519Public noise_pub_{};
  std::map<std::uint32_t, protocol::X25519Private> recipients_;
  protocol::X25519Public recipient_pub_{};
  protocol::P256Public issuer_{};
  protocol::Hash previous_{};
  protocol::Hash last_job_{};
  Blob last_receipt_;
  std::map<protocol::Hash, Blob> journal_;  // receipts by job
  protocol::Id pending_job_{};
  Blob statement_;
  Blob attestation_;
};

}  // namespace keyferry::server::testing

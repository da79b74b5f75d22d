// What a broker does with its key: delivery and enrolment.
#include <algorithm>
#include <ctime>

#include "client-daemon/core/key_broker.h"
#include "client-daemon/core/log.h"
#include "protocol/failpoint.h"
#include "protocol/job.h"

namespace keyferry::daemon {

using protocol::Status;

Result<void> KeyBroker::OpenSession(const KnownKey& known) {
  auto identity = host_.DeliverIdentity();
  if (!identity) return tl::unexpected(identity.error());
  // A newer certificate replaces the session that was opened with the older one.
  const bool same = session_identity_ && session_identity_->certificate == identity->certificate;
  if (client_->has_session() && same) return {};
  session_identity_ = *identity;
  if (auto status = client_->Handshake(*identity, known.identity.noise_pub); !status) {
    session_identity_.reset();
    return tl::unexpected(status.error());
  }
  return {};
}

// Ends a wait for a touch when the alarm is raised meanwhile.
device::KeepaliveHandler KeyBroker::UnlessAlarm() {
  return [this](device::Keepalive) {
    if (host_.alarm()->Stands()) client_->Cancel();
  };
}

// A key that is enrolled by the organisation has a record here, and the hop key of the record. The
// handshake shows it before our certificate leaves us, so that a key which then refuses the
// certificate has proven itself too.
std::chrono::steady_clock::time_point KeyBroker::Prove(const Id& device) {
  auto next = std::chrono::steady_clock::time_point::max();
  const auto known = host_.Known(device);
  const auto state = client_->info()->state;
  if (!known || state == protocol::KeyState::kProvisioned || state == protocol::KeyState::kWiped) {
    proof_ = Proof::kNone;
    compared_.reset();
    return next;
  }
  const protocol::X25519Public& expected = known->identity.noise_pub;
  if (compared_ != expected) proof_ = Proof::kPending;
  if (proof_ == Proof::kProven) return next;
  // Its failures are told to the server as those of the job that waits for it.
  const auto jobs = host_.spool().JobsOf(device);
  const Id work = jobs.empty() ? Id{} : jobs.front().job;
  auto& attempts = attempts_[work];
  if (attempts.parked || !Due(work, next)) return next;
  const auto open = OpenSession(*known);
  if (open || client_->key_static() == expected) {
    proof_ = Proof::kProven;
    compared_ = expected;
    attempts_.erase(work);
    SetTrouble("");
    return next;
  }
  if (open.error().code == ErrorCode::kProtocol) {
    proof_ = Proof::kContrary;
    compared_ = expected;
  }
  Failed(attempts, open.error(), Post::kJobProblem, work);
  return std::min(next, attempts.next);
}

void KeyBroker::TellFrozen(const Id& device) {
  const std::string message = Report().trouble;
  for (const SpooledJob& job : host_.spool().JobsOf(device)) {
    Tell(attempts_[job.job], "duplicate_key", message, Post::kJobProblem, job.job);
  }
  if (const auto enrolment = host_.Enrolment(device)) {
    Tell(attempts_[enrolment->enrolment], "duplicate_key", message, Post::kEnrolmentProblem,
         enrolment->enrolment);
  }
}

Result<void> KeyBroker::CheckReceipt(const protocol::Receipt& receipt,
                                     const KnownKey& known) const {
  if (receipt.device_id != known.identity.device_id ||
      receipt.account_id != known.identity.account_id ||
      !receipt.VerifySignature(known.identity.sig_pub)) {
    client_->Close();
    return Fail(ErrorCode::kProtocol,
                "The security key signed its receipt with a signature that is not its own.");
  }
  return {};
}

Result<void> KeyBroker::Deliver(const SpooledJob& job, const KnownKey& known) {
  if (auto open = OpenSession(known); !open) return open;
  KEYFERRY_FAILPOINT("daemon.job.before_key");
  auto receipt = client_->PutJob(job.sealed, UnlessAlarm());
  KEYFERRY_FAILPOINT("daemon.job.at_key");
  if (!receipt) return tl::unexpected(receipt.error());
  if (auto genuine = CheckReceipt(*receipt, known); !genuine) return genuine;
  if (receipt->result == Status::kReplay) receipt = LookForReceipt(job, *receipt, known);
  if (!receipt) return tl::unexpected(receipt.error());

  const auto bytes = receipt->Encode();
  KEYFERRY_FAILPOINT("daemon.receipt.taken");
  if (auto kept = host_.spool().FinishJob(job.job, job.device, bytes); !kept) return kept;
  KEYFERRY_FAILPOINT("daemon.job.finished");
  Post post;
  post.kind = Post::kReceipt;
  post.device = job.device;
  post.bytes.assign(bytes.begin(), bytes.end());
  post.name = Spool::ReceiptName(bytes);
  host_.outbox().Put(std::move(post));
  if (receipt->positive()) {
    const std::scoped_lock lock(mutex_);
    last_delivery_ = std::time(nullptr);
  }
  Log(receipt->positive() ? LogLevel::kInfo : LogLevel::kWarning,
      "job " + Hex(job.job) + " seq " + std::to_string(job.seq) + " at key " + Hex(job.device) +
          ": " + (receipt->positive() ? "stored" : protocol::Name(receipt->result)));
  return {};
}

// The key says that it has seen this seq. If it was this very job, its positive receipt is in the
// key's journal; if not, the signed refusal is the answer.
Result<protocol::Receipt> KeyBroker::LookForReceipt(const SpooledJob& job,
                                                    const protocol::Receipt& refusal,
                                                    const KnownKey& known) {
  const protocol::Hash hash = protocol::JobHash(job.sealed);
  std::uint64_t ctr = 0;
  for (std::size_t i = 0; i < protocol::kJournalSize; ++i) {
    const auto receipt = client_->GetReceipt(ctr);
    if (!receipt) {
      if (receipt.error().key_status == static_cast<int>(Status::kNoPassword)) break;
      return receipt;
    }
    if (auto genuine = CheckReceipt(*receipt, known); !genuine) {
      return tl::unexpected(genuine.error());
    }
    if (receipt->positive() && receipt->job_hash == hash) return receipt;
    if (receipt->seq < job.seq || receipt->receipt_ctr <= 1) break;
    ctr = receipt->receipt_ctr - 1;
  }
  return refusal;
}

Result<void> KeyBroker::Enrol(const EnrolEvent& enrolment) {
  const auto identity = host_.EnrolIdentity(enrolment);
  if (!identity) return tl::unexpected(identity.error());
  const auto info = client_->ReadInfo();
  if (!info) return tl::unexpected(info.error());
  if (auto open = client_->Handshake(*identity, std::nullopt); !open) {
    return tl::unexpected(open.error());
  }
  const bool fresh =
      info->state == protocol::KeyState::kProvisioned || info->state == protocol::KeyState::kWiped;
  // A key that is enrolled already may be so by this enrolment, its receipt lost on the way. The
  // server can tell.
  const auto receipt = fresh ? EnrolFresh(enrolment) : client_->GetReceipt(1);
  if (!receipt) return tl::unexpected(receipt.error());
  const auto bytes = receipt->Encode();
  if (auto kept = host_.spool().PutEnrolmentReceipt(enrolment.enrolment, enrolment.device, bytes);
      !kept) {
    return kept;
  }
  Post post;
  post.kind = Post::kEnrolmentReceipt;
  post.id = enrolment.enrolment;
  post.device = enrolment.device;
  post.bytes.assign(bytes.begin(), bytes.end());
  post.name = Spool::ReceiptName(bytes);
  host_.outbox().Put(std::move(post));
  Log(LogLevel::kInfo, "key " + Hex(enrolment.device) + " enrolled");
  return {};
}

Result<protocol::Receipt> KeyBroker::EnrolFresh(const EnrolEvent& enrolment) {
  const auto attestation = client_->GetAttestation();
  if (!attestation) return tl::unexpected(attestation.error());
  bool asked = false;
  const auto statement = client_->EnrollBegin(enrolment.begin, [&](device::Keepalive keepalive) {
    if (host_.alarm()->Stands()) return client_->Cancel();
    if (keepalive != device::Keepalive::kTouchNeeded || asked) return;
    asked = true;
    SetTrouble("Touch the security key to enrol it.");
    const std::scoped_lock lock(signals_->mutex);
    signals_->touch = "keyferryd to enrol the key";
  });
  if (asked) {
    const std::scoped_lock lock(signals_->mutex);
    signals_->touch.clear();
  }
  if (!statement) return tl::unexpected(statement.error());
  const auto parsed = protocol::Statement::Parse(*statement);
  if (parsed->device_id != enrolment.device) {
    return Fail(ErrorCode::kProtocol, "The security key made a statement about another key.");
  }
  const auto grant = host_.AskForGrant(enrolment, *statement, *attestation);
  if (!grant) return tl::unexpected(grant.error());
  const auto checked = protocol::EnrolGrant::Parse(*grant);
  if (!checked || checked->device_id != enrolment.device ||
      checked->statement_hash != protocol::Sha256Of(protocol::ByteView(*statement))) {
    return Fail(ErrorCode::kProtocol, "The server granted something else than was asked for.");
  }
  return client_->EnrollFinish(*grant);
}

}  // namespace keyferry::daemon

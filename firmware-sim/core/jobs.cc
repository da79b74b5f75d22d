#include <algorithm>

#include "firmware-sim/core/key.h"

namespace keyferry::sim {

using protocol::JobType;
using protocol::ParsedJob;
using protocol::Receipt;
using protocol::Status;

// The checks of section 2, in their order; nothing is written before StoreJob.
void Key::PutJob() {
  const auto job = ParsedJob::Parse(body());
  if (!job) return Respond(job.error());
  const auto& state = storage_.state();
  if (state.has_job && protocol::JobHash(body()) == state.job_hash) {
    return Respond(Status::kOk, state.journal[state.receipt_ctr % protocol::kJournalSize]);
  }
  const protocol::JobHeader& header = job->header;
  if (header.device_id != storage_.factory().device_id) return RefuseJob(Status::kWrongDevice);
  if (header.account_id != state.account_id) return RefuseJob(Status::kWrongAccount);
  const auto& signer = header.type == JobType::kIssuerRotate ? state.root_pub : state.issuer_pub;
  if (header.issuer_kid != protocol::KidOf(signer)) {
    const bool revoked = state.has_revoked && header.issuer_kid == state.revoked_kid;
    return RefuseJob(revoked ? Status::kIssuerRevoked : Status::kUnknownIssuer);
  }
  if (!Verifies(*job, signer)) return RefuseJob(Status::kBadSignature);
  OnProgress();
  if (header.seq <= state.last_seq) return RefuseJob(Status::kReplay);
  if (header.base_seq > state.last_seq || header.seq - state.last_seq > protocol::kSequenceWindow) {
    return RefuseJob(Status::kGap);
  }
  const bool present = header.recipient_epoch == state.epoch;
  const bool before = state.epoch > 1 && header.recipient_epoch == state.epoch - 1;
  if (!present && !before) return RefuseJob(Status::kWrongEpoch);
  const auto& recipient = present ? state.recipient : state.previous_recipient;
  auto opened = protocol::OpenJob(*job, recipient);
  if (!opened) return RefuseJob(opened.error());
  opened_ = *opened;
  const Status status = CheckOpened(header, opened_.body());
  if (status != Status::kOk) return RefuseJob(status);
  if (header.type == JobType::kSetPassword && state.policy.touch_to_store) return BeginWait(false);
  StoreJob();
}

// What the body of a type has to satisfy beside its shape.
Key::Status Key::CheckOpened(const protocol::JobHeader& header, ByteView body) const {
  const auto& state = storage_.state();
  bool good = true;
  switch (header.type) {
    case JobType::kCommit:
    case JobType::kDrop: {
      const Slot& pending = state.slots[kPending];
      good = pending.filled &&
             std::equal(body.begin(), body.end(), pending.job_id.begin(), pending.job_id.end());
      break;
    }
    case JobType::kHostRevoke:
      good = protocol::Reader(body).U32() >= state.min_host_epoch;
      break;
    case JobType::kIssuerRotate: {
      const auto issuer = protocol::IssuerCert::Parse(body);
      good = issuer && issuer->issuer_epoch > state.issuer_epoch &&
             issuer->VerifySignature(state.root_pub);
      break;
    }
    case JobType::kSetPassword:
    case JobType::kPinUnblock:
    case JobType::kWipe:
    case JobType::kPolicy:
      break;
  }
  return good ? Status::kOk : Status::kBadPlaintext;
}

void Key::RefuseJob(Status status) {
  delay_ms_ = refusal_window_.Count(hal_.clock.NowMs());
  Receipt receipt = ReceiptOf(storage_.state());
  receipt.result = status;
  receipt.job_hash = protocol::JobHash(body());
  if (!SignReceipt(storage_.state(), receipt)) return Respond(Status::kInternal);
  Respond(status, receipt.Encode());
}

// Step 8: the one commit.
void Key::StoreJob() {
  const auto job = ParsedJob::Parse(body());
  if (!job) return Respond(Status::kInternal);
  const protocol::JobHeader& header = job->header;
  const std::uint64_t prev_seq = storage_.state().last_seq;
  const protocol::Hash job_hash = protocol::JobHash(body());
  if (header.type == JobType::kWipe) {
    Receipt receipt = ReceiptOf(storage_.state());
    receipt.seq = header.seq;
    receipt.prev_seq = prev_seq;
    receipt.job_hash = job_hash;
    const Status status = Wipe(&receipt);
    if (status != Status::kOk) return Respond(status);
    after_ = After::kEndAllSessions;
    return Respond(Status::kOk, receipt.Encode());
  }
  // Epochs and receipts are numbered; a key that has no number left can store nothing more.
  if (storage_.state().epoch == UINT32_MAX) return Respond(Status::kStorageFull);
  Persistent& draft = storage_.Draft();
  if (!RollEpoch(draft) || !ApplyJob(header, opened_.body(), draft))
    return Respond(Status::kInternal);
  draft.last_seq = header.seq;
  draft.has_job = true;
  draft.job_hash = job_hash;
  Receipt receipt = ReceiptOf(draft);
  receipt.prev_seq = prev_seq;
  receipt.job_hash = job_hash;
  if (header.seq > prev_seq + 1)
    receipt.flags = static_cast<std::uint16_t>(receipt.flags | protocol::kReceiptGap);
  if (!AppendReceipt(draft, receipt)) return Respond(Status::kInternal);
  const Status status = FromStore(storage_.Commit());
  if (status != Status::kOk) return Respond(status);
  if (header.type == JobType::kPinUnblock) {
    sessions_.ForgetPins();
    wrong_pins_ = 0;
  }
  if (header.type == JobType::kIssuerRotate || header.type == JobType::kHostRevoke) {
    after_ = After::kEndFailingSessions;
  }
  Respond(Status::kOk, receipt.Encode());
}

bool Key::RollEpoch(Persistent& draft) {
  draft.previous_recipient = draft.recipient;
  ++draft.epoch;
  return TakePair(&draft.recipient);
}

bool Key::ApplyJob(const protocol::JobHeader& header, ByteView body, Persistent& draft) {
  Slot& current = draft.slots[kCurrent];
  Slot& previous = draft.slots[kPrevious];
  Slot& pending = draft.slots[kPending];
  const bool drop_previous =
      (header.flags & protocol::kFlagDropPrevious) != 0 || !draft.policy.keep_previous;
  // The newest password moves up; what it replaces is kept until a login with the new one is
  // confirmed.
  const auto promote = [&](const Slot& slot) {
    if (drop_previous) {
      previous.Clear();
    } else {
      previous = current;
    }
    current = slot;
    pending.Clear();
  };
  switch (header.type) {
    case JobType::kSetPassword: {
      const auto set = protocol::SetPasswordBody::Parse(body);
      Slot slot;
      slot.filled = true;
      slot.seq = header.seq;
      slot.job_id = header.job_id;
      if (!set || !SealSlot(draft, set->login, set->password, &slot)) return false;
      if ((header.flags & protocol::kFlagHold) != 0) {
        pending = slot;
      } else {
        promote(slot);
      }
      return true;
    }
    case JobType::kCommit:
      promote(Slot(pending));
      return true;
    case JobType::kDrop:
      pending.Clear();
      return true;
    case JobType::kPinUnblock:
      draft.pin_set = false;
      std::copy(body.begin(), body.end(), draft.activation_hash.begin());
      for (Slot& slot : draft.slots) slot.Clear();
      draft.era = storage_.NextEra();
      draft.era_pin_left = draft.policy.pin_tries;
      draft.era_code_left = kCodeTries;
      return NewVault(draft);
    case JobType::kHostRevoke:
      draft.min_host_epoch = protocol::Reader(body).U32();
      return true;
    case JobType::kIssuerRotate: {
      const auto issuer = protocol::IssuerCert::Parse(body);
      if (!issuer) return false;
      if (issuer->issuer_pub != draft.issuer_pub) {
        draft.has_revoked = true;
        draft.revoked_kid = protocol::KidOf(draft.issuer_pub);
        draft.min_host_epoch = 0;
      }
      draft.issuer_pub = issuer->issuer_pub;
      draft.issuer_epoch = issuer->issuer_epoch;
      return true;
    }
    case JobType::kPolicy: {
      const auto policy = protocol::Policy::Parse(body);
      if (!policy) return false;
      draft.policy = *policy;
      // A new era, so that a smaller number of tries holds at once and a larger one gives none
      // back.
      draft.era_pin_left = std::min(storage_.PinLeft(), policy->pin_tries);
      draft.era_code_left = storage_.CodeLeft();
      // Before a PIN is set none has been tried.
      if (!draft.pin_set) draft.era_pin_left = policy->pin_tries;
      draft.era = storage_.NextEra();
      return true;
    }
    case JobType::kWipe:
      break;
  }
  return false;
}

// A receipt that tells how `state` stands, still without result and job.
Receipt Key::ReceiptOf(const Persistent& state) const {
  Receipt receipt;
  unsigned flags = 0;
  if (state.pin_set) flags |= protocol::kReceiptPinSet;
  if (state.slots[kPending].filled) flags |= protocol::kReceiptHeld;
  receipt.flags = static_cast<std::uint16_t>(flags);
  receipt.device_id = storage_.factory().device_id;
  receipt.account_id = state.account_id;
  receipt.seq = receipt.prev_seq = state.last_seq;
  receipt.receipt_ctr = state.receipt_ctr;
  receipt.epoch = state.epoch;
  receipt.recipient_pub = state.recipient.pub;
  if (state.receipt_ctr != 0) {
    receipt.previous_hash =
        protocol::ReceiptHash(state.journal[state.receipt_ctr % protocol::kJournalSize]);
  }
  receipt.firmware = config_.firmware_version;
  receipt.boot = storage_.boot();
  return receipt;
}

bool Key::SignReceipt(const Persistent& state, Receipt& receipt) const {
  return receipt.Sign(state.sig_priv) && Verifies(receipt, state.sig_pub);
}

// Numbers, signs and files the receipt of a change.
bool Key::AppendReceipt(Persistent& draft, Receipt& receipt) const {
  receipt.receipt_ctr = ++draft.receipt_ctr;
  if (config_.receipt_fault != nullptr) config_.receipt_fault->BeforeSigning(receipt);
  if (!SignReceipt(draft, receipt)) return false;
  draft.journal[draft.receipt_ctr % protocol::kJournalSize] = receipt.Encode();
  return true;
}

}  // namespace keyferry::sim

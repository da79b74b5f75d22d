#include "firmware-sim/core/key.h"

namespace keyferry::sim {

using protocol::Status;

void Key::EnrolBegin() {
  const auto begin = protocol::EnrollBegin::Parse(body());
  if (!begin) return Respond(Status::kBadFormat);
  if (!begin->issuer.VerifySignature(begin->root_pub)) return Respond(Status::kBadSignature);
  BeginWait(false);
}

// New keys for a new owner, in RAM until ENROLL_FINISH.
void Key::EnrolBeginTouched() {
  const auto begin = protocol::EnrollBegin::Parse(body());
  if (!begin) return Respond(Status::kInternal);
  Enrolment& enrolment = session_->enrolment;
  Renew(enrolment);
  const Factory& factory = storage_.factory();
  if (!protocol::P256Generate(hal_.random, enrolment.sig_priv, enrolment.sig_pub) ||
      !protocol::X25519Generate(hal_.random, enrolment.noise.priv, enrolment.noise.pub) ||
      !protocol::X25519Generate(hal_.random, enrolment.recipient.priv, enrolment.recipient.pub)) {
    return Respond(Status::kInternal);
  }
  OnProgress();
  protocol::Statement statement;
  statement.device_id = factory.device_id;
  statement.sig_pub = enrolment.sig_pub;
  statement.noise_pub = enrolment.noise.pub;
  statement.recipient_pub = enrolment.recipient.pub;
  statement.begin_hash = protocol::Sha256Of(body());
  statement.firmware = config_.firmware_version;
  statement.boot = storage_.boot();
  statement.simulator = config_.simulator;
  if (!statement.Sign(enrolment.sig_priv, factory.attestation_priv) ||
      !statement.VerifySignatures(factory.attestation_pub)) {
    return Respond(Status::kInternal);
  }
  const auto encoded = statement.Encode();
  enrolment.nonce = begin->nonce;
  enrolment.root_pub = begin->root_pub;
  enrolment.issuer_pub = begin->issuer.issuer_pub;
  enrolment.issuer_epoch = begin->issuer.issuer_epoch;
  enrolment.statement_hash = protocol::Sha256Of(encoded);
  enrolment.begun = true;
  Respond(Status::kOk, encoded);
}

void Key::EnrolFinish() {
  const auto grant = protocol::EnrolGrant::Parse(body());
  if (!grant) return Respond(Status::kBadFormat);
  const Enrolment& enrolment = session_->enrolment;
  if (!enrolment.begun) return Respond(Status::kNotAuthorised);
  if (grant->device_id != storage_.factory().device_id) return Respond(Status::kWrongDevice);
  if (grant->nonce != enrolment.nonce || grant->statement_hash != enrolment.statement_hash ||
      !grant->VerifySignature(enrolment.issuer_pub)) {
    return Respond(Status::kBadSignature);
  }
  OnProgress();
  const Status secret = FromStore(storage_.NewSecret());
  if (secret != Status::kOk) return Respond(secret);
  Persistent& draft = storage_.Draft();
  Renew(draft);
  draft.phase = Phase::kEnrolled;
  draft.account_id = grant->account_id;
  draft.root_pub = enrolment.root_pub;
  draft.issuer_pub = enrolment.issuer_pub;
  draft.issuer_epoch = enrolment.issuer_epoch;
  draft.policy = grant->policy;
  draft.epoch = 1;
  draft.era = storage_.NextEra();
  draft.era_pin_left = grant->policy.pin_tries;
  draft.era_code_left = kCodeTries;
  draft.activation_hash = grant->activation_hash;
  draft.sig_priv = enrolment.sig_priv;
  draft.sig_pub = enrolment.sig_pub;
  draft.noise = enrolment.noise;
  draft.recipient = enrolment.recipient;
  if (!NewVault(draft)) return Respond(Status::kInternal);
  protocol::Receipt receipt = ReceiptOf(draft);
  receipt.job_hash = protocol::Sha256Of(body());
  if (!AppendReceipt(draft, receipt)) return Respond(Status::kInternal);
  const Status status = FromStore(storage_.Commit());
  if (status != Status::kOk) return Respond(status);
  wrong_pins_ = 0;
  after_ = After::kEndAllSessions;
  Respond(Status::kOk, receipt.Encode());
}

}  // namespace keyferry::sim

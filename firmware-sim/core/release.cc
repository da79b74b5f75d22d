#include "firmware-sim/core/key.h"

namespace keyferry::sim {
namespace {

using protocol::Status;

}  // namespace

// Takes the session's PIN verification for one use: kOk, or why there is none.
Key::Status Key::CheckVerified() const {
  const Status gate = PinGate();
  if (gate != Status::kOk) return gate;
  const bool fresh =
      session_->pin_verified && hal_.clock.NowMs() - session_->pin_ms <= protocol::kPinFreshMillis;
  return fresh ? Status::kOk : Status::kPinRequired;
}

void Key::Release() {
  protocol::Reader reader(body());
  const protocol::Id account = reader.Array<protocol::kIdSize>();
  const std::uint8_t slot = reader.U8();
  if (!reader.AtEnd() || slot > kPrevious) return Respond(Status::kBadFormat);
  if (account != storage_.state().account_id) return Respond(Status::kWrongAccount);
  const Status verified = CheckVerified();
  if (verified != Status::kOk) return RefusePin(verified);
  if (!storage_.state().slots[slot].filled) return Respond(Status::kNoPassword);
  vault_priv_ = session_->vault_priv;
  ForgetPin(*session_);
  BeginWait(false);
}

void Key::ReleaseTouched() {
  protocol::Secret<kSlotPlain> plain;
  const Slot& slot = storage_.state().slots[body().back()];
  if (!OpenSlot(slot, vault_priv_, &plain)) return Respond(Status::kInternal);
  Respond(Status::kOk, plain.view());
}

void Key::ConfirmLogin() {
  protocol::Reader reader(body());
  const protocol::Id account = reader.Array<protocol::kIdSize>();
  const std::uint64_t seq = reader.U64();
  if (!reader.AtEnd()) return Respond(Status::kBadFormat);
  const auto& state = storage_.state();
  if (account != state.account_id) return Respond(Status::kWrongAccount);
  if (!state.slots[kCurrent].filled) return Respond(Status::kNoPassword);
  if (seq < state.slots[kCurrent].seq || !state.slots[kPrevious].filled)
    return Respond(Status::kOk);
  storage_.Draft().slots[kPrevious].Clear();
  Respond(FromStore(storage_.Commit()));
}

void Key::Assert() {
  const auto request = protocol::AssertRequest::Parse(body());
  if (!request) return Respond(Status::kBadFormat);
  const bool login = (session_->role & protocol::kRoleLogin) != 0;
  if (!login && request->want != 0) return Respond(Status::kNotAuthorised);
  const bool pin = (request->want & protocol::kAssertPin) != 0;
  if (pin) {
    const Status verified = CheckVerified();
    if (verified != Status::kOk) return RefusePin(verified);
    ForgetPin(*session_);
  }
  if ((request->want & protocol::kAssertTouched) != 0) return BeginWait(false);
  AssertSign(false, pin);
}

void Key::AssertSign(bool touched, bool pin) {
  const auto request = protocol::AssertRequest::Parse(body());
  if (!request) return Respond(Status::kInternal);
  const auto& state = storage_.state();
  unsigned flags = 0;
  if (touched) flags |= protocol::kAssertTouched;
  if (pin) flags |= protocol::kAssertPin;
  if ((session_->role & protocol::kRoleLogin) != 0) flags |= protocol::kAssertByLogin;
  protocol::Assertion assertion;
  assertion.flags = static_cast<std::uint8_t>(flags);
  assertion.device_id = storage_.factory().device_id;
  assertion.account_id = state.account_id;
  assertion.challenge = request->challenge;
  assertion.context_hash = request->context_hash;
  assertion.receipt_ctr = state.receipt_ctr;
  if (!assertion.Sign(state.sig_priv) || !assertion.VerifySignature(state.sig_pub))
    return Respond(Status::kInternal);
  Respond(Status::kOk, assertion.Encode());
}

}  // namespace keyferry::sim

#include <algorithm>

#include "firmware-sim/core/key.h"

namespace keyferry::sim {
namespace {

using protocol::Status;

constexpr protocol::Bytes<12> kNonce{};  // the wrapping key is new with every salt
constexpr protocol::Bytes<protocol::kPinFieldSize> kNoPin{};  // stands for "no PIN set"

}  // namespace

// The vault. Its key wraps under HKDF(device secret || PIN field): without the PIN nothing opens
// it, without this chip's secret no PIN can be tried elsewhere.

bool Key::NewVault(Persistent& draft) const {
  protocol::X25519Private priv;
  return protocol::X25519Generate(hal_.random, priv, draft.vault.pub) &&
         WrapVault(draft, priv, kNoPin);
}

bool Key::WrapVault(Persistent& draft, const protocol::X25519Private& vault_priv,
                    ByteView field) const {
  Vault& vault = draft.vault;
  if (!hal_.random.Fill(vault.salt)) return false;
  const auto key =
      DeviceKey(storage_.secret(), vault.salt, protocol::Label("keyferry/vault-wrap/v1"), field);
  return protocol::AeadSeal(key, kNonce, vault.pub, vault_priv.view(), vault.wrapped);
}

bool Key::UnwrapVault(const Vault& vault, ByteView field,
                      protocol::X25519Private* vault_priv) const {
  const auto key =
      DeviceKey(storage_.secret(), vault.salt, protocol::Label("keyferry/vault-wrap/v1"), field);
  return protocol::AeadOpen(key, kNonce, vault.pub, vault.wrapped, vault_priv->span());
}

bool Key::PrepareSlotSeal() {
  const protocol::X25519Public& vault = storage_.state().vault.pub;
  protocol::X25519Pair ephemeral;
  Renew(slot_seal_);
  if (!TakePair(&ephemeral) ||
      !protocol::HpkeSenderKeys(ephemeral, vault, protocol::Label("keyferry/vault/v1"),
                                slot_seal_.keys)) {
    return false;
  }
  slot_seal_.enc = ephemeral.pub;
  slot_seal_.vault = vault;
  slot_seal_.ready = true;
  return true;
}

bool Key::SealSlot(const Persistent& draft, ByteView login, ByteView password, Slot* slot) {
  protocol::Secret<kSlotPlain> plain;
  protocol::Released released;
  released.seq = slot->seq;
  released.login = login;
  released.password = password;
  protocol::X25519Pair ephemeral;
  const protocol::MutableBytes sealed(slot->sealed);
  if (!released.Encode(plain.span())) return false;
  if (slot_seal_.ready && slot_seal_.vault == draft.vault.pub) {
    std::copy(slot_seal_.enc.begin(), slot_seal_.enc.end(), sealed.begin());
    const bool good = protocol::AeadSeal(slot_seal_.keys.key, slot_seal_.keys.base_nonce.bytes,
                                         storage_.factory().device_id, plain.view(),
                                         sealed.subspan(slot_seal_.enc.size()));
    Renew(slot_seal_);
    return good;
  }
  if (!TakePair(&ephemeral)) return false;
  std::copy(ephemeral.pub.begin(), ephemeral.pub.end(), sealed.begin());
  return protocol::HpkeSeal(ephemeral, draft.vault.pub, protocol::Label("keyferry/vault/v1"),
                            storage_.factory().device_id, plain.view(),
                            sealed.subspan(ephemeral.pub.size()));
}

bool Key::OpenSlot(const Slot& slot, const protocol::X25519Private& vault_priv,
                   protocol::Secret<kSlotPlain>* plain) const {
  const ByteView sealed(slot.sealed);
  protocol::X25519Public enc;
  std::copy_n(sealed.begin(), enc.size(), enc.begin());
  if (!protocol::HpkeOpen({vault_priv, storage_.state().vault.pub}, enc,
                          protocol::Label("keyferry/vault/v1"), storage_.factory().device_id,
                          sealed.subspan(enc.size()), plain->span())) {
    return false;
  }
  const auto released = protocol::Released::Parse(plain->view());
  return released && released->seq == slot.seq;
}

// PIN and activation code.

// Whether a PIN could be compared at all now.
Key::Status Key::PinGate() const {
  if (!storage_.state().pin_set) return Status::kPinRequired;
  if (storage_.PinLeft() == 0) return Status::kPinLocked;
  return wrong_pins_ >= kWrongPinsPerCycle ? Status::kPinBlocked : Status::kOk;
}

void Key::RefusePin(Status status) {
  const bool counted =
      status == Status::kPinWrong || status == Status::kPinBlocked || status == Status::kPinLocked;
  if (counted) return RespondTries(status, storage_.PinLeft());
  Respond(status);
}

// Takes a try, durably, then compares: kOk with the vault's key, or why not.
Key::Status Key::ComparePin(ByteView field, protocol::X25519Private* vault_priv) {
  const Status gate = PinGate();
  if (gate != Status::kOk) return gate;
  const auto left = static_cast<std::uint8_t>(storage_.PinLeft() - 1);
  const Status stored = FromStore(storage_.WriteTries(left, storage_.CodeLeft()));
  if (stored != Status::kOk) return stored;
  if (UnwrapVault(storage_.state().vault, field, vault_priv)) return Status::kOk;
  ++wrong_pins_;
  sessions_.ForgetPins();
  return Status::kPinWrong;
}

void Key::PinSet() {
  const auto& state = storage_.state();
  if (body_size_ != protocol::kCodeFieldSize + protocol::kPinFieldSize)
    return Respond(Status::kBadFormat);
  const ByteView pin_field = body().subspan(protocol::kCodeFieldSize);
  const auto code = protocol::ParseCodeField(body().first(protocol::kCodeFieldSize));
  if (!code || !protocol::ParsePinField(pin_field, state.policy.pin_min))
    return Respond(Status::kBadFormat);
  if (state.pin_set) return Respond(Status::kNotAuthorised);
  if (storage_.CodeLeft() == 0) return RespondTries(Status::kPinLocked, 0);
  const auto left = static_cast<std::uint8_t>(storage_.CodeLeft() - 1);
  const Status stored = FromStore(storage_.WriteTries(storage_.PinLeft(), left));
  if (stored != Status::kOk) return Respond(stored);
  const protocol::Hash hash = protocol::ActivationHash(storage_.factory().device_id, *code);
  if (!protocol::ConstantTimeEquals(hash, state.activation_hash)) {
    return RespondTries(Status::kPinWrong, storage_.CodeLeft());
  }
  Persistent& draft = storage_.Draft();
  protocol::X25519Private vault_priv;
  if (!UnwrapVault(draft.vault, kNoPin, &vault_priv) || !WrapVault(draft, vault_priv, pin_field)) {
    return Respond(Status::kInternal);
  }
  draft.pin_set = true;
  draft.activation_hash = {};
  draft.era = storage_.NextEra();
  draft.era_pin_left = draft.policy.pin_tries;
  draft.era_code_left = kCodeTries;
  const Status status = FromStore(storage_.Commit());
  if (status == Status::kOk) wrong_pins_ = 0;
  Respond(status);
}

void Key::PinVerify() {
  if (!protocol::ParsePinField(body())) return Respond(Status::kBadFormat);
  protocol::X25519Private vault_priv;
  Status status = ComparePin(body(), &vault_priv);
  if (status != Status::kOk) return RefusePin(status);
  status = FromStore(storage_.WriteTries(storage_.state().policy.pin_tries, storage_.CodeLeft()));
  if (status != Status::kOk) return Respond(status);
  wrong_pins_ = 0;
  session_->pin_verified = true;
  session_->pin_ms = hal_.clock.NowMs();
  session_->vault_priv = vault_priv;
  RespondTries(Status::kOk, storage_.PinLeft());
}

void Key::PinChange() {
  constexpr std::size_t kField = protocol::kPinFieldSize;
  if (body_size_ != 2 * kField || !protocol::ParsePinField(body().first(kField)) ||
      !protocol::ParsePinField(body().subspan(kField), storage_.state().policy.pin_min)) {
    return Respond(Status::kBadFormat);
  }
  protocol::X25519Private vault_priv;
  Status status = ComparePin(body().first(kField), &vault_priv);
  if (status != Status::kOk) return RefusePin(status);
  Persistent& draft = storage_.Draft();
  if (!WrapVault(draft, vault_priv, body().subspan(kField))) return Respond(Status::kInternal);
  draft.era = storage_.NextEra();
  draft.era_pin_left = draft.policy.pin_tries;
  draft.era_code_left = kCodeTries;
  status = FromStore(storage_.Commit());
  if (status != Status::kOk) return Respond(status);
  wrong_pins_ = 0;
  sessions_.ForgetPins();
  RespondTries(Status::kOk, storage_.PinLeft());
}

}  // namespace keyferry::sim

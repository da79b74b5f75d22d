#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "protocol/certs.h"
#include "protocol/messages.h"
#include "protocol/receipt.h"

namespace keyferry::sim {

// Overwrites `object` with a fresh one where it lies: no second copy of a large object on a small
// stack, and the secrets in it wipe themselves.
template <typename T>
void Renew(T& object) {
  std::destroy_at(&object);
  std::construct_at(&object);
}

// What a slot holds in the clear, only ever in RAM: RELEASE's whole body, one size for every
// password.
inline constexpr std::size_t kSlotPlain = protocol::kReleaseBodySize;
inline constexpr std::size_t kSlotSealed = 32 + kSlotPlain + 16;  // HPKE enc, ciphertext with tag

enum class Phase : std::uint8_t { kProvisioned = 0, kEnrolled = 1, kWiped = 2 };

enum SlotName : std::size_t { kCurrent = 0, kPrevious = 1, kPending = 2 };
inline constexpr std::size_t kSlots = 3;

// One password, sealed to the vault key: it can be stored without the PIN and moved between slots
// without being opened.
struct Slot {
  std::uint8_t filled = 0;
  std::uint64_t seq = 0;  // of its SET_PASSWORD
  protocol::Id job_id{};
  protocol::Bytes<kSlotSealed> sealed{};

  void Clear() { Renew(*this); }
};

// The vault key: its public half seals, its private half is wrapped by device secret and PIN
// (before PIN_SET by the device secret alone).
struct Vault {
  protocol::X25519Public pub{};
  protocol::Bytes<16> salt{};          // new at every wrapping
  protocol::Bytes<32 + 16> wrapped{};  // private half, AEAD
};

// Everything of the key that a job, a grant or a PIN can change; written to flash as one record
// (state_codec.h), so that each command is one atomic commit. Only the factory data, the device
// secret and the tries live elsewhere.
struct Persistent {
  Phase phase = Phase::kProvisioned;
  std::uint32_t boot = 0;  // boot counter when this was written: kept should the tries log be lost

  // Who may speak (sections 2 and 4).
  protocol::Id account_id{};
  protocol::P256Public root_pub{};
  protocol::P256Public issuer_pub{};
  std::uint32_t issuer_epoch = 0;
  std::uint8_t has_revoked = 0;
  protocol::Kid revoked_kid{};
  std::uint32_t min_host_epoch = 0;
  protocol::Policy policy;

  // Jobs and receipts (sections 2 and 3). The journal's entry of receipt n is journal[n % 16].
  std::uint32_t epoch = 0;
  std::uint64_t last_seq = 0;
  std::uint64_t receipt_ctr = 0;
  std::uint8_t has_job = 0;
  protocol::Hash job_hash{};
  std::array<protocol::Bytes<protocol::kReceiptSize>, protocol::kJournalSize> journal{};

  // PIN and activation code. The tries log's counts hold while its era is this one; else these do.
  std::uint32_t era = 0;
  std::uint8_t era_pin_left = 0;
  std::uint8_t era_code_left = 0;
  std::uint8_t pin_set = 0;
  protocol::Hash activation_hash{};  // zero once a PIN is set
  Vault vault;
  std::array<Slot, kSlots> slots;

  // Sealed in the record under a key made from the device secret.
  protocol::P256Private sig_priv;
  protocol::P256Public sig_pub{};
  protocol::X25519Pair noise;
  protocol::X25519Pair recipient;           // of `epoch`
  protocol::X25519Pair previous_recipient;  // of `epoch` - 1; zero at epoch 1
};

}  // namespace keyferry::sim

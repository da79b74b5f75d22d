#include "firmware-sim/core/storage.h"

#include <algorithm>

#include "firmware-sim/core/flash_words.h"

namespace keyferry::sim {
namespace {

// Device secret page: magic(16) secret(32) digest(32).
constexpr FlashWord kSecretMagic{'K', 'F', 'D', '1'};
constexpr std::size_t kSecretBytes = kFlashWord + 32 + 32;
constexpr std::size_t kSecretDigested = kFlashWord + 32;

StoreResult FromFlash(FlashResult result) {
  switch (result) {
    case FlashResult::kOk:
      return StoreResult::kOk;
    case FlashResult::kWornOut:
      return StoreResult::kWornOut;
    case FlashResult::kFault:
      break;
  }
  return StoreResult::kFault;
}

}  // namespace

Storage::Storage(Hal& hal, Progress& progress)
    : hal_(hal),
      record_(hal.flash, hal.counters, CounterId::kState, kStatePageA, kStatePageB, progress),
      log_(hal.flash, hal.counters, CounterId::kTries, kTriesPageA, kTriesPageB, progress) {}

bool Storage::ReadSecret() {
  protocol::Secret<kSecretBytes> page;
  hal_.flash.Read(kSecretPage * kPageSize, page.span());
  protocol::Reader reader(page.view());
  const bool magic = reader.Array<kFlashWord>() == kSecretMagic;
  secret_ = DeviceSecret(reader.Array<32>());
  const protocol::Hash digest = protocol::Sha256Of(page.view().first(kSecretDigested));
  if (magic && protocol::ConstantTimeEquals(digest, page.view().subspan(kSecretDigested)))
    return true;
  secret_ = DeviceSecret{};
  return false;
}

bool Storage::SecretPageBlank() const { return PageIsBlank(hal_.flash, kSecretPage); }

void Storage::Mount() {
  provisioned_ = ReadFactory(hal_.flash, &factory_);
  const bool have_secret = ReadSecret();
  const MountResult record = record_.Mount();
  bool readable = true;
  if (!record_.data().empty()) {
    readable = DecodeState(record_.data(), have_secret ? &secret_ : nullptr, &state_);
    if (!readable) Renew(state_);
  }
  record_.ClearBuffer();
  const MountResult log = log_.Mount();
  log_broken_ = log == MountResult::kRolledBack;
  tampered_ = record == MountResult::kRolledBack || !readable;
  if (!tampered_ && state_.phase == Phase::kWiped) {
    FinishWipe();
  } else if (log_broken_) {
    tampered_ = true;
  } else if (!tampered_ && state_.phase == Phase::kProvisioned && !SecretPageBlank()) {
    (void)hal_.flash.ErasePage(kSecretPage);  // of an enrolment that never finished
  }
  Tries tries = log_.tries();
  boot_ = std::max(tries.boot, state_.boot) + 1;
  // An entry written now would pass for the newest one and so heal a roll-back.
  if (log_broken_) return;
  tries.boot = boot_;
  (void)log_.Append(tries);
}

Persistent& Storage::Draft() {
  draft_ = state_;
  return draft_;
}

StoreResult Storage::Commit() {
  if (tampered_) return StoreResult::kFault;
  draft_.boot = boot_;
  const std::size_t length = EncodeState(draft_, secret_, hal_.random, record_.buffer());
  const StoreResult result = length == 0 ? StoreResult::kFault : record_.Commit(length);
  if (result == StoreResult::kOk) state_ = draft_;
  Renew(draft_);
  record_.ClearBuffer();
  return result;
}

std::uint8_t Storage::PinLeft() const {
  return log_.tries().era == state_.era ? log_.tries().pin_left : state_.era_pin_left;
}

std::uint8_t Storage::CodeLeft() const {
  return log_.tries().era == state_.era ? log_.tries().code_left : state_.era_code_left;
}

StoreResult Storage::WriteTries(std::uint8_t pin_left, std::uint8_t code_left) {
  if (tampered_) return StoreResult::kFault;
  return log_.Append({state_.era, boot_, pin_left, code_left});
}

std::uint32_t Storage::NextEra() const { return std::max(state_.era, log_.tries().era) + 1; }

StoreResult Storage::NewSecret() {
  protocol::Secret<kSecretBytes> page;
  if (!hal_.random.Fill(secret_.span())) return StoreResult::kFault;
  protocol::Writer(page.span()).Put(kSecretMagic).Put(secret_.view());
  const protocol::Hash digest = protocol::Sha256Of(page.view().first(kSecretDigested));
  protocol::Writer(page.span().subspan(kSecretDigested)).Put(digest);
  StoreResult result = StoreResult::kFault;
  for (int attempt = 0; attempt < 2 && result == StoreResult::kFault; ++attempt) {
    result = StoreResult::kOk;
    if (!SecretPageBlank()) result = FromFlash(hal_.flash.ErasePage(kSecretPage));
    for (std::uint32_t at = 0; at < kSecretBytes && result == StoreResult::kOk;
         at += static_cast<std::uint32_t>(kFlashWord)) {
      result = FromFlash(ProgramChecked(hal_.flash, kSecretPage * kPageSize + at,
                                        page.view().subspan(at, kFlashWord)));
    }
  }
  return result;
}

StoreResult Storage::Wipe() {
  draft_.boot = boot_;
  const std::size_t length = EncodeState(draft_, secret_, hal_.random, record_.buffer());
  const StoreResult result = length == 0 ? StoreResult::kFault : record_.Commit(length);
  if (result == StoreResult::kOk) {
    state_ = draft_;
    tampered_ = false;
    FinishWipe();
  }
  Renew(draft_);
  record_.ClearBuffer();
  return result;
}

// Idempotent; each step is repeated at boot until it holds.
void Storage::FinishWipe() {
  secret_ = DeviceSecret{};
  if (!SecretPageBlank()) (void)hal_.flash.ErasePage(kSecretPage);
  // The slot that was, with the vault key in it, was erased by the commit or by Mount.
  const Tries& now = log_.tries();
  const Tries none{state_.era, std::max({now.boot, state_.boot, boot_}), 0, 0};
  if (log_broken_) {
    log_broken_ = log_.Restart(none) != StoreResult::kOk;
  } else if (now.era != state_.era) {
    (void)log_.Append(none, true);
  }
}

}  // namespace keyferry::sim

#pragma once

#include <cstdint>

#include "firmware-sim/core/factory.h"
#include "firmware-sim/core/hal.h"
#include "firmware-sim/core/record_store.h"
#include "firmware-sim/core/state_codec.h"
#include "firmware-sim/core/tries_log.h"

namespace keyferry::sim {

// Everything that survives a power cut, and the order in which it is written (section 9).
// The state record, the tries log and the device secret together; the state is changed by editing a
// draft and committing it whole.
class Storage {
 public:
  Storage(Hal& hal, Progress& progress);

  // Power-on: reads all, finishes what a power cut interrupted (a commit, an erase, a wipe), and
  // counts the boot.
  void Mount();

  // Flash and counter do not agree, or the record cannot be read: state 6. Nothing but Wipe writes
  // then.
  bool tampered() const { return tampered_; }
  // The factory page is whole. Without it the key answers nothing but framing.
  bool provisioned() const { return provisioned_; }
  const Factory& factory() const { return factory_; }
  std::uint32_t boot() const { return boot_; }

  const Persistent& state() const { return state_; }
  // A copy of the state to edit. Commit makes it the state; anything else leaves no trace.
  Persistent& Draft();
  StoreResult Commit();

  // Tries left in the present era.
  std::uint8_t PinLeft() const;
  std::uint8_t CodeLeft() const;
  // Durable when it returns kOk.
  StoreResult WriteTries(std::uint8_t pin_left, std::uint8_t code_left);

  // A fresh device secret, for the enrolment whose Commit follows. Only while nothing is enrolled.
  StoreResult NewSecret();
  // An era in which no tries were written yet.
  std::uint32_t NextEra() const;
  const DeviceSecret& secret() const { return secret_; }

  // Commits the draft, whose phase is kWiped and which holds the wipe's receipt, then erases device
  // secret and vault key, then the rest. Once the commit is durable the wipe happens, at the next
  // boot if need be.
  StoreResult Wipe();

 private:
  bool ReadSecret();
  bool SecretPageBlank() const;
  void FinishWipe();

  Hal& hal_;
  RecordStore record_;
  TriesLog log_;
  Factory factory_;
  Persistent state_;
  Persistent draft_;
  DeviceSecret secret_;
  std::uint32_t boot_ = 0;
  bool provisioned_ = false;
  bool tampered_ = false;
  bool log_broken_ = false;
};

}  // namespace keyferry::sim

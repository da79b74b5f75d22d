#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "firmware-sim/core/hal.h"
#include "firmware-sim/core/late_window.h"
#include "firmware-sim/core/link.h"
#include "firmware-sim/core/sessions.h"
#include "firmware-sim/core/storage.h"
#include "protocol/certs.h"
#include "protocol/hpke.h"
#include "protocol/job.h"
#include "protocol/messages.h"
#include "protocol/receipt.h"

namespace keyferry::sim {

// Changes a receipt before it is signed and filed: a key that keeps its books wrongly. Only the
// simulator sets one (faults.h).
class ReceiptFault {
 public:
  virtual ~ReceiptFault() = default;
  virtual void BeforeSigning(protocol::Receipt& receipt) = 0;
};

struct KeyConfig {
  std::uint32_t firmware_version = 0x00000100;  // 0.1.0
  bool simulator = true;                        // INFO and Statement say so
  std::uint8_t device_id_lie = 0;  // XORed onto INFO's device_id; only the simulator sets it
  ReceiptFault* receipt_fault = nullptr;
};

enum class TouchEvent : std::uint8_t {
  kDown,     // the button is pressed
  kUp,       // and released
  kHeld,     // a touch that counts for any wait at once (automatic touch)
  kRefused,  // the user said no: the wait ends with CANCELLED
};

// For a status line; nothing secret.
struct KeyView {
  protocol::KeyState state = protocol::KeyState::kProvisioned;
  std::uint32_t boot = 0;
  std::uint32_t epoch = 0;
  std::uint64_t last_seq = 0;
  std::uint64_t receipt_ctr = 0;
  bool waiting_for_touch = false;
};

// The key: the whole of the specification's device side behind frames in, frames out, touch events
// and time. Driven by events and never blocking but for the flash; no heap, no exceptions, no
// operating system. One thread. Use: construct, PowerOn once, then OnFrame for each frame from a
// host, OnTouch for each touch, Tick at least every 20 ms unless Idle(). To take the power away,
// destroy it; all that matters is in the flash.
class Key final : private LinkClient, private Progress {
 public:
  Key(Hal hal, const KeyConfig& config);
  ~Key() override;
  Key(const Key&) = delete;
  Key& operator=(const Key&) = delete;

  void PowerOn();
  // A HID report (shorter ones than 64 bytes are none, and ignored) or, of a Bluetooth origin, a
  // fragment.
  void OnFrame(protocol::ByteView frame, const Origin& origin);
  // A central is connected on a Bluetooth plug, and its link carries fragments of `max_fragment`
  // bytes (kMinFragment … kMaxFragment); again when that changes. Fragments before it are ignored.
  void OnBleLink(std::uint8_t plug, std::size_t max_fragment);
  // The host of the plug is gone (pulled, bus reset, Bluetooth link lost): its channels end, with
  // their sessions and whatever they run.
  void OnHostGone(std::uint8_t plug);
  void OnTouch(TouchEvent event);
  void Tick();
  // Nothing is timed; Tick need not be called until the next report.
  bool Idle() const;
  // Makes one thing ahead that the next command would have to wait for: one or two
  // multiplications on a curve. Call it while no report waits to come in or go out, until it says
  // false: nothing is left to do, or a command runs. A key that never finds the time works all the
  // same.
  bool Prepare();
  KeyView View() const;
  // As the command INFO answers.
  protocol::Bytes<protocol::kInfoSize> MakeInfo() const;

 private:
  using Status = protocol::Status;
  using ByteView = protocol::ByteView;
  static constexpr std::uint8_t kWrongPinsPerCycle = 3;
  static constexpr std::uint8_t kCodeTries = 3;
  enum class After : std::uint8_t { kNothing, kEndAllSessions, kEndFailingSessions };
  struct Wait {
    bool active = false;
    bool held = false;  // ten seconds
    bool down = false;  // pressed since the wait began
    std::uint64_t down_ms = 0;
    std::uint64_t deadline_ms = 0;
  };

  // key.cc: power, time, touch, handshake, RESET.
  void OnMessage(std::uint32_t cid, protocol::FrameCommand command, ByteView payload) override;
  void OnCancel() override;
  void OnAbort() override;
  void OnChannelReset(std::uint32_t cid) override;
  void OnProgress() override;
  void BeginWait(bool held);
  void EndWait();
  void OnWaitOver(Status touch);
  bool Enrolled() const { return storage_.state().phase == Phase::kEnrolled; }
  protocol::KeyState State() const;
  protocol::Bytes<protocol::kKeyStatusSize> MakeStatus(std::uint8_t role) const;
  void NewColdStatic();
  void Advance();
  bool TakePair(protocol::X25519Pair* pair);
  void OnHs1(std::uint32_t cid, ByteView payload);
  void OnHs3(std::uint32_t cid, ByteView payload);
  bool MayEnter(const protocol::HostCert& host, ByteView cert_bytes,
                const protocol::X25519Public& host_static);
  bool IsSigned(const protocol::HostCert& host, ByteView cert_bytes);
  // Whether `signer` signed it, with the signer's table where there is one.
  template <typename Signed>
  bool Verifies(const Signed& what, const protocol::P256Public& signer) const {
    for (const protocol::P256Verifier* verifier : {&issuer_, &own_}) {
      if (verifier->prepared_for(signer)) return what.VerifySignature(*verifier);
    }
    return what.VerifySignature(signer);
  }
  bool StillPasses(const Session& session) const;
  void BeginReset();
  void EndReset(Status touch);

  // commands.cc: requests inside a session.
  void OnRequest(std::uint32_t cid, ByteView payload);
  void Execute();
  Status CheckRequest() const;
  void OnTouchAnswered(Status touch);
  // Each ends the request; the first that is called counts.
  void Respond(Status status, ByteView body = {});
  void RespondTries(Status status, std::uint8_t tries) { Respond(status, {&tries, 1}); }
  void GetReceipt();

  // jobs.cc: PUT_JOB.
  void PutJob();
  void StoreJob();
  void RefuseJob(Status status);
  Status CheckOpened(const protocol::JobHeader& header, ByteView body) const;
  bool ApplyJob(const protocol::JobHeader& header, ByteView body, Persistent& draft);
  bool RollEpoch(Persistent& draft);
  protocol::Receipt ReceiptOf(const Persistent& state) const;
  bool SignReceipt(const Persistent& state, protocol::Receipt& receipt) const;
  bool AppendReceipt(Persistent& draft, protocol::Receipt& receipt) const;

  // enrol.cc
  void EnrolBegin();
  void EnrolBeginTouched();
  void EnrolFinish();

  // pin.cc: PIN, activation code, vault.
  void PinSet();
  void PinVerify();
  void PinChange();
  Status PinGate() const;
  void RefusePin(Status status);
  Status ComparePin(ByteView field, protocol::X25519Private* vault_priv);
  bool NewVault(Persistent& draft) const;
  bool WrapVault(Persistent& draft, const protocol::X25519Private& vault_priv,
                 ByteView field) const;
  bool UnwrapVault(const Vault& vault, ByteView field, protocol::X25519Private* vault_priv) const;
  bool PrepareSlotSeal();
  bool SealSlot(const Persistent& draft, ByteView login, ByteView password, Slot* slot);
  bool OpenSlot(const Slot& slot, const protocol::X25519Private& vault_priv,
                protocol::Secret<kSlotPlain>* plain) const;

  // release.cc
  Status CheckVerified() const;
  void Release();
  void ReleaseTouched();
  void ConfirmLogin();
  void Assert();
  void AssertSign(bool touched, bool pin);

  // wipe.cc
  Status Wipe(protocol::Receipt* receipt);
  void WipeLocal();

  static Status FromStore(StoreResult result);

  Hal hal_;
  const KeyConfig config_;
  Storage storage_;
  Link link_;
  Sessions sessions_;
  LateWindow hello_window_;
  LateWindow refusal_window_;
  std::uint64_t power_on_ms_ = 0;
  // While nothing is enrolled: made at power-on and at every wipe.
  protocol::X25519Pair cold_static_;
  std::uint8_t wrong_pins_ = 0;  // in this power cycle

  // Made while there was nothing else to do (Prepare). Key pairs for handshakes and next
  // recipients:
  std::array<protocol::X25519Pair, 3> spares_;
  std::size_t spare_count_ = 0;
  // How the next slot will be sealed.
  struct SlotSeal {
    bool ready = false;
    protocol::X25519Public vault{};  // for this vault
    protocol::X25519Public enc{};
    protocol::HpkeKeys keys;
  };
  SlotSeal slot_seal_;

  // The two whose signatures a delivery waits for.
  protocol::P256Verifier issuer_;
  protocol::P256Verifier own_;

  // H(issuer || HostCert) of certificates whose signature was checked since power-on.
  std::array<protocol::Hash, 2> signed_certs_{};
  std::size_t next_signed_cert_ = 0;

  // The command that is running: a request of session_, or RESET.
  Session* session_ = nullptr;
  bool resetting_ = false;
  Wait wait_;
  After after_ = After::kNothing;
  std::uint32_t delay_ms_ = 0;
  protocol::MessageHeader header_;
  std::size_t body_size_ = 0;
  protocol::Secret<protocol::kMaxBody> body_;
  protocol::OpenedJob opened_;          // a job's plaintext until it is stored
  protocol::X25519Private vault_priv_;  // of a RELEASE that waits for its touch
  ByteView body() const { return body_.view().first(body_size_); }
};

}  // namespace keyferry::sim

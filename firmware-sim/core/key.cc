#include "firmware-sim/core/key.h"

#include <algorithm>

namespace keyferry::sim {

using protocol::FrameCommand;
using protocol::FrameError;
using protocol::KeyState;

Key::Key(Hal hal, const KeyConfig& config)
    : hal_(hal),
      config_(config),
      storage_(hal_, *this),
      link_(hal_, config.firmware_version, *this) {}

Key::~Key() = default;

void Key::PowerOn() {
  power_on_ms_ = hal_.clock.NowMs();
  storage_.Mount();
  NewColdStatic();
}

void Key::NewColdStatic() {
  if (!protocol::X25519Generate(hal_.random, cold_static_.priv, cold_static_.pub))
    cold_static_ = {};
}

void Key::OnFrame(ByteView frame, const Origin& origin) {
  Advance();
  link_.OnFrame(frame, origin);
}

void Key::OnBleLink(std::uint8_t plug, std::size_t max_fragment) {
  link_.OnBleLink(plug, max_fragment);
}

void Key::OnHostGone(std::uint8_t plug) { link_.OnHostGone(plug); }

void Key::Tick() { Advance(); }

bool Key::Prepare() {
  if (link_.Busy() || link_.Assembling()) return false;
  if (Enrolled() && !(slot_seal_.ready && slot_seal_.vault == storage_.state().vault.pub)) {
    return PrepareSlotSeal();
  }
  if (spare_count_ == spares_.size()) {
    if (!Enrolled()) return false;
    const auto& state = storage_.state();
    if (!issuer_.prepared_for(state.issuer_pub)) return issuer_.Prepare(state.issuer_pub);
    return !own_.prepared_for(state.sig_pub) && own_.Prepare(state.sig_pub);
  }
  protocol::X25519Pair& pair = spares_[spare_count_];
  if (!protocol::X25519Generate(hal_.random, pair.priv, pair.pub)) return false;
  ++spare_count_;
  return true;
}

// A fresh key pair, never handed out before.
bool Key::TakePair(protocol::X25519Pair* pair) {
  if (spare_count_ == 0) {
    return protocol::X25519Generate(hal_.random, pair->priv, pair->pub);
  }
  *pair = spares_[--spare_count_];
  spares_[spare_count_] = {};
  return true;
}

void Key::Advance() {
  const std::uint64_t now = hal_.clock.NowMs();
  if (wait_.active) {
    const std::uint64_t held_until = wait_.down_ms + protocol::kLongTouchMillis;
    if (wait_.held && wait_.down && held_until <= std::min(now, wait_.deadline_ms)) {
      OnWaitOver(Status::kOk);
    } else if (now >= wait_.deadline_ms) {
      OnWaitOver(Status::kTouchTimeout);
    }
  }
  // A running request keeps its session, whatever its age.
  if (session_ == nullptr) sessions_.Expire(now);
  link_.Tick();
}

bool Key::Idle() const {
  return !wait_.active && !link_.Busy() && !link_.Assembling() && !sessions_.AnyTimed();
}

KeyView Key::View() const {
  const auto& state = storage_.state();
  return {State(), storage_.boot(), state.epoch, state.last_seq, state.receipt_ctr, wait_.active};
}

void Key::OnProgress() { link_.KeepAlive(); }

// Touch: one wait at a time, begun by the command that is running.

void Key::BeginWait(bool held) {
  const std::uint64_t now = hal_.clock.NowMs();
  wait_ = {};
  wait_.active = true;
  wait_.held = held;
  wait_.deadline_ms = now + (held ? protocol::kLongTouchWaitMillis : protocol::kTouchMillis);
  link_.SetTouchNeeded(true);
  hal_.touch.WaitBegan(held);
}

void Key::EndWait() {
  if (!wait_.active) return;
  wait_.active = false;
  link_.SetTouchNeeded(false);
  hal_.touch.WaitEnded();
}

void Key::OnTouch(TouchEvent event) {
  if (!wait_.active) return;  // a touch that began before the wait counts for nothing
  const std::uint64_t now = hal_.clock.NowMs();
  if (now >= wait_.deadline_ms) return Advance();
  switch (event) {
    case TouchEvent::kDown:
      if (!wait_.held) return OnWaitOver(Status::kOk);
      wait_.down = true;
      wait_.down_ms = now;
      return;
    case TouchEvent::kUp:
      Advance();
      wait_.down = false;
      return;
    case TouchEvent::kHeld:
      return OnWaitOver(Status::kOk);
    case TouchEvent::kRefused:
      return OnWaitOver(Status::kCancelled);
  }
}

void Key::OnWaitOver(Status touch) {
  EndWait();
  if (resetting_) {
    EndReset(touch);
  } else if (session_ != nullptr) {
    OnTouchAnswered(touch);
  }
}

void Key::OnCancel() {
  if (wait_.active) OnWaitOver(Status::kCancelled);
}

void Key::OnAbort() {
  EndWait();
  resetting_ = false;
  session_ = nullptr;
  protocol::Wipe(body_.span());
  Renew(opened_);
  vault_priv_ = {};
}

void Key::OnChannelReset(std::uint32_t cid) { sessions_.EndChannel(cid); }

void Key::OnMessage(std::uint32_t cid, FrameCommand command, ByteView payload) {
  switch (command) {
    case FrameCommand::kWink:
      hal_.touch.Wink();
      return link_.Answer(FrameCommand::kWink, {});
    case FrameCommand::kInfo:
      return link_.Answer(FrameCommand::kInfo, MakeInfo());
    case FrameCommand::kHs1:
      return OnHs1(cid, payload);
    case FrameCommand::kHs3:
      return OnHs3(cid, payload);
    case FrameCommand::kMsg:
      return OnRequest(cid, payload);
    case FrameCommand::kReset:
      return BeginReset();
    default:
      return link_.Error(FrameError::kOther);
  }
}

KeyState Key::State() const {
  if (storage_.tampered()) return KeyState::kTampered;
  const auto& state = storage_.state();
  if (state.phase == Phase::kProvisioned) return KeyState::kProvisioned;
  if (state.phase == Phase::kWiped) return KeyState::kWiped;
  if (!state.pin_set)
    return storage_.CodeLeft() == 0 ? KeyState::kLocked : KeyState::kEnrolledNoPin;
  if (storage_.PinLeft() == 0) return KeyState::kLocked;
  return wrong_pins_ >= kWrongPinsPerCycle ? KeyState::kPinBlocked : KeyState::kReady;
}

protocol::Bytes<protocol::kInfoSize> Key::MakeInfo() const {
  protocol::Info info;
  info.state = State();
  info.simulator = config_.simulator;
  info.device_id = storage_.factory().device_id;
  info.device_id[0] = static_cast<std::uint8_t>(info.device_id[0] ^ config_.device_id_lie);
  info.firmware = config_.firmware_version;
  const protocol::Hash hash = protocol::Sha256Of(storage_.factory().certificate());
  std::copy_n(hash.begin(), info.attestation_hash.size(), info.attestation_hash.begin());
  return info.Encode();
}

protocol::Bytes<protocol::kKeyStatusSize> Key::MakeStatus(std::uint8_t role) const {
  protocol::KeyStatus status;
  status.role = role;
  status.state = State();
  status.boot = storage_.boot();
  status.firmware = config_.firmware_version;
  if (Enrolled()) {
    const auto& state = storage_.state();
    status.tries = state.pin_set ? storage_.PinLeft() : storage_.CodeLeft();
    for (std::size_t i = 0; i < kSlots; ++i) {
      if (state.slots[i].filled) status.slots = static_cast<std::uint8_t>(status.slots | 1u << i);
    }
    status.epoch = state.epoch;
    status.last_seq = state.last_seq;
    status.receipt_ctr = state.receipt_ctr;
    status.recipient_pub = state.recipient.pub;
  }
  return status.Encode();
}

void Key::OnHs1(std::uint32_t cid, ByteView payload) {
  const std::uint64_t now = hal_.clock.NowMs();
  const std::uint32_t delay_ms = hello_window_.Count(now);
  Handshake& handshake = sessions_.Begin(cid, now + delay_ms);
  protocol::X25519Pair ephemeral;
  protocol::Bytes<protocol::kHs2Size> hs2{};
  const protocol::X25519Pair& own = Enrolled() ? storage_.state().noise : cold_static_;
  bool good = TakePair(&ephemeral);
  if (good) {
    handshake.noise.emplace(own, ephemeral, protocol::HopPrologue(link_.transport(), MakeInfo()));
    good = handshake.noise->ReadHs1(payload) && handshake.noise->WriteHs2(hs2);
  }
  if (!good) {
    sessions_.End(handshake);
    return link_.Error(FrameError::kHandshake, delay_ms);
  }
  link_.Answer(FrameCommand::kHs2, hs2, delay_ms);
}

void Key::OnHs3(std::uint32_t cid, ByteView payload) {
  const std::uint64_t now = hal_.clock.NowMs();
  Handshake* handshake = sessions_.Waiting(cid, now);
  if (handshake == nullptr) return link_.Error(FrameError::kHandshake);
  protocol::Bytes<protocol::kHostCertSize> cert_bytes{};
  protocol::HopSession hop;
  bool good = handshake->noise->ReadHs3(payload, cert_bytes, hop);
  const protocol::X25519Public host_static = handshake->noise->host_static();
  sessions_.End(*handshake);
  const auto host = protocol::HostCert::Parse(cert_bytes);
  good = good && host.has_value() && MayEnter(*host, cert_bytes, host_static);
  if (!good) return link_.Error(FrameError::kHandshake);
  Session& session = sessions_.Open(cid, now);
  session.role = host->role;
  session.issuer_kid = host->issuer_kid;
  session.host_epoch = host->host_epoch;
  session.hop = hop;
  protocol::Bytes<protocol::kHs4Size> hs4{};
  const auto command = static_cast<std::uint8_t>(FrameCommand::kHs4);
  if (!session.hop.send.Seal(command, MakeStatus(session.role), hs4))
    return link_.Error(FrameError::kHandshake);
  link_.Answer(FrameCommand::kHs4, hs4);
}

bool Key::MayEnter(const protocol::HostCert& host, ByteView cert_bytes,
                   const protocol::X25519Public& host_static) {
  if (host.host_noise_pub != host_static) return false;
  const auto& state = storage_.state();
  // A tampered key may have lost its record, and with it whom to trust; then only RESET helps.
  if (storage_.tampered() && !Enrolled()) return false;
  if (!Enrolled()) return (host.role & protocol::kRoleEnroll) != 0;
  return host.issuer_kid == protocol::KidOf(state.issuer_pub) &&
         host.host_epoch >= state.min_host_epoch && IsSigned(host, cert_bytes);
}

// A host that comes again shows the same certificate: its signature need not be checked twice under
// the same issuer.
bool Key::IsSigned(const protocol::HostCert& host, ByteView cert_bytes) {
  const auto& issuer = storage_.state().issuer_pub;
  const protocol::Hash hash = protocol::Sha256Of(issuer, cert_bytes);
  if (std::find(signed_certs_.begin(), signed_certs_.end(), hash) != signed_certs_.end()) {
    return true;
  }
  if (!Verifies(host, issuer)) return false;
  signed_certs_[next_signed_cert_] = hash;
  next_signed_cert_ = (next_signed_cert_ + 1) % signed_certs_.size();
  return true;
}

// Whether the session's HostCert, whose signature was checked, would be accepted now.
bool Key::StillPasses(const Session& session) const {
  const auto& state = storage_.state();
  return session.issuer_kid == protocol::KidOf(state.issuer_pub) &&
         session.host_epoch >= state.min_host_epoch;
}

void Key::BeginReset() {
  const std::uint64_t since = hal_.clock.NowMs() - power_on_ms_;
  if (since > protocol::kResetWindowMillis) {
    const protocol::Bytes<1> late{static_cast<std::uint8_t>(Status::kNotAuthorised)};
    return link_.Answer(FrameCommand::kReset, late);
  }
  resetting_ = true;
  BeginWait(true);
}

void Key::EndReset(Status touch) {
  resetting_ = false;
  Status status = touch;
  if (status == Status::kOk && (Enrolled() || storage_.tampered())) {
    status = Wipe(nullptr);
    if (status == Status::kOk) sessions_.EndAll();
  }
  const protocol::Bytes<1> answer{static_cast<std::uint8_t>(status)};
  link_.Answer(FrameCommand::kReset, answer);
}

Key::Status Key::FromStore(StoreResult result) {
  switch (result) {
    case StoreResult::kOk:
      return Status::kOk;
    case StoreResult::kWornOut:
      return Status::kWearOut;
    case StoreResult::kFault:
      break;
  }
  return Status::kStorageFault;
}

}  // namespace keyferry::sim

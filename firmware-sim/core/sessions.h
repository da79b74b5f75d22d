#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include "firmware-sim/core/state.h"
#include "protocol/noise.h"

namespace keyferry::sim {

// An ENROLL_BEGIN of this session, until ENROLL_FINISH. In RAM only.
struct Enrolment {
  bool begun = false;
  protocol::Bytes<32> nonce{};
  protocol::P256Public root_pub{};
  protocol::P256Public issuer_pub{};
  std::uint32_t issuer_epoch = 0;
  protocol::Hash statement_hash{};
  protocol::P256Private sig_priv;
  protocol::P256Public sig_pub{};
  protocol::X25519Pair noise;
  protocol::X25519Pair recipient;
};

struct Session {
  std::uint32_t cid = 0;  // 0: free
  std::uint8_t role = 0;
  protocol::Kid issuer_kid{};  // of the HostCert
  std::uint32_t host_epoch = 0;
  protocol::HopSession hop;
  std::uint64_t opened_ms = 0;
  std::uint64_t used = 0;
  std::uint32_t requests = 0;

  bool pin_verified = false;
  std::uint64_t pin_ms = 0;
  protocol::X25519Private
      vault_priv;  // while pin_verified: the vault's private half, which the PIN unwrapped

  Enrolment enrolment;
};

// A handshake between HS1 and HS3, one a cid.
struct Handshake {
  std::uint32_t cid = 0;  // 0: free
  std::uint64_t answered_ms = 0;
  std::uint64_t used = 0;
  std::optional<protocol::NoiseResponder> noise;
};

// Two sessions and four handshakes. A session that is not used for longest gives way to a third,
// but only to one whose host has proven itself: a handshake alone evicts nothing.
class Sessions {
 public:
  // The session of the cid, marked as used; null when there is none or it has run out.
  Session* Use(std::uint32_t cid, std::uint64_t now_ms);
  // A free session for the cid, empty; ends the least recently used one when there is none.
  Session& Open(std::uint32_t cid, std::uint64_t now_ms);
  Handshake& Begin(std::uint32_t cid, std::uint64_t now_ms);
  // The handshake that waits for HS3; null when there is none or it has run out.
  Handshake* Waiting(std::uint32_t cid, std::uint64_t now_ms);

  void End(Session& session);
  void End(Handshake& handshake);
  void EndChannel(std::uint32_t cid);
  void EndAll();
  // PIN verifications end in every session.
  void ForgetPins();
  // Drops what has run out of time: sessions, handshakes, PIN verifications.
  void Expire(std::uint64_t now_ms);
  // Something will soon have to be dropped: a handshake or a PIN verification is open.
  bool AnyTimed() const;

  std::array<Session, protocol::kMaxSessions>& sessions() { return sessions_; }

 private:
  std::array<Session, protocol::kMaxSessions> sessions_;
  std::array<Handshake, protocol::kMaxChannels> handshakes_;
  std::uint64_t uses_ = 0;
};

// Ends the session's PIN verification and wipes the vault key.
void ForgetPin(Session& session);

}  // namespace keyferry::sim

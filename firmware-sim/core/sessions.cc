#include "firmware-sim/core/sessions.h"

namespace keyferry::sim {

void ForgetPin(Session& session) {
  session.pin_verified = false;
  session.vault_priv = {};
}

Session* Sessions::Use(std::uint32_t cid, std::uint64_t now_ms) {
  for (Session& session : sessions_) {
    if (session.cid != cid || cid == 0) continue;
    if (now_ms - session.opened_ms >= protocol::kSessionMillis ||
        session.requests >= protocol::kSessionMessages) {
      End(session);
      return nullptr;
    }
    session.used = ++uses_;
    return &session;
  }
  return nullptr;
}

Session& Sessions::Open(std::uint32_t cid, std::uint64_t now_ms) {
  Session* oldest = &sessions_[0];
  for (Session& session : sessions_) {
    if (session.used < oldest->used) oldest = &session;
  }
  End(*oldest);
  oldest->cid = cid;
  oldest->opened_ms = now_ms;
  oldest->used = ++uses_;
  return *oldest;
}

Handshake& Sessions::Begin(std::uint32_t cid, std::uint64_t now_ms) {
  EndChannel(cid);
  Handshake* oldest = &handshakes_[0];
  for (Handshake& handshake : handshakes_) {
    if (handshake.used < oldest->used) oldest = &handshake;
  }
  End(*oldest);
  oldest->cid = cid;
  oldest->answered_ms = now_ms;
  oldest->used = ++uses_;
  return *oldest;
}

Handshake* Sessions::Waiting(std::uint32_t cid, std::uint64_t now_ms) {
  for (Handshake& handshake : handshakes_) {
    if (handshake.cid != cid || cid == 0) continue;
    if (now_ms < handshake.answered_ms + protocol::kHandshakeMillis) return &handshake;
    End(handshake);
  }
  return nullptr;
}

void Sessions::End(Session& session) { Renew(session); }

void Sessions::End(Handshake& handshake) { Renew(handshake); }

void Sessions::EndChannel(std::uint32_t cid) {
  for (Session& session : sessions_) {
    if (session.cid == cid) End(session);
  }
  for (Handshake& handshake : handshakes_) {
    if (handshake.cid == cid) End(handshake);
  }
}

void Sessions::EndAll() {
  for (Session& session : sessions_) End(session);
  for (Handshake& handshake : handshakes_) End(handshake);
}

void Sessions::ForgetPins() {
  for (Session& session : sessions_) ForgetPin(session);
}

void Sessions::Expire(std::uint64_t now_ms) {
  for (Session& session : sessions_) {
    if (session.cid == 0) continue;
    if (session.pin_verified && now_ms - session.pin_ms > protocol::kPinFreshMillis)
      ForgetPin(session);
    if (now_ms - session.opened_ms >= protocol::kSessionMillis) End(session);
  }
  for (Handshake& handshake : handshakes_) {
    if (handshake.cid != 0 && now_ms >= handshake.answered_ms + protocol::kHandshakeMillis)
      End(handshake);
  }
}

bool Sessions::AnyTimed() const {
  for (const Session& session : sessions_) {
    if (session.pin_verified) return true;
  }
  for (const Handshake& handshake : handshakes_) {
    if (handshake.cid != 0) return true;
  }
  return false;
}

}  // namespace keyferry::sim

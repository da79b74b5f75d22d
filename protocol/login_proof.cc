#include "protocol/login_proof.h"

namespace keyferry::protocol {

bool LoginProof(const X25519Private& own, const X25519Public& peer,
                const LoginProofSubject& subject, Hash& proof) {
  Secret<kX25519Size> shared;
  proof = {};
  if (!X25519Agree(own, peer, shared)) return false;
  const Secret<kHashSize> prk = HkdfExtract(Label("keyferry/login-proof/v1"), shared.view());
  Hmac(prk.view())
      .Update(subject.workstation)
      .Update(subject.login_noise_pub)
      .Update(subject.challenge)
      .Final(proof);
  return true;
}

}  // namespace keyferry::protocol

#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "protocol/result.h"
#include "protocol/secure/secure_bytes.h"
#include "server/core/ids.h"
#include "server/core/session.h"

namespace keyferry::server {

// What one person's authenticator app has to know, shown once.
struct FactorProposal {
  SecureBytes secret;  // 160 bits in base 32
  SecureBytes uri;     // otpauth://totp/…, for the QR code
};

struct FactorConfirmed {
  SignedIn signed_in;                 // the complete session, with its new cookie
  std::vector<SecureBytes> recovery;  // shown once: "abcd-efgh-ijkl-mnop"
};

struct FactorView {
  AccountId account;
  std::string login;
  std::int64_t since = 0;  // Unix milliseconds
  std::size_t recovery_left = 0;
  bool app = true;            // whether there is an authenticator app
  std::size_t fido_keys = 0;  // fido_keys.h
};

// Second factor: codes of an authenticator app (totp.h), and recovery codes that work once each.
// FIDO2 keys (fido_keys.h) stand beside it, or in the app's place: a person who has either has a
// second factor.
//
// The secret lies in the database sealed (XChaCha20-Poly1305, bound to the account) with a key that
// is derived from the issuer's private key, which is in a file of its own: the database alone, or a
// backup of it, makes no code. Recovery codes have 80 bits and are stored as argon2id hashes.
//
// Every refusal of a code is the same, at the same times: wrong, used before, too old. A code works
// once, on whatever server and however many ask at the same time, for it raises the durable number
// of the last step in one transaction. Wrong ones count in the database against the account.
// Thread-safe; blocks.
class SecondFactor {
 public:
  virtual ~SecondFactor() = default;

  // A new secret for the person of an incomplete session (kSetUpOwed), or of a complete one that
  // has no app; a former proposal is void. kConflict: there is an app already.
  virtual Result<FactorProposal> Propose(const Session& session) = 0;
  // Takes the proposal with the codes of two steps in a row, the second of which is of now.
  // kUnauthenticated: they are not; kRateLimited.
  virtual Result<FactorConfirmed> Confirm(std::string_view token, const Session& session,
                                          const SecureBytes& first, const SecureBytes& second) = 0;
  // A code of the app or a recovery code: completes the session, or proves anew that its person has
  // the factor (step-up). The cookie is renewed either way. kUnauthenticated, kRateLimited.
  virtual Result<SignedIn> Prove(std::string_view token, const Session& session,
                                 const SecureBytes& code) = 0;
  // Whether the session's last proof is too old for what is guarded by it. Never where no factor is
  // asked for: switched off, or optional and not set up.
  virtual bool NeedsStepUp(const Session& session) = 0;

  virtual Result<std::vector<FactorView>> List() = 0;
  // What this person has; nothing while they have no second factor.
  virtual Result<std::optional<FactorView>> Of(const AccountId& account) = 0;
  // False where nobody is asked for one (FactorPolicy::kOff): then none is set up.
  virtual bool On() const = 0;
  // Ten new recovery codes for the session's person; the former ones are void.
  virtual Result<std::vector<SecureBytes>> NewRecovery(const Session& session) = 0;
  // Takes a person's factor away, with recovery codes, FIDO2 keys and sessions: it is set up anew
  // at the next sign-in. For administrators, and nobody for themselves (kPermissionDenied).
  // kNotFound. kConflict with kApprovalDetail (four_eyes.h): a second person has to approve first.
  virtual Result<void> Reset(const Actor& actor, const AccountId& account) = 0;
};

}  // namespace keyferry::server

#pragma once

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

struct FidoKeyView {
  FidoKeyId id;
  std::string name;
  std::int64_t created = 0;  // Unix milliseconds
  std::int64_t used = 0;     // … of the last proof, 0 = none yet
  std::int64_t suspect = 0;  // … since when it is refused because its counter went back, 0 = not
};

// What the browser is told to do (Web Authentication Level 2: navigator.credentials.create and
// .get). Bytes are base64url without padding.
struct FidoCeremony {
  std::string challenge;  // 256 bits
  std::string relying_party;
  std::string user_verification;
  std::int64_t timeout_millis = 0;
  struct Known {
    std::string id;
    std::vector<std::string> transports;
  };
  std::vector<Known> keys;  // to create: those that are there already; to get: those that will do
  // To create alone.
  std::string user;  // opaque, the same for all keys of a person
  std::string login, display_name;
};

struct FidoKeyOffer {
  std::string name;        // 1…kFidoNameBytes, printable
  std::string credential;  // "CLIENT_DATA.ATTESTATION_OBJECT", each base64url without padding
  std::vector<std::string> transports;  // as the browser says; unknown ones are left out
  // Whether it may be the person's first second factor: then there are recovery codes to show.
  bool may_be_first = false;
};

struct FidoKeyAccepted {
  FidoKeyView key;
  // Of the first second factor: the complete session with its new cookie, and recovery codes, shown
  // once.
  std::optional<SignedIn> signed_in;
  std::vector<SecureBytes> recovery;
};

// FIDO2 keys as second factor, by Web Authentication Level 2: registration as in section 7.1,
// authentication as in 7.2.
//
// Each ceremony begins with a challenge that lies with the session in the database: one at a time
// for a session, for one kind of ceremony, for five minutes, and taken away by the first answer
// whatever that is. An answer counts only with that challenge, from an origin of this server, for
// its relying party, with the person present (and verified, where that is required), and signed by
// a key of this person. A counter that does not grow, of a key that counts, means that the key may
// have been copied: the answer is refused, and the key from then on.
//
// No attestation is asked for: the maker of a key is not known and not judged.
//
// Every refusal of an answer is the same to the person, at the same times; the audit log says why.
// Wrong answers count together with wrong codes. Thread-safe; blocks.
class FidoKeys {
 public:
  virtual ~FidoKeys() = default;
  virtual Result<std::vector<FidoKeyView>> Of(const AccountId& account) = 0;

  // For an incomplete session that owes the set-up, or a complete one. kConflict: the second
  // factor is owed, or the person has as many keys as one may have.
  virtual Result<FidoCeremony> BeginNew(std::string_view token, const Session& session) = 0;
  // kUnauthenticated: the answer is not right. kConflict: the credential is registered already, or
  // as above, or it would be the first. kInvalidArgument: the name. kRateLimited.
  virtual Result<FidoKeyAccepted> Add(std::string_view token, const Session& session,
                                      const FidoKeyOffer& offer) = 0;

  // For a session that owes its second factor, or a step-up. kConflict: the person has no key here.
  virtual Result<FidoCeremony> BeginProof(std::string_view token, const Session& session) = 0;
  // `answer`: "ID.CLIENT_DATA.AUTHENTICATOR_DATA.SIGNATURE.USER_HANDLE", each base64url without
  // padding, the last one possibly empty. As SecondFactor::Prove.
  virtual Result<SignedIn> Prove(std::string_view token, const Session& session,
                                 std::string_view answer) = 0;

  // One's own. kNotFound; kInvalidArgument.
  virtual Result<void> Rename(const Actor& actor, const FidoKeyId& id, std::string_view name) = 0;
  // kConflict: it is the last key of somebody without an app.
  virtual Result<void> Remove(const Actor& actor, const FidoKeyId& id) = 0;
};

// Most of the texts above, in bytes.
inline constexpr std::size_t kFidoNameBytes = 128;
inline constexpr std::size_t kFidoCredentialBytes = 16 * 1024;
inline constexpr std::size_t kFidoAnswerBytes = 12 * 1024;

}  // namespace keyferry::server

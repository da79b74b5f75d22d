#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "client-daemon/agent/budget.h"
#include "client-daemon/core/encoding.h"
#include "device/key_record.h"
#include "device/link.h"
#include "protocol/certs.h"
#include "protocol/result.h"

namespace keyferry::daemon::login {

// What keyferryd says the organisation certified. Nothing of it is believed until it was checked.
struct Credentials {
  Id workstation{};
  std::optional<protocol::Bytes<protocol::kHostCertSize>> login_cert;  // none: not certified yet
  protocol::P256Public root{};
  // Of the server: answered by Prove, it certifies a key that is not certified yet.
  std::optional<protocol::X25519Public> challenge;
};

// A road to the key that keyferryd says belongs to a login.
struct KeyAtHand {
  Id device{};
  std::optional<std::array<std::uint8_t, device::kKeyRecordSize>> record;  // none: not here yet
  std::string login;
  std::unique_ptr<device::MessageLink>
      link;  // takes its waiting from the budget it was opened with
};

// What keyferryd says that the help desk asks (protocol/caller_proof.h).
struct QuestionAtHand {
  Id request{};
  protocol::Bytes<32> challenge{};
  std::string agent, ticket, reason;
};

// The login agent's view of keyferryd (docs/local-ipc.md section 1). The daemon is not trusted with
// anything but being there. Thread-safe; every call waits within `budget` and no longer.
// kUnavailable: no daemon, or not approved yet; kDeadline; kProtocol: nonsense came.
class DaemonPort {
 public:
  virtual ~DaemonPort() = default;
  // Tells the daemon our public hop key, to be certified, and asks for what there is.
  virtual Result<Credentials> Register(const protocol::X25519Public& login_noise_pub,
                                       Budget& budget) = 0;
  // Answers `challenge` (protocol/login_proof.h). kUnavailable says why there is no certificate
  // yet.
  virtual Result<Credentials> Prove(const protocol::X25519Public& login_noise_pub,
                                    const protocol::X25519Public& challenge,
                                    const protocol::Hash& proof, Budget& budget) = 0;
  // kNotFound: no key of this login is plugged in here. `budget` must outlive the link.
  virtual Result<KeyAtHand> OpenRelay(const std::string& login, Budget& budget) = 0;
  // A login with password `seq` succeeded.
  virtual Result<void> Used(const Id& device, std::uint64_t seq, Budget& budget) = 0;
  // kNotFound: the help desk asks this login nothing.
  virtual Result<QuestionAtHand> Question(const std::string& login, Budget& budget) = 0;
  // Nothing: the person says that it is not them. kConflict: the server did not take the proof; the
  // message says why.
  virtual Result<void> Answer(const Id& request,
                              const std::optional<protocol::Bytes<protocol::kAssertionSize>>& proof,
                              Budget& budget) = 0;
};

}  // namespace keyferry::daemon::login

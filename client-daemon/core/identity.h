#pragma once

#include <array>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "client-daemon/core/encoding.h"
#include "client-daemon/core/server_port.h"
#include "protocol/crypto.h"
#include "protocol/result.h"

namespace keyferry::daemon {

using NoisePublic = std::array<std::uint8_t, 32>;

// A request to become a workstation that the server took.
struct Registration {
  Id workstation{};
  std::string poll_token;
  std::optional<NoisePublic> login_noise_pub;  // as it was sent
  std::string server_url;                      // to whom
};

// An administrator's yes.
struct Approval {
  Id workstation{};
  std::string daemon_url;               // https://host:port of the daemon listener
  std::array<std::uint8_t, 65> root{};  // the organisation's root key: pinned from here on
  Certificates certificates;
};

// Who this workstation is, in DIR (0700, files 0600):
//   hop.key            X25519 private key, 32 bytes, made at the first start
//   tls.key, tls.crt   made and used by the uplink
//   login.pub          public hop key of the login agent, 32 bytes
//   registration.json  the request that waits for approval
//   approval.json      what came with the approval
// Removing the directory makes it a new workstation, which has to be approved again. Thread-safe.
class IdentityStore {
 public:
  static Result<std::unique_ptr<IdentityStore>> Open(const std::string& directory);

  std::string TlsKeyFile() const { return directory_ + "/tls.key"; }
  std::string TlsCertificateFile() const { return directory_ + "/tls.crt"; }

  const protocol::X25519Private& HopPrivate() const { return hop_private_; }
  const NoisePublic& HopPublic() const { return hop_public_; }

  std::optional<NoisePublic> LoginPublic() const;
  // From the login agent. True when it is not the one known so far.
  Result<bool> SetLoginPublic(const NoisePublic& login);

  std::optional<Registration> GetRegistration() const;
  Result<void> SetRegistration(const Registration& registration);
  Result<void> ForgetRegistration();

  std::optional<Approval> GetApproval() const;
  Result<void> SetApproval(const Approval& approval, const std::string& certificate_pem);
  // Newer certificates from `hello`; written only when they differ.
  Result<void> SetCertificates(const Certificates& certificates);
  // The login agent's, got after the approval.
  Result<void> SetLoginCertificate(const std::array<std::uint8_t, 144>& certificate);

 private:
  explicit IdentityStore(std::string directory) : directory_(std::move(directory)) {}
  Result<void> Load();
  Result<void> LoadHopKey();
  Result<void> WriteApproval(const Approval& approval);

  const std::string directory_;
  protocol::X25519Private hop_private_;
  NoisePublic hop_public_{};
  mutable std::mutex mutex_;
  std::optional<NoisePublic> login_public_;
  std::optional<Registration> registration_;
  std::optional<Approval> approval_;
};

}  // namespace keyferry::daemon

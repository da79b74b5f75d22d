#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>

#include "client-daemon/core/encoding.h"
#include "protocol/crypto.h"
#include "protocol/result.h"

namespace keyferry::daemon::login {

// What the login agent keeps, in DIR (0700, files 0600):
//   login.key        X25519 private hop key (LOGIN), 32 bytes, made at the first start
//   root.pub         the organisation's root key, 65 bytes: the first one that the daemon named
//   after this workstation
//                    was approved (trust on first use), unless the configuration gives one
//   logins/ID.login  the login that a password released by the key of account ID carried
// Removing root.pub trusts anew; removing the directory makes a new LOGIN key, which has to be
// certified again. Thread-safe.
class AgentState {
 public:
  // With `root` (from the configuration) the file root.pub is neither read nor written.
  static Result<std::unique_ptr<AgentState>> Open(const std::string& directory,
                                                  std::optional<protocol::P256Public> root);

  const protocol::X25519Private& LoginKey() const { return key_; }
  const protocol::X25519Public& LoginPublic() const { return public_; }

  // Accepts `root` when it is the pinned one, or pins it when there is none. kProtocol for another
  // one.
  Result<void> CheckRoot(const protocol::P256Public& root);

  // Remembers that the server sealed `login` and its password to the key of `account`.
  Result<void> Remember(const Id& account, std::string_view login);
  // What was remembered last; nothing when no password was released here yet.
  std::optional<std::string> LoginOf(const Id& account) const;

 private:
  explicit AgentState(std::string directory) : directory_(std::move(directory)) {}
  Result<void> LoadKey();
  Result<void> LoadRoot();
  std::string LoginFile(const Id& account) const;

  const std::string directory_;
  protocol::X25519Private key_;
  protocol::X25519Public public_{};
  mutable std::mutex mutex_;
  std::optional<protocol::P256Public> root_;
};

}  // namespace keyferry::daemon::login

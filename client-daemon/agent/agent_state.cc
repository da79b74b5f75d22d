#include "client-daemon/agent/agent_state.h"

#include <algorithm>
#include <span>

#include "client-daemon/core/files.h"
#include "client-daemon/core/log.h"
#include "protocol/limits.h"
#include "protocol/secure/secure_bytes.h"
#include "protocol/secure/system_random.h"

namespace keyferry::daemon::login {
namespace {

tl::unexpected<Error> Damaged(const std::string& path, const char* remedy) {
  return Fail(ErrorCode::kProtocol, path + " is damaged. " + remedy);
}

}  // namespace

Result<std::unique_ptr<AgentState>> AgentState::Open(const std::string& directory,
                                                     std::optional<protocol::P256Public> root) {
  if (auto made = MakePrivateDirectory(directory); !made) return tl::unexpected(made.error());
  if (auto made = MakePrivateDirectory(directory + "/logins"); !made) {
    return tl::unexpected(made.error());
  }
  std::unique_ptr<AgentState> state(new AgentState(directory));
  if (auto loaded = state->LoadKey(); !loaded) return tl::unexpected(loaded.error());
  state->root_ = root;
  if (!root) {
    if (auto loaded = state->LoadRoot(); !loaded) return tl::unexpected(loaded.error());
  }
  return state;
}

Result<void> AgentState::LoadKey() {
  const std::string path = directory_ + "/login.key";
  auto file = ReadBounded(path, protocol::kX25519Size);
  if (file) {
    if (file->size() == protocol::kX25519Size) {
      std::copy(file->begin(), file->end(), key_.bytes.begin());
    }
    Wipe(file->data(), file->size());
    if (file->size() != protocol::kX25519Size || !protocol::X25519DerivePublic(key_, public_)) {
      return Damaged(path, "Remove it; the new key has to be certified by an administrator.");
    }
    return {};
  }
  if (file.error().code != ErrorCode::kNotFound) return tl::unexpected(file.error());
  if (!protocol::X25519Generate(OsRandom(), key_, public_)) {
    return Fail(ErrorCode::kInternal, "No key could be made: the system has no random bytes.");
  }
  Log(LogLevel::kInfo, "a new LOGIN key was made");
  return WriteDurably(path, key_.view());
}

Result<void> AgentState::LoadRoot() {
  const std::string path = directory_ + "/root.pub";
  const auto file = ReadBounded(path, protocol::kP256PublicSize);
  if (!file) {
    if (file.error().code == ErrorCode::kNotFound) return {};
    return tl::unexpected(file.error());
  }
  protocol::P256Public root{};
  if (file->size() != root.size()) return Damaged(path, "Remove it to pin the root key anew.");
  std::copy(file->begin(), file->end(), root.begin());
  if (!protocol::P256IsOnCurve(root)) return Damaged(path, "Remove it to pin the root key anew.");
  root_ = root;
  return {};
}

Result<void> AgentState::CheckRoot(const protocol::P256Public& root) {
  const std::scoped_lock lock(mutex_);
  if (root_) {
    if (*root_ == root) return {};
    return Fail(
        ErrorCode::kProtocol,
        "This computer's Keyferry daemon names another organisation than before; nothing "
        "is sent to any key. Ask your administrator.",
        "root_pub " + Hex(protocol::KidOf(root)) + ", pinned " + Hex(protocol::KidOf(*root_)));
  }
  if (!protocol::P256IsOnCurve(root)) {
    return Fail(ErrorCode::kProtocol, "The organisation's root key that the daemon names is none.");
  }
  if (auto written = WriteDurably(directory_ + "/root.pub", root); !written) return written;
  root_ = root;
  Log(LogLevel::kWarning,
      "the organisation's root key " + Hex(protocol::KidOf(root)) +
          " is trusted from now on, because it is the first one seen; compare it, or set "
          "`root_pub`");
  return {};
}

std::string AgentState::LoginFile(const Id& account) const {
  return directory_ + "/logins/" + Hex(account) + ".login";
}

Result<void> AgentState::Remember(const Id& account, std::string_view login) {
  if (LoginOf(account) == login) return {};
  const std::scoped_lock lock(mutex_);
  return WriteDurably(LoginFile(account),
                      std::span(reinterpret_cast<const std::uint8_t*>(login.data()), login.size()));
}

std::optional<std::string> AgentState::LoginOf(const Id& account) const {
  const std::scoped_lock lock(mutex_);
  const auto file = ReadBounded(LoginFile(account), protocol::kMaxLogin);
  if (!file || file->empty()) return std::nullopt;
  return std::string(file->begin(), file->end());
}

}  // namespace keyferry::daemon::login

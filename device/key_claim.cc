#include "device/key_claim.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstring>
#include <utility>

#include "protocol/crypto.h"

namespace keyferry::device {

Result<KeyClaim> KeyClaim::Take(const std::string& name, const std::string& shown) {
  const int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return Fail(ErrorCode::kIo, "No socket can be made.", std::strerror(errno));
  const protocol::Hash hash = protocol::Sha256Of(protocol::AsBytes(name));
  // Abstract: the name begins with a zero byte and has no file.
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  constexpr char kPrefix[] = "keyferry-key-";
  std::memcpy(address.sun_path + 1, kPrefix, sizeof kPrefix - 1);
  std::memcpy(address.sun_path + sizeof kPrefix, hash.data(), hash.size());
  const auto size =
      static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + sizeof kPrefix + hash.size());
  const auto* generic = reinterpret_cast<const sockaddr*>(&address);
  if (bind(fd, generic, size) == 0 && listen(fd, 1) == 0) return KeyClaim(fd);
  ucred holder{};
  socklen_t holder_size = sizeof holder;
  const bool known = connect(fd, generic, size) == 0 &&
                     getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &holder, &holder_size) == 0;
  close(fd);
  if (known && (holder.uid == 0 || holder.uid == geteuid() || geteuid() == 0)) {
    return Fail(ErrorCode::kConflict, "The security key at " + shown + " is in use by process " +
                                          std::to_string(holder.pid) +
                                          "; only one keyferryd can have it. Stop the other one.");
  }
  return KeyClaim();
}

KeyClaim::KeyClaim(KeyClaim&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}

KeyClaim& KeyClaim::operator=(KeyClaim&& other) noexcept {
  std::swap(fd_, other.fd_);
  return *this;
}

KeyClaim::~KeyClaim() {
  if (fd_ >= 0) close(fd_);
}

}  // namespace keyferry::device

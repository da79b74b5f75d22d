#include "client-daemon/ipc/ipc_server.h"

#include <poll.h>
#include <pwd.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include "client-daemon/core/encoding.h"
#include "client-daemon/core/files.h"
#include "client-daemon/core/log.h"
#include "client-daemon/core/notice_board.h"
#include "client-daemon/ipc/messages.h"
#include "client-daemon/ipc/relay.h"

namespace keyferry::daemon {
namespace {

constexpr std::size_t kMaxRequest = 4096;
constexpr int kAskTimeoutMs = 10'000;
constexpr std::size_t kMostNotices = 20;  // of an answer, which has at most 64 KiB

bool PeerOf(int fd, ucred& peer) {
  socklen_t size = sizeof peer;
  return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0;
}

// The program's name as the kernel has it; it may have called itself anything.
std::string ProgramOf(pid_t process) {
  const auto name = ReadBounded("/proc/" + std::to_string(process) + "/comm", 64);
  if (!name) return "a program";
  std::string text(name->begin(), name->end());
  while (!text.empty() && text.back() == '\n') text.pop_back();
  text = Printable(text, 64);
  return text.empty() ? "a program" : text;
}

// The user's name, empty when there is none.
std::string NameOf(uid_t uid) {
  std::array<char, 4096> buffer;
  passwd entry{};
  passwd* found = nullptr;
  if (getpwuid_r(uid, &entry, buffer.data(), buffer.size(), &found) != 0 || found == nullptr) {
    return {};
  }
  return found->pw_name;
}

void SendAnswer(int fd, const std::string& answer) {
  [[maybe_unused]] const ssize_t n =
      send(fd, answer.data(), answer.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
}

// A socket left by a daemon that died is removed; one that answers is not.
Result<void> ClearTheWay(const sockaddr_un& address) {
  const std::string path = address.sun_path;
  const int probe = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (probe < 0) return Fail(ErrorCode::kIo, "No socket can be made.", std::strerror(errno));
  const int connected = connect(probe, reinterpret_cast<const sockaddr*>(&address), sizeof address);
  const int error = errno;
  ucred peer{};
  const bool known = connected == 0 && PeerOf(probe, peer);
  close(probe);
  if (connected == 0 || error == EAGAIN) {
    return Fail(ErrorCode::kConflict, "Another keyferryd (process " +
                                          (known ? std::to_string(peer.pid) : std::string("?")) +
                                          ") listens at " + path +
                                          "; stop it or choose another `socket`.");
  }
  struct stat info {};
  if (lstat(path.c_str(), &info) != 0) return {};
  if (!S_ISSOCK(info.st_mode)) {
    return Fail(ErrorCode::kInvalidArgument,
                path + " is in the way of `socket` and is no socket; move it away.");
  }
  if (unlink(path.c_str()) != 0) {
    return Fail(ErrorCode::kIo, "The old socket " + path + " cannot be removed.",
                std::strerror(errno));
  }
  return {};
}

}  // namespace

IpcServer::IpcServer(IpcSettings settings, LocalApi& api)
    : settings_(std::move(settings)), api_(api) {}

Result<void> IpcServer::Start() {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (settings_.path.empty() || settings_.path.size() >= sizeof address.sun_path) {
    return Fail(ErrorCode::kInvalidArgument, "`socket` must have 1 to 107 characters.");
  }
  std::memcpy(address.sun_path, settings_.path.data(), settings_.path.size());
  if (auto clear = ClearTheWay(address); !clear) return clear;
  listen_fd_ = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  stop_fd_ = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  // Anyone may ask for `status`; the rest is decided by SO_PEERCRED.
  if (listen_fd_ < 0 || stop_fd_ < 0 ||
      bind(listen_fd_, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
      chmod(settings_.path.c_str(), 0666) != 0 || listen(listen_fd_, 64) != 0) {
    const int error = errno;
    return Fail(ErrorCode::kIo,
                "The socket " + settings_.path + " cannot be made: " + std::strerror(error) +
                    "; its directory must exist and be writable by keyferryd.",
                std::strerror(error));
  }
  thread_ = std::thread([this] { AcceptLoop(); });
  return {};
}

IpcServer::~IpcServer() {
  const std::uint64_t one = 1;
  [[maybe_unused]] const ssize_t n = write(stop_fd_, &one, sizeof one);
  const bool started = thread_.joinable();
  if (started) thread_.join();
  {
    const std::scoped_lock lock(mutex_);
    for (const Connection& connection : connections_) shutdown(connection.fd, SHUT_RDWR);
  }
  for (Connection& connection : connections_) {
    connection.thread.join();
    close(connection.fd);
  }
  if (started) unlink(settings_.path.c_str());
  if (listen_fd_ >= 0) close(listen_fd_);
  if (stop_fd_ >= 0) close(stop_fd_);
}

bool IpcServer::Trusted(uid_t uid) const {
  return uid == 0 || uid == geteuid() ||
         std::find(settings_.allow_users.begin(), settings_.allow_users.end(), uid) !=
             settings_.allow_users.end();
}

void IpcServer::AcceptLoop() {
  while (true) {
    pollfd fds[2] = {{listen_fd_, POLLIN, 0}, {stop_fd_, POLLIN, 0}};
    if (poll(fds, 2, -1) < 0 && errno != EINTR) return;
    if (fds[1].revents != 0) return;
    const int fd = accept4(listen_fd_, nullptr, nullptr, SOCK_CLOEXEC);
    Reap();
    if (fd >= 0) {
      Admit(fd);
    } else if (errno == EMFILE || errno == ENFILE) {
      // Nothing can be accepted until somebody leaves; look again soon instead of spinning.
      poll(&fds[1], 1, 100);
    }
  }
}

void IpcServer::Reap() {
  std::list<Connection> ended;
  {
    const std::scoped_lock lock(mutex_);
    for (auto it = connections_.begin(); it != connections_.end();) {
      const auto next = std::next(it);
      if (it->done) ended.splice(ended.end(), connections_, it);
      it = next;
    }
  }
  for (Connection& connection : ended) {
    connection.thread.join();
    close(connection.fd);
  }
}

void IpcServer::Admit(int fd) {
  ucred peer{};
  if (!PeerOf(fd, peer)) {
    close(fd);
    return;
  }
  const std::scoped_lock lock(mutex_);
  const auto of_user =
      std::count_if(connections_.begin(), connections_.end(),
                    [&](const Connection& other) { return other.uid == peer.uid; });
  if (connections_.size() >= kMaxConnections ||
      (peer.uid != 0 && static_cast<std::size_t>(of_user) >= kMaxPerUser)) {
    SendAnswer(fd, FormatError({ErrorCode::kRateLimited,
                                "Too many programs are asking keyferryd at once; try again.",
                                {},
                                0}));
    close(fd);
    return;
  }
  Connection& connection = connections_.emplace_back();
  connection.fd = fd;
  connection.uid = peer.uid;
  connection.asker = {ProgramOf(peer.pid), peer.pid};
  connection.thread = std::thread([this, &connection] {
    Serve(connection);
    // The peer learns it now; the descriptor stays ours until the thread is joined.
    shutdown(connection.fd, SHUT_RDWR);
    const std::scoped_lock done(mutex_);
    connection.done = true;
  });
}

void IpcServer::Serve(Connection& connection) {
  std::array<char, kMaxRequest> buffer;
  while (true) {
    pollfd fd{connection.fd, POLLIN, 0};
    const int ready = poll(&fd, 1, kAskTimeoutMs);
    if (ready < 0 && errno == EINTR) continue;
    if (ready <= 0) return;
    const ssize_t size =
        recv(connection.fd, buffer.data(), buffer.size(), MSG_TRUNC | MSG_DONTWAIT);
    if (size < 0 && (errno == EINTR || errno == EAGAIN)) continue;
    if (size <= 0) return;
    if (static_cast<std::size_t>(size) > buffer.size()) {
      SendAnswer(
          connection.fd,
          FormatError(
              {ErrorCode::kInvalidArgument, "A request may have at most 4096 bytes.", {}, 0}));
      return;
    }
    std::optional<RelayGrant> relay;
    SendAnswer(connection.fd,
               Answer(connection, {buffer.data(), static_cast<std::size_t>(size)}, relay));
    if (relay) return Relay(connection, *relay);
  }
}

std::string IpcServer::Answer(Connection& connection, std::string_view text,
                              std::optional<RelayGrant>& relay) {
  const auto request = ParseRequest(text);
  if (!request) return FormatError(request.error());
  if (request->op == IpcRequest::kStatus) return FormatStatus(api_.Status());
  if (request->op == IpcRequest::kNotices || request->op == IpcRequest::kNotMe) {
    return AnswerNotices(connection, *request);
  }
  if (request->op == IpcRequest::kAsked) return AnswerAsked(connection);
  const bool seated = request->op == IpcRequest::kRelay && settings_.at_seat;
  if (!Trusted(connection.uid) && !(seated && settings_.at_seat(connection.uid))) {
    Log(LogLevel::kWarning, "user " + std::to_string(connection.uid) +
                                " asked for what only the login agent may have; refused");
    return FormatError({ErrorCode::kPermissionDenied,
                        "Only root and the users named by allow_users may ask for this.",
                        {},
                        0});
  }
  switch (request->op) {
    case IpcRequest::kAgent: {
      const auto answer = request->proof ? api_.ProveAgent(request->login_noise_pub,
                                                           *request->challenge, *request->proof)
                                         : api_.Agent(request->login_noise_pub);
      return answer ? FormatAgent(*answer) : FormatError(answer.error());
    }
    case IpcRequest::kRelay: {
      auto grant = request->device ? api_.OpenRelay(*request->device, connection.asker)
                                   : api_.OpenRelayFor(request->login, connection.asker);
      if (!grant) return FormatError(grant.error());
      relay = *std::move(grant);
      const std::scoped_lock lock(mutex_);
      connection.relayed = relay->path;
      return FormatRelay(*relay);
    }
    case IpcRequest::kUsed: {
      const auto used = api_.Used(*request->device, request->seq);
      return used ? FormatOk() : FormatError(used.error());
    }
    case IpcRequest::kCaller: {
      const auto question = api_.Caller(request->login);
      return question ? FormatCaller(*question) : FormatError(question.error());
    }
    case IpcRequest::kAnswer: {
      const auto verdict = api_.AnswerCaller(request->request, request->assertion);
      return verdict ? FormatVerdict(*verdict) : FormatError(verdict.error());
    }
    case IpcRequest::kStatus:
    case IpcRequest::kNotices:
    case IpcRequest::kNotMe:
    case IpcRequest::kAsked:
      break;
  }
  return FormatError({ErrorCode::kInvalidArgument, "There is no such request.", {}, 0});
}

std::string IpcServer::AnswerAsked(const Connection& connection) {
  std::vector<AskedCaller> theirs = api_.Asked();
  if (!Trusted(connection.uid) && !(settings_.at_seat && settings_.at_seat(connection.uid))) {
    const std::string name = NameOf(connection.uid);
    std::erase_if(theirs, [&](const AskedCaller& one) { return !IsSameUser(name, one.login); });
  }
  return FormatAsked(theirs);
}

std::string IpcServer::AnswerNotices(const Connection& connection, const IpcRequest& request) {
  std::vector<NoticeEvent> theirs = api_.Notices();
  if (!Trusted(connection.uid) && !(settings_.at_seat && settings_.at_seat(connection.uid))) {
    const std::string name = NameOf(connection.uid);
    std::erase_if(theirs,
                  [&](const NoticeEvent& notice) { return !IsSameUser(name, notice.login); });
  }
  if (request.op == IpcRequest::kNotices) {
    if (theirs.size() > kMostNotices) theirs.resize(kMostNotices);
    return FormatNotices(theirs);
  }
  const bool shown = std::any_of(theirs.begin(), theirs.end(), [&](const NoticeEvent& notice) {
    return notice.number == request.number;
  });
  if (!shown) {
    return FormatError(
        {ErrorCode::kNotFound, "There is no such notice of yours at this workstation.", {}, 0});
  }
  const auto said = api_.NotMe(request.number);
  return said ? FormatOk() : FormatError(said.error());
}

void IpcServer::Relay(Connection& connection, RelayGrant& grant) {
  Log(LogLevel::kDebug,
      "relay to key " + Hex(grant.device) + " opened for user " + std::to_string(connection.uid));
  RunRelay(connection.fd, *grant.link);
  Log(LogLevel::kDebug, "relay to key " + Hex(grant.device) + " closed");
}

void IpcServer::KeyGone(const std::string& path) {
  const std::scoped_lock lock(mutex_);
  for (const Connection& connection : connections_) {
    if (connection.relayed == path && !connection.done) shutdown(connection.fd, SHUT_RDWR);
  }
}

}  // namespace keyferry::daemon

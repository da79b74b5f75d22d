#include "client-daemon/agent/daemon_client.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>
#include <cerrno>
#include <cstring>
#include <utility>

#include "client-daemon/agent/relay_link.h"
#include "client-daemon/core/json.h"
#include "protocol/caller_proof.h"

namespace keyferry::daemon::login {
namespace {

namespace json = boost::json;
using Clock = Budget::Clock;

constexpr std::size_t kMaxAnswer = 4096;

tl::unexpected<Error> NoDaemon(const char* detail) {
  return Fail(ErrorCode::kUnavailable, "The Keyferry daemon of this computer is not running.",
              detail);
}

tl::unexpected<Error> Nonsense(const char* detail) {
  return Fail(ErrorCode::kProtocol, "The Keyferry daemon gave an answer that makes no sense.",
              detail);
}

// A connection to the daemon, closed at the end unless it was taken over.
class Connection {
 public:
  ~Connection() {
    if (fd_ >= 0) close(fd_);
  }
  Connection() = default;
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  int Release() { return std::exchange(fd_, -1); }

  // One request, one answer with "ok":true; any other becomes an error.
  Result<json::object> Ask(const std::string& path, const json::object& request, Budget& budget) {
    const auto start = Clock::now();
    auto answer = AskOnce(path, json::serialize(request), budget);
    budget.Spend(Clock::now() - start);
    if (!answer) return tl::unexpected(answer.error());
    auto object = ParseObject(*answer);
    if (!object) return Nonsense("no JSON object");
    const json::value* ok = object->if_contains("ok");
    if (ok == nullptr || !ok->is_bool()) return Nonsense("no `ok`");
    if (ok->get_bool()) return object;
    const std::string code = GetText(*object, "code", 64).value_or("");
    const std::string message = Printable(GetText(*object, "message", 1024).value_or(""), 300);
    if (message.empty()) return Nonsense("no `message`");
    const ErrorCode kind = code == "not_found"           ? ErrorCode::kNotFound
                           : code == "permission_denied" ? ErrorCode::kPermissionDenied
                           : code == "busy"              ? ErrorCode::kRateLimited
                           : code == "alarm"             ? ErrorCode::kPolicyRefused
                                                         : ErrorCode::kUnavailable;
    return Fail(kind, message, code);
  }

 private:
  Result<std::string> AskOnce(const std::string& path, const std::string& request, Budget& budget) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path.empty() || path.size() >= sizeof address.sun_path) return NoDaemon("socket path");
    std::memcpy(address.sun_path, path.data(), path.size());
    fd_ = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd_ < 0 || connect(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
      return NoDaemon(std::strerror(errno));
    }
    if (send(fd_, request.data(), request.size(), MSG_NOSIGNAL) < 0) return NoDaemon("send");
    const auto deadline = Clock::now() + budget.left();
    std::array<char, kMaxAnswer> buffer;
    while (true) {
      const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now());
      pollfd waiting{fd_, POLLIN, 0};
      const int ready = left.count() <= 0 ? 0 : poll(&waiting, 1, static_cast<int>(left.count()));
      if (ready < 0 && errno == EINTR) continue;
      if (ready <= 0) {
        return Fail(ErrorCode::kDeadline, "The Keyferry daemon did not answer in time.");
      }
      const ssize_t got = recv(fd_, buffer.data(), buffer.size(), MSG_TRUNC);
      if (got < 0 && (errno == EINTR || errno == EAGAIN)) continue;
      if (got <= 0) return NoDaemon("closed");
      if (static_cast<std::size_t>(got) > buffer.size()) return Nonsense("answer too long");
      return std::string(buffer.data(), static_cast<std::size_t>(got));
    }
  }

  int fd_ = -1;
};

// The answer to `agent`.
Result<Credentials> ReadCredentials(const json::object& answer) {
  Credentials out;
  const auto workstation = GetId(answer, "workstation_id");
  const auto root = GetArray<protocol::kP256PublicSize>(answer, "root_pub");
  if (!workstation || !root) return Nonsense("workstation_id, root_pub");
  out.workstation = *workstation;
  out.root = *root;
  out.login_cert = GetArray<protocol::kHostCertSize>(answer, "login_cert");
  if (!out.login_cert && !IsNull(answer, "login_cert")) return Nonsense("login_cert");
  out.challenge = GetArray<protocol::kX25519Size>(answer, "challenge");
  if (!out.challenge && answer.contains("challenge") && !IsNull(answer, "challenge")) {
    return Nonsense("challenge");
  }
  return out;
}

}  // namespace

Result<Credentials> DaemonClient::Register(const protocol::X25519Public& login_noise_pub,
                                           Budget& budget) {
  Connection connection;
  json::object request;
  request["op"] = "agent";
  request["login_noise_pub"] = Base64(login_noise_pub);
  const auto answer = connection.Ask(socket_, request, budget);
  if (!answer) return tl::unexpected(answer.error());
  Credentials out;
  return ReadCredentials(*answer);
}

Result<Credentials> DaemonClient::Prove(const protocol::X25519Public& login_noise_pub,
                                        const protocol::X25519Public& challenge,
                                        const protocol::Hash& proof, Budget& budget) {
  Connection connection;
  json::object request;
  request["op"] = "agent";
  request["login_noise_pub"] = Base64(login_noise_pub);
  request["challenge"] = Base64(challenge);
  request["proof"] = Base64(proof);
  const auto answer = connection.Ask(socket_, request, budget);
  if (!answer) return tl::unexpected(answer.error());
  return ReadCredentials(*answer);
}

Result<KeyAtHand> DaemonClient::OpenRelay(const std::string& login, Budget& budget) {
  Connection connection;
  json::object request;
  request["op"] = "relay";
  request["login"] = login;
  const auto answer = connection.Ask(socket_, request, budget);
  if (!answer) return tl::unexpected(answer.error());
  const auto device = GetId(*answer, "device_id");
  const auto transport = GetNumber(*answer, "transport");
  const auto owner = GetText(*answer, "login", protocol::kMaxLogin);
  if (!device || !owner || !transport || *transport < 1 || *transport > 3) {
    return Nonsense("device_id, transport, login");
  }
  KeyAtHand out;
  out.device = *device;
  out.login = *owner;
  out.record = GetArray<device::kKeyRecordSize>(*answer, "record");
  if (!out.record && !IsNull(*answer, "record")) return Nonsense("record");
  out.link = std::make_unique<RelayLink>(connection.Release(),
                                         static_cast<device::TransportKind>(*transport), budget);
  return out;
}

Result<void> DaemonClient::Used(const Id& device, std::uint64_t seq, Budget& budget) {
  Connection connection;
  json::object request;
  request["op"] = "used";
  request["device_id"] = Hex(device);
  request["seq"] = seq;
  const auto answer = connection.Ask(socket_, request, budget);
  if (!answer) return tl::unexpected(answer.error());
  return {};
}

Result<QuestionAtHand> DaemonClient::Question(const std::string& login, Budget& budget) {
  Connection connection;
  json::object request;
  request["op"] = "caller";
  request["login"] = login;
  const auto answer = connection.Ask(socket_, request, budget);
  if (!answer) return tl::unexpected(answer.error());
  const auto id = GetId(*answer, "request_id");
  const auto challenge = GetArray<32>(*answer, "challenge");
  const auto agent = GetText(*answer, "agent", protocol::kMaxCallerAgent);
  const auto ticket = GetText(*answer, "ticket", protocol::kMaxCallerTicket);
  const auto reason = GetText(*answer, "reason", protocol::kMaxCallerReason);
  if (!id || !challenge || !agent || !ticket || !reason ||
      !protocol::IsCallerQuestion({*agent, *ticket, *reason, {}})) {
    return Nonsense("request_id, challenge, agent, ticket, reason");
  }
  return QuestionAtHand{*id, *challenge, *agent, *ticket, *reason};
}

Result<void> DaemonClient::Answer(
    const Id& request, const std::optional<protocol::Bytes<protocol::kAssertionSize>>& proof,
    Budget& budget) {
  Connection connection;
  json::object message;
  message["op"] = "answer";
  message["request_id"] = Hex(request);
  message["assertion"] = nullptr;
  if (proof) message["assertion"] = Base64(*proof);
  const auto answer = connection.Ask(socket_, message, budget);
  if (!answer) return tl::unexpected(answer.error());
  const json::value* passed = answer->if_contains("passed");
  const auto reason = GetText(*answer, "reason", 1024);
  if (passed == nullptr || !passed->is_bool() || !reason) return Nonsense("passed, reason");
  if (passed->get_bool() != proof.has_value() || !reason->empty()) {
    return Fail(ErrorCode::kConflict, reason->empty() ? "The help desk did not take this answer."
                                                      : Printable(*reason, 300));
  }
  return {};
}

}  // namespace keyferry::daemon::login

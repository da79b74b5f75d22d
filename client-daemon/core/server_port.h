#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "client-daemon/core/encoding.h"
#include "device/transport.h"
#include "protocol/result.h"

// What passes between the daemon's core and the server, as types: docs/workstation-api.md. The
// uplink turns them into HTTPS; a test hands them over directly.
namespace keyferry::daemon {

// A key that this workstation sees now.
struct SeenKey {
  Id device{};
  int state = 0;  // INFO state, PROTOCOL.md section 5
  device::TransportKind transport = device::TransportKind::kSocket;
  std::uint32_t firmware = 0;
  bool simulator = false;
  bool operator==(const SeenKey&) const = default;
};

struct Certificates {
  std::array<std::uint8_t, 144> deliver{};               // HostCert
  std::optional<std::array<std::uint8_t, 144>> login{};  // HostCert of the login agent
  std::array<std::uint8_t, 161> issuer{};                // IssuerCert
};

// `key`: a key that the server knows, and the proof of its identity.
struct KeyEvent {
  enum State : std::uint8_t { kActive = 0, kSuspended = 1, kRevoked = 2 };
  Id device{};
  State state = kActive;
  std::string login;  // 1…104 bytes, or empty
  Id account{};
  std::array<std::uint8_t, 690> record{};  // IssuerCert ‖ Statement ‖ EnrolGrant
};

struct JobEvent {
  Id job{};
  Id device{};
  std::uint64_t seq = 0;
  Bytes sealed;
};

struct EnrolEvent {
  Id enrolment{};
  Id device{};
  std::array<std::uint8_t, 144> certificate{};  // HostCert with role ENROLL for our hop key
  std::array<std::uint8_t, 258> begin{};        // body of ENROLL_BEGIN
};

// `alarm`: whether the organisation's alarm stands. A later one has a higher number.
struct AlarmEvent {
  std::uint64_t number = 0;
  bool on = false;
  std::int64_t since = 0;  // Unix seconds
};

// `caller`: the help desk asks whether the person with this login is its caller. What is shown is
// what the key signs (protocol/caller_proof.h).
struct CallerEvent {
  Id request{};
  std::string login;
  std::array<std::uint8_t, 32> challenge{};
  std::string agent, ticket, reason;
  std::chrono::seconds life{0};  // how long it may be answered
};

// The same for people's eyes: without what an answer is made of.
struct AskedCaller {
  std::uint64_t number = 0;  // grows with each question
  std::string login, agent, ticket, reason;
  std::chrono::seconds left{0};
};

// What the server said to the answer; final.
struct CallerVerdict {
  bool passed = false;
  std::string reason;  // else, unless the person denied: a sentence
};

// `notice`: what was done to a person one of whose keys is here.
struct NoticeEvent {
  std::uint64_t number = 0;  // grows with time
  std::string login;         // of the person
  std::string kind;          // "password_set" …; a newer server may have others
  std::string by, address, reason;
  std::int64_t time = 0;  // Unix seconds
};

struct Post;

// What the server said to a post. Every answer is final.
struct PostResult {
  std::string refused;  // why, a sentence; empty: taken
};

// What the server tells us. Called on the uplink's thread; returns soon, may wait for the disk.
class ServerEvents {
 public:
  virtual ~ServerEvents() = default;
  virtual void OnConnected(const Certificates& certificates) = 0;
  virtual void OnKey(const KeyEvent& event) = 0;
  virtual void OnJob(const JobEvent& event) = 0;
  virtual void OnVoid(const Id& job) = 0;
  virtual void OnEnrol(const EnrolEvent& event) = 0;
  virtual void OnAlarm(const AlarmEvent& event) = 0;
  virtual void OnCaller(const CallerEvent& event) = 0;
  virtual void OnCallerOver(const Id& request) = 0;
  virtual void OnNotice(const NoticeEvent& event) = 0;
  // Called before the post leaves the outbox. On the uplink's other thread.
  virtual void OnPosted(const Post& post, const PostResult& result) = 0;
};

// The questions to the server whose answers somebody waits for. Any thread.
class GrantSource {
 public:
  virtual ~GrantSource() = default;
  // The statement and attestation certificate of a key → the issuer's EnrolGrant. At most 30 s.
  virtual Result<std::array<std::uint8_t, 204>> AskForGrant(
      const Id& enrolment, std::span<const std::uint8_t> statement,
      std::span<const std::uint8_t> attestation) = 0;
  // A challenge for the login agent's hop key, and the LOGIN certificate for the right answer
  // (docs/workstation-api.md section 2). At most 2 s. kUnavailable: not connected, or asked too
  // soon after a refusal.
  virtual Result<std::array<std::uint8_t, 32>> AskForChallenge(
      const std::array<std::uint8_t, 32>& login_noise_pub) = 0;
  virtual Result<std::array<std::uint8_t, 144>> AskForLoginCert(
      const std::array<std::uint8_t, 32>& login_noise_pub,
      const std::array<std::uint8_t, 32>& challenge, const std::array<std::uint8_t, 32>& proof) = 0;
  // A person's answer to the help desk's question: the key's assertion, or nothing, by which they
  // say that it is not them. At most 2 s. kUnavailable: it did not reach the server.
  virtual Result<CallerVerdict> AnswerCaller(
      const Id& request, const std::optional<std::array<std::uint8_t, 172>>& assertion) = 0;
  // "This was not me", of the notice with this number. At most 15 s. kUnavailable: not connected;
  // kNotFound: the server knows no such notice of a key that it sees here.
  virtual Result<void> SayNotMe(std::uint64_t number) = 0;
};

}  // namespace keyferry::daemon

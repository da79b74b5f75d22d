#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "protocol/result.h"
#include "server/core/ids.h"
#include "server/core/session.h"

namespace keyferry::server {

enum class WorkstationState { kPending, kApproved, kRevoked };
const char* Name(WorkstationState state);

struct WorkstationView {
  WorkstationId id;
  std::string name;
  std::string os;
  std::string version;
  std::string fingerprint;  // SHA-256 of the SubjectPublicKeyInfo, groups of four hex digits
  WorkstationState state = WorkstationState::kPending;
  std::string address;         // from which it registered
  std::int64_t created = 0;    // Unix milliseconds
  std::int64_t last_seen = 0;  // Unix milliseconds
  bool connected = false;
  std::size_t keys_seen = 0;
  bool login_certified = false;  // its login agent may talk to keys
  bool login_requested = false;  // another hop key of its agent waits for an administrator
  std::string domain, computer;  // as it says; empty = in no domain
  bool by_computer = false;      // approved by its computer account
  int protocol = 0;              // that it spoke when it last connected; 0 = it never did
};

// One page of the list of workstations.
struct WorkstationFilter {
  std::optional<WorkstationState> state;
  WorkstationId after;  // the last one of the page before; zero = from the newest
  std::size_t limit = 50;
};

struct WorkstationRequest {
  std::string name, os, version;  // 1…64 printable UTF-8 bytes each
  std::string csr_pem;            // PKCS#10, P-256, self-signed correctly
  std::array<std::uint8_t, 32> deliver_noise_pub{};
  std::optional<std::array<std::uint8_t, 32>> login_noise_pub;
  std::string address;
  // DNS name of the domain that it is joined to, and its computer account there without the $; both
  // or neither.
  std::string domain, computer;
};

// The versions of docs/workstation-api.md that this server speaks: its own and the three before.
inline constexpr int kWorkstationProtocol = 4;
inline constexpr int kOldestWorkstationProtocol = 1;

// What a workstation says of itself when it opens its stream.
struct WorkstationGreeting {
  int protocol = 1;
  std::string version;  // of keyferryd; empty = as registered
};

// A workstation that waits, measured against the domain's computer accounts.
struct WorkstationMatch {
  WorkstationView workstation;
  std::string computer_dn;  // empty = no match
  std::string why_not;      // a sentence
};

struct WorkstationDecision {
  WorkstationId id;
  std::string name;
  std::optional<Error> refused;  // nothing: approved
};

struct WorkstationRegistered {
  WorkstationId id;
  std::string poll_token;  // 256 bits, base64url
  std::string fingerprint;
};

// What an approved workstation gets.
struct WorkstationCertificates {
  std::string certificate_pem;             // TLS client certificate by the server's CA
  std::vector<std::uint8_t> deliver_cert;  // HostCert 144
  std::vector<std::uint8_t> login_cert;    // HostCert 144, or empty
  std::vector<std::uint8_t> issuer_cert;   // 161
  std::vector<std::uint8_t> root_pub;      // 65
};

struct WorkstationEnrolment {
  WorkstationState state = WorkstationState::kPending;
  std::optional<WorkstationCertificates> certificates;  // kApproved
};

// A key as a workstation reports it.
struct SeenKey {
  DeviceId device;
  int state = 0;  // INFO state, PROTOCOL.md section 5
  std::string transport;
  std::uint32_t firmware = 0;
  bool simulator = false;
};

// One server-sent event for a workstation; `data` is one line of JSON.
struct WorkstationEvent {
  std::string name;
  std::string data;
};

// Workstations and the queue's outgoing side. Thread-safe; blocks on the database.
class WorkstationService {
 public:
  virtual ~WorkstationService() = default;
  virtual Result<std::vector<WorkstationView>> List() = 0;
  // Newest first.
  virtual Result<std::vector<WorkstationView>> Page(const WorkstationFilter& filter) = 0;
  virtual Result<WorkstationRegistered> Register(const WorkstationRequest& request) = 0;
  virtual Result<WorkstationEnrolment> Enrolment(const WorkstationId& id,
                                                 std::string_view poll_token) = 0;
  virtual Result<void> Approve(const Actor& actor, const WorkstationId& id) = 0;
  // The workstations that wait, each with the computer account that it is, or why it is none that
  // may be approved by it: an enabled account of this domain, no controller, which no other
  // workstation claims or has. The name is the workstation's word; the fingerprint alone proves
  // which machine asks.
  virtual Result<std::vector<WorkstationMatch>> Matches(const Actor& actor) = 0;
  // Approves those of `ids` that still match, each in a transaction with an audit row of its own.
  virtual Result<std::vector<WorkstationDecision>> ApproveMatching(
      const Actor& actor, std::span<const WorkstationId> ids) = 0;
  // Publishes an event named `revoked` on the workstation's topic: whoever owns its stream ends it.
  virtual Result<void> Revoke(const Actor& actor, const WorkstationId& id) = 0;

  // A login agent that came after the approval gets its LOGIN certificate: the server's challenge
  // for its hop key, good for a minute or two, and the certificate for the right proof
  // (protocol/login_proof.h). kPermissionDenied: no proof. kConflict: the workstation has a LOGIN
  // certificate for another hop key; the new one is kept for an administrator to allow.
  virtual Result<std::array<std::uint8_t, 32>> LoginChallenge(
      const WorkstationId& id, const std::array<std::uint8_t, 32>& login_noise_pub) = 0;
  virtual Result<std::vector<std::uint8_t>> CertifyLogin(
      const WorkstationId& id, const std::array<std::uint8_t, 32>& login_noise_pub,
      const std::array<std::uint8_t, 32>& challenge, const std::array<std::uint8_t, 32>& proof) = 0;
  // The administrator's yes to the hop key that waits; a connected workstation gets a new `hello`.
  virtual Result<void> AllowLogin(const Actor& actor, const WorkstationId& id) = 0;

  // The approved workstation behind a verified TLS client certificate (SHA-256 of its DER), or
  // kPermissionDenied. The first use of a renewed one makes it the present one.
  virtual Result<WorkstationId> Authenticate(
      const std::array<std::uint8_t, 32>& certificate_sha256) = 0;

  // The event stream of docs/workstation-api.md. Connected() makes `hello`, replays due `key`,
  // `enrol` and `job` events and marks the workstation connected; later events arrive on the
  // EventBus topic "workstation/<hex id>". Disconnected() ends it.
  virtual Result<std::vector<WorkstationEvent>> Connected(const WorkstationId& id,
                                                          const WorkstationGreeting& greeting) = 0;
  virtual void Disconnected(const WorkstationId& id) = 0;
  // New HostCerts, in a new `hello`, for connected workstations whose present ones end before long.
  // Called every hour or so.
  virtual void RenewDue() = 0;
  // A TLS certificate for the key of `csr_pem`, in place of the present one: that one goes on until
  // the new one is first used, and some minutes more.
  virtual Result<std::string> RenewCertificate(const WorkstationId& id,
                                               std::string_view csr_pem) = 0;

  virtual Result<void> SeenKeys(const WorkstationId& id, std::span<const SeenKey> keys) = 0;
  virtual Result<void> Spooled(const WorkstationId& id, const JobId& job) = 0;
  virtual Result<void> JobProblem(const WorkstationId& id, const JobId& job, std::string_view code,
                                  std::string_view message) = 0;
};

}  // namespace keyferry::server

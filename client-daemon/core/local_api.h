#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "client-daemon/core/encoding.h"
#include "client-daemon/core/server_port.h"
#include "client-daemon/core/spool.h"
#include "client-daemon/core/uplink_status.h"
#include "device/link.h"
#include "protocol/result.h"

// What local programs may ask of the daemon (docs/local-ipc.md section 1), as types.
namespace keyferry::daemon {

struct KeyReport {
  std::string path;                // where it is attached
  std::optional<SeenKey> seen;     // nothing: it did not answer yet
  bool known = false;              // the server's proof of its identity is here
  std::string login;               // whose it is, empty = not known
  std::int64_t last_delivery = 0;  // Unix seconds, 0 = none since the start
  std::size_t jobs_waiting = 0;
  std::string standing;  // Name(Standing), empty before it said who it is
  std::string touch;     // who waits for a touch of it, empty = nobody
  std::string trouble;   // a sentence, empty = none
};

// A local program, as the kernel knows it.
struct Asker {
  std::string program;  // printable
  long process = 0;
};

// One way on which keys are looked for.
struct TransportReport {
  std::string name;     // "usb", "bluetooth", "sockets"
  bool enabled = true;  // by the configuration
  std::string trouble;  // why no key can come this way, with the cure; empty = none
};

struct StatusReport {
  std::string name;
  std::string server_url;
  UplinkStatus uplink;
  std::optional<Id> workstation;
  bool approved = false;
  std::uint64_t certified_until = 0;  // of our HostCert, Unix seconds; 0 = not approved
  // "none", "waiting" (its key is not certified yet), "certified" or "changed" (another key of it
  // is certified)
  std::string agent;
  std::vector<TransportReport> transports;
  bool alarm = false;            // the organisation's alarm stands (alarm.h)
  std::int64_t alarm_since = 0;  // Unix seconds, 0 = not known
  std::vector<KeyReport> keys;
  SpoolCounts spool;
};

struct AgentAnswer {
  Id workstation{};
  std::optional<std::array<std::uint8_t, 144>> login_cert;
  std::array<std::uint8_t, 161> issuer_cert{};
  std::array<std::uint8_t, 65> root{};
  // Of the server, when the hop key is not certified and the server can be asked: ProveAgent.
  std::optional<std::array<std::uint8_t, 32>> challenge;
};

struct RelayGrant {
  Id device{};
  device::TransportKind transport = device::TransportKind::kSocket;
  std::string path;  // of the key's place; KeyGone names it
  std::array<std::uint8_t, 56> info{};
  std::optional<std::array<std::uint8_t, 690>> record;
  std::string login;
  std::optional<Id> account;
  std::unique_ptr<device::MessageLink> link;
};

// Thread-safe.
class LocalApi {
 public:
  virtual ~LocalApi() = default;
  virtual StatusReport Status() = 0;
  // kUnavailable while the workstation is not approved (the key is kept and goes into the request).
  virtual Result<AgentAnswer> Agent(const std::array<std::uint8_t, 32>& login_noise_pub) = 0;
  // The agent's answer to a challenge (protocol/login_proof.h): asks the server for the LOGIN
  // certificate. Blocks for at most two seconds.
  virtual Result<AgentAnswer> ProveAgent(const std::array<std::uint8_t, 32>& login_noise_pub,
                                         const std::array<std::uint8_t, 32>& challenge,
                                         const std::array<std::uint8_t, 32>& proof) = 0;
  // Blocks for at most a few seconds. kNotFound: no such key is plugged in; kConflict: two devices
  // claim to be it; kPolicyRefused: the alarm stands. `asker` is named while the key waits for a
  // touch.
  virtual Result<RelayGrant> OpenRelay(const Id& device, const Asker& asker) = 0;
  virtual Result<RelayGrant> OpenRelayFor(const std::string& login, const Asker& asker) = 0;
  virtual Result<void> Used(const Id& device, std::uint64_t seq) = 0;
  // What the help desk asks the person with this login; kNotFound: nothing.
  virtual Result<CallerEvent> Caller(const std::string& login) = 0;
  // What the help desk asks anybody here now, newest first.
  virtual std::vector<AskedCaller> Asked() = 0;
  // As GrantSource::AnswerCaller.
  virtual Result<CallerVerdict> AnswerCaller(
      const Id& request, const std::optional<std::array<std::uint8_t, 172>>& assertion) = 0;
  // What people whose keys are here were told, newest first.
  virtual std::vector<NoticeEvent> Notices() = 0;
  // "This was not me". Blocks for up to 15 s. kNotFound; kUnavailable: the server cannot be asked.
  virtual Result<void> NotMe(std::uint64_t number) = 0;
};

}  // namespace keyferry::daemon

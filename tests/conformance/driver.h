#pragma once

// A small driver of its own for conformance tests of a key: it speaks the wire protocol over the
// simulator's socket and knows the specification (through protocol/), but nothing of the
// simulator's code.

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "protocol/certs.h"
#include "protocol/framing.h"
#include "protocol/job.h"
#include "protocol/messages.h"
#include "protocol/noise.h"
#include "protocol/receipt.h"

namespace keyferry::conformance {

using namespace protocol;  // NOLINT: the driver is written in the protocol's words
using Blob = std::vector<std::uint8_t>;

inline constexpr auto kError = static_cast<std::uint8_t>(FrameCommand::kError);

// keyferry-sim as a process of its own with a fresh state file; killed and removed when it goes.
class Simulator {
 public:
  explicit Simulator(const std::string& touch = "auto", const std::vector<std::string>& more = {});
  ~Simulator();
  Simulator(const Simulator&) = delete;
  Simulator& operator=(const Simulator&) = delete;

  const std::string& socket() const { return socket_; }
  // `keyferry-sim ctl`: plug, unplug, touch, status. Throws when it fails.
  void Control(const std::string& command);
  // SIGKILL and a new process on the same state.
  void KillAndRestart();

 private:
  void Start();
  void Stop();

  std::string folder_;
  std::string socket_;
  std::string touch_;
  std::vector<std::string> more_;
  int pid_ = -1;
};

struct Message {
  std::uint8_t command = 0;
  Blob data;
  int keepalives = 0;        // KEEPALIVE frames that came before it
  bool touch_asked = false;  // one of them said "touch needed"
};

// One connection to the socket: 64-byte reports both ways. Everything that waits throws after
// `kPatience`.
class Wire {
 public:
  explicit Wire(const std::string& socket);
  ~Wire();
  Wire(const Wire&) = delete;
  Wire& operator=(const Wire&) = delete;

  void Send(const Report& report);
  // The next report, or nothing within `milliseconds`.
  std::optional<Report> Receive(int milliseconds = 5000);

  void SendMessage(std::uint32_t cid, std::uint8_t command, ByteView data);
  // The next message on `cid` other than KEEPALIVE; frames on other cids are an error.
  Message ReceiveMessage(std::uint32_t cid, int milliseconds = 5000);
  Message Exchange(std::uint32_t cid, FrameCommand command, ByteView data);
  // A new channel by INIT on the broadcast cid.
  std::uint32_t Open();
  Info ReadInfo(std::uint32_t cid);

 private:
  int fd_ = -1;
};

// Deterministic "random" for tests: never twice the same bytes in one process.
class TestRandom final : public RandomSource {
 public:
  bool Fill(MutableBytes out) override;
};
TestRandom& Random();

struct Host {
  X25519Private noise;
  HostCert cert;
};

// Root, issuer and what they sign.
struct Organisation {
  Organisation();
  P256Private root;
  P256Public root_pub{};
  P256Private issuer;
  P256Public issuer_pub{};
  IssuerCert issuer_cert;

  Host MakeHost(std::uint8_t role, std::uint32_t host_epoch = 0) const;
  EnrollBegin Begin() const;
};

struct Response {
  Status status = Status::kInternal;
  Blob body;
  int keepalives = 0;
  bool touch_asked = false;
};

// An open hop session.
class Session {
 public:
  // Handshake on `cid`; throws when the key refuses.
  Session(Wire& wire, std::uint32_t cid, const Host& host);
  // The handshake's outcome without a throw: the frame that answered HS3 (HS4 or ERROR).
  static Message Try(Wire& wire, std::uint32_t cid, const Host& host);

  Response Request(Op op, ByteView body = {});
  Response Raw(ByteView plaintext);  // a plaintext request of any bytes
  void Send(ByteView plaintext);     // seals and sends, does not wait
  Response Receive(int milliseconds = 40000);
  const KeyStatus& status() const { return status_; }
  KeyStatus Refresh();  // GET_STATUS
  const X25519Public& key_static() const { return key_static_; }
  Wire& wire() { return wire_; }
  std::uint32_t cid() const { return cid_; }

 private:
  Wire& wire_;
  std::uint32_t cid_;
  HopSession session_;
  KeyStatus status_;
  X25519Public key_static_{};
  std::uint16_t next_ = 1;
};

inline constexpr char kCode[] = "7KQ4-M2XD-9HTB-WZ3R";
inline constexpr char kPin[] = "246813";

// A key enrolled for an account, and all that its server knows.
struct Enrolled {
  Organisation organisation;
  Id device_id{};
  Id account_id{};
  Statement statement;
  Blob grant;
  Receipt receipt;  // newest positive one
  Hash receipt_hash{};
  std::uint64_t seq = 0;

  // Seals the next job. `change` may alter the header before it is sealed.
  Blob Seal(JobType type, ByteView body, std::uint8_t flags = 0,
            const std::function<void(JobHeader&)>& change = {});
  Blob SealPassword(const std::string& login, const std::string& password, std::uint8_t flags = 0);
  // Puts it, checks the receipt completely, and moves on to its epoch and sequence. Throws when the
  // key refuses.
  Receipt Deliver(Session& session, const Blob& job);
  // Checks signature, chain, counter and hash of a positive receipt of `job`.
  Receipt Verify(const Response& response, const Blob& job);
};

// Enrols a fresh key on a channel of its own.
Enrolled Enrol(Wire& wire, const Policy& policy = {});
// PIN_SET with kCode and kPin, in a LOGIN session.
void SetPin(Wire& wire, const Enrolled& key);

Blob PinField(const std::string& pin);
Blob CodeField(const std::string& code);
Blob ReleaseBody(const Id& account, std::uint8_t slot);
Blob Concat(std::initializer_list<ByteView> parts);

}  // namespace keyferry::conformance

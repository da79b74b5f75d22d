#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "firmware-sim/core/key.h"
#include "firmware-sim/flash/memory_flash.h"
#include "protocol/certs.h"
#include "protocol/job.h"
#include "protocol/messages.h"
#include "protocol/noise.h"

namespace keyferry::sim::test {

using protocol::ByteView;
using protocol::FrameCommand;
using protocol::Op;
using protocol::Status;
using Blob = std::vector<std::uint8_t>;

inline constexpr char kPin[] = "482916";

class NoProgress : public Progress {
  void OnProgress() override {}
};

// Throws std::logic_error, after saying why on stderr: the bench serves unit tests and fuzzers
// alike.
void Demand(bool ok, const char* what, int line);

Blob FromHex(std::string_view text);
std::string ToHex(ByteView bytes);
inline Blob Copy(ByteView view) { return {view.begin(), view.end()}; }

// A stream of numbers from a seed; chunks that are queued come first, for requests of just their
// size.
class ScriptedRandom final : public protocol::RandomSource {
 public:
  explicit ScriptedRandom(std::uint64_t seed = 1) : state_(seed) {}
  bool Fill(protocol::MutableBytes out) override;
  void Queue(Blob chunk) { queue_.push_back(std::move(chunk)); }

 private:
  std::uint64_t state_;
  std::deque<Blob> queue_;
};

// Keys of an organisation, from a seed.
struct Issuer {
  protocol::P256Private priv;
  protocol::P256Public pub{};
  protocol::Kid kid{};
};
Issuer MakeIssuer(std::uint64_t seed);

enum class Touching { kAuto, kManual, kRefuse };

// A key on a bench: memory for flash, a clock that stands still until told, and all reports that
// came out.
class Bench : public Clock, public TouchPort, public FrameSink {
 public:
  Bench();
  explicit Bench(FlashImage image);

  void PowerOn();
  void PowerOff() { key_.reset(); }
  void PowerCycle() {
    PowerOff();
    PowerOn();
  }
  bool powered() const { return key_ != nullptr; }
  Key& key() { return *key_; }
  MemoryFlash& flash() { return flash_; }
  ScriptedRandom& random() { return random_; }
  const Factory& factory() const { return factory_; }

  void Send(const protocol::Report& report) {
    key_->OnFrame(report, origin);
    GiveTouches();
  }
  void Send(std::uint32_t cid, FrameCommand command, ByteView data);
  // Lets time pass in steps of 5 ms.
  void Pass(std::uint64_t ms);
  // Lets time pass while the key is inside a call.
  void Skip(std::uint64_t ms) { now_ms_ += ms; }
  // The next whole message to the cid, KEEPALIVEs left out; lets up to `patience_ms` pass.
  struct Answer {
    FrameCommand command = FrameCommand::kError;
    Blob data;
  };
  std::optional<Answer> Receive(std::uint32_t cid, std::uint64_t patience_ms = 40'000);

  std::vector<protocol::Report> out;
  Origin origin{protocol::Transport::kSocket, 0, 7};  // of all frames sent
  std::size_t keepalives = 0;
  std::size_t touch_keepalives = 0;
  Touching touching = Touching::kAuto;
  bool waiting = false;
  bool wait_held = false;
  int winks = 0;
  KeyConfig config;

  std::uint64_t NowMs() const override { return now_ms_; }
  void WaitBegan(bool held) override;
  void WaitEnded() override { waiting = false; }
  void Wink() override { ++winks; }
  void Send(ByteView frame, const Origin& to) override;

 private:
  void GiveTouches();

  MemoryFlash flash_;
  ScriptedRandom random_;
  Factory factory_;
  std::uint64_t now_ms_ = 1'000'000;
  std::unique_ptr<Key> key_;
};

// Answer to a request; `frame_error` is set instead when the key answered with an ERROR frame.
struct Reply {
  std::optional<protocol::FrameError> frame_error;
  Status status = Status::kInternal;
  Blob body;
  bool ok() const { return !frame_error && status == Status::kOk; }
};

// A host with one cid and one session; small and independent of device/.
class Host {
 public:
  Host(Bench& bench, const Issuer& issuer, std::uint8_t role, std::uint32_t host_epoch = 1,
       std::uint64_t seed = 100);

  std::uint32_t cid() const { return cid_; }
  void Init();
  // HS1 … HS4; false when the key answers 13.
  bool Connect();
  // After Connect: the key's Status from HS4.
  const protocol::KeyStatus& status() const { return status_; }
  const protocol::X25519Public& key_static() const { return key_static_; }

  void Ask(Op op, ByteView body = {});
  Reply Hear(std::uint64_t patience_ms = 40'000);
  Reply Request(Op op, ByteView body = {}) {
    Ask(op, body);
    return Hear();
  }
  protocol::HopSession& hop() { return hop_; }
  protocol::HostCert cert;

 private:
  Bench* bench_;
  std::uint64_t seed_;
  protocol::X25519Private static_;
  std::uint32_t cid_ = 0;
  protocol::HopSession hop_;
  protocol::KeyStatus status_;
  protocol::X25519Public key_static_{};
  std::uint16_t next_id_ = 1;
};

// The server's side of one key: enrols it, seals jobs to it, follows its receipts.
class Owner {
 public:
  Owner(Bench& bench, std::uint64_t seed = 40);

  Issuer root;
  Issuer issuer;
  protocol::Policy policy;
  protocol::Id account{};
  std::string code = "7KQ4M2XD";
  protocol::Statement statement;
  protocol::Receipt last;  // newest positive receipt
  Blob last_bytes;
  std::uint64_t seq = 0;

  Host Daemon(std::uint32_t host_epoch = 1) {
    return Host(bench_, issuer, protocol::kRoleDeliver, host_epoch, 11);
  }
  Host Login(std::uint32_t host_epoch = 1) {
    return Host(bench_, issuer, protocol::kRoleLogin, host_epoch, 12);
  }
  Host Enroller() { return Host(bench_, issuer, protocol::kRoleEnroll, 1, 13); }

  protocol::EnrollBegin Begin();
  protocol::EnrolGrant Grant(const protocol::EnrollBegin& begin, ByteView statement_bytes);
  // The whole enrolment, checked.
  void Enrol();

  // A sealed job with the next seq, to the newest epoch that the server knows of.
  Blob Seal(protocol::JobType type, ByteView body, std::uint8_t flags = 0);
  Blob SealPassword(std::string_view password, std::uint8_t flags = 0,
                    std::string_view login = "maria.keller");
  protocol::JobHeader header;  // of the job sealed last
  // Puts a job and takes its positive receipt.
  Reply Put(Host& daemon, ByteView job);
  // Verifies and keeps a receipt.
  void Take(ByteView receipt);

  Blob PinSetBody(std::string_view pin) const;
  static Blob PinBody(std::string_view pin);
  Blob ReleaseBody(std::uint8_t slot = 0) const;
  // PIN and RELEASE on an open login session; empty when refused.
  std::string Release(Host& login, std::string_view pin, std::uint8_t slot = 0);

 private:
  Bench& bench_;
  ScriptedRandom random_;
  std::uint64_t job_ids_ = 0;
};

// A flash image with a key made in the factory, nothing else. Cached.
const FlashImage& FactoryImage();

}  // namespace keyferry::sim::test

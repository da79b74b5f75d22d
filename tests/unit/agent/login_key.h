#pragma once

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "client-daemon/agent/daemon_port.h"
#include "device/link.h"
#include "protocol/messages.h"
#include "protocol/noise.h"
#include "tests/unit/device/organisation.h"

namespace keyferry::test {

// An enrolled key as the login agent meets it, above the framing: handshake, PIN, touch, release,
// assertion. What it does wrong is data.
class LoginKey {
 public:
  enum class Touch { kAtOnce, kNever, kTimeout };
  struct Faults {
    bool silent = false;         // nothing is answered
    bool bad_assertion = false;  // signed by nobody
    std::uint8_t assertion_flags = 7;
    std::optional<protocol::Status> refuse_release;
    int unplugged_after = -1;  // links die after so many further commands; -1: never
  };

  explicit LoginKey(const Organisation& organisation);
  // A fresh road to it.
  std::unique_ptr<device::MessageLink> Open();

  std::array<std::uint8_t, device::kKeyRecordSize> Record() const { return record_; }
  int Count(protocol::Op op) const;
  int handshakes() const;  // HS3 that were accepted
  bool cancelled() const;
  void WaitForTouchWait();  // until a command waits for touch

  // Set between attempts.
  Faults faults;
  Touch touch = Touch::kAtOnce;
  protocol::Info info;
  protocol::KeyStatus status;
  protocol::Id account{};
  std::string login = "alice";
  std::string password = "Released-Pass word 1";
  std::uint64_t seq = 7;
  std::string pin = "246813";
  std::string code = "ACTIVATE-ME";
  std::uint64_t confirmed = 0;
  protocol::X25519Private noise_key;
  protocol::X25519Public noise_public{};
  protocol::P256Private device_key;

 private:
  class Link;
  protocol::Status Serve(protocol::Op op, protocol::ByteView body,
                         std::vector<std::uint8_t>& answer,
                         const device::KeepaliveHandler& on_keepalive);
  protocol::Status WaitForTouch(const device::KeepaliveHandler& on_keepalive);
  protocol::Status ComparePin(std::string_view given, std::vector<std::uint8_t>& answer);

  std::array<std::uint8_t, device::kKeyRecordSize> record_{};
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<protocol::Op> ops_;
  int handshakes_ = 0;
  bool cancelled_ = false;
  bool waiting_ = false;
};

// keyferryd as the login agent meets it, honest until told otherwise.
class FakeDaemon final : public daemon::login::DaemonPort {
 public:
  FakeDaemon(const Organisation& organisation, LoginKey& key)
      : organisation_(&organisation), key_(&key) {}
  // From now on it speaks for another organisation and has another key.
  void Serve(const Organisation& organisation, LoginKey& key) {
    organisation_ = &organisation;
    key_ = &key;
  }

  Result<daemon::login::Credentials> Register(const protocol::X25519Public& login_noise_pub,
                                              daemon::login::Budget& budget) override;
  Result<daemon::login::Credentials> Prove(const protocol::X25519Public& login_noise_pub,
                                           const protocol::X25519Public& challenge,
                                           const protocol::Hash& proof,
                                           daemon::login::Budget& budget) override;
  Result<daemon::login::KeyAtHand> OpenRelay(const std::string& login,
                                             daemon::login::Budget& budget) override;
  Result<void> Used(const daemon::Id& device, std::uint64_t seq,
                    daemon::login::Budget& budget) override;
  Result<daemon::login::QuestionAtHand> Question(const std::string& login,
                                                 daemon::login::Budget& budget) override;
  Result<void> Answer(const daemon::Id& request,
                      const std::optional<protocol::Bytes<protocol::kAssertionSize>>& proof,
                      daemon::login::Budget& budget) override;

  // What the help desk asks alice, and what it was answered.
  std::optional<daemon::login::QuestionAtHand> question;
  std::function<void()> on_later_question;
  int questions = 0;
  std::optional<Error> answer_error;
  std::vector<std::optional<protocol::Bytes<protocol::kAssertionSize>>> answers;
  std::optional<Error> register_error;
  std::optional<Error> relay_error;
  std::optional<Error> used_error;
  std::optional<protocol::P256Public> root;  // instead of the organisation's
  bool certified = true;
  std::uint8_t role = protocol::kRoleLogin;
  std::optional<protocol::X25519Public> certify;     // instead of the agent's key
  std::optional<protocol::X25519Private> challenge;  // the server's, while not certified
  std::optional<Error> prove_error;
  bool has_record = true;
  std::optional<std::array<std::uint8_t, device::kKeyRecordSize>> record;  // instead of the key's
  std::string login = "alice";                                             // whose key it is
  std::optional<daemon::Id> device;                                        // instead of the key's
  LoginKey* plugged_later = nullptr;     // at the end of every road but the first
  std::function<void()> on_later_relay;  // called when such a road is asked for
  std::vector<std::uint64_t> used;
  int relays = 0;

 private:
  const Organisation* organisation_;
  LoginKey* key_;
};

}  // namespace keyferry::test

#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "device/link.h"
#include "protocol/certs.h"
#include "protocol/framing.h"
#include "protocol/messages.h"
#include "protocol/noise.h"
#include "protocol/receipt.h"
#include "protocol/result.h"
#include "protocol/secure/secure_bytes.h"

namespace keyferry::device {

// Who we are to the key: our static hop key and the HostCert that names it (PROTOCOL.md section 4).
struct HostIdentity {
  protocol::X25519Private noise_key;
  protocol::Bytes<protocol::kHostCertSize> certificate{};
};

// The key's answer where a PIN or an activation code is compared. `tries` is how many are left.
struct PinAnswer {
  protocol::Status status = protocol::Status::kOk;  // kOk, kPinWrong, kPinBlocked or kPinLocked
  std::uint8_t tries = 0;                           // not told by PIN_SET that succeeded
  bool accepted() const { return status == protocol::Status::kOk; }
};

struct ReleasedPassword {
  std::uint64_t seq = 0;
  std::string login;
  SecureBytes password;
};

// The host's side of one key (PROTOCOL.md section 5): hop handshake and every request, over any
// MessageLink. Blocking; each call ends within the limits of section 8 (3 s, with a touch 30 s, and
// before that at most Patience::turn while somebody else uses the key), whatever the key does.
//
// Errors, beyond the link's (kDeadline, kUnavailable):
//   kKeyRefused        the key answered a status; Error::key_status holds it
//   kPermissionDenied  the key refused the handshake (twice: INFO was read again in between)
//   kProtocol          it answered something that no key may answer, or is not the expected key
//   kConflict          the call needs a session that is gone (another one pushed it out, or it grew
//                      old): begin again with Handshake, for RELEASE and ASSERT also with PinVerify
// After any error but kKeyRefused the session is closed. A session that is missing or old (2^16
// messages, one hour) is opened anew without being asked, but for calls that hang on something said
// in it: EnrollFinish, Release, Assert.
//
// Not thread-safe, but for Cancel. PINs, codes and passwords exist in SecureBytes only.
class KeyClient {
 public:
  using OnKeepalive = KeepaliveHandler;

  explicit KeyClient(std::unique_ptr<MessageLink> link);
  ~KeyClient();

  // INFO in clear, read again at each call. Unauthenticated: Handshake proves it.
  Result<protocol::Info> ReadInfo();
  // The one that was read last.
  const std::optional<protocol::Info>& info() const { return info_; }
  protocol::Bytes<protocol::kInfoSize> info_bytes() const { return info_bytes_; }
  TransportKind transport() const { return link_->Kind(); }

  // Opens a session. With `expected_static`, the key's hop key from its enrolment record, any other
  // key is refused (kProtocol) before our certificate is sent. Reads INFO first if need be.
  Result<protocol::KeyStatus> Handshake(
      const HostIdentity& identity, const std::optional<protocol::X25519Public>& expected_static);
  bool has_session() const { return session_.has_value(); }
  // The key's hop key in the present (or last) session.
  const protocol::X25519Public& key_static() const { return key_static_; }
  // Forgets the session and the identity.
  void Close();

  Result<protocol::KeyStatus> GetStatus();
  Result<std::vector<std::uint8_t>> GetAttestation();  // DER, 1 … 900 bytes

  // The receipt, positive or signed negative: parsed, of the size and result that the response
  // claims, for this job; its signature is for the caller to check. Unsigned refusals (20…22, 30
  // up) are kKeyRefused.
  Result<protocol::Receipt> PutJob(std::span<const std::uint8_t> sealed,
                                   const OnKeepalive& on_keepalive = {});
  // `receipt_ctr` 0 = the last one.
  Result<protocol::Receipt> GetReceipt(std::uint64_t receipt_ctr);

  // May wait for a touch. The Statement is parsed; its signatures are for the server to check.
  Result<protocol::Bytes<protocol::kStatementSize>> EnrollBegin(
      std::span<const std::uint8_t, protocol::kEnrollBeginSize> begin,
      const OnKeepalive& on_keepalive = {});
  // Receipt number 1. The session ends with it.
  Result<protocol::Receipt> EnrollFinish(
      std::span<const std::uint8_t, protocol::kEnrolGrantSize> grant);

  // kInvalidArgument, with nothing sent, for a code or PIN of impossible length.
  Result<PinAnswer> PinSet(const SecureBytes& code, const SecureBytes& pin);
  Result<PinAnswer> PinVerify(const SecureBytes& pin);
  Result<PinAnswer> PinChange(const SecureBytes& old_pin, const SecureBytes& new_pin);

  // PinVerify must have succeeded in this session at most 30 s ago. `slot` 0 current, 1 previous.
  Result<ReleasedPassword> Release(const protocol::Id& account, std::uint8_t slot,
                                   const OnKeepalive& on_keepalive);
  Result<void> ConfirmLogin(const protocol::Id& account, std::uint64_t seq);
  Result<protocol::Assertion> Assert(const protocol::AssertRequest& request,
                                     const OnKeepalive& on_keepalive);

  Result<void> Wink();

  // Ends a wait for a touch that is going on (the call then returns status 36). Any thread.
  void Cancel();

 private:
  struct Response;
  struct RequestOptions;

  Result<Message> Exchange(protocol::FrameCommand command, std::span<const std::uint8_t> payload,
                           protocol::FrameCommand answer, const Patience& patience,
                           const OnKeepalive& on_keepalive);
  Result<protocol::KeyStatus> TryHandshake();
  Result<void> EnsureSession(bool bound);
  // Sends a request; the answer's body stays valid until the next call.
  Result<Response> Request(protocol::Op op, std::span<const std::uint8_t> body,
                           const RequestOptions& options);
  Result<Response> TryRequest(protocol::Op op, std::span<const std::uint8_t> body,
                              const RequestOptions& options);
  Result<PinAnswer> PinRequest(protocol::Op op, std::span<const std::uint8_t> body,
                               bool success_tries);
  void DropSession();

  const std::unique_ptr<MessageLink> link_;
  std::optional<protocol::Info> info_;
  protocol::Bytes<protocol::kInfoSize> info_bytes_{};
  std::optional<HostIdentity> identity_;
  std::optional<protocol::X25519Public> expected_static_;
  protocol::X25519Public key_static_{};
  std::optional<protocol::HopSession> session_;
  Clock::time_point session_began_{};
  std::uint16_t next_req_id_ = 0;
  std::optional<protocol::FrameError> frame_error_;  // of the last Exchange
  SecureBytes plain_;                                // request, then response
};

// An error for a status that a key answered, in words for a person.
Error KeyRefused(protocol::Status status);

}  // namespace keyferry::device

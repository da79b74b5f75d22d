#include "device/key_client.h"

#include <algorithm>
#include <array>
#include <utility>

#include "protocol/secure/system_random.h"

namespace keyferry::device {

using protocol::FrameCommand;
using protocol::FrameError;
using protocol::Op;
using protocol::Status;

namespace {

constexpr Patience kQuick{std::chrono::milliseconds(protocol::kCommandMillis),
                          std::chrono::milliseconds(protocol::kCommandMillis)};
constexpr Patience kTouch{std::chrono::milliseconds(protocol::kCommandMillis),
                          std::chrono::milliseconds(protocol::kTouchCommandMillis)};
// Renewed a little before the key's limit, so that what follows a PIN still fits.
constexpr std::chrono::milliseconds kRenewAge{protocol::kSessionMillis - 300'000};
constexpr std::chrono::milliseconds kMaxAge{protocol::kSessionMillis};
constexpr std::uint64_t kRenewMessages = protocol::kSessionMessages - 64;
constexpr std::uint64_t kMaxMessages = protocol::kSessionMessages - 2;

constexpr std::uint8_t AdOf(FrameCommand command) { return static_cast<std::uint8_t>(command); }

tl::unexpected<Error> Nonsense(const char* detail) {
  return Fail(ErrorCode::kProtocol, "The security key answered something that no key may answer.",
              detail);
}

tl::unexpected<Error> SessionGone() {
  return Fail(ErrorCode::kConflict,
              "The conversation with the security key was interrupted; begin "
              "again.");
}

tl::unexpected<Error> FromFrameError(FrameError error) {
  switch (error) {
    case FrameError::kHandshake:
      return Fail(ErrorCode::kPermissionDenied,
                  "The security key refused this computer's certificate.", Name(error));
    case FrameError::kDecrypt:
    case FrameError::kNoSession:
    case FrameError::kInvalidChannel:
      return SessionGone();
    case FrameError::kTimeout:
      return Fail(ErrorCode::kDeadline, "The security key did not answer in time.", Name(error));
    case FrameError::kBusy:
      return Fail(ErrorCode::kDeadline, "The security key is busy with another program.",
                  Name(error));
    default:
      return Nonsense(Name(error));
  }
}

bool SessionIsGone(std::optional<FrameError> error) {
  return error == FrameError::kDecrypt || error == FrameError::kNoSession ||
         error == FrameError::kInvalidChannel;
}

}  // namespace

struct KeyClient::Response {
  Status status;
  protocol::ByteView body;
};

struct KeyClient::RequestOptions {
  Patience patience = kQuick;
  OnKeepalive on_keepalive;
  bool bound = false;    // must run in the session that is open
  bool refusal = false;  // the caller wants a status other than OK with a body, not an error
};

KeyClient::KeyClient(std::unique_ptr<MessageLink> link)
    : link_(std::move(link)), plain_(protocol::kMaxMessage) {}

KeyClient::~KeyClient() = default;

void KeyClient::DropSession() { session_.reset(); }

void KeyClient::Close() {
  DropSession();
  identity_.reset();
}

void KeyClient::Cancel() {
  [[maybe_unused]] const auto posted =
      link_->Post(static_cast<std::uint8_t>(FrameCommand::kCancel), {});
}

// One command and the answer of the right kind. An ERROR frame is noted in frame_error_.
Result<Message> KeyClient::Exchange(FrameCommand command, std::span<const std::uint8_t> payload,
                                    FrameCommand answer, const Patience& patience,
                                    const OnKeepalive& on_keepalive) {
  frame_error_.reset();
  auto message =
      link_->Transact(static_cast<std::uint8_t>(command), payload, patience, on_keepalive);
  if (!message) return message;
  if (message->payload.size() > protocol::kMaxMessage) return Nonsense("message length");
  if (message->command == static_cast<std::uint8_t>(FrameCommand::kError)) {
    if (message->payload.size() != 1) return Nonsense("ERROR length");
    frame_error_ = static_cast<FrameError>(message->payload[0]);
    return FromFrameError(*frame_error_);
  }
  if (message->command != static_cast<std::uint8_t>(answer)) return Nonsense("answer's command");
  return message;
}

Result<protocol::Info> KeyClient::ReadInfo() {
  const auto answer = Exchange(FrameCommand::kInfo, {}, FrameCommand::kInfo, kQuick, {});
  if (!answer) return tl::unexpected(answer.error());
  const auto info = protocol::Info::Parse(answer->payload);
  if (!info) return Nonsense("INFO");
  if (info->proto_min > 1 || info->proto_max < 1 || (info->suites & 1) == 0) {
    return Fail(ErrorCode::kUnsupported,
                "The security key speaks another version of the protocol; update it or Keyferry.");
  }
  info_ = *info;
  std::copy(answer->payload.begin(), answer->payload.end(), info_bytes_.begin());
  return *info;
}

Result<void> KeyClient::Wink() {
  const auto answer = Exchange(FrameCommand::kWink, {}, FrameCommand::kWink, kQuick, {});
  if (!answer) return tl::unexpected(answer.error());
  return {};
}

Result<protocol::KeyStatus> KeyClient::Handshake(
    const HostIdentity& identity, const std::optional<protocol::X25519Public>& expected_static) {
  identity_ = identity;
  expected_static_ = expected_static;
  if (!info_) {
    if (auto read = ReadInfo(); !read) return tl::unexpected(read.error());
  }
  auto status = TryHandshake();
  if (status || status.error().code != ErrorCode::kPermissionDenied) return status;
  // INFO is part of what both sides hash. When it moved meanwhile, either side may be the one to
  // notice: the key answers 13, or HS2 does not open here.
  const bool told_by_key = frame_error_ == FrameError::kHandshake;
  const auto before = info_bytes_;
  if (auto read = ReadInfo(); !read) return tl::unexpected(read.error());
  if (!told_by_key && info_bytes_ == before) return status;
  return TryHandshake();
}

Result<protocol::KeyStatus> KeyClient::TryHandshake() {
  DropSession();
  protocol::X25519Pair ephemeral;
  if (!protocol::X25519Generate(OsRandom(), ephemeral.priv, ephemeral.pub)) {
    return Fail(ErrorCode::kInternal, "No random bytes could be had.");
  }
  const auto certificate = protocol::HostCert::Parse(identity_->certificate);
  if (!certificate) {
    return Fail(ErrorCode::kInvalidArgument, "This computer's key certificate cannot be read.",
                protocol::Name(certificate.error()));
  }
  const protocol::X25519Pair own{identity_->noise_key, certificate->host_noise_pub};
  const auto prologue =
      protocol::HopPrologue(static_cast<protocol::Transport>(link_->Kind()), info_bytes_);
  protocol::NoiseInitiator noise(own, ephemeral, prologue);

  protocol::Bytes<protocol::kHs1Size> hs1{};
  if (!noise.WriteHs1(hs1)) return Fail(ErrorCode::kInternal, "The handshake cannot begin.");
  const auto hs2 = Exchange(FrameCommand::kHs1, hs1, FrameCommand::kHs2, kQuick, {});
  if (!hs2) return tl::unexpected(hs2.error());
  if (hs2->payload.size() != protocol::kHs2Size) return Nonsense("HS2 length");
  if (!noise.ReadHs2(hs2->payload)) {
    return Fail(ErrorCode::kPermissionDenied,
                "The security key and this computer do not understand each other.", "HS2");
  }
  if (expected_static_ && *expected_static_ != noise.key_static()) {
    return Fail(ErrorCode::kProtocol,
                "This is not the security key that the organisation enrolled under this number.");
  }
  key_static_ = noise.key_static();

  protocol::Bytes<protocol::kHs3Size> hs3{};
  protocol::HopSession session;
  if (!noise.WriteHs3(identity_->certificate, hs3, session)) {
    return Fail(ErrorCode::kInternal, "The handshake cannot be finished.");
  }
  const auto hs4 = Exchange(FrameCommand::kHs3, hs3, FrameCommand::kHs4, kQuick, {});
  if (!hs4) return tl::unexpected(hs4.error());
  if (hs4->payload.size() != protocol::kHs4Size) return Nonsense("HS4 length");
  std::array<std::uint8_t, protocol::kKeyStatusSize> plain{};
  if (!session.receive.Open(AdOf(FrameCommand::kHs4), hs4->payload, plain)) return Nonsense("HS4");
  const auto status = protocol::KeyStatus::Parse(plain);
  if (!status || status->role != identity_->certificate[1]) return Nonsense("Status in HS4");
  session_ = session;
  session_began_ = Clock::now();
  return *status;
}

Result<void> KeyClient::EnsureSession(bool bound) {
  if (session_) {
    const auto age = Clock::now() - session_began_;
    const std::uint64_t messages = std::max(session_->send.nonce(), session_->receive.nonce());
    if (age < (bound ? kMaxAge : kRenewAge) && messages < (bound ? kMaxMessages : kRenewMessages)) {
      return {};
    }
    DropSession();
  }
  if (bound || !identity_) return SessionGone();
  const HostIdentity identity = *identity_;
  if (auto status = Handshake(identity, expected_static_); !status) {
    return tl::unexpected(status.error());
  }
  return {};
}

Result<KeyClient::Response> KeyClient::Request(Op op, std::span<const std::uint8_t> body,
                                               const RequestOptions& options) {
  for (bool repeated = false;; repeated = true) {
    if (auto ready = EnsureSession(options.bound); !ready) return tl::unexpected(ready.error());
    auto response = TryRequest(op, body, options);
    if (response) {
      if (response->status == Status::kOk || options.refusal) return response;
      return tl::unexpected(KeyRefused(response->status));
    }
    DropSession();
    // The key could not read it, so it did nothing: another program pushed our session out.
    if (options.bound || repeated || !SessionIsGone(frame_error_)) return response;
  }
}

Result<KeyClient::Response> KeyClient::TryRequest(Op op, std::span<const std::uint8_t> body,
                                                  const RequestOptions& options) {
  if (body.size() > protocol::kMaxBody) {
    return Fail(ErrorCode::kInvalidArgument, "The request is too long for the security key.");
  }
  frame_error_.reset();
  const protocol::MessageHeader header{static_cast<std::uint8_t>(op), 0, next_req_id_++};
  const auto head = header.Encode();
  const std::size_t size = head.size() + body.size();
  std::copy(head.begin(), head.end(), plain_.data());
  std::copy(body.begin(), body.end(), plain_.data() + head.size());
  std::array<std::uint8_t, protocol::kMaxMessage> sealed;
  const auto message = std::span(sealed).first(size + protocol::kTagSize);
  const bool sealed_well =
      session_->send.Seal(AdOf(FrameCommand::kMsg), plain_.span().first(size), message);
  Wipe(plain_.data(), size);
  if (!sealed_well) return Fail(ErrorCode::kInternal, "The request cannot be sealed.");

  const auto answer = Exchange(FrameCommand::kMsg, message, FrameCommand::kMsgResp,
                               options.patience, options.on_keepalive);
  if (!answer) return tl::unexpected(answer.error());
  if (answer->payload.size() < protocol::kTagSize + protocol::kRequestHeaderSize) {
    return Nonsense("MSG_RESP length");
  }
  const std::size_t plain_size = answer->payload.size() - protocol::kTagSize;
  const auto plain = plain_.span().first(plain_size);
  if (!session_->receive.Open(AdOf(FrameCommand::kMsgResp), answer->payload, plain)) {
    return Nonsense("MSG_RESP");
  }
  const auto response = protocol::MessageHeader::Parse(plain);
  if (!response || response->op != header.op || response->req_id != header.req_id ||
      !protocol::IsKnownStatus(response->status)) {
    return Nonsense("response header");
  }
  return Response{static_cast<Status>(response->status),
                  protocol::ByteView(plain).subspan(protocol::kRequestHeaderSize)};
}

Result<protocol::KeyStatus> KeyClient::GetStatus() {
  const auto response = Request(Op::kGetStatus, {}, {});
  if (!response) return tl::unexpected(response.error());
  const auto status = protocol::KeyStatus::Parse(response->body);
  if (!status) {
    DropSession();
    return Nonsense("Status");
  }
  return *status;
}

Result<std::vector<std::uint8_t>> KeyClient::GetAttestation() {
  const auto response = Request(Op::kGetAttestation, {}, {});
  if (!response) return tl::unexpected(response.error());
  if (response->body.empty() || response->body.size() > protocol::kMaxAttestation) {
    DropSession();
    return Nonsense("attestation length");
  }
  return std::vector<std::uint8_t>(response->body.begin(), response->body.end());
}

Result<protocol::Receipt> KeyClient::PutJob(std::span<const std::uint8_t> sealed,
                                            const OnKeepalive& on_keepalive) {
  const auto response = Request(Op::kPutJob, sealed, {kTouch, on_keepalive, false, true});
  if (!response) return tl::unexpected(response.error());
  if (response->body.empty() && response->status != Status::kOk) {
    return tl::unexpected(KeyRefused(response->status));
  }
  const auto receipt = protocol::Receipt::Parse(response->body);
  if (!receipt || receipt->result != response->status ||
      receipt->job_hash != protocol::Sha256Of(sealed)) {
    DropSession();
    return Nonsense("receipt");
  }
  return *receipt;
}

Result<protocol::Receipt> KeyClient::GetReceipt(std::uint64_t receipt_ctr) {
  std::array<std::uint8_t, 8> body;
  protocol::Writer(body).U64(receipt_ctr);
  const auto response = Request(Op::kGetReceipt, body, {});
  if (!response) return tl::unexpected(response.error());
  const auto receipt = protocol::Receipt::Parse(response->body);
  if (!receipt || (receipt_ctr != 0 && receipt->receipt_ctr != receipt_ctr)) {
    DropSession();
    return Nonsense("receipt");
  }
  return *receipt;
}

Result<protocol::Bytes<protocol::kStatementSize>> KeyClient::EnrollBegin(
    std::span<const std::uint8_t, protocol::kEnrollBeginSize> begin,
    const OnKeepalive& on_keepalive) {
  const auto response = Request(Op::kEnrollBegin, begin, {kTouch, on_keepalive, false, false});
  if (!response) return tl::unexpected(response.error());
  if (!protocol::Statement::Parse(response->body)) {
    DropSession();
    return Nonsense("statement");
  }
  protocol::Bytes<protocol::kStatementSize> statement{};
  std::copy(response->body.begin(), response->body.end(), statement.begin());
  return statement;
}

Result<protocol::Receipt> KeyClient::EnrollFinish(
    std::span<const std::uint8_t, protocol::kEnrolGrantSize> grant) {
  const auto response = Request(Op::kEnrollFinish, grant, {kQuick, {}, true, false});
  if (!response) return tl::unexpected(response.error());
  const auto receipt = protocol::Receipt::Parse(response->body);
  DropSession();
  if (!receipt || !receipt->positive() || receipt->receipt_ctr != 1 ||
      receipt->job_hash != protocol::Sha256Of(grant)) {
    return Nonsense("enrolment receipt");
  }
  return *receipt;
}

Result<PinAnswer> KeyClient::PinRequest(Op op, std::span<const std::uint8_t> body,
                                        bool success_tries) {
  const auto response = Request(op, body, {kQuick, {}, false, true});
  if (!response) return tl::unexpected(response.error());
  const Status status = response->status;
  const bool compared = status == Status::kOk || status == Status::kPinWrong ||
                        status == Status::kPinBlocked || status == Status::kPinLocked;
  if (!compared) return tl::unexpected(KeyRefused(status));
  const std::size_t expected = status == Status::kOk && !success_tries ? 0 : 1;
  if (response->body.size() != expected) {
    DropSession();
    return Nonsense("tries");
  }
  return PinAnswer{status, expected == 1 ? response->body[0] : std::uint8_t{0}};
}

Result<PinAnswer> KeyClient::PinSet(const SecureBytes& code, const SecureBytes& pin) {
  SecureBytes body(protocol::kCodeFieldSize + protocol::kPinFieldSize);
  const auto fields = body.span();
  if (!protocol::EncodeField(code.span(), fields.first(protocol::kCodeFieldSize)) ||
      !protocol::EncodeField(pin.span(), fields.last(protocol::kPinFieldSize)) || code.empty() ||
      pin.empty()) {
    return Fail(ErrorCode::kInvalidArgument,
                "An activation code has 8 to 31 characters, a PIN at most 63 bytes.");
  }
  return PinRequest(Op::kPinSet, fields, false);
}

Result<PinAnswer> KeyClient::PinVerify(const SecureBytes& pin) {
  SecureBytes body(protocol::kPinFieldSize);
  if (pin.empty() || !protocol::EncodeField(pin.span(), body.span())) {
    return Fail(ErrorCode::kInvalidArgument, "A PIN has 4 to 63 bytes.");
  }
  return PinRequest(Op::kPinVerify, body.span(), true);
}

Result<PinAnswer> KeyClient::PinChange(const SecureBytes& old_pin, const SecureBytes& new_pin) {
  SecureBytes body(2 * protocol::kPinFieldSize);
  const auto fields = body.span();
  if (old_pin.empty() || new_pin.empty() ||
      !protocol::EncodeField(old_pin.span(), fields.first(protocol::kPinFieldSize)) ||
      !protocol::EncodeField(new_pin.span(), fields.last(protocol::kPinFieldSize))) {
    return Fail(ErrorCode::kInvalidArgument, "A PIN has 4 to 63 bytes.");
  }
  return PinRequest(Op::kPinChange, fields, true);
}

Result<ReleasedPassword> KeyClient::Release(const protocol::Id& account, std::uint8_t slot,
                                            const OnKeepalive& on_keepalive) {
  std::array<std::uint8_t, protocol::kIdSize + 1> body;
  protocol::Writer(body).Put(account).U8(slot);
  const auto response = Request(Op::kRelease, body, {kTouch, on_keepalive, true, false});
  if (!response) return tl::unexpected(response.error());
  const auto released = protocol::Released::Parse(response->body);
  if (!released) {
    Wipe(plain_.data(), plain_.size());
    DropSession();
    return Nonsense("RELEASE");
  }
  ReleasedPassword out{released->seq, std::string(released->login.begin(), released->login.end()),
                       SecureBytes::CopyOf(released->password)};
  Wipe(plain_.data(), plain_.size());
  return out;
}

Result<void> KeyClient::ConfirmLogin(const protocol::Id& account, std::uint64_t seq) {
  std::array<std::uint8_t, protocol::kIdSize + 8> body;
  protocol::Writer(body).Put(account).U64(seq);
  const auto response = Request(Op::kConfirmLogin, body, {});
  if (!response) return tl::unexpected(response.error());
  return {};
}

Result<protocol::Assertion> KeyClient::Assert(const protocol::AssertRequest& request,
                                              const OnKeepalive& on_keepalive) {
  const auto body = request.Encode();
  const auto response = Request(Op::kAssert, body, {kTouch, on_keepalive, true, false});
  if (!response) return tl::unexpected(response.error());
  const auto assertion = protocol::Assertion::Parse(response->body);
  if (!assertion || assertion->challenge != request.challenge ||
      assertion->context_hash != request.context_hash) {
    DropSession();
    return Nonsense("assertion");
  }
  return *assertion;
}

}  // namespace keyferry::device

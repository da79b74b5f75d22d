// LINKS: keyferry_device
// A hostile key against the host's key client. It opens a genuine session, so that what it says
// inside is read, and then answers anything: raw messages, sealed nonsense, ERROR, KEEPALIVE. The
// client never crashes, and never believes what breaks a rule.

#include <algorithm>
#include <cstdlib>

#include "device/key_client.h"

namespace {

using namespace keyferry;
using protocol::FrameCommand;

constexpr std::uint8_t kKeyStatic = 7;

class HostileKey final : public device::MessageLink {
 public:
  explicit HostileKey(protocol::Reader& in) : in_(in) {}

  Result<device::Message> Transact(std::uint8_t command, std::span<const std::uint8_t> payload,
                                   const device::Patience&,
                                   const device::KeepaliveHandler& on_keepalive) override {
    if (!in_.ok() || in_.remaining() == 0) return Fail(ErrorCode::kUnavailable, "gone");
    const std::uint8_t choice = in_.U8();
    if ((choice & 8) != 0 && on_keepalive) on_keepalive(device::Keepalive::kTouchNeeded);
    const auto honest = (choice & 3) != 0 ? Honest(command, payload, choice) : std::nullopt;
    if (honest) return *honest;
    if (choice == 0x40) return Fail(ErrorCode::kDeadline, "late");
    device::Message raw{in_.U8(), {}};
    const auto bytes = in_.Take(std::min<std::size_t>(in_.remaining(), in_.U16() % 1100));
    raw.payload.assign(bytes.begin(), bytes.end());
    return raw;
  }
  Result<void> Post(std::uint8_t, std::span<const std::uint8_t>) override { return {}; }
  device::TransportKind Kind() const override { return device::TransportKind::kSocket; }

 private:
  static device::Message Answer(FrameCommand command, protocol::ByteView payload) {
    return {static_cast<std::uint8_t>(command), {payload.begin(), payload.end()}};
  }

  std::optional<device::Message> Honest(std::uint8_t command, std::span<const std::uint8_t> payload,
                                        std::uint8_t choice) {
    protocol::X25519Private fixed;
    fixed.bytes.fill(kKeyStatic);
    const protocol::Info info;
    switch (static_cast<FrameCommand>(command)) {
      case FrameCommand::kInfo:
        return Answer(FrameCommand::kInfo, info.Encode());
      case FrameCommand::kHs1: {
        noise_.emplace(fixed, fixed,
                       protocol::HopPrologue(protocol::Transport::kSocket, info.Encode()));
        protocol::Bytes<protocol::kHs2Size> hs2{};
        if (!noise_->ReadHs1(payload) || !noise_->WriteHs2(hs2)) return std::nullopt;
        return Answer(FrameCommand::kHs2, hs2);
      }
      case FrameCommand::kHs3: {
        protocol::Bytes<protocol::kHostCertSize> certificate{};
        if (!noise_ || !noise_->ReadHs3(payload, certificate, session_)) std::abort();
        protocol::KeyStatus status;
        status.role = certificate[1];
        return Sealed(FrameCommand::kHs4, status.Encode());
      }
      case FrameCommand::kMsg: {
        std::vector<std::uint8_t> request(payload.size() - protocol::kTagSize);
        if (!session_.receive.Open(static_cast<std::uint8_t>(FrameCommand::kMsg), payload,
                                   request)) {
          std::abort();  // the client and a genuine key always understand each other
        }
        // The right header, most of the time; then anything.
        if ((choice & 4) == 0) request[0] ^= in_.U8();
        request.resize(protocol::kRequestHeaderSize);
        if ((choice & 0x10) != 0) request[1] = in_.U8();
        const auto body =
            in_.Take(std::min<std::size_t>(in_.remaining(), in_.U16() % protocol::kMaxBody));
        request.insert(request.end(), body.begin(), body.end());
        return Sealed(FrameCommand::kMsgResp, request);
      }
      default:
        return Answer(static_cast<FrameCommand>(command), {});
    }
  }

  device::Message Sealed(FrameCommand command, protocol::ByteView plain) {
    std::vector<std::uint8_t> out(plain.size() + protocol::kTagSize);
    session_.send.Seal(static_cast<std::uint8_t>(command), plain, out);
    return Answer(command, out);
  }

  protocol::Reader& in_;
  std::optional<protocol::NoiseResponder> noise_;
  protocol::HopSession session_;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  protocol::Reader in({data, size});
  device::KeyClient client(std::make_unique<HostileKey>(in));
  device::HostIdentity host;
  host.noise_key.bytes.fill(9);
  host.certificate[1] = protocol::kRoleDeliver;
  const std::vector<std::uint8_t> job(336);
  const auto pin = SecureBytes::CopyOf("123456");
  [[maybe_unused]] const auto opened = client.Handshake(host, std::nullopt);
  while (in.ok() && in.remaining() != 0) {
    switch (in.U8() % 9) {
      case 0:
        if (const auto receipt = client.PutJob(job);
            receipt && receipt->job_hash != protocol::Sha256Of(protocol::ByteView(job))) {
          std::abort();
        }
        break;
      case 1:
        if (const auto receipt = client.GetReceipt(3); receipt && receipt->receipt_ctr != 3) {
          std::abort();
        }
        break;
      case 2:
        if (const auto status = client.GetAttestation();
            status && (status->empty() || status->size() > protocol::kMaxAttestation)) {
          std::abort();
        }
        break;
      case 3: {
        [[maybe_unused]] const auto info = client.ReadInfo();
        break;
      }
      case 4: {
        [[maybe_unused]] const auto statement =
            client.EnrollBegin(protocol::Bytes<protocol::kEnrollBeginSize>{});
        [[maybe_unused]] const auto receipt =
            client.EnrollFinish(protocol::Bytes<protocol::kEnrolGrantSize>{});
        break;
      }
      case 5: {
        [[maybe_unused]] const auto answer = client.PinVerify(pin);
        break;
      }
      case 6:
        if (const auto released = client.Release({}, 0, {});
            released &&
            (released->password.empty() || released->password.size() > protocol::kMaxPassword)) {
          std::abort();
        }
        break;
      case 7:
        if (const auto assertion = client.Assert({}, {});
            assertion && assertion->challenge != protocol::Bytes<32>{}) {
          std::abort();
        }
        break;
      default: {
        [[maybe_unused]] const auto again = client.Handshake(host, protocol::X25519Public{1});
      }
    }
  }
  return 0;
}

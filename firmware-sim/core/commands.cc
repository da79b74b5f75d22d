#include <algorithm>

#include "firmware-sim/core/key.h"

namespace keyferry::sim {
namespace {

using protocol::FrameCommand;
using protocol::FrameError;
using protocol::KeyState;
using protocol::Op;
using protocol::Status;

constexpr std::uint8_t kAny = protocol::kRoleDeliver | protocol::kRoleLogin | protocol::kRoleEnroll;

// The roles that may ask for an op; 0 for one that does not exist.
std::uint8_t RolesOf(std::uint8_t op) {
  switch (static_cast<Op>(op)) {
    case Op::kGetInfo:
    case Op::kGetStatus:
    case Op::kGetAttestation:
      return kAny;
    case Op::kPutJob:
    case Op::kGetReceipt:
      return protocol::kRoleDeliver | protocol::kRoleEnroll;
    case Op::kEnrollBegin:
    case Op::kEnrollFinish:
      return protocol::kRoleEnroll;
    case Op::kPinSet:
    case Op::kPinVerify:
    case Op::kPinChange:
    case Op::kRelease:
    case Op::kConfirmLogin:
    case Op::kWipeLocal:
    case Op::kOfflineChallenge:
    case Op::kOfflineApply:
      return protocol::kRoleLogin;
    case Op::kAssert:
      return protocol::kRoleLogin | protocol::kRoleDeliver;
  }
  return 0;
}

bool IsEnrol(Op op) { return op == Op::kEnrollBegin || op == Op::kEnrollFinish; }

bool IsReadOnly(Op op) {
  return op == Op::kGetInfo || op == Op::kGetStatus || op == Op::kGetAttestation ||
         op == Op::kGetReceipt;
}

}  // namespace

void Key::OnRequest(std::uint32_t cid, ByteView payload) {
  Session* session = sessions_.Use(cid, hal_.clock.NowMs());
  if (session == nullptr) return link_.Error(FrameError::kNoSession);
  protocol::Secret<protocol::kMaxMessage> plain;
  constexpr std::size_t kLeast = protocol::kRequestHeaderSize + protocol::kTagSize;
  const std::size_t size = payload.size() < kLeast ? 0 : payload.size() - protocol::kTagSize;
  if (size == 0 || !session->hop.receive.Open(static_cast<std::uint8_t>(FrameCommand::kMsg),
                                              payload, plain.span().first(size))) {
    sessions_.End(*session);
    return link_.Error(FrameError::kDecrypt);
  }
  ++session->requests;
  session_ = session;
  after_ = After::kNothing;
  delay_ms_ = 0;
  header_ = *protocol::MessageHeader::Parse(plain.view().first(size));
  body_size_ = size - protocol::kRequestHeaderSize;
  std::copy_n(plain.bytes.begin() + protocol::kRequestHeaderSize, body_size_, body_.bytes.begin());
  const Status status = CheckRequest();
  if (status != Status::kOk) return Respond(status);
  Execute();
}

// Op and zero byte, role, state: the checks that all requests share, in the specification's order.
Key::Status Key::CheckRequest() const {
  const std::uint8_t roles = RolesOf(header_.op);
  if (roles == 0 || header_.status != 0) return Status::kBadFormat;
  if ((roles & session_->role) == 0) return Status::kNotAuthorised;
  const Op op = static_cast<Op>(header_.op);
  switch (State()) {
    case KeyState::kTampered:
      return IsReadOnly(op) || op == Op::kWipeLocal ? Status::kOk : Status::kTamper;
    case KeyState::kProvisioned:
      return IsReadOnly(op) || IsEnrol(op) ? Status::kOk : Status::kNotEnrolled;
    case KeyState::kWiped:
      return IsReadOnly(op) || IsEnrol(op) ? Status::kOk : Status::kWiped;
    default:
      return IsEnrol(op) ? Status::kAlreadyEnrolled : Status::kOk;
  }
}

void Key::Execute() {
  switch (static_cast<Op>(header_.op)) {
    case Op::kGetInfo:
      return body_size_ == 0 ? Respond(Status::kOk, MakeInfo()) : Respond(Status::kBadFormat);
    case Op::kGetStatus:
      return body_size_ == 0 ? Respond(Status::kOk, MakeStatus(session_->role))
                             : Respond(Status::kBadFormat);
    case Op::kGetAttestation:
      return body_size_ == 0 ? Respond(Status::kOk, storage_.factory().certificate())
                             : Respond(Status::kBadFormat);
    case Op::kPutJob:
      return PutJob();
    case Op::kGetReceipt:
      return GetReceipt();
    case Op::kEnrollBegin:
      return EnrolBegin();
    case Op::kEnrollFinish:
      return EnrolFinish();
    case Op::kPinSet:
      return PinSet();
    case Op::kPinVerify:
      return PinVerify();
    case Op::kPinChange:
      return PinChange();
    case Op::kRelease:
      return Release();
    case Op::kConfirmLogin:
      return ConfirmLogin();
    case Op::kAssert:
      return Assert();
    case Op::kWipeLocal:
      return body_size_ == 0 ? BeginWait(true) : Respond(Status::kBadFormat);
    case Op::kOfflineChallenge:
    case Op::kOfflineApply:
      return Respond(Status::kBadFormat);  // reserved
  }
  Respond(Status::kInternal);
}

// Goes on with the request that waited for a touch.
void Key::OnTouchAnswered(Status touch) {
  if (touch != Status::kOk) return Respond(touch);
  switch (static_cast<Op>(header_.op)) {
    case Op::kPutJob:
      return StoreJob();
    case Op::kEnrollBegin:
      return EnrolBeginTouched();
    case Op::kRelease:
      return ReleaseTouched();
    case Op::kAssert:
      return AssertSign(true, (body().back() & protocol::kAssertPin) != 0);
    case Op::kWipeLocal:
      return WipeLocal();
    default:
      return Respond(Status::kInternal);
  }
}

void Key::Respond(Status status, ByteView body) {
  Session* session = session_;
  if (session == nullptr) return;
  session_ = nullptr;
  protocol::Secret<protocol::kMaxMessage> plain;
  protocol::Bytes<protocol::kMaxMessage> sealed{};
  protocol::MessageHeader header = header_;
  header.status = static_cast<std::uint8_t>(status);
  protocol::Writer writer(plain.span());
  writer.Put(header.Encode()).Put(body);
  const std::size_t size = writer.size() + protocol::kTagSize;
  const bool good = writer.ok() && size <= sealed.size() &&
                    session->hop.send.Seal(static_cast<std::uint8_t>(FrameCommand::kMsgResp),
                                           plain.view().first(writer.size()),
                                           protocol::MutableBytes(sealed).first(size));
  protocol::Wipe(body_.span());
  Renew(opened_);
  vault_priv_ = {};
  if (!good) {
    sessions_.End(*session);
    return link_.Error(FrameError::kOther);
  }
  const After after = after_;
  link_.Answer(FrameCommand::kMsgResp, ByteView(sealed).first(size), delay_ms_);
  if (after == After::kEndAllSessions) sessions_.EndAll();
  if (after == After::kEndFailingSessions) {
    for (Session& other : sessions_.sessions()) {
      if (other.cid != 0 && !StillPasses(other)) sessions_.End(other);
    }
  }
}

void Key::GetReceipt() {
  protocol::Reader reader(body());
  std::uint64_t wanted = reader.U64();
  if (!reader.AtEnd()) return Respond(Status::kBadFormat);
  const auto& state = storage_.state();
  if (wanted == 0) wanted = state.receipt_ctr;
  const bool kept = wanted != 0 && wanted <= state.receipt_ctr &&
                    state.receipt_ctr - wanted < protocol::kJournalSize;
  // Of a wiped key the wipe's receipt alone is left.
  const bool asked_last = protocol::IsAllZero(body());
  if (!kept || (state.phase == Phase::kWiped && !asked_last)) return Respond(Status::kNoPassword);
  Respond(Status::kOk, state.journal[wanted % protocol::kJournalSize]);
}

}  // namespace keyferry::sim

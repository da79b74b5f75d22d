#include "tests/unit/firmware-sim/bench.h"

#include <algorithm>
#include <cstdio>
#include <map>
#include <stdexcept>
#include <tuple>

#include "firmware-sim/endpoint/simulator_ca.h"

#define DEMAND(...) Demand((__VA_ARGS__), #__VA_ARGS__, __LINE__)

namespace keyferry::sim::test {

void Demand(bool ok, const char* what, int line) {
  if (ok) return;
  std::fprintf(stderr, "bench.cc:%d: does not hold: %s\n", line, what);
  throw std::logic_error(what);
}

Blob FromHex(std::string_view text) {
  const auto nibble = [](char c) {
    return static_cast<unsigned>(c <= '9' ? c - '0' : c - 'a' + 10);
  };
  Blob out;
  for (std::size_t i = 0; i + 1 < text.size(); i += 2) {
    out.push_back(static_cast<std::uint8_t>(nibble(text[i]) << 4 | nibble(text[i + 1])));
  }
  return out;
}

std::string ToHex(ByteView bytes) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string out;
  for (const std::uint8_t b : bytes) {
    out += kDigits[b >> 4];
    out += kDigits[b & 15];
  }
  return out;
}

bool ScriptedRandom::Fill(protocol::MutableBytes out) {
  if (!queue_.empty() && queue_.front().size() == out.size()) {
    std::copy(queue_.front().begin(), queue_.front().end(), out.begin());
    queue_.pop_front();
    return true;
  }
  for (std::uint8_t& b : out) {
    state_ = state_ * 6364136223846793005u + 1442695040888963407u;
    b = static_cast<std::uint8_t>(state_ >> 56);
  }
  return true;
}

Issuer MakeIssuer(std::uint64_t seed) {
  static std::map<std::uint64_t, Issuer> made;  // fuzzers ask for the same ones a thousand times
  const auto found = made.find(seed);
  if (found != made.end()) return found->second;
  ScriptedRandom random(seed);
  Issuer issuer;
  DEMAND(protocol::P256Generate(random, issuer.priv, issuer.pub));
  issuer.kid = protocol::KidOf(issuer.pub);
  made.emplace(seed, issuer);
  return issuer;
}

const FlashImage& FactoryImage() {
  static const FlashImage image = [] {
    ScriptedRandom random(77);
    MemoryFlash flash;
    const auto factory = ManufactureKey(random);
    DEMAND(factory.has_value());
    DEMAND(WriteFactory(flash, *factory));
    return flash.image();
  }();
  return image;
}

Bench::Bench() : Bench(FactoryImage()) {}

Bench::Bench(FlashImage image) : flash_(std::move(image)) {
  config.firmware_version = 0x00010203;
  DEMAND(ReadFactory(flash_, &factory_));
}

void Bench::PowerOn() {
  out.clear();
  waiting = false;
  key_ = std::make_unique<Key>(Hal{flash_, flash_, random_, *this, *this, *this}, config);
  key_->PowerOn();
}

void Bench::Send(std::uint32_t cid, FrameCommand command, ByteView data) {
  protocol::HidSplitter splitter(cid, command, data);
  protocol::Report report;
  while (splitter.Next(report)) Send(report);
}

void Bench::Pass(std::uint64_t ms) {
  for (std::uint64_t step = 0; ms != 0; ms -= step) {
    step = std::min<std::uint64_t>(ms, 5);
    now_ms_ += step;
    key_->Tick();
    GiveTouches();
  }
}

void Bench::WaitBegan(bool held) {
  waiting = true;
  wait_held = held;
}

void Bench::GiveTouches() {
  while (waiting && touching != Touching::kManual) {
    waiting = false;
    key_->OnTouch(touching == Touching::kAuto ? TouchEvent::kHeld : TouchEvent::kRefused);
  }
}

void Bench::Send(ByteView frame, const Origin& to) {
  DEMAND(to == origin);
  DEMAND(frame.size() == protocol::kReportSize);
  flash_.NoteSend();
  std::copy(frame.begin(), frame.end(), out.emplace_back().begin());
}

std::optional<Bench::Answer> Bench::Receive(std::uint32_t cid, std::uint64_t patience_ms) {
  for (std::uint64_t waited = 0;; waited += 5) {
    std::optional<Answer> answer;
    std::size_t expected = 0;
    for (auto report = out.begin(); report != out.end();) {
      const protocol::HidFrame frame = protocol::HidFrame::Parse(*report);
      if (frame.cid != cid) {
        ++report;
        continue;
      }
      if (!answer) {
        DEMAND(frame.first);
        answer.emplace();
        answer->command = static_cast<FrameCommand>(frame.command);
        expected = frame.length;
      } else {
        DEMAND(!frame.first);
      }
      const std::size_t part = std::min(frame.data.size(), expected - answer->data.size());
      answer->data.insert(answer->data.end(), frame.data.begin(),
                          frame.data.begin() + static_cast<std::ptrdiff_t>(part));
      report = out.erase(report);
      if (answer->data.size() < expected) continue;
      if (answer->command != FrameCommand::kKeepalive) return answer;
      ++keepalives;
      if (answer->data[0] == 2) ++touch_keepalives;
      answer.reset();
    }
    DEMAND(!(answer.has_value()));
    if (waited >= patience_ms || !key_) return std::nullopt;
    Pass(5);
  }
}

Host::Host(Bench& bench, const Issuer& issuer, std::uint8_t role, std::uint32_t host_epoch,
           std::uint64_t seed)
    : bench_(&bench), seed_(seed) {
  ScriptedRandom random(seed);
  DEMAND(protocol::X25519Generate(random, static_, cert.host_noise_pub));
  cert.role = role;
  cert.host_id.fill(static_cast<std::uint8_t>(seed));
  cert.issuer_kid = issuer.kid;
  cert.host_epoch = host_epoch;
  cert.not_after = 4'000'000'000;
  static std::map<std::tuple<protocol::Kid, std::uint8_t, std::uint32_t, std::uint64_t>,
                  protocol::Signature>
      signed_before;
  const auto found = signed_before.find({issuer.kid, role, host_epoch, seed});
  if (found != signed_before.end()) {
    cert.signature = found->second;
    return;
  }
  DEMAND(cert.Sign(issuer.priv));
  signed_before.emplace(std::tuple(issuer.kid, role, host_epoch, seed), cert.signature);
}

void Host::Init() {
  const Blob nonce{1, 2, 3, 4, 5, 6, 7, 8};
  bench_->Send(protocol::kBroadcastCid, FrameCommand::kInit, nonce);
  const auto answer = bench_->Receive(protocol::kBroadcastCid);
  DEMAND(answer.has_value());
  DEMAND(answer->command == FrameCommand::kInit);
  const auto init = protocol::InitResponse::Parse(answer->data);
  DEMAND(init.has_value());
  cid_ = init->cid;
}

bool Host::Connect() {
  if (cid_ == 0) Init();
  bench_->Send(cid_, FrameCommand::kInfo, {});
  const auto info = bench_->Receive(cid_);
  DEMAND(info.has_value());
  DEMAND(info->command == FrameCommand::kInfo);
  protocol::Bytes<protocol::kInfoSize> info_bytes{};
  DEMAND(info->data.size() == info_bytes.size());
  std::copy(info->data.begin(), info->data.end(), info_bytes.begin());
  ScriptedRandom random(++seed_ * 1000);
  protocol::X25519Private ephemeral;
  DEMAND(random.Fill(ephemeral.span()));
  protocol::NoiseInitiator noise(static_, ephemeral,
                                 protocol::HopPrologue(bench_->origin.transport, info_bytes));
  protocol::Bytes<protocol::kHs1Size> hs1{};
  DEMAND(noise.WriteHs1(hs1));
  bench_->Send(cid_, FrameCommand::kHs1, hs1);
  const auto hs2 = bench_->Receive(cid_);
  DEMAND(hs2.has_value());
  if (hs2->command != FrameCommand::kHs2) return false;
  DEMAND(noise.ReadHs2(hs2->data));
  key_static_ = noise.key_static();
  protocol::Bytes<protocol::kHs3Size> hs3{};
  DEMAND(noise.WriteHs3(cert.Encode(), hs3, hop_));
  bench_->Send(cid_, FrameCommand::kHs3, hs3);
  const auto hs4 = bench_->Receive(cid_);
  DEMAND(hs4.has_value());
  if (hs4->command != FrameCommand::kHs4) {
    DEMAND(hs4->data == Blob{0x13});
    return false;
  }
  protocol::Bytes<protocol::kKeyStatusSize> plain{};
  DEMAND(hop_.receive.Open(0x23, hs4->data, plain));
  const auto status = protocol::KeyStatus::Parse(plain);
  DEMAND(status.has_value());
  status_ = *status;
  return true;
}

void Host::Ask(Op op, ByteView body) {
  Blob plain{static_cast<std::uint8_t>(op), 0, static_cast<std::uint8_t>(next_id_ >> 8),
             static_cast<std::uint8_t>(next_id_)};
  plain.insert(plain.end(), body.begin(), body.end());
  Blob sealed(plain.size() + protocol::kTagSize);
  DEMAND(hop_.send.Seal(0x24, plain, sealed));
  bench_->Send(cid_, FrameCommand::kMsg, sealed);
}

Reply Host::Hear(std::uint64_t patience_ms) {
  const auto answer = bench_->Receive(cid_, patience_ms);
  DEMAND(answer.has_value());
  Reply reply;
  if (answer->command == FrameCommand::kError) {
    DEMAND(answer->data.size() == 1);
    reply.frame_error = static_cast<protocol::FrameError>(answer->data[0]);
    return reply;
  }
  DEMAND(answer->command == FrameCommand::kMsgResp);
  DEMAND(answer->data.size() >= protocol::kRequestHeaderSize + protocol::kTagSize);
  Blob plain(answer->data.size() - protocol::kTagSize);
  DEMAND(hop_.receive.Open(0x25, answer->data, plain));
  const auto header = protocol::MessageHeader::Parse(plain);
  DEMAND(header.has_value());
  DEMAND(header->req_id == next_id_);
  ++next_id_;
  reply.status = static_cast<Status>(header->status);
  reply.body.assign(plain.begin() + protocol::kRequestHeaderSize, plain.end());
  return reply;
}

Owner::Owner(Bench& bench, std::uint64_t seed)
    : root(MakeIssuer(seed)), issuer(MakeIssuer(seed + 1)), bench_(bench), random_(seed + 2) {
  account.fill(0xAC);
  policy.max_offline_days = 30;
}

protocol::EnrollBegin Owner::Begin() {
  protocol::EnrollBegin begin;
  DEMAND(random_.Fill(begin.nonce));
  begin.root_pub = root.pub;
  begin.issuer.issuer_epoch = 1;
  begin.issuer.issuer_pub = issuer.pub;
  begin.issuer.not_after = 4'000'000'000;
  begin.issuer.root_kid = root.kid;
  DEMAND(begin.issuer.Sign(root.priv));
  return begin;
}

protocol::EnrolGrant Owner::Grant(const protocol::EnrollBegin& begin, ByteView statement_bytes) {
  const auto parsed = protocol::Statement::Parse(statement_bytes);
  DEMAND(parsed.has_value());
  statement = *parsed;
  protocol::EnrolGrant grant;
  grant.device_id = statement.device_id;
  grant.account_id = account;
  grant.policy = policy;
  grant.nonce = begin.nonce;
  grant.statement_hash = protocol::Sha256Of(statement_bytes);
  grant.activation_hash = protocol::ActivationHash(statement.device_id, protocol::AsBytes(code));
  DEMAND(grant.Sign(issuer.priv));
  return grant;
}

void Owner::Enrol() {
  Host enroller = Enroller();
  DEMAND(enroller.Connect());
  const protocol::EnrollBegin begin = Begin();
  const auto begin_bytes = begin.Encode();
  const Reply begun = enroller.Request(Op::kEnrollBegin, begin_bytes);
  DEMAND(begun.ok());
  const protocol::EnrolGrant grant = Grant(begin, begun.body);
  DEMAND(statement.VerifySignatures(bench_.factory().attestation_pub));
  DEMAND(statement.begin_hash == protocol::Sha256Of(begin_bytes));
  last = {};
  last_bytes.clear();
  seq = 0;
  const auto grant_bytes = grant.Encode();
  const Reply finished = enroller.Request(Op::kEnrollFinish, grant_bytes);
  DEMAND(finished.ok());
  Take(finished.body);
  DEMAND(last.job_hash == protocol::Sha256Of(grant_bytes));
  DEMAND(last.receipt_ctr == 1);
}

void Owner::Take(ByteView receipt) {
  const auto parsed = protocol::Receipt::Parse(receipt);
  DEMAND(parsed.has_value());
  DEMAND(parsed->VerifySignature(statement.sig_pub));
  const protocol::Hash expected =
      last_bytes.empty() ? protocol::Hash{} : protocol::ReceiptHash(last_bytes);
  if (Copy(receipt) != last_bytes) {  // a repeat is the same bytes
    DEMAND(parsed->previous_hash == expected);
    DEMAND(parsed->receipt_ctr == last.receipt_ctr + 1);
    DEMAND(parsed->prev_seq == last.seq);
  }
  last = *parsed;
  last_bytes = Copy(receipt);
}

Blob Owner::Seal(protocol::JobType type, ByteView body, std::uint8_t flags) {
  header = {};
  header.type = type;
  header.flags = flags;
  header.device_id = statement.device_id;
  header.account_id = account;
  header.recipient_epoch = last.epoch;
  header.seq = ++seq;
  header.base_seq = last.seq;
  header.created = 1'700'000'000;
  header.job_id.fill(static_cast<std::uint8_t>(++job_ids_));
  protocol::X25519Private ephemeral;
  DEMAND(random_.Fill(ephemeral.span()));
  const Issuer& signer = type == protocol::JobType::kIssuerRotate ? root : issuer;
  Blob job(protocol::kMaxJobSize);
  const std::size_t size =
      protocol::SealJob(header, body, last.recipient_pub, signer.priv, signer.kid, ephemeral, job);
  DEMAND(size != 0);
  job.resize(size);
  return job;
}

Blob Owner::SealPassword(std::string_view password, std::uint8_t flags, std::string_view login) {
  Blob body(protocol::kMaxJobBody);
  protocol::SetPasswordBody set;
  set.login = protocol::AsBytes(login);
  set.password = protocol::AsBytes(password);
  const std::size_t size = set.Encode(body);
  DEMAND(size != 0);
  return Seal(protocol::JobType::kSetPassword, ByteView(body).first(size), flags);
}

Reply Owner::Put(Host& daemon, ByteView job) {
  const Reply reply = daemon.Request(Op::kPutJob, job);
  if (reply.ok()) {
    Take(reply.body);
    DEMAND(last.job_hash == protocol::JobHash(job));
  }
  return reply;
}

Blob Owner::PinBody(std::string_view pin) {
  Blob body(protocol::kPinFieldSize);
  DEMAND(protocol::EncodeField(protocol::AsBytes(pin), body));
  return body;
}

Blob Owner::PinSetBody(std::string_view pin) const {
  Blob body(protocol::kCodeFieldSize);
  DEMAND(protocol::EncodeField(protocol::AsBytes(code), body));
  const Blob field = PinBody(pin);
  body.insert(body.end(), field.begin(), field.end());
  return body;
}

Blob Owner::ReleaseBody(std::uint8_t slot) const {
  Blob body(account.size() + 1, slot);
  std::copy(account.begin(), account.end(), body.begin());
  return body;
}

std::string Owner::Release(Host& login, std::string_view pin, std::uint8_t slot) {
  const Reply verified = login.Request(Op::kPinVerify, PinBody(pin));
  if (!verified.ok()) return {};
  const Reply released = login.Request(Op::kRelease, ReleaseBody(slot));
  if (!released.ok()) return {};
  const auto parsed = protocol::Released::Parse(released.body);
  DEMAND(parsed.has_value());
  return {reinterpret_cast<const char*>(parsed->password.data()), parsed->password.size()};
}

}  // namespace keyferry::sim::test

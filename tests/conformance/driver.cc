#include "tests/conformance/driver.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <filesystem>
#include <stdexcept>

extern char** environ;

namespace keyferry::conformance {
namespace {

[[noreturn]] void Stop(const std::string& why) { throw std::runtime_error(why); }

// Starts a program; `out` (if not -1) becomes its standard output.
int Spawn(const std::vector<std::string>& command, int out) {
  std::vector<char*> arguments;
  for (const std::string& word : command) arguments.push_back(const_cast<char*>(word.c_str()));
  arguments.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  if (out >= 0) posix_spawn_file_actions_adddup2(&actions, out, 1);
  int pid = -1;
  const int error = posix_spawn(&pid, arguments[0], &actions, nullptr, arguments.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  if (error != 0) Stop("cannot start " + command[0]);
  return pid;
}

template <std::size_t N>
Bytes<N> RandomBytes() {
  Bytes<N> out{};
  Random().Fill(out);
  return out;
}

}  // namespace

Simulator::Simulator(const std::string& touch, const std::vector<std::string>& more)
    : touch_(touch), more_(more) {
  char name[] = "/tmp/keyferry-conformance-XXXXXX";
  if (mkdtemp(name) == nullptr) conformance::Stop("cannot make a folder");
  folder_ = name;
  socket_ = folder_ + "/key.sock";
  Start();
}

Simulator::~Simulator() {
  Stop();
  std::error_code ignored;
  std::filesystem::remove_all(folder_, ignored);
}

void Simulator::Start() {
  int pipe_fds[2];
  if (pipe2(pipe_fds, O_CLOEXEC) != 0) conformance::Stop("cannot make a pipe");
  std::vector<std::string> command = {KEYFERRY_SIM,           "--socket", socket_, "--state",
                                      folder_ + "/flash.bin", "--touch",  touch_};
  command.insert(command.end(), more_.begin(), more_.end());
  pid_ = Spawn(command, pipe_fds[1]);
  close(pipe_fds[1]);
  pollfd waiting{pipe_fds[0], POLLIN, 0};
  char line[512];
  const bool ready = poll(&waiting, 1, 10'000) == 1 && read(pipe_fds[0], line, sizeof line) > 0;
  close(pipe_fds[0]);
  if (!ready) conformance::Stop("the simulator did not become ready");
}

void Simulator::Stop() {
  if (pid_ < 0) return;
  kill(pid_, SIGKILL);
  waitpid(pid_, nullptr, 0);
  pid_ = -1;
}

void Simulator::KillAndRestart() {
  Stop();
  Start();
}

void Simulator::Control(const std::string& command) {
  const int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
  const int pid = Spawn({KEYFERRY_SIM, "ctl", "--socket", socket_, command}, null);
  close(null);
  int status = 0;
  waitpid(pid, &status, 0);
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
    conformance::Stop("keyferry-sim ctl " + command + " failed");
}

Wire::Wire(const std::string& socket_path) {
  fd_ = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  socket_path.copy(address.sun_path, sizeof address.sun_path - 1);
  if (connect(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
    Stop("cannot connect to " + socket_path);
}

Wire::~Wire() { close(fd_); }

void Wire::Send(const Report& report) {
  if (send(fd_, report.data(), report.size(), MSG_NOSIGNAL) != static_cast<ssize_t>(report.size()))
    Stop("the key hung up");
}

std::optional<Report> Wire::Receive(int milliseconds) {
  pollfd waiting{fd_, POLLIN, 0};
  if (poll(&waiting, 1, milliseconds) != 1) return std::nullopt;
  Report report{};
  const ssize_t size = recv(fd_, report.data(), report.size(), 0);
  if (size != static_cast<ssize_t>(report.size())) Stop("the key hung up or sent a short report");
  return report;
}

void Wire::SendMessage(std::uint32_t cid, std::uint8_t command, ByteView data) {
  HidSplitter splitter(cid, static_cast<FrameCommand>(command), data);
  Report report{};
  while (splitter.Next(report)) Send(report);
}

Message Wire::ReceiveMessage(std::uint32_t cid, int milliseconds) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(milliseconds);
  Assembler assembler;
  Message message;
  for (;;) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
                          end - std::chrono::steady_clock::now())
                          .count();
    const auto report = Receive(left > 0 ? static_cast<int>(left) : 0);
    if (!report) Stop("no answer from the key");
    const HidFrame frame = HidFrame::Parse(*report);
    if (frame.cid != cid) Stop("an answer on another channel");
    const auto step = frame.first ? assembler.Begin(frame.command, frame.length, frame.data)
                                  : assembler.Continue(frame.sequence, frame.data);
    if (step == Assembler::Step::kBadLength || step == Assembler::Step::kBadSequence)
      Stop("a broken frame from the key");
    if (step != Assembler::Step::kComplete) continue;
    if (assembler.command() == static_cast<std::uint8_t>(FrameCommand::kKeepalive)) {
      ++message.keepalives;
      message.touch_asked = message.touch_asked || assembler.message()[0] == kKeepaliveTouch;
      continue;
    }
    message.command = assembler.command();
    message.data.assign(assembler.message().begin(), assembler.message().end());
    return message;
  }
}

Message Wire::Exchange(std::uint32_t cid, FrameCommand command, ByteView data) {
  SendMessage(cid, static_cast<std::uint8_t>(command), data);
  return ReceiveMessage(cid);
}

std::uint32_t Wire::Open() {
  const auto nonce = RandomBytes<8>();
  const Message answer = Exchange(kBroadcastCid, FrameCommand::kInit, nonce);
  const auto init = InitResponse::Parse(answer.data);
  if (!init || init->nonce != nonce) Stop("INIT was not answered as it should be");
  return init->cid;
}

Info Wire::ReadInfo(std::uint32_t cid) {
  const auto info = Info::Parse(Exchange(cid, FrameCommand::kInfo, {}).data);
  if (!info) Stop("INFO cannot be parsed");
  return *info;
}

bool TestRandom::Fill(MutableBytes out) {
  static std::uint64_t counter = 0;
  std::size_t done = 0;
  while (done < out.size()) {
    Bytes<8> number{};
    Writer(number).U64(++counter);
    const Hash block = Sha256Of(AsBytes("conformance"), number);
    const std::size_t size = std::min(block.size(), out.size() - done);
    std::copy_n(block.begin(), size, out.begin() + static_cast<std::ptrdiff_t>(done));
    done += size;
  }
  return true;
}

TestRandom& Random() {
  static TestRandom random;
  return random;
}

Organisation::Organisation() {
  P256Generate(Random(), root, root_pub);
  P256Generate(Random(), issuer, issuer_pub);
  issuer_cert.issuer_epoch = 1;
  issuer_cert.issuer_pub = issuer_pub;
  issuer_cert.not_after = 4'000'000'000;
  issuer_cert.root_kid = KidOf(root_pub);
  issuer_cert.Sign(root);
}

Host Organisation::MakeHost(std::uint8_t role, std::uint32_t host_epoch) const {
  Host host;
  X25519Generate(Random(), host.noise, host.cert.host_noise_pub);
  host.cert.role = role;
  host.cert.host_id = RandomBytes<16>();
  host.cert.issuer_kid = KidOf(issuer_pub);
  host.cert.not_after = 4'000'000'000;
  host.cert.host_epoch = host_epoch;
  host.cert.Sign(issuer);
  return host;
}

EnrollBegin Organisation::Begin() const {
  EnrollBegin begin;
  begin.nonce = RandomBytes<32>();
  begin.root_pub = root_pub;
  begin.issuer = issuer_cert;
  return begin;
}

namespace {

// HS1 and HS2; the initiator is left ready for HS3.
NoiseInitiator BeginHandshake(Wire& wire, std::uint32_t cid, const Host& host) {
  const Info info = wire.ReadInfo(cid);
  X25519Private ephemeral;
  X25519Public unused{};
  X25519Generate(Random(), ephemeral, unused);
  NoiseInitiator initiator(host.noise, ephemeral, HopPrologue(Transport::kSocket, info.Encode()));
  Bytes<kHs1Size> hs1{};
  initiator.WriteHs1(hs1);
  const Message hs2 = wire.Exchange(cid, FrameCommand::kHs1, hs1);
  if (hs2.command != static_cast<std::uint8_t>(FrameCommand::kHs2) || !initiator.ReadHs2(hs2.data))
    Stop("HS2 is wrong");
  return initiator;
}

}  // namespace

Message Session::Try(Wire& wire, std::uint32_t cid, const Host& host) {
  NoiseInitiator initiator = BeginHandshake(wire, cid, host);
  Bytes<kHs3Size> hs3{};
  HopSession session;
  initiator.WriteHs3(host.cert.Encode(), hs3, session);
  return wire.Exchange(cid, FrameCommand::kHs3, hs3);
}

Session::Session(Wire& wire, std::uint32_t cid, const Host& host) : wire_(wire), cid_(cid) {
  NoiseInitiator initiator = BeginHandshake(wire, cid, host);
  key_static_ = initiator.key_static();
  Bytes<kHs3Size> hs3{};
  initiator.WriteHs3(host.cert.Encode(), hs3, session_);
  const Message hs4 = wire.Exchange(cid, FrameCommand::kHs3, hs3);
  Bytes<kKeyStatusSize> plain{};
  if (hs4.command != static_cast<std::uint8_t>(FrameCommand::kHs4) ||
      !session_.receive.Open(static_cast<std::uint8_t>(FrameCommand::kHs4), hs4.data, plain)) {
    Stop("the key refused the handshake");
  }
  const auto status = KeyStatus::Parse(plain);
  if (!status) Stop("HS4 cannot be parsed");
  status_ = *status;
}

void Session::Send(ByteView plaintext) {
  Blob sealed(plaintext.size() + kTagSize);
  session_.send.Seal(static_cast<std::uint8_t>(FrameCommand::kMsg), plaintext, sealed);
  wire_.SendMessage(cid_, static_cast<std::uint8_t>(FrameCommand::kMsg), sealed);
}

Response Session::Receive(int milliseconds) {
  const Message answer = wire_.ReceiveMessage(cid_, milliseconds);
  if (answer.command != static_cast<std::uint8_t>(FrameCommand::kMsgResp) ||
      answer.data.size() < kTagSize + kRequestHeaderSize) {
    Stop("the key answered with frame " + std::to_string(answer.command) + " instead of MSG_RESP");
  }
  Blob plain(answer.data.size() - kTagSize);
  if (!session_.receive.Open(static_cast<std::uint8_t>(FrameCommand::kMsgResp), answer.data, plain))
    Stop("MSG_RESP does not open");
  Response response;
  response.status = static_cast<Status>(plain[1]);
  response.body.assign(plain.begin() + kRequestHeaderSize, plain.end());
  response.keepalives = answer.keepalives;
  response.touch_asked = answer.touch_asked;
  return response;
}

Response Session::Raw(ByteView plaintext) {
  Send(plaintext);
  return Receive();
}

Response Session::Request(Op op, ByteView body) {
  MessageHeader header;
  header.op = static_cast<std::uint8_t>(op);
  header.req_id = next_++;
  return Raw(Concat({header.Encode(), body}));
}

KeyStatus Session::Refresh() {
  const auto status = KeyStatus::Parse(Request(Op::kGetStatus).body);
  if (!status) Stop("GET_STATUS cannot be parsed");
  return *status;
}

Blob Enrolled::Seal(JobType type, ByteView body, std::uint8_t flags,
                    const std::function<void(JobHeader&)>& change) {
  JobHeader header;
  header.type = type;
  header.flags = flags;
  header.device_id = device_id;
  header.account_id = account_id;
  header.recipient_epoch = receipt.epoch;
  header.seq = seq + 1;
  header.base_seq = receipt.seq;
  header.job_id = RandomBytes<16>();
  if (change) change(header);
  X25519Private ephemeral;
  X25519Public unused{};
  X25519Generate(Random(), ephemeral, unused);
  const bool rotate = type == JobType::kIssuerRotate;
  Blob out(kMaxJobSize);
  out.resize(
      SealJob(header, body, receipt.recipient_pub, rotate ? organisation.root : organisation.issuer,
              KidOf(rotate ? organisation.root_pub : organisation.issuer_pub), ephemeral, out));
  if (out.empty()) Stop("the job could not be sealed");
  return out;
}

Blob Enrolled::SealPassword(const std::string& login, const std::string& password,
                            std::uint8_t flags) {
  Bytes<kMaxJobBody> body{};
  const std::size_t size = SetPasswordBody{AsBytes(login), AsBytes(password)}.Encode(body);
  return Seal(JobType::kSetPassword, ByteView(body).first(size), flags);
}

Receipt Enrolled::Verify(const Response& response, const Blob& job) {
  if (response.status != Status::kOk)
    Stop(std::string("the key refused the job: ") + Name(response.status));
  const auto parsed = Receipt::Parse(response.body);
  if (!parsed || !parsed->VerifySignature(statement.sig_pub))
    Stop("the receipt's signature is wrong");
  if (parsed->job_hash != JobHash(job)) Stop("the receipt is not this job's");
  if (parsed->receipt_ctr != receipt.receipt_ctr + 1 || parsed->previous_hash != receipt_hash)
    Stop("the receipts do not chain");
  if (parsed->prev_seq != receipt.seq) Stop("prev_seq is wrong");
  receipt = *parsed;
  receipt_hash = ReceiptHash(response.body);
  seq = receipt.seq;
  return receipt;
}

Receipt Enrolled::Deliver(Session& session, const Blob& job) {
  return Verify(session.Request(Op::kPutJob, job), job);
}

Enrolled Enrol(Wire& wire, const Policy& policy) {
  Enrolled key;
  key.account_id = RandomBytes<16>();
  const std::uint32_t cid = wire.Open();
  key.device_id = wire.ReadInfo(cid).device_id;
  Session session(wire, cid, key.organisation.MakeHost(kRoleEnroll));
  const EnrollBegin begin = key.organisation.Begin();
  const Response stated = session.Request(Op::kEnrollBegin, begin.Encode());
  const auto statement = Statement::Parse(stated.body);
  if (stated.status != Status::kOk || !statement ||
      statement->begin_hash != Sha256Of(begin.Encode()))
    Stop("ENROLL_BEGIN failed");
  key.statement = *statement;
  EnrolGrant grant;
  grant.device_id = key.device_id;
  grant.account_id = key.account_id;
  grant.policy = policy;
  grant.nonce = begin.nonce;
  grant.statement_hash = Sha256Of(stated.body);
  grant.activation_hash = ActivationHash(key.device_id, AsBytes(kCode));
  grant.Sign(key.organisation.issuer);
  const auto encoded = grant.Encode();
  key.grant.assign(encoded.begin(), encoded.end());
  key.Verify(session.Request(Op::kEnrollFinish, key.grant), key.grant);
  return key;
}

void SetPin(Wire& wire, const Enrolled& key) {
  Session session(wire, wire.Open(), key.organisation.MakeHost(kRoleLogin));
  if (session.Request(Op::kPinSet, Concat({CodeField(kCode), PinField(kPin)})).status !=
      Status::kOk)
    Stop("PIN_SET failed");
}

Blob PinField(const std::string& pin) {
  Blob field(kPinFieldSize);
  EncodeField(AsBytes(pin), field);
  return field;
}

Blob CodeField(const std::string& code) {
  Blob field(kCodeFieldSize);
  EncodeField(AsBytes(code), field);
  return field;
}

Blob ReleaseBody(const Id& account, std::uint8_t slot) { return Concat({account, Bytes<1>{slot}}); }

Blob Concat(std::initializer_list<ByteView> parts) {
  Blob out;
  for (const ByteView part : parts) out.insert(out.end(), part.begin(), part.end());
  return out;
}

}  // namespace keyferry::conformance

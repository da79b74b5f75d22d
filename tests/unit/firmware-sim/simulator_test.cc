// The simulator around the key: socket, state file, control, and every fault of faults.h.

#include "firmware-sim/endpoint/simulator.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <thread>

#include "firmware-sim/endpoint/control_client.h"
#include "firmware-sim/endpoint/frame_pipe.h"
#include "firmware-sim/endpoint/simulator_ca.h"
#include "protocol/attestation.h"
#include "tests/unit/firmware-sim/bench.h"

namespace keyferry::sim::test {
namespace {

namespace fs = std::filesystem;

// A simulator on a thread of its own, in a folder of its own.
class Running {
 public:
  explicit Running(TouchMode touch = TouchMode::kAuto, Faults faults = {}) {
    std::string name = (fs::temp_directory_path() / "keyferry-sim-XXXXXX").string();
    REQUIRE(mkdtemp(name.data()) != nullptr);
    folder_ = name;
    options_.socket_path = folder_ / "key.sock";
    options_.state_path = folder_ / "state";
    options_.touch = touch;
    options_.faults = std::move(faults);
    Start();
  }
  ~Running() {
    Stop();
    fs::remove_all(folder_);
  }
  void Start() {
    stop_ = eventfd(0, EFD_CLOEXEC);
    simulator_ = std::make_unique<Simulator>(options_);
    const auto started = simulator_->Start();
    if (!started) FAIL(started.error().message);
    ready_line = simulator_->ReadyLine();
    thread_ = std::thread([this] { ran_well = simulator_->Run(stop_).has_value(); });
  }
  void Stop() {
    if (!thread_.joinable()) return;
    const std::uint64_t one = 1;
    REQUIRE(write(stop_, &one, sizeof one) == sizeof one);
    thread_.join();
    simulator_.reset();
    close(stop_);
    CHECK(ran_well);
  }
  std::string Control(const std::string& command) {
    const auto answer = SendControl(options_.socket_path + ".ctl", command);
    REQUIRE(answer.has_value());
    return *answer;
  }
  const std::string& socket() const { return options_.socket_path; }
  fs::path folder() const { return folder_; }
  std::string ready_line;

 private:
  fs::path folder_;
  SimulatorOptions options_;
  std::unique_ptr<Simulator> simulator_;
  std::thread thread_;
  int stop_ = -1;
  bool ran_well = false;
};

// A bare connection: datagrams in and out.
class Line {
 public:
  explicit Line(const std::string& path) {
    fd_ = ::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path.copy(address.sun_path, sizeof address.sun_path - 1);
    connected = connect(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
  }
  ~Line() { close(fd_); }
  void Send(ByteView bytes) { (void)!send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL); }
  void Message(std::uint32_t cid, FrameCommand command, const Blob& data) {
    protocol::HidSplitter splitter(cid, command, data);
    protocol::Report report;
    while (splitter.Next(report)) Send(report);
  }
  // The next datagram; empty when the connection ended or nothing came in `ms`.
  Blob Receive(int ms = 5'000) {
    pollfd waiting{fd_, POLLIN, 0};
    if (poll(&waiting, 1, ms) != 1) return {};
    Blob out(256);
    const ssize_t n = recv(fd_, out.data(), out.size(), 0);
    out.resize(n > 0 ? static_cast<std::size_t>(n) : 0);
    return out;
  }
  std::uint32_t Open() {
    Message(protocol::kBroadcastCid, FrameCommand::kInit, Blob(8, 3));
    const Blob answer = Receive();
    REQUIRE(answer.size() == 64);
    return protocol::Reader(ByteView(answer).subspan(15, 4)).U32();
  }
  bool connected = false;

 private:
  int fd_ = -1;
};

Blob Ping(Line& line, std::uint32_t cid, std::uint8_t byte) {
  line.Message(cid, FrameCommand::kPing, Blob{byte});
  return line.Receive();
}

TEST_CASE("the simulator listens, answers on the connection that asked, and keeps its state") {
  Running sim;
  CHECK(sim.ready_line.find("\"ready\":true") != std::string::npos);
  CHECK(sim.ready_line.find("\"state\":0,\"boot\":1") != std::string::npos);
  Line one(sim.socket());
  Line two(sim.socket());
  const std::uint32_t a = one.Open();
  const std::uint32_t b = two.Open();
  CHECK(a != b);
  CHECK(Ping(one, a, 1)[7] == 1);
  CHECK(Ping(two, b, 2)[7] == 2);
  CHECK(Ping(two, a, 3)[7] == 3);  // a cid belongs to the key, not to the connection
  one.Send(Blob(63, 1));           // not a report: ignored
  CHECK(Ping(one, a, 4)[7] == 4);
  sim.Stop();
  CHECK_FALSE(fs::exists(sim.socket()));
  sim.Start();
  CHECK(sim.ready_line.find("\"boot\":2") != std::string::npos);
}

TEST_CASE("unplugging closes and removes the socket, plugging in is a new boot") {
  Running sim;
  Line line(sim.socket());
  const std::uint32_t cid = line.Open();
  CHECK(sim.Control("unplug").find("\"plugged\":false") != std::string::npos);
  CHECK(line.Receive().empty());
  CHECK_FALSE(fs::exists(sim.socket()));
  CHECK_FALSE(Line(sim.socket()).connected);
  const std::string status = sim.Control("plug");
  CHECK(status.find("\"boot\":2") != std::string::npos);
  CHECK(status.find("\"answer_us\":0") != std::string::npos);
  Line again(sim.socket());
  REQUIRE(again.connected);
  CHECK(Ping(again, cid, 1)[7] == 0x0B);
  CHECK(sim.Control("touch").find("\"ok\":false") != std::string::npos);
  CHECK(sim.Control("dance").find("\"ok\":false") != std::string::npos);
}

TEST_CASE("in ask mode `ctl touch` gives the touch") {
  Running sim(TouchMode::kAsk);
  Line line(sim.socket());
  const std::uint32_t cid = line.Open();
  line.Message(cid, FrameCommand::kReset, {});
  const Blob keepalive = line.Receive();
  REQUIRE(keepalive.size() == 64);
  CHECK(keepalive[4] == 0xBB);
  CHECK(keepalive[7] == 2);
  CHECK(sim.Control("touch") == R"({"ok":true})");
  Blob answer = line.Receive();
  while (answer.size() == 64 && answer[4] == 0xBB) answer = line.Receive();
  REQUIRE(answer.size() == 64);
  CHECK(answer[4] == 0x89);
  CHECK(answer[7] == 0);
}

TEST_CASE("a state file is one simulator's, and whole") {
  Running sim;
  SimulatorOptions options;
  options.socket_path = sim.folder() / "other.sock";
  options.state_path = sim.folder() / "state";
  CHECK(Simulator(options).Start().error().code == ErrorCode::kConflict);
  options.state_path = sim.folder() / "short";
  std::FILE* file = std::fopen(options.state_path.c_str(), "w");
  REQUIRE(file != nullptr);
  std::fputs("not a flash", file);
  std::fclose(file);
  CHECK(Simulator(options).Start().error().code == ErrorCode::kInvalidArgument);
  options.state_path = sim.folder() / "third";
  options.socket_path = sim.socket();
  CHECK(Simulator(options).Start().error().code == ErrorCode::kConflict);
}

TEST_CASE("attestation certificates hang under the simulator's CA, which says what it is") {
  const auto ca = SimulatorCaPem();
  REQUIRE(ca.has_value());
  CHECK(*ca == *SimulatorCaPem());
  ScriptedRandom random(3);
  const auto factory = ManufactureKey(random);
  REQUIRE(factory.has_value());
  const auto attestation = protocol::VerifyAttestation(factory->certificate(), *ca);
  REQUIRE(attestation.has_value());
  CHECK(attestation->device_id == factory->device_id);
  CHECK(attestation->pub == factory->attestation_pub);
  const auto text = factory->certificate();
  const std::string_view der(reinterpret_cast<const char*>(text.data()), text.size());
  CHECK(der.find("SIMULATOR") != std::string_view::npos);
}

TEST_CASE("faults are parsed word by word") {
  const auto faults = ParseFaults(
      "drop:in:3,delay:out:5:200,truncate:out:6:10,corrupt:in:7:20,unplug:out:8,never-answer:9,"
      "wrong-receipt:2,"
      "forked-chain:3,stale-epoch:4,slow-flash:500,touch-refused,frame-clock:1000");
  REQUIRE(faults.has_value());
  REQUIRE(faults->frames.size() == 5);
  CHECK(faults->frames[1].kind == FrameFault::Kind::kDelay);
  CHECK(faults->frames[1].direction == FrameFault::Direction::kOut);
  CHECK(faults->frames[1].frame == 5);
  CHECK(faults->frames[1].value == 200);
  CHECK(faults->never_answer_from == 9);
  CHECK(faults->stale_epoch == 4);
  CHECK(faults->slow_flash_us == 500);
  CHECK(faults->touch_refused);
  CHECK(faults->frame_clock_us == 1000);
  for (const char* bad : {"drop", "drop:in", "drop:up:1", "drop:in:0", "drop:in:1:1", "delay:in:1",
                          "corrupt:in:1:500", "never-answer:0", "touch-refused:1", "explode:in:1",
                          ",", "drop:in:1,", "drop:in:99999999999"}) {
    INFO(bad);
    CHECK_FALSE(ParseFaults(bad).has_value());
  }
}

struct Piped {
  explicit Piped(std::string_view text,
                 FrameFault::Direction direction = FrameFault::Direction::kIn)
      : faults(*ParseFaults(text)),
        pipe(
            faults, direction,
            [this](ByteView bytes, const Origin&) {
              sizes.push_back(bytes.size());
              got.push_back(bytes[0]);
              second.push_back(bytes[1]);
            },
            [this] { unplugged = true; }) {}
  void Push(int count, std::chrono::milliseconds at = std::chrono::milliseconds(0)) {
    for (int i = 0; i < count; ++i) {
      protocol::Report report{};
      report[0] = ++next;
      pipe.Push(report, {}, start + at);
    }
    pipe.Pump(start + at);
  }
  FramePipe::Time start = std::chrono::steady_clock::now();
  Faults faults;
  std::vector<std::size_t> sizes;
  Blob got;
  Blob second;
  bool unplugged = false;
  std::uint8_t next = 0;
  FramePipe pipe;
};

TEST_CASE("frame faults, one by one") {
  using std::chrono::milliseconds;
  SECTION("none") {
    Piped p("");
    p.Push(3);
    CHECK(p.got == Blob{1, 2, 3});
  }
  SECTION("drop") {
    Piped p("drop:in:2");
    p.Push(3);
    CHECK(p.got == Blob{1, 3});
  }
  SECTION("the other direction is left alone") {
    Piped p("drop:in:2", FrameFault::Direction::kOut);
    p.Push(3);
    CHECK(p.got == Blob{1, 2, 3});
  }
  SECTION("duplicate") {
    Piped p("duplicate:in:2");
    p.Push(3);
    CHECK(p.got == Blob{1, 2, 2, 3});
  }
  SECTION("reorder") {
    Piped p("reorder:in:1");
    p.Push(3);
    CHECK(p.got == Blob{2, 1, 3});
  }
  SECTION("delay") {
    Piped p("delay:in:2:50");
    p.Push(3);
    CHECK(p.got == Blob{1});
    REQUIRE(p.pipe.NextDue().has_value());
    CHECK(*p.pipe.NextDue() == p.start + milliseconds(50));
    p.pipe.Pump(p.start + milliseconds(50));
    CHECK(p.got == Blob{1, 2, 3});
  }
  SECTION("truncate") {
    Piped p("truncate:in:2:10");
    p.Push(2);
    CHECK(p.sizes == std::vector<std::size_t>{64, 10});
  }
  SECTION("corrupt") {
    Piped p("corrupt:in:2:1");
    p.Push(2);
    CHECK(p.second == Blob{0, 1});
  }
  SECTION("unplug") {
    Piped p("unplug:in:2");
    p.Push(3);
    CHECK(p.got == Blob{1});
    CHECK(p.unplugged);
  }
  SECTION("never answer") {
    Piped out("never-answer:2", FrameFault::Direction::kOut);
    out.Push(3);
    CHECK(out.got == Blob{1});
    Piped in("never-answer:2");
    in.Push(3);
    CHECK(in.got == Blob{1, 2, 3});
  }
  SECTION("frame clock") {
    // The frames begin at whole milliseconds; what is written in one goes out in the next.
    Piped p("frame-clock:1000");
    const auto frame = p.start + milliseconds(1) - p.start.time_since_epoch() % milliseconds(1);
    p.Push(3);
    CHECK(p.got.empty());
    CHECK(*p.pipe.NextDue() == frame);
    p.pipe.Pump(frame);
    CHECK(p.got == Blob{1});
    p.pipe.Pump(frame + milliseconds(1));
    CHECK(p.got == Blob{1, 2});
    p.pipe.Pump(frame + milliseconds(5));
    CHECK(p.got == Blob{1, 2, 3});
  }
}

TEST_CASE("an unplug fault takes the key from the socket until it is plugged in again") {
  Running sim(TouchMode::kAuto, *ParseFaults("unplug:in:2"));
  Line line(sim.socket());
  const std::uint32_t cid = line.Open();
  line.Message(cid, FrameCommand::kPing, Blob{1});
  CHECK(line.Receive().empty());
  CHECK(sim.Control("status").find("\"plugged\":false") != std::string::npos);
  CHECK(sim.Control("plug").find("\"boot\":2") != std::string::npos);
  Line again(sim.socket());
  const std::uint32_t other = again.Open();
  CHECK(Ping(again, other, 9)[7] == 9);
}

TEST_CASE("touch-refused says no at once") {
  Running sim(TouchMode::kAuto, *ParseFaults("touch-refused"));
  Line line(sim.socket());
  const std::uint32_t cid = line.Open();
  line.Message(cid, FrameCommand::kReset, {});
  const Blob answer = line.Receive();
  REQUIRE(answer.size() == 64);
  CHECK(answer[7] == 0x36);
}

TEST_CASE("receipt faults are signed well and tell the wrong story") {
  struct Crooked : ReceiptFault {
    std::function<void(protocol::Receipt&)> change;
    void BeforeSigning(protocol::Receipt& receipt) override { change(receipt); }
  } fault;
  fault.change = [](protocol::Receipt&) {};
  Bench bench;
  bench.config.receipt_fault = &fault;
  bench.PowerOn();
  Owner owner(bench);
  owner.Enrol();
  Host daemon = owner.Daemon();
  REQUIRE(daemon.Connect());
  fault.change = [](protocol::Receipt& receipt) { receipt.previous_hash[0] ^= 1; };
  const Blob job = owner.SealPassword("p");
  const Reply reply = daemon.Request(Op::kPutJob, job);
  REQUIRE(reply.ok());
  const auto receipt = protocol::Receipt::Parse(reply.body);
  REQUIRE(receipt.has_value());
  CHECK(receipt->VerifySignature(owner.statement.sig_pub));
  CHECK(receipt->previous_hash != protocol::ReceiptHash(owner.last_bytes));
  CHECK(daemon.Request(Op::kPutJob, job).body == reply.body);
}

}  // namespace
}  // namespace keyferry::sim::test

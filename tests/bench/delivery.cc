// One sealed job from the host to the key and its receipt back, over the simulator's socket with
// the frame clock of full-speed USB (one 64-byte report each way a millisecond), against the lower
// bound that the byte counts give (PROTOCOL.md section 8); and what the cryptography costs a core.
//   bench_delivery [ROUNDS]
#include <sys/resource.h>
#include <time.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "device/hid_port.h"
#include "device/key_client.h"
#include "device/socket/socket_transport.h"
#include "protocol/framing.h"
#include "protocol/limits.h"
#include "tests/integration/daemon/process.h"
#include "tests/unit/client-daemon/temp_dir.h"
#include "tests/unit/device/organisation.h"

namespace keyferry {
namespace {

using SteadyClock = std::chrono::steady_clock;
constexpr double kFrameMs = 1.0;
constexpr double kGoal = 1.25;

[[noreturn]] void Give(const char* what, const Error* error = nullptr) {
  std::fprintf(stderr, "bench_delivery: %s%s%s\n", what, error ? ": " : "",
               error ? error->message.c_str() : "");
  std::exit(1);
}

template <typename T>
T Need(Result<T> result, const char* what) {
  if (!result) Give(what, &result.error());
  return *std::move(result);
}

// CPU seconds that a process has used.
double CpuOf(pid_t pid) {
  clockid_t clock{};
  timespec used{};
  if (clock_getcpuclockid(pid, &clock) != 0 || clock_gettime(clock, &used) != 0)
    Give("no CPU clock");
  return static_cast<double>(used.tv_sec) + static_cast<double>(used.tv_nsec) / 1e9;
}

struct Spread {
  double least = 0, median = 0, most = 0;
};
Spread SpreadOf(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return {values.front(), values[values.size() / 2], values.back()};
}

// A key that is enrolled, and the host that may deliver to it.
class Bench {
 public:
  explicit Bench(std::string faults) : faults_(std::move(faults)) {
    Start("");
    Enrol();
    Restart();
  }

  // The key is pulled out and plugged in again, and so forgets how often it was greeted.
  void Restart() {
    port_.reset();
    key_->Stop(SIGTERM);
    Start(faults_);
  }

  // A new channel: INIT.
  std::unique_ptr<device::KeyClient> Open() {
    return std::make_unique<device::KeyClient>(Need(port_->OpenLink({}), "INIT"));
  }
  void Handshake(device::KeyClient& client) {
    Need(client.Handshake(host_, statement_.noise_pub), "handshake");
  }
  std::vector<std::uint8_t> NextJob() {
    ++seq_;
    return organisation_.Job(
        statement_.device_id, account_, recipient_, epoch_, seq_, seq_ - 1,
        {static_cast<std::uint8_t>(seq_), static_cast<std::uint8_t>(seq_ >> 8)});
  }
  void Deliver(device::KeyClient& client, const std::vector<std::uint8_t>& job) {
    receipt_ = Need(client.PutJob(job), "PUT_JOB");
    if (!receipt_.positive() || receipt_.seq != seq_) Give("the key refused a job");
    recipient_ = receipt_.recipient_pub;
    epoch_ = receipt_.epoch;
  }
  bool ReceiptHolds() const { return receipt_.VerifySignature(statement_.sig_pub); }
  double KeyCpu() const { return CpuOf(key_->pid()); }

 private:
  void Start(const std::string& faults) {
    std::vector<std::string> arguments{
        KEYFERRY_SIM, "--socket", dir_ / "key.sock", "--state", dir_ / "flash", "--touch", "auto"};
    if (!faults.empty()) arguments.insert(arguments.end(), {"--faults", faults});
    port_.reset();
    key_ = std::make_unique<test::Process>(arguments);
    if (!key_->WaitForLine("ready")) Give("keyferry-sim did not start");
    port_ = device::HidPort::Start(
        Need(device::OpenSocketTransport(dir_ / "key.sock"), "the socket"), {});
  }

  void Enrol() {
    auto client = Open();
    Need(client->Handshake(organisation_.Host(protocol::kRoleEnroll), std::nullopt), "handshake");
    const auto begin = organisation_.Begin();
    const auto statement = Need(client->EnrollBegin(begin), "ENROLL_BEGIN");
    statement_ = *protocol::Statement::Parse(statement);
    const auto grant = organisation_.Grant(begin, statement, account_);
    receipt_ = Need(client->EnrollFinish(grant.Encode()), "ENROLL_FINISH");
    recipient_ = receipt_.recipient_pub;
    epoch_ = receipt_.epoch;
  }

  const std::string faults_;
  test::TempDir dir_;
  test::Organisation organisation_;
  device::HostIdentity host_ = organisation_.Host(protocol::kRoleDeliver);
  protocol::Id account_{0xAC};
  protocol::Statement statement_;
  protocol::Receipt receipt_;
  protocol::X25519Public recipient_{};
  std::uint32_t epoch_ = 0;
  std::uint64_t seq_ = 0;
  std::unique_ptr<test::Process> key_;
  std::shared_ptr<device::HidPort> port_;
};

double Ms(SteadyClock::duration time) {
  return std::chrono::duration<double, std::milli>(time).count();
}

// Jobs come minutes or months apart; a key makes itself ready for the next one in between.
void Rest() { std::this_thread::sleep_for(std::chrono::milliseconds(20)); }

// The reports that one exchange takes, there and back, at one a frame.
constexpr std::size_t Reports(std::size_t out, std::size_t in) {
  return protocol::HidReportCount(out) + protocol::HidReportCount(in);
}
constexpr std::size_t kOverhead = 4 + 16;  // op, status or zero, req_id; AEAD tag
constexpr std::size_t kInfoReports = Reports(0, protocol::kInfoSize);
constexpr std::size_t kColdReports = Reports(8, protocol::kInitResponseSize) +
                                     Reports(protocol::kHs1Size, protocol::kHs2Size) +
                                     Reports(protocol::kHs3Size, protocol::kHs4Size);

void Row(const char* name, std::size_t reports, std::vector<double> times) {
  const double bound = static_cast<double>(reports) * kFrameMs;
  const Spread spread = SpreadOf(std::move(times));
  std::printf("  %-34s %5.0f ms   %6.2f / %6.2f / %6.2f ms   %5.2f x   goal %.2f %s\n", name, bound,
              spread.least, spread.median, spread.most, spread.median / bound, kGoal,
              spread.median <= kGoal * bound ? "met" : "MISSED");
}

int Run(int rounds) {
  std::vector<double> warm, cold, plugged;
  std::size_t job_reports = 0;
  {
    Bench bench("frame-clock:1000");
    auto client = bench.Open();
    bench.Handshake(*client);
    for (int i = 0; i < rounds; ++i) {
      const auto job = bench.NextJob();
      Rest();
      job_reports = Reports(job.size() + kOverhead, protocol::kReceiptSize + kOverhead);
      const auto began = SteadyClock::now();
      bench.Deliver(*client, job);
      warm.push_back(Ms(SteadyClock::now() - began));
    }
    for (int i = 0; i < rounds; ++i) {
      // From the eleventh greeting in ten seconds on a key answers a second late. The first after
      // plugging in is not measured: it is the one that shows the certificate.
      if (i % 8 == 0) {
        client.reset();
        bench.Restart();
        client = bench.Open();
        bench.Handshake(*client);
      }
      const auto job = bench.NextJob();
      client.reset();
      Rest();
      auto began = SteadyClock::now();
      client = bench.Open();
      auto time = SteadyClock::now() - began;
      began = SteadyClock::now();
      Need(client->ReadInfo(), "INFO");
      const auto info = SteadyClock::now() - began;
      began = SteadyClock::now();
      bench.Handshake(*client);
      bench.Deliver(*client, job);
      time += SteadyClock::now() - began;
      cold.push_back(Ms(time));
      plugged.push_back(Ms(time + info));
    }
  }
  std::printf("one job of %zu reports, one report each way a millisecond; %d rounds\n", job_reports,
              rounds);
  std::printf("  %-34s %8s   %s\n", "", "bound", "least / median / most");
  Row("warm: PUT_JOB, receipt", job_reports, warm);
  Row("cold: INIT, handshake, PUT_JOB", job_reports + kColdReports, cold);
  Row("plugged in: the same with INFO", job_reports + kColdReports + kInfoReports, plugged);

  Bench bench("");
  auto client = bench.Open();
  bench.Handshake(*client);
  double key = bench.KeyCpu(), host = CpuOf(getpid());
  // More than ten handshakes in ten seconds are answered a second late; that costs no CPU.
  constexpr int kHandshakes = 10;
  for (int i = 0; i < kHandshakes; ++i) bench.Handshake(*client);
  const double key_handshake = (bench.KeyCpu() - key) / kHandshakes;
  const double host_handshake = (CpuOf(getpid()) - host) / kHandshakes;
  constexpr int kJobs = 200;
  double host_job = 0, key_job = 0, verify = 0;
  for (int i = 0; i < kJobs; ++i) {
    const auto job = bench.NextJob();
    key = bench.KeyCpu();
    host = CpuOf(getpid());
    bench.Deliver(*client, job);
    host_job += CpuOf(getpid()) - host;
    host = CpuOf(getpid());
    if (!bench.ReceiptHolds()) Give("a receipt does not verify");
    verify += CpuOf(getpid()) - host;
    key_job += bench.KeyCpu() - key;
  }
  std::printf("CPU on one core (sealing excluded)          a piece      a second per core\n");
  const auto cost = [](const char* name, double seconds) {
    std::printf("  %-34s %8.2f ms   %8.0f\n", name, seconds * 1e3, 1 / seconds);
  };
  cost("handshake, key's side", key_handshake);
  cost("handshake, host's side", host_handshake);
  cost("job and receipt, key's side", key_job / kJobs);
  cost("job and receipt, host's side", (host_job + verify) / kJobs);
  return 0;
}

}  // namespace
}  // namespace keyferry

int main(int argc, char** argv) {
  const int rounds = argc > 1 ? std::atoi(argv[1]) : 51;
  if (rounds < 1 || rounds > 100000) keyferry::Give("ROUNDS is 1 to 100000");
  return keyferry::Run(rounds);
}

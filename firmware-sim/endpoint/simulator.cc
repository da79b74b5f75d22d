#include "firmware-sim/endpoint/simulator.h"

#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <utility>
#include <vector>

#include "firmware-sim/core/flash_words.h"
#include "firmware-sim/endpoint/simulator_ca.h"
#include "protocol/secure/system_random.h"

namespace keyferry::sim {
namespace {

using std::chrono::steady_clock;

constexpr std::size_t kControlMax = 256;
constexpr std::size_t kControlConnections = 8;
constexpr auto kTick = std::chrono::milliseconds(5);

std::string Hex(protocol::ByteView bytes) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string out;
  for (const std::uint8_t b : bytes) {
    out += kDigits[b >> 4];
    out += kDigits[b & 15];
  }
  return out;
}

// A path inside a JSON string.
std::string Quoted(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (static_cast<unsigned char>(c) < 0x20) {
      char escaped[8];
      std::snprintf(escaped, sizeof escaped, "\\u%04x", static_cast<unsigned>(c));
      out += escaped;
    } else {
      out += c;
    }
  }
  return out + '"';
}

const char* NameOf(protocol::KeyState state) {
  switch (state) {
    case protocol::KeyState::kProvisioned:
      return "provisioned";
    case protocol::KeyState::kEnrolledNoPin:
      return "enrolled, no PIN";
    case protocol::KeyState::kReady:
      return "ready";
    case protocol::KeyState::kPinBlocked:
      return "PIN blocked until power cycle";
    case protocol::KeyState::kLocked:
      return "locked";
    case protocol::KeyState::kWiped:
      return "wiped";
    case protocol::KeyState::kTampered:
      return "tampered";
  }
  return "unknown";
}

}  // namespace

Simulator::Simulator(SimulatorOptions options)
    : options_(std::move(options)),
      in_(
          options_.faults, FrameFault::Direction::kIn,
          [this](std::span<const std::uint8_t> bytes, Origin origin) {
            protocol::Report report{};
            std::copy(bytes.begin(), bytes.end(), report.begin());
            if (key_) key_->OnReport(report, origin);
            AnswerTouchWaits();
          },
          [this] { unplug_now_ = true; }),
      out_(
          options_.faults, FrameFault::Direction::kOut,
          [this](std::span<const std::uint8_t> bytes, Origin origin) {
            endpoint_.Send(bytes, origin);
          },
          [this] { unplug_now_ = true; }),
      endpoint_(options_.socket_path,
                [this](const protocol::Report& report, Origin origin) {
                  in_.Push(report, origin, steady_clock::now());
                }),
      control_(options_.socket_path + ".ctl", kControlMax, kControlConnections,
               [this](int fd, std::span<const std::uint8_t> datagram) {
                 const std::string answer =
                     OnControl({reinterpret_cast<const char*>(datagram.data()), datagram.size()});
                 control_.Send(fd, protocol::AsBytes(answer));
               }) {}

Simulator::~Simulator() = default;

Result<void> Simulator::Start() {
  if (options_.share_socket) endpoint_.server().Share();
  auto flash = FileFlash::Open(options_.state_path);
  if (!flash) return tl::unexpected(flash.error());
  flash_ = std::move(*flash);
  Factory factory;
  if (!ReadFactory(*flash_, &factory)) {
    if (!PageIsBlank(*flash_, kFactoryPage)) {
      return Fail(ErrorCode::kInvalidArgument,
                  "The state file " + options_.state_path +
                      " holds no key that can be read; delete it for a new one.");
    }
    auto made = ManufactureKey(OsRandom());
    if (!made) return tl::unexpected(made.error());
    factory = *made;
    if (!WriteFactory(*flash_, factory)) {
      return Fail(ErrorCode::kIo, "The state file " + options_.state_path + " cannot be written.");
    }
  }
  device_id_ = Hex(factory.device_id);
  flash_->SetDelay(options_.faults.slow_flash_us);
  auto plugged = Plug();
  if (!plugged) return plugged;
  return control_.Listen();
}

std::string Simulator::ReadyLine() const {
  return "{\"ready\":true,\"device_id\":\"" + device_id_ +
         "\",\"socket\":" + Quoted(options_.socket_path) +
         ",\"control\":" + Quoted(options_.socket_path + ".ctl") +
         ",\"state\":" + std::to_string(static_cast<int>(key_->View().state)) +
         ",\"boot\":" + std::to_string(key_->View().boot) + "}";
}

// Power-on: a new boot with nothing in RAM.
Result<void> Simulator::Plug() {
  KeyConfig config;
  config.receipt_fault = this;
  waiting_ = false;
  key_ = std::make_unique<Key>(Hal{*flash_, *flash_, OsRandom(), *this, *this, *this}, config);
  key_->PowerOn();
  auto listening = endpoint_.server().Listen();
  if (!listening) key_.reset();
  return listening;
}

void Simulator::Unplug() {
  endpoint_.server().Close();
  in_.Clear();
  out_.Clear();
  key_.reset();
  waiting_ = false;
}

Result<void> Simulator::Run(int stop_fd) {
  std::vector<pollfd> fds;
  const bool terminal = options_.touch == TouchMode::kAsk && isatty(STDIN_FILENO) == 1;
  while (true) {
    fds.clear();
    fds.push_back({stop_fd, POLLIN, 0});
    if (terminal) fds.push_back({STDIN_FILENO, POLLIN, 0});
    endpoint_.server().AppendPollFds(fds);
    control_.AppendPollFds(fds);
    const auto now = steady_clock::now();
    std::optional<FramePipe::Time> due;
    if (key_ && !key_->Idle()) due = now + kTick;
    if (preparing_) due = now;
    for (const auto& next : {in_.NextDue(), out_.NextDue()}) {
      if (next && (!due || *next < *due)) due = next;
    }
    timespec timeout{};
    if (due) {
      const auto wait = std::max(*due - now, steady_clock::duration::zero());
      const auto ns = std::chrono::duration_cast<std::chrono::nanoseconds>(wait).count();
      timeout = {static_cast<time_t>(ns / 1'000'000'000), static_cast<long>(ns % 1'000'000'000)};
    }
    const int ready = ppoll(fds.data(), fds.size(), due ? &timeout : nullptr, nullptr);
    if (ready < 0 && errno != EINTR)
      return Fail(ErrorCode::kIo, "The simulator's poll failed.", std::strerror(errno));
    if (ready > 0) {
      if (fds[0].revents != 0) return {};
      if (terminal && fds[1].revents != 0) OnTerminal();
      for (const pollfd& fd : fds) {
        endpoint_.server().OnPoll(fd);
        control_.OnPoll(fd);
      }
    }
    PumpAll();
  }
}

void Simulator::PumpAll() {
  const auto now = steady_clock::now();
  in_.Pump(now);
  if (key_) key_->Tick();
  AnswerTouchWaits();
  out_.Pump(now);
  if (unplug_now_) {
    unplug_now_ = false;
    Unplug();
  }
  // Reports come first.
  preparing_ = key_ && !in_.NextDue() && !out_.NextDue() && key_->Prepare();
}

std::string Simulator::OnControl(std::string_view command) {
  if (command == "status") return StatusJson();
  if (command == "plug") {
    if (key_) return R"({"ok":true,"note":"it was plugged in already"})";
    const auto plugged = Plug();
    if (!plugged) return "{\"ok\":false,\"error\":" + Quoted(plugged.error().message) + "}";
    return StatusJson();
  }
  if (command == "unplug") {
    Unplug();
    return StatusJson();
  }
  if (command == "touch") {
    if (!waiting_)
      return R"({"ok":false,"error":"The key waits for no touch; a touch counts only while it does."})";
    GiveTouch(TouchEvent::kHeld);
    return R"({"ok":true})";
  }
  return R"({"ok":false,"error":"The commands are plug, unplug, touch and status."})";
}

std::string Simulator::StatusJson() const {
  std::string out =
      "{\"ok\":true,\"device_id\":\"" + device_id_ + "\",\"plugged\":" + (key_ ? "true" : "false");
  if (key_) {
    const KeyView view = key_->View();
    out += ",\"state\":" + std::to_string(static_cast<int>(view.state)) + ",\"state_name\":\"" +
           NameOf(view.state) + "\",\"boot\":" + std::to_string(view.boot) +
           ",\"epoch\":" + std::to_string(view.epoch) +
           ",\"last_seq\":" + std::to_string(view.last_seq) +
           ",\"receipt_ctr\":" + std::to_string(view.receipt_ctr) +
           ",\"waiting_for_touch\":" + (view.waiting_for_touch ? "true" : "false");
  }
  return out + "}";
}

void Simulator::OnTerminal() {
  char line[256];
  const ssize_t n = read(STDIN_FILENO, line, sizeof line);
  if (n > 0 && waiting_) GiveTouch(TouchEvent::kHeld);
}

void Simulator::GiveTouch(TouchEvent event) {
  if (key_) key_->OnTouch(event);
}

// The core must not be called back from its own port, so the answer comes after it has returned.
void Simulator::AnswerTouchWaits() {
  if (!waiting_) return;
  if (options_.faults.touch_refused) return GiveTouch(TouchEvent::kRefused);
  if (options_.touch == TouchMode::kAuto) GiveTouch(TouchEvent::kHeld);
}

void Simulator::Send(const protocol::Report& report, Origin origin) {
  const auto now = steady_clock::now();
  out_.Push(report, origin, now);
  out_.Pump(now);
}

void Simulator::WaitBegan(bool held) {
  waiting_ = true;
  wait_held_ = held;
  if (options_.touch != TouchMode::kAsk) return;
  std::fprintf(
      stderr,
      "The key waits for a touch%s: press Enter, or run `keyferry-sim ctl --socket %s touch`.\n",
      held ? " of ten seconds" : "", options_.socket_path.c_str());
}

void Simulator::WaitEnded() { waiting_ = false; }

void Simulator::Wink() { std::fprintf(stderr, "The key winks.\n"); }

std::uint64_t Simulator::NowMs() const {
  return static_cast<std::uint64_t>(
      std::chrono::duration_cast<std::chrono::milliseconds>(steady_clock::now().time_since_epoch())
          .count());
}

void Simulator::BeforeSigning(protocol::Receipt& receipt) {
  const Faults& faults = options_.faults;
  const protocol::X25519Public recipient = receipt.recipient_pub;
  if (receipt.receipt_ctr == faults.wrong_receipt) {
    receipt.job_hash[0] = static_cast<std::uint8_t>(receipt.job_hash[0] ^ 0x01);
  }
  if (receipt.receipt_ctr == faults.forked_chain) {
    receipt.previous_hash[0] = static_cast<std::uint8_t>(receipt.previous_hash[0] ^ 0x01);
  }
  if (receipt.receipt_ctr == faults.stale_epoch && receipt.epoch > 1) {
    --receipt.epoch;
    receipt.recipient_pub = last_recipient_;
  }
  last_recipient_ = recipient;
}

}  // namespace keyferry::sim

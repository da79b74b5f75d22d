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
#include "protocol/framing.h"
#include "protocol/secure/system_random.h"

namespace keyferry::sim {
namespace {

using std::chrono::steady_clock;

constexpr std::size_t kControlMax = 1024;
constexpr std::size_t kControlConnections = 8;
constexpr auto kTick = std::chrono::milliseconds(5);
// A host that reads has fetched a report by then; from one that does not, nothing is expected.
constexpr auto kFetched = std::chrono::milliseconds(100);

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

bool IsKeepalive(protocol::ByteView frame, const Origin& origin) {
  constexpr auto kKeepalive = static_cast<std::uint8_t>(protocol::FrameCommand::kKeepalive);
  if (origin.transport == protocol::Transport::kBle) {
    protocol::BleFragment fragment;
    return protocol::BleFragment::Parse(frame, fragment) && fragment.first &&
           fragment.command == kKeepalive;
  }
  protocol::Report report{};
  std::copy_n(frame.begin(), std::min(frame.size(), report.size()), report.begin());
  const auto parsed = protocol::HidFrame::Parse(report);
  return parsed.first && parsed.command == kKeepalive;
}

std::string ControlPath(const SimulatorOptions& options) {
  if (!options.control_path.empty()) return options.control_path;
  return (options.socket_path.empty() ? options.state_path : options.socket_path) + ".ctl";
}

std::string ErrorJson(const Error& error) {
  return "{\"ok\":false,\"error\":" + Quoted(error.message) + "}";
}

}  // namespace

Simulator::Simulator(SimulatorOptions options)
    : options_(std::move(options)),
      in_(
          options_.faults, FrameFault::Direction::kIn,
          [this](protocol::ByteView bytes, const Origin& origin) {
            protocol::Report padded{};
            if (origin.transport != protocol::Transport::kBle && bytes.size() < padded.size()) {
              std::copy(bytes.begin(), bytes.end(), padded.begin());
              bytes = padded;
            }
            arrived_ = steady_clock::now();
            answered_ = false;
            if (key_ && !unplug_now_) key_->OnFrame(bytes, origin);
            AnswerTouchWaits();
          },
          [this] { unplug_now_ = true; }),
      out_(
          options_.faults, FrameFault::Direction::kOut,
          [this](protocol::ByteView bytes, const Origin& origin) {
            // A key at work that is pulled out at a KEEPALIVE makes its answer still.
            if (!unplug_now_) endpoints_[origin.plug]->Send(bytes, origin.host);
          },
          [this] { unplug_now_ = true; }),
      control_(ControlPath(options_), kControlMax, kControlConnections,
               [this](int fd, std::span<const std::uint8_t> datagram) {
                 const std::string answer =
                     OnControl({reinterpret_cast<const char*>(datagram.data()), datagram.size()});
                 control_.Send(fd, protocol::AsBytes(answer));
               }) {
  EndpointClient& client = *this;
  if (!options_.socket_path.empty()) {
    endpoints_.push_back(
        std::make_unique<SocketEndpoint>(client, options_.socket_path, options_.share_socket));
  }
  for (const MakeEndpoint& make : options_.plugs) endpoints_.push_back(make(client));
}

Simulator::~Simulator() = default;

Result<void> Simulator::Start() {
  auto flash = FileFlash::Open(options_.state_path);
  if (!flash) return tl::unexpected(flash.error());
  flash_ = std::move(*flash);
  if (!ReadFactory(*flash_, &factory_)) {
    if (!PageIsBlank(*flash_, kFactoryPage)) {
      return Fail(ErrorCode::kInvalidArgument,
                  "The state file " + options_.state_path +
                      " holds no key that can be read; delete it for a new one.");
    }
    auto made = ManufactureKey(OsRandom());
    if (!made) return tl::unexpected(made.error());
    factory_ = *made;
    if (!WriteFactory(*flash_, factory_)) {
      return Fail(ErrorCode::kIo, "The state file " + options_.state_path + " cannot be written.");
    }
  }
  flash_->SetDelay(options_.faults.slow_flash_us);
  auto plugged = Plug(*Named(""));
  if (!plugged) return plugged;
  return control_.Listen();
}

std::string Simulator::ReadyLine() const {
  return "{\"ready\":true,\"device_id\":\"" + Hex(factory_.device_id) +
         "\",\"socket\":" + Quoted(options_.socket_path) +
         ",\"control\":" + Quoted(control_.path()) +
         ",\"state\":" + std::to_string(static_cast<int>(key_->View().state)) +
         ",\"boot\":" + std::to_string(key_->View().boot) + "," + PlacesJson() + "}";
}

// All plugs for "".
Result<std::vector<Endpoint*>> Simulator::Named(std::string_view name) const {
  std::vector<Endpoint*> plugs;
  std::string names;
  for (const auto& endpoint : endpoints_) {
    if (name.empty() || name == endpoint->Name()) plugs.push_back(endpoint.get());
    names += (names.empty() ? "" : ", ") + std::string(endpoint->Name());
  }
  if (!plugs.empty()) return plugs;
  return Fail(ErrorCode::kInvalidArgument,
              "This key has no plug \"" + std::string(name) + "\"; it has: " + names + ".");
}

std::uint8_t Simulator::NumberOf(const Endpoint& endpoint) const {
  std::uint8_t number = 0;
  while (endpoints_[number].get() != &endpoint) ++number;
  return number;
}

// A new boot with nothing in RAM.
void Simulator::PowerOn() {
  KeyConfig config;
  config.receipt_fault = this;
  if (options_.faults.identity_changes && power_ons_ != 0) config.device_id_lie = 0xA5;
  ++power_ons_;
  waiting_ = false;
  key_ = std::make_unique<Key>(Hal{*flash_, *flash_, OsRandom(), *this, *this, *this}, config);
  key_->PowerOn();
}

void Simulator::PowerOff() {
  in_.Clear();
  out_.Clear();
  key_.reset();
  waiting_ = preparing_ = false;
  answer_took_ = {};
}

// All or nothing of what was not in.
Result<void> Simulator::Plug(const std::vector<Endpoint*>& plugs) {
  if (!key_) PowerOn();
  Identity identity;
  identity.vendor = options_.vendor;
  identity.product = options_.product;
  identity.lie = options_.faults.descriptor_lie;
  identity.device_id = Hex(protocol::Info::Parse(key_->MakeInfo())->device_id);
  std::vector<Endpoint*> now_in;
  for (Endpoint* endpoint : plugs) {
    if (endpoint->Present()) continue;
    auto appeared = endpoint->Appear(identity);
    if (!appeared) {
      Unplug(now_in);
      return appeared;
    }
    now_in.push_back(endpoint);
  }
  return {};
}

void Simulator::Unplug(const std::vector<Endpoint*>& plugs) {
  for (Endpoint* endpoint : plugs) {
    endpoint->Vanish();
    if (key_) key_->OnHostGone(NumberOf(*endpoint));
  }
  const bool powered = std::any_of(endpoints_.begin(), endpoints_.end(),
                                   [](const auto& endpoint) { return endpoint->Present(); });
  if (!powered) PowerOff();
}

std::optional<FramePipe::Time> Simulator::NextDue(FramePipe::Time now) const {
  std::optional<FramePipe::Time> due;
  const auto consider = [&due](std::optional<FramePipe::Time> next) {
    if (next && (!due || *next < *due)) due = next;
  };
  if (preparing_) return now;
  if (key_ && !key_->Idle()) due = now + kTick;
  consider(in_.NextDue());
  consider(out_.NextDue());
  if (BeingFetched(now)) consider(sent_ + kFetched);
  for (const auto& endpoint : endpoints_) consider(endpoint->NextDue());
  return due;
}

Result<void> Simulator::Run(int stop_fd) {
  std::vector<pollfd> fds;
  const bool terminal = options_.touch == TouchMode::kAsk && isatty(STDIN_FILENO) == 1;
  while (true) {
    fds.clear();
    fds.push_back({stop_fd, POLLIN, 0});
    if (terminal) fds.push_back({STDIN_FILENO, POLLIN, 0});
    for (const auto& endpoint : endpoints_) endpoint->AppendPollFds(fds);
    control_.AppendPollFds(fds);
    const auto now = steady_clock::now();
    const auto due = NextDue(now);
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
      if (fds[0].revents != 0) break;
      if (terminal && fds[1].revents != 0) OnTerminal();
      for (const pollfd& fd : fds) {
        if (fd.revents == 0) continue;
        for (const auto& endpoint : endpoints_) endpoint->OnPoll(fd);
        control_.OnPoll(fd);
      }
    }
    PumpAll();
  }
  Unplug(*Named(""));
  return {};
}

void Simulator::PumpAll() {
  const auto now = steady_clock::now();
  for (const auto& endpoint : endpoints_) endpoint->OnTime(now);
  in_.Pump(now);
  if (key_) key_->Tick();
  AnswerTouchWaits();
  out_.Pump(now);
  if (std::exchange(unplug_now_, false)) Unplug(*Named(""));
  if (!pulled_.empty()) Unplug(std::exchange(pulled_, {}));
  // Reports come first, to the last that the host has to fetch: usbhid asks for one at a time, and
  // each would wait until something was made ahead.
  preparing_ = key_ && !in_.NextDue() && !out_.NextDue() && !BeingFetched(now) && key_->Prepare();
}

bool Simulator::BeingFetched(FramePipe::Time now) const {
  return now < sent_ + kFetched && std::any_of(endpoints_.begin(), endpoints_.end(),
                                               [](const auto& e) { return e->Holds(); });
}

void Simulator::OnFrame(Endpoint& at, protocol::ByteView frame, std::uint32_t host) {
  in_.Push(frame, {at.Transport(), NumberOf(at), host}, steady_clock::now());
}

void Simulator::OnBleLink(Endpoint& at, std::size_t max_fragment) {
  if (key_) key_->OnBleLink(NumberOf(at), max_fragment);
}

void Simulator::OnHostGone(Endpoint& at) {
  if (key_) key_->OnHostGone(NumberOf(at));
}

void Simulator::OnPulled(Endpoint& at, const std::string& why) {
  std::fprintf(stderr, "The key was pulled from %s: %s\n", at.Name(), why.c_str());
  pulled_.push_back(&at);
}

std::optional<protocol::Bytes<protocol::kInfoSize>> Simulator::Info() const {
  if (!key_) return std::nullopt;
  return key_->MakeInfo();
}

std::string Simulator::OnControl(std::string_view line) {
  const std::size_t space = line.find(' ');
  const std::string_view command = line.substr(0, space);
  const std::string_view rest =
      space == std::string_view::npos ? std::string_view() : line.substr(space + 1);
  if (command == "plug" || command == "unplug") return OnPlugCommand(command == "plug", rest);
  if (command == "faults") return OnFaults(rest);
  if (command == "disconnect") return OnDisconnect(rest);
  if (command == "pair" && (rest == "yes" || rest == "no")) return OnPair(rest == "yes");
  if (command == "status" && rest.empty()) return StatusJson();
  if (command == "touch" && rest.empty()) {
    if (!waiting_)
      return R"({"ok":false,"error":"The key waits for no touch; a touch counts only while it does."})";
    GiveTouch(TouchEvent::kHeld);
    return R"({"ok":true})";
  }
  return R"({"ok":false,"error":"The commands are plug, unplug, disconnect, pair, faults, touch and status."})";
}

std::string Simulator::OnPlugCommand(bool in, std::string_view name) {
  const auto plugs = Named(name);
  if (!plugs) return ErrorJson(plugs.error());
  if (!in) {
    Unplug(*plugs);
    return StatusJson();
  }
  if (std::all_of(plugs->begin(), plugs->end(), [](const Endpoint* e) { return e->Present(); }))
    return R"({"ok":true,"note":"it was plugged in already"})";
  const auto plugged = Plug(*plugs);
  return plugged ? StatusJson() : ErrorJson(plugged.error());
}

std::string Simulator::OnFaults(std::string_view text) {
  auto faults = ParseFaults(text);
  if (!faults) return ErrorJson(faults.error());
  options_.faults = std::move(*faults);
  in_.Restart();
  out_.Restart();
  flash_->SetDelay(options_.faults.slow_flash_us);
  return R"({"ok":true})";
}

std::string Simulator::OnDisconnect(std::string_view name) {
  const auto plugs = Named(name);
  if (!plugs) return ErrorJson(plugs.error());
  bool done = false;
  for (Endpoint* endpoint : *plugs) {
    if (!endpoint->Present() || !endpoint->Disconnect()) continue;
    if (key_) key_->OnHostGone(NumberOf(*endpoint));
    done = true;
  }
  if (done) return R"({"ok":true})";
  return R"({"ok":false,"error":"Nobody is connected there who could be thrown off."})";
}

std::string Simulator::OnPair(bool same) {
  for (const auto& endpoint : endpoints_) {
    if (endpoint->AnswerPairing(same)) return R"({"ok":true})";
  }
  return R"({"ok":false,"error":"No pairing waits for an answer."})";
}

// Where the key is plugged in.
std::string Simulator::PlacesJson() const {
  std::string out = "\"transports\":{";
  const char* separator = "";
  for (const auto& endpoint : endpoints_) {
    if (!endpoint->Present()) continue;
    out += separator + Quoted(endpoint->Name()) + ":" + Quoted(endpoint->Place());
    separator = ",";
  }
  return out + "}";
}

std::string Simulator::StatusJson() const {
  std::string out = "{\"ok\":true,\"device_id\":\"" + Hex(factory_.device_id) +
                    "\",\"plugged\":" + (key_ ? "true" : "false") + "," + PlacesJson();
  if (key_) {
    const KeyView view = key_->View();
    out += ",\"state\":" + std::to_string(static_cast<int>(view.state)) + ",\"state_name\":\"" +
           NameOf(view.state) + "\",\"boot\":" + std::to_string(view.boot) +
           ",\"epoch\":" + std::to_string(view.epoch) +
           ",\"last_seq\":" + std::to_string(view.last_seq) +
           ",\"receipt_ctr\":" + std::to_string(view.receipt_ctr) + ",\"answer_us\":" +
           std::to_string(
               std::chrono::duration_cast<std::chrono::microseconds>(answer_took_).count()) +
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

void Simulator::Send(protocol::ByteView frame, const Origin& origin) {
  const auto now = steady_clock::now();
  if (!answered_ && !IsKeepalive(frame, origin)) {
    answered_ = true;
    answer_took_ = now - arrived_;
  }
  sent_ = now;
  out_.Push(frame, origin, now);
  out_.Pump(now);
}

void Simulator::WaitBegan(bool held) {
  waiting_ = true;
  wait_held_ = held;
  if (options_.touch != TouchMode::kAsk) return;
  std::fprintf(
      stderr,
      "The key waits for a touch%s: press Enter, or run `keyferry-sim ctl --control %s touch`.\n",
      held ? " of ten seconds" : "", control_.path().c_str());
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

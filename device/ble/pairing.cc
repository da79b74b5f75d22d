#include "device/ble/pairing.h"

#include <poll.h>

#include <algorithm>
#include <future>
#include <map>
#include <mutex>
#include <set>
#include <utility>

#include "device/ble/bluetooth_state.h"
#include "device/ble/bluez_names.h"
#include "device/ble/bluez_watch.h"
#include "device/ble/bus_loop.h"
#include "device/ble/event_flag.h"
#include "device/ble/pairing_agent.h"

namespace keyferry::device {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kReadLimit{10000};
constexpr milliseconds kCallLimit{5000};
constexpr milliseconds kSearchMore{1500};
constexpr milliseconds kLongestPoll{3600000};

class BluezPairing final : public Pairing {
 public:
  explicit BluezPairing(Options options)
      : options_(std::move(options)),
        watch_(loop_, {}, [this] { Changed(); }),
        agent_(loop_, watch_,
               {[this](const std::string& device) { return Wanted(device); },
                [this](const std::string& device, const std::string& digits) {
                  Tell([&] { question_.emplace(device, digits); });
                },
                [this] { Moot([] {}); },
                [this](const std::string& device, const std::string& how) {
                  Moot([&] { weak_ = how; });
                  // Refusing a number that is only shown does not end the pairing by itself.
                  loop_.Call(kBluez, device, kBluezDevice, "CancelPairing", {},
                             [](Result<BusLoop::Reply>) {});
                }}),
        loop_({options_.bus_address, false,
               [this] {
                 watch_.Up();
                 agent_.Up();
               },
               [this](const Error& reason) {
                 agent_.Down();
                 watch_.Down(reason);
               }}) {
    loop_.Start();
  }
  ~BluezPairing() override { loop_.Stop(); }

  // Waits until BlueZ's objects were read, or cannot be.
  Result<void> Ready() {
    if (!WaitFor(Clock::now() + kReadLimit, -1, [this] { return state_.has_value(); })) {
      return Fail(ErrorCode::kDeadline,
                  "The Bluetooth service does not answer; restart it with: systemctl restart "
                  "bluetooth");
    }
    return State();
  }

  std::vector<BluetoothKey> Bonded() override {
    const std::scoped_lock lock(mutex_);
    return Keys([](const std::string&, const BleDevice& device) { return device.bonded(); });
  }

  Result<std::vector<BluetoothKey>> Search(milliseconds limit) override {
    const auto adapter = Adapter();
    if (!adapter) return tl::unexpected(adapter.error());
    auto begun = Do(*adapter, kBluezAdapter, "SetDiscoveryFilter", [](sdbus::MethodCall& call) {
      call << std::map<std::string, sdbus::Variant>{
          {"UUIDs", sdbus::Variant(std::vector<std::string>{std::string(kKeyService)})},
          {"Transport", sdbus::Variant(std::string("le"))}};
    });
    if (!begun) return tl::unexpected(begun.error());
    {
      const std::scoped_lock lock(mutex_);
      heard_.emplace();
    }
    begun = Do(*adapter, kBluezAdapter, "StartDiscovery", {});
    const auto near = [this, &adapter] {
      Hear();
      return Keys([&](const std::string& path, const BleDevice& device) {
        return !device.bonded() && heard_->count(path) != 0 && device.adapter == *adapter;
      });
    };
    const Deadline deadline = Clock::now() + limit;
    if (begun && WaitFor(deadline, -1, [&] { return !*state_ || !near().empty(); })) {
      // Another key may be near; then the person has to choose.
      WaitFor(std::min(deadline, Clock::now() + kSearchMore), -1, [&] { return !*state_; });
    }
    std::vector<BluetoothKey> found;
    {
      const std::scoped_lock lock(mutex_);
      found = near();
      heard_.reset();
    }
    if (!begun) return tl::unexpected(begun.error());
    if (const auto state = State(); !state) return tl::unexpected(state.error());
    [[maybe_unused]] const auto stopped = Do(*adapter, kBluezAdapter, "StopDiscovery", {});
    return found;
  }

  Result<BluetoothKey> Pair(const std::string& path, const ConfirmPairing& confirm,
                            milliseconds limit) override {
    if (const auto key = Key(path); !key) return key;
    const auto paired =
        WithAgent(path, [&] { return PairWithAgent(path, confirm, Clock::now() + limit); });
    if (!paired) return tl::unexpected(paired.error());
    return Key(path);
  }

  Result<void> Serve(const ConfirmPairing& confirm, int stop_fd) override {
    return WithAgent({}, [&]() -> Result<void> {
      if (auto made =
              Do("/org/bluez", kBluezAgentManager, "RequestDefaultAgent",
                 [](sdbus::MethodCall& call) { call << sdbus::ObjectPath(PairingAgent::kPath); });
          !made) {
        return made;
      }
      while (WaitFor(Deadline::max(), stop_fd, [this] { return !*state_ || question_; })) {
        if (auto state = State(); !state) return state;
        Ask(confirm);
      }
      return {};
    });
  }

  Result<void> Forget(const std::string& path) override {
    if (const auto key = Key(path); !key) return tl::unexpected(key.error());
    return Remove(path);
  }

 private:
  // On the loop's thread. -------------------------------------------------------------------------

  void Changed() {
    const auto state = BluetoothState(watch_.state(), watch_.objects());
    const auto change = [&] {
      state_ = state;
      devices_ = watch_.objects().devices();
      adapters_ = watch_.objects().adapters();
      Hear();
    };
    if (state) {
      Tell(change);
    } else {
      Moot(change);
    }
  }

  bool Wanted(const std::string& device) {
    const std::scoped_lock lock(mutex_);
    if (!pairing_with_.empty()) return device == pairing_with_;
    const auto at = devices_.find(device);
    return at != devices_.end() && at->second.is_key;
  }

  // BlueZ takes a device's RSSI back, every ten seconds or so, when it begins to listen anew. With
  // mutex_ held; on the caller's thread too.
  void Hear() {
    if (!heard_) return;
    for (const auto& [path, device] : devices_) {
      if (device.rssi) heard_->insert(path);
    }
  }

  template <typename Change>
  void Tell(const Change& change) {
    const std::scoped_lock lock(mutex_);
    change();
    news_.Raise();
  }

  // Besides, the question is none any more.
  template <typename Change>
  void Moot(const Change& change) {
    Tell([&] {
      change();
      question_.reset();
      moot_.Raise();
    });
  }

  // On the caller's. ------------------------------------------------------------------------------

  // Waits until `condition`, which is looked at with mutex_ held. False at the deadline and when
  // `stop_fd` became readable.
  template <typename Condition>
  bool WaitFor(Deadline deadline, int stop_fd, const Condition& condition) {
    while (true) {
      {
        const std::scoped_lock lock(mutex_);
        news_.Lower();
        if (condition()) return true;
      }
      const auto now = Clock::now();
      if (now >= deadline) return false;
      const auto left = std::min(
          std::chrono::ceil<milliseconds>(std::min(deadline - now, Clock::duration(kLongestPoll))),
          kLongestPoll);
      pollfd fds[2] = {{news_.fd(), POLLIN, 0}, {stop_fd, POLLIN, 0}};
      poll(fds, 2, static_cast<int>(left.count()));
      if (fds[1].revents != 0) return false;
    }
  }

  Result<void> State() {
    const std::scoped_lock lock(mutex_);
    return *state_;
  }

  // With mutex_ held.
  template <typename Filter>
  std::vector<BluetoothKey> Keys(const Filter& filter) const {
    std::vector<BluetoothKey> out;
    for (const auto& [path, device] : devices_) {
      if (!device.is_key || !filter(path, device)) continue;
      out.push_back({path, device.address, device.name, device.bonded(), device.connected});
    }
    return out;
  }

  Result<BluetoothKey> Key(const std::string& path) {
    const std::scoped_lock lock(mutex_);
    if (!*state_) return tl::unexpected(state_->error());
    const auto keys = Keys([](const std::string&, const BleDevice&) { return true; });
    const auto at = std::find_if(keys.begin(), keys.end(),
                                 [&](const BluetoothKey& key) { return key.path == path; });
    if (at == keys.end()) {
      return Fail(ErrorCode::kNotFound,
                  "The security key is no longer there; bring it near again.");
    }
    return *at;
  }

  Result<std::string> Adapter() {
    if (auto state = State(); !state) return tl::unexpected(state.error());
    const std::scoped_lock lock(mutex_);
    for (const auto& [path, adapter] : adapters_) {
      if (adapter.powered &&
          (options_.adapter.empty() || path == "/org/bluez/" + options_.adapter)) {
        return path;
      }
    }
    return Fail(ErrorCode::kUnavailable,
                "There is no Bluetooth adapter " + options_.adapter + " that is on.");
  }

  Result<void> Do(const std::string& path, const char* interface, const char* method,
                  const BusLoop::Fill& fill) {
    auto done = std::make_shared<std::promise<Result<void>>>();
    auto answer = done->get_future();
    loop_.Post([=, this] {
      loop_.Call(
          kBluez, path, interface, method, fill,
          [done](Result<BusLoop::Reply> reply) {
            done->set_value(reply ? Result<void>{} : tl::unexpected(reply.error()));
          },
          kCallLimit);
    });
    if (answer.wait_for(2 * kCallLimit) != std::future_status::ready) {
      return Fail(ErrorCode::kDeadline, "The Bluetooth service does not answer.");
    }
    return answer.get();
  }

  Result<void> Remove(const std::string& path) {
    return Do(path.substr(0, path.rfind('/')), kBluezAdapter, "RemoveDevice",
              [path](sdbus::MethodCall& call) { call << sdbus::ObjectPath(path); });
  }

  template <typename Work>
  Result<void> WithAgent(const std::string& device, const Work& work) {
    {
      const std::scoped_lock lock(mutex_);
      pairing_with_ = device;
      question_.reset();
      paired_.reset();
      weak_.clear();
    }
    auto begun = Do("/org/bluez", kBluezAgentManager, "RegisterAgent", [](sdbus::MethodCall& call) {
      call << sdbus::ObjectPath(PairingAgent::kPath) << std::string("DisplayYesNo");
    });
    if (!begun) return begun;
    auto result = work();
    [[maybe_unused]] const auto ended =
        Do("/org/bluez", kBluezAgentManager, "UnregisterAgent",
           [](sdbus::MethodCall& call) { call << sdbus::ObjectPath(PairingAgent::kPath); });
    return result;
  }

  // Puts the open question, if there is one, to the person. Nothing when it became moot meanwhile.
  std::optional<bool> Ask(const ConfirmPairing& confirm) {
    PairingQuestion question;
    {
      const std::scoped_lock lock(mutex_);
      moot_.Lower();
      if (!question_) return std::nullopt;
      const auto& device = devices_[question_->first];
      question.key = {question_->first, device.address, device.name, device.bonded(),
                      device.connected};
      question.digits = question_->second;
    }
    const bool same = confirm(question, moot_.fd());
    {
      const std::scoped_lock lock(mutex_);
      if (!question_) return std::nullopt;
      question_.reset();
    }
    loop_.Post([this, same] { agent_.Answer(same); });
    return same;
  }

  Result<void> PairWithAgent(const std::string& path, const ConfirmPairing& confirm,
                             Deadline deadline) {
    loop_.Post([this, path, deadline] {
      const auto limit = std::chrono::duration_cast<milliseconds>(deadline - Clock::now());
      loop_.Call(
          kBluez, path, kBluezDevice, "Pair", {},
          [this](Result<BusLoop::Reply> reply) {
            Moot([&] { paired_ = reply ? Result<void>{} : tl::unexpected(reply.error()); });
          },
          std::max(limit, milliseconds(1)));
    });
    bool confirmed = false;
    bool refused = false;
    while (true) {
      if (!WaitFor(deadline, -1, [this] { return question_ || paired_ || !*state_; })) {
        [[maybe_unused]] const auto cancelled = Do(path, kBluezDevice, "CancelPairing", {});
        return Fail(ErrorCode::kDeadline, "The pairing took too long; begin again.");
      }
      if (auto state = State(); !state) return state;
      const auto answer = Ask(confirm);
      confirmed = confirmed || answer == true;
      refused = refused || answer == false;
      const std::scoped_lock lock(mutex_);
      if (paired_) break;
    }
    std::unique_lock lock(mutex_);
    const auto paired = *paired_;
    const std::string weak = weak_;
    lock.unlock();
    if (refused) {
      Undo(path, paired.has_value());
      return Fail(ErrorCode::kPermissionDenied,
                  "The numbers were not confirmed; nothing was paired.");
    }
    if (!weak.empty() || (paired && !confirmed)) {
      Undo(path, paired.has_value());
      return Fail(ErrorCode::kPermissionDenied,
                  "The device wanted to pair with " +
                      (weak.empty() ? std::string("no comparison at all") : weak) +
                      " instead of comparing numbers, which no security key does; it was refused.");
    }
    if (!paired) return paired;
    if (WaitFor(Clock::now() + kCallLimit, -1,
                [&] { return !*state_ || devices_[path].bonded(); })) {
      return State();
    }
    Undo(path, true);
    return Fail(ErrorCode::kProtocol, "The security key paired, but keeps no bond.");
  }

  void Undo(const std::string& path, bool paired) {
    if (!paired) return;
    [[maybe_unused]] const auto removed = Remove(path);
  }

  const Options options_;
  EventFlag news_;
  EventFlag moot_;

  std::mutex mutex_;                   // all to the next empty line
  std::optional<Result<void>> state_;  // nothing before BlueZ was asked
  std::map<std::string, BleDevice> devices_;
  std::map<std::string, BleAdapter> adapters_;
  std::optional<std::set<std::string>> heard_;  // while searching: devices that were heard
  std::string pairing_with_;                    // empty: with any key
  std::optional<std::pair<std::string, std::string>> question_;  // device, digits
  std::optional<Result<void>> paired_;
  std::string weak_;  // how the device wanted to pair instead

  BluezWatch watch_;
  PairingAgent agent_;
  BusLoop loop_;
};

}  // namespace

Result<std::unique_ptr<Pairing>> Pairing::Open(Options options) {
  auto pairing = std::make_unique<BluezPairing>(std::move(options));
  if (auto ready = pairing->Ready(); !ready) return tl::unexpected(ready.error());
  return Result<std::unique_ptr<Pairing>>(std::move(pairing));
}

}  // namespace keyferry::device

#include "device/ble/ble_host.h"

#include <algorithm>
#include <atomic>
#include <deque>
#include <future>
#include <list>
#include <map>
#include <set>
#include <utility>

#include "device/ble/ble_transport.h"
#include "device/ble/bluetooth_state.h"
#include "device/ble/bluez_names.h"
#include "device/ble/bluez_watch.h"
#include "device/ble/bus_loop.h"
#include "device/ble/key_keeper.h"
#include "device/ble/key_profile.h"
#include "device/key_claim.h"
#include "protocol/framing.h"
#include "protocol/info.h"

namespace keyferry::device {
namespace {

constexpr std::chrono::milliseconds kOpenLimit{6000};
constexpr std::uint16_t kMinMtu = 23;
constexpr std::size_t kMtuHeader = 3;

tl::unexpected<Error> Gone() {
  return Fail(ErrorCode::kUnavailable,
              "The security key is no longer connected; bring it near again.");
}

// The events of one Watch, between the host's thread and the one that calls Next.
struct EventQueue {
  std::mutex mutex;
  std::condition_variable changed;
  std::deque<DiscoveryEvent> events;
  bool stopped = false;

  void Tell(DiscoveryEvent::Kind kind, const std::string& path) {
    const std::scoped_lock lock(mutex);
    events.push_back({kind, {TransportKind::kBle, path}});
    changed.notify_all();
  }
  void Stop() {
    const std::scoped_lock lock(mutex);
    stopped = true;
    changed.notify_all();
  }
};

class BleDiscovery final : public Discovery {
 public:
  explicit BleDiscovery(std::shared_ptr<EventQueue> queue) : queue_(std::move(queue)) {}
  ~BleDiscovery() override { queue_->Stop(); }

  Result<DiscoveryEvent> Next() override {
    std::unique_lock lock(queue_->mutex);
    queue_->changed.wait(lock, [this] { return queue_->stopped || !queue_->events.empty(); });
    if (queue_->stopped) return Fail(ErrorCode::kUnavailable, "Stopped.");
    DiscoveryEvent event = std::move(queue_->events.front());
    queue_->events.pop_front();
    return event;
  }
  void Stop() override { queue_->Stop(); }

 private:
  const std::shared_ptr<EventQueue> queue_;
};

// One Open, on its way through bluetoothd.
struct Opening {
  std::string path;
  OnGone on_gone;
  BleEndpoint endpoint;
  Deadline deadline;
  KeyClaim claim;
  std::size_t max_fragment = 0;
  sdbus::UnixFd notify;
  std::promise<Result<std::shared_ptr<KeyPort>>> answer;
  bool answered = false;

  void Finish(Result<std::shared_ptr<KeyPort>> result) {
    if (std::exchange(answered, true)) return;
    // Whoever hears of a failure may try again at once.
    claim = {};
    notify = {};
    answer.set_value(std::move(result));
  }
  std::chrono::milliseconds Left() const {
    return std::max(std::chrono::milliseconds(1),
                    std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now()));
  }
};

void NoOptions(sdbus::MethodCall& call) { call << std::map<std::string, sdbus::Variant>{}; }

// How often in a row a key was opened and said nothing that makes sense.
struct Silence {
  int opens = 0;
  std::shared_ptr<const std::atomic<bool>> heard;  // of the last port; null: there is none
};

class Host final : public BleHost {
 public:
  explicit Host(BleOptions options)
      : options_(std::move(options)),
        watch_(loop_, options_.note, [this] { Review(); }),
        profile_(loop_, options_.note, options_.keeping.registration),
        keeper_(
            loop_, watch_.objects(), [this] { watch_.ReadAgain(); }, options_.note,
            options_.keeping),
        loop_({options_.bus_address, true, [this] { Up(); },
               [this](const Error& reason) { Down(reason); }}) {
    loop_.Start();
  }

  ~Host() override {
    loop_.Stop();  // with Down: nothing is present any more
    for (const auto& queue : queues_) {
      if (const auto alive = queue.lock()) alive->Stop();
    }
  }

  std::unique_ptr<Discovery> Watch() override {
    auto queue = std::make_shared<EventQueue>();
    loop_.Post([this, queue] {
      for (const std::string& path : present_) queue->Tell(DiscoveryEvent::kAppeared, path);
      queues_.push_back(queue);
    });
    return std::make_unique<BleDiscovery>(queue);
  }

  Result<std::shared_ptr<KeyPort>> Open(const KeyPlace& place, OnGone on_gone) override {
    auto claim = KeyClaim::Take("bluetooth:" + place.path, place.path);
    if (!claim) return tl::unexpected(claim.error());
    auto opening = std::make_shared<Opening>();
    opening->path = place.path;
    opening->on_gone = std::move(on_gone);
    opening->deadline = Clock::now() + kOpenLimit;
    opening->claim = *std::move(claim);
    auto answer = opening->answer.get_future();
    loop_.Post([this, opening] {
      openings_.push_back(opening);
      Begin(opening);
    });
    // The last call's own limit comes first, if the thread is alive at all.
    if (answer.wait_until(opening->deadline + kOpenLimit) != std::future_status::ready) {
      return Fail(ErrorCode::kDeadline, "The Bluetooth service does not answer.");
    }
    return answer.get();
  }

  Result<void> Check() const override {
    const std::scoped_lock lock(mutex_);
    return check_;
  }

 private:
  void Up() {
    profile_.Up();
    watch_.Up();
  }

  void Down(const Error& reason) {
    profile_.Down();
    watch_.Down(reason);
    for (const auto& opening : std::exchange(openings_, {})) {
      opening->Finish(tl::unexpected(reason));
    }
  }

  void Review() {
    const auto state = BluetoothState(watch_.state(), watch_.objects());
    bool news = false;
    {
      const std::scoped_lock lock(mutex_);
      news = state.has_value() != check_.has_value() ||
             (!state && state.error().message != check_.error().message);
      check_ = state;
    }
    if (news && options_.note) {
      options_.note(state ? "Bluetooth is ready for keys" : "Bluetooth: " + state.error().message);
    }
    for (auto at = present_.begin(); at != present_.end();) {
      if (watch_.objects().IsPresent(*at)) {
        ++at;
        continue;
      }
      const std::string path = *at;
      at = present_.erase(at);
      silences_.erase(path);
      Tell(DiscoveryEvent::kVanished, path);
      const auto port = ports_.find(path);
      if (port == ports_.end()) continue;
      if (const auto alive = port->second.lock()) alive->Lose(Gone().value());
      ports_.erase(path);
    }
    for (const auto& [path, device] : watch_.objects().devices()) {
      if (present_.count(path) != 0 || !watch_.objects().IsPresent(path)) continue;
      present_.insert(path);
      Tell(DiscoveryEvent::kAppeared, path);
    }
    profile_.Register(watch_.objects());
    keeper_.Review();
  }

  void Tell(DiscoveryEvent::Kind kind, const std::string& path) {
    std::erase_if(queues_, [](const auto& queue) { return queue.expired(); });
    for (const auto& queue : queues_) {
      if (const auto alive = queue.lock()) alive->Tell(kind, path);
    }
  }

  // Open, step by step. ---------------------------------------------------------------------------

  void Finish(const std::shared_ptr<Opening>& opening, Result<std::shared_ptr<KeyPort>> result) {
    openings_.remove(opening);
    if (!result && result.error().code != ErrorCode::kUnavailable &&
        result.error().code != ErrorCode::kDeadline) {
      silences_.erase(opening->path);  // it has said something, or is somebody else's
    }
    opening->Finish(std::move(result));
  }

  // False, and finished, when the answer came too late or the key went meanwhile.
  bool Goes(const std::shared_ptr<Opening>& opening) {
    if (opening->answered) return false;
    if (watch_.objects().IsPresent(opening->path)) return true;
    Finish(opening, Gone());
    return false;
  }

  void Ask(const std::shared_ptr<Opening>& opening, const std::string& characteristic,
           const char* method, BusLoop::OnReply next) {
    loop_.Call(
        kBluez, characteristic, kBluezCharacteristic, method, NoOptions,
        [this, opening, next = std::move(next)](Result<BusLoop::Reply> reply) {
          if (!Goes(opening)) return;
          if (!reply) return Finish(opening, tl::unexpected(reply.error()));
          next(reply);
        },
        opening->Left());
  }

  void Refuse(const std::shared_ptr<Opening>& opening, const char* detail) {
    if (options_.note) options_.note("key at " + opening->path + " is refused: " + detail);
    Finish(opening,
           Fail(ErrorCode::kProtocol,
                "This Bluetooth device says that it is a security key, but is none.", detail));
  }

  void Begin(const std::shared_ptr<Opening>& opening) {
    if (!Goes(opening)) return;
    Silence& silence = silences_[opening->path];
    if (silence.heard && *silence.heard) silence.opens = 0;
    silence.heard.reset();
    if (++silence.opens > options_.keeping.silent) {
      silence.opens = 0;
      keeper_.Renew(opening->path, "is connected and says nothing; the connection is made anew");
      return Finish(opening, Gone());
    }
    opening->endpoint = *watch_.objects().Endpoint(opening->path);
    Ask(opening, opening->endpoint.info, "ReadValue",
        [this, opening](Result<BusLoop::Reply> reply) {
          const auto value = ReadArguments<std::vector<std::uint8_t>>(reply->get());
          if (!value) return Refuse(opening, "its INFO is no bytes");
          protocol::Reader in(std::get<0>(*value));
          opening->max_fragment = in.U16();
          if (!in.ok() || opening->max_fragment < protocol::kMinFragment ||
              !protocol::Info::Parse(in.Take(in.remaining()))) {
            return Refuse(opening, "its INFO makes no sense");
          }
          TakeNotify(opening);
        });
  }

  // The key's answers first, so that none is lost.
  void TakeNotify(const std::shared_ptr<Opening>& opening) {
    Ask(opening, opening->endpoint.notify, "AcquireNotify",
        [this, opening](Result<BusLoop::Reply> reply) {
          auto given = ReadArguments<sdbus::UnixFd, std::uint16_t>(reply->get());
          if (!given || !std::get<0>(*given).isValid() || std::get<1>(*given) < kMinMtu) {
            return Refuse(opening, "BlueZ gave no descriptor to read from");
          }
          opening->notify = std::move(std::get<0>(*given));
          TakeWrite(opening);
        });
  }

  void TakeWrite(const std::shared_ptr<Opening>& opening) {
    Ask(opening, opening->endpoint.write, "AcquireWrite",
        [this, opening](Result<BusLoop::Reply> reply) {
          auto given = ReadArguments<sdbus::UnixFd, std::uint16_t>(reply->get());
          if (!given || !std::get<0>(*given).isValid() || std::get<1>(*given) < kMinMtu) {
            return Refuse(opening, "BlueZ gave no descriptor to write to");
          }
          const std::size_t max_fragment =
              std::min({opening->max_fragment, std::get<1>(*given) - kMtuHeader, kMaxBleFragment});
          auto transport =
              AdoptBleTransport(std::get<0>(*given).release(), opening->notify.release(),
                                max_fragment, opening->path, std::move(opening->claim));
          const auto heard = std::make_shared<std::atomic<bool>>(false);
          silences_[opening->path].heard = heard;
          auto port = BlePort::Start(std::move(transport), std::move(opening->on_gone),
                                     options_.holding, heard);
          ports_[opening->path] = port;
          Finish(opening, std::shared_ptr<KeyPort>(std::move(port)));
        });
  }

  const BleOptions options_;

  mutable std::mutex mutex_;
  Result<void> check_ = Fail(ErrorCode::kUnavailable, "Bluetooth has not been asked yet.");

  // Of the loop's thread.
  std::vector<std::weak_ptr<EventQueue>> queues_;
  std::set<std::string> present_;
  std::map<std::string, std::weak_ptr<BlePort>> ports_;
  std::map<std::string, Silence> silences_;  // of keys that are present
  std::list<std::shared_ptr<Opening>> openings_;

  BluezWatch watch_;
  KeyProfile profile_;
  KeyKeeper keeper_;
  BusLoop loop_;
};

}  // namespace

std::unique_ptr<BleHost> BleHost::Start(BleOptions options) {
  return std::make_unique<Host>(std::move(options));
}

}  // namespace keyferry::device

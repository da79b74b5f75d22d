#include "firmware-sim/ble/ble_endpoint.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <limits>
#include <utility>

#include "protocol/framing.h"

namespace keyferry::sim {
namespace {

using std::chrono::steady_clock;

constexpr char kBluez[] = "org.bluez";
constexpr char kDevice[] = "org.bluez.Device1";
constexpr char kAdapter[] = "org.bluez.Adapter1";
constexpr char kAdvertising[] = "org.bluez.LEAdvertisingManager1";
constexpr auto kAppearPatience = std::chrono::seconds(30);
constexpr auto kRetry = std::chrono::milliseconds(500);
constexpr auto kCallPatience = std::chrono::seconds(5);
// Longer than a loaded bluetoothd takes that has only just begun. Who gives a registration up does
// not know whether it will be there; and bluetoothd 5.66 dies of an advertisement that is taken
// back while it is being registered.
constexpr auto kRegistrationPatience = std::chrono::minutes(5);
constexpr std::size_t kAttHeader = 3;
// bluetoothd packs notifications that follow each other closely into one "multiple" notification,
// which has two bytes of length beside each value, and cuts values that do not fit.
constexpr std::size_t kMultipleHeader = 5;
constexpr std::size_t kMaxWrites = 4;
constexpr int kFragmentsPerPoll = 64;

using Properties = std::map<std::string, sdbus::Variant>;

std::size_t FragmentOf(std::uint16_t mtu, std::size_t header) {
  return std::clamp<std::size_t>(mtu - std::min<std::size_t>(mtu, header), protocol::kMinFragment,
                                 protocol::kMaxFragment);
}

// A pair of sockets that keep packets apart: ours, which does not block, and the other's.
std::pair<int, int> PacketPair() {
  int pair[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) != 0)
    throw sdbus::Error("org.bluez.Error.Failed", "no sockets are left");
  return {pair[0], pair[1]};
}

std::optional<bool> Flag(const Properties& properties, const char* name) {
  const auto found = properties.find(name);
  if (found == properties.end() || !found->second.containsValueOfType<bool>()) return std::nullopt;
  return found->second.get<bool>();
}

bool IsAdapterName(const std::string& name) {
  return name.size() > 3 && name.size() < 16 && name.rfind("hci", 0) == 0 &&
         name.find_first_not_of("0123456789", 3) == std::string::npos;
}

}  // namespace

BleEndpoint::BleEndpoint(EndpointClient& client, Options options)
    : client_(client),
      options_(std::move(options)),
      adapter_path_("/org/bluez/" + options_.adapter) {}

BleEndpoint::~BleEndpoint() { BleEndpoint::Vanish(); }

Result<void> BleEndpoint::Appear(const Identity& identity) {
  if (!IsAdapterName(options_.adapter)) {
    return Fail(ErrorCode::kInvalidArgument,
                "\"" + options_.adapter + "\" is no Bluetooth adapter; give one like hci0.");
  }
  const auto refuse = [this](const Error& error) -> Result<void> {
    Vanish();
    return tl::unexpected(error);
  };
  try {
    Open(identity);
    Register();
    const auto deadline = steady_clock::now() + kAppearPatience;
    while (!failed_ && AnyWanted([](State state) { return state != State::kDone; })) {
      std::vector<pollfd> fds;
      AppendPollFds(fds);
      const auto left = deadline - steady_clock::now();
      const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(left).count();
      if (ms <= 0) {
        return refuse({ErrorCode::kUnavailable,
                       "bluetoothd does not answer; is the service running?", options_.adapter});
      }
      // What the bus has read already is not announced by its descriptor.
      const int bus_ms = bus_->getEventLoopPollData().getPollTimeout();
      const int wait = static_cast<int>(ms);
      poll(fds.data(), fds.size(), bus_ms >= 0 ? std::min(bus_ms, wait) : wait);
      if (!Process()) return refuse({ErrorCode::kUnavailable, "The D-Bus connection broke.", ""});
    }
  } catch (const sdbus::Error& error) {
    return refuse({ErrorCode::kUnavailable,
                   "The system bus cannot be used; are dbus and bluetooth running?", error.what()});
  }
  if (failed_) return refuse(*failed_);
  present_ = true;
  return {};
}

void BleEndpoint::Open(const Identity& identity) {
  name_ = std::string(kMakerName) + " " + identity.device_id.substr(0, 4);
  std::fill(std::begin(parts_), std::end(parts_), State::kIdle);
  failed_.reset();
  stale_ = false;
  connected_.clear();
  bluez_there_ = true;
  bus_ = options_.bus_address.empty()
             ? sdbus::createSystemBusConnection()
             : sdbus::createSessionBusConnectionWithAddress(options_.bus_address);
  bus_->setMethodCallTimeout(kCallPatience);
  adapter_ = sdbus::createProxy(*bus_, kBluez, adapter_path_);
  manager_ = sdbus::createProxy(*bus_, kBluez, "/org/bluez");
  GattApplication::Handlers handlers;
  handlers.write = [this](const Central& central, protocol::ByteView value) {
    Claim(central);
    client_.OnFrame(*this, value, 0);
  };
  handlers.acquire_write = [this](const Central& central) { return AcquireWrite(central); };
  handlers.acquire_notify = [this](const Central& central) { return AcquireNotify(central); };
  handlers.read = [this](const Central& central) { return Read(central); };
  handlers.advertisement_released = [this] {
    parts_[kAdvertisement] = State::kIdle;
    retry_at_ = steady_clock::now() + kRetry;
  };
  application_ = std::make_unique<GattApplication>(*bus_, name_, std::move(handlers));
  agent_ = std::make_unique<PairingAgent>(*bus_, adapter_path_, options_.pairing);
  Match();
}

void BleEndpoint::Match() {
  bus_->addMatch(
      "type='signal',sender='org.freedesktop.DBus',interface='org.freedesktop.DBus',"
      "member='NameOwnerChanged',arg0='org.bluez'",
      [this](sdbus::Message& signal) {
        std::string name;
        std::string before;
        std::string after;
        signal >> name >> before >> after;
        OnBluez(!after.empty());
      },
      sdbus::floating_slot);
  bus_->addMatch(
      "type='signal',sender='org.bluez',interface='org.freedesktop.DBus.Properties',"
      "member='PropertiesChanged',path_namespace='" +
          adapter_path_ + "'",
      [this](sdbus::Message& signal) { OnProperties(signal); }, sdbus::floating_slot);
  // A device that is new may be told with its connection.
  const std::string objects =
      "type='signal',sender='org.bluez',interface='org.freedesktop.DBus.ObjectManager',member=";
  bus_->addMatch(
      objects + "'InterfacesAdded'",
      [this](sdbus::Message& signal) {
        sdbus::ObjectPath path;
        std::map<std::string, Properties> interfaces;
        signal >> path >> interfaces;
        const auto device = interfaces.find(kDevice);
        if (device != interfaces.end() && path.rfind(adapter_path_ + "/", 0) == 0 &&
            Flag(device->second, "Connected") == true) {
          Connected(path, true);
        }
      },
      sdbus::floating_slot);
  bus_->addMatch(
      objects + "'InterfacesRemoved'",
      [this](sdbus::Message& signal) {
        sdbus::ObjectPath path;
        std::vector<std::string> interfaces;
        signal >> path >> interfaces;
        const bool device = std::count(interfaces.begin(), interfaces.end(), kDevice) != 0;
        if (device && connected_.count(path) != 0) Connected(path, false);
      },
      sdbus::floating_slot);
}

// Asks for whatever is not registered yet. bluetoothd forgets when it restarts, and the
// advertisement when its adapter goes off.
void BleEndpoint::Register() {
  for (const Part part : {kApplication, kAdvertisement, kAgent}) {
    if (Wanted(part) && parts_[part] == State::kIdle) Ask(part);
  }
}

void BleEndpoint::Ask(Part part) {
  parts_[part] = State::kAsked;
  const auto answer = [this, part](const sdbus::Error* error) { OnAnswer(part, error); };
  switch (part) {
    case kApplication:
      adapter_->callMethodAsync("RegisterApplication")
          .onInterface("org.bluez.GattManager1")
          .withTimeout(kRegistrationPatience)
          .withArguments(sdbus::ObjectPath(GattApplication::kPath), Properties{})
          .uponReplyInvoke(answer);
      return;
    case kAdvertisement:
      adapter_->callMethodAsync("RegisterAdvertisement")
          .onInterface(kAdvertising)
          .withTimeout(kRegistrationPatience)
          .withArguments(sdbus::ObjectPath(GattApplication::kAdvertisementPath), Properties{})
          .uponReplyInvoke(answer);
      return;
    case kAgent:
    case kParts:
      manager_->callMethodAsync("RegisterAgent")
          .onInterface("org.bluez.AgentManager1")
          .withTimeout(kRegistrationPatience)
          .withArguments(sdbus::ObjectPath(PairingAgent::kPath),
                         std::string(PairingAgent::kCapability))
          .uponReplyInvoke(answer);
      // Pairing that begins at the other side asks the default agent.
      manager_->callMethodAsync("RequestDefaultAgent")
          .onInterface("org.bluez.AgentManager1")
          .withTimeout(kRegistrationPatience)
          .withArguments(sdbus::ObjectPath(PairingAgent::kPath))
          .uponReplyInvoke([](const sdbus::Error*) {});
      return;
  }
}

// Ends the advertisement. A new one follows when nobody is connected.
void BleEndpoint::Withdraw() {
  if (parts_[kAdvertisement] == State::kAsked) stale_ = true;
  if (parts_[kAdvertisement] != State::kDone) return;
  parts_[kAdvertisement] = State::kLeaving;
  adapter_->callMethodAsync("UnregisterAdvertisement")
      .onInterface(kAdvertising)
      .withTimeout(kRegistrationPatience)
      .withArguments(sdbus::ObjectPath(GattApplication::kAdvertisementPath))
      .uponReplyInvoke([this](const sdbus::Error*) {
        if (parts_[kAdvertisement] != State::kLeaving) return;
        parts_[kAdvertisement] = State::kIdle;
        retry_at_ = steady_clock::now();
      });
}

void BleEndpoint::Connected(const std::string& device, bool is) {
  if (is) {
    connected_.insert(device);
  } else {
    connected_.erase(device);
    if (device == central_) CentralGone();
    retry_at_ = steady_clock::now();
  }
  Withdraw();
}

void BleEndpoint::OnAnswer(Part part, const sdbus::Error* error) {
  if (error == nullptr || error->getName() == "org.bluez.Error.AlreadyExists") {
    parts_[part] = State::kDone;
    if (part == kAdvertisement && std::exchange(stale_, false)) Withdraw();
    return;
  }
  parts_[part] = State::kIdle;
  retry_at_ = steady_clock::now() + kRetry;
  if (present_) return;
  const std::string& name = error->getName();
  const bool no_adapter = name == "org.freedesktop.DBus.Error.UnknownObject" ||
                          name == "org.freedesktop.DBus.Error.UnknownMethod" ||
                          name == "org.freedesktop.DBus.Error.UnknownInterface";
  failed_ = Error{ErrorCode::kUnavailable,
                  no_adapter ? "There is no Bluetooth LE adapter " + options_.adapter +
                                   " that can be a peripheral; `bluetoothctl list` shows what is."
                             : "bluetoothd did not take the key's service on " + options_.adapter +
                                   "; is the adapter on (`bluetoothctl power on`)?",
                  name};
}

void BleEndpoint::OnBluez(bool there) {
  bluez_there_ = there;
  std::fill(std::begin(parts_), std::end(parts_), State::kIdle);
  retry_at_ = steady_clock::now();
  connected_.clear();
  stale_ = false;
  if (there) return;
  CentralGone();
  if (notify_ >= 0) close(std::exchange(notify_, -1));
}

void BleEndpoint::OnProperties(sdbus::Message& signal) {
  std::string interface;
  Properties changed;
  signal >> interface >> changed;
  if (interface == kDevice) {
    if (const auto is = Flag(changed, "Connected")) Connected(signal.getPath(), *is);
  }
  if (interface == kAdapter && Flag(changed, "Powered") == true) {
    connected_.clear();
    retry_at_ = steady_clock::now();
    Withdraw();
  }
}

void BleEndpoint::Vanish() {
  if (present_) {
    Silence();
    Disconnect();
  }
  present_ = false;
  central_.clear();
  CloseWrites();
  if (notify_ >= 0) close(std::exchange(notify_, -1));
  // With the connection everything that was registered goes.
  agent_.reset();
  application_.reset();
  manager_.reset();
  adapter_.reset();
  bus_.reset();
}

// A key without power is not found any more; the kernel would let the central come back at once.
void BleEndpoint::Silence() {
  if (parts_[kAdvertisement] != State::kDone) return;
  try {
    adapter_->callMethod("UnregisterAdvertisement")
        .onInterface(kAdvertising)
        .withTimeout(kCallPatience)
        .withArguments(sdbus::ObjectPath(GattApplication::kAdvertisementPath));
  } catch (const sdbus::Error&) {
    // bluetoothd is gone, and the advertisement with it.
  }
}

bool BleEndpoint::Disconnect() {
  if (central_.empty()) return false;
  try {
    const auto device = sdbus::createProxy(*bus_, kBluez, central_);
    device->callMethod("Disconnect").onInterface(kDevice).withTimeout(kCallPatience);
  } catch (const sdbus::Error&) {
    // It is gone already, or bluetoothd is.
  }
  central_.clear();
  CloseWrites();
  return true;
}

bool BleEndpoint::AnswerPairing(bool same) { return agent_ && agent_->Answer(same); }

void BleEndpoint::AppendPollFds(std::vector<pollfd>& fds) const {
  if (!bus_) return;
  const auto bus = bus_->getEventLoopPollData();
  fds.push_back({bus.fd, bus.events, 0});
  for (const int fd : writes_) fds.push_back({fd, POLLIN, 0});
}

void BleEndpoint::OnPoll(const pollfd& ready) {
  if (std::find(writes_.begin(), writes_.end(), ready.fd) != writes_.end()) ReadFragments(ready.fd);
}

std::optional<Endpoint::Time> BleEndpoint::NextDue() const {
  if (!bus_) return std::nullopt;
  std::optional<Time> due;
  const bool missing = AnyWanted([](State state) { return state == State::kIdle; });
  if (bluez_there_ && missing) due = retry_at_;
  const std::uint64_t bus = bus_->getEventLoopPollData().timeout_usec;
  if (bus != std::numeric_limits<std::uint64_t>::max()) {
    const Time time{std::chrono::microseconds(bus)};  // of CLOCK_MONOTONIC, as steady_clock's
    if (!due || time < *due) due = time;
  }
  return due;
}

void BleEndpoint::OnTime(Time now) {
  if (!bus_ || !present_) return;
  if (!Process()) {
    Vanish();
    return client_.OnPulled(*this, "the D-Bus connection broke");
  }
  if (bluez_there_ && now >= retry_at_) Register();
}

// Handles whatever the bus has. False: it is broken.
bool BleEndpoint::Process() {
  while (true) {
    try {
      if (!bus_->processPendingRequest()) return true;
    } catch (const sdbus::Error&) {
      return false;
    }
  }
}

void BleEndpoint::Claim(const Central& central) {
  if (!central_.empty() && central.device != central_)
    throw sdbus::Error("org.bluez.Error.NotPermitted", "another central has the key");
  const std::size_t fragment = FragmentOf(central.mtu, kMultipleHeader);
  if (central.device == central_ && fragment == fragment_) return;
  central_ = central.device;
  fragment_ = fragment;
  client_.OnBleLink(*this, fragment);
}

void BleEndpoint::CentralGone() {
  if (central_.empty()) return;
  central_.clear();
  // bluetoothd opens the next central's anew, and says whose it is. The notifications' it keeps.
  CloseWrites();
  client_.OnHostGone(*this);
}

int BleEndpoint::AcquireWrite(const Central& central) {
  Claim(central);
  const auto [ours, theirs] = PacketPair();
  if (writes_.size() >= kMaxWrites) {
    close(writes_.front());
    writes_.pop_front();
  }
  writes_.push_back(ours);
  return theirs;
}

int BleEndpoint::AcquireNotify(const Central& central) {
  Claim(central);
  const auto [ours, theirs] = PacketPair();
  if (notify_ >= 0) close(notify_);
  notify_ = ours;
  return theirs;
}

std::vector<std::uint8_t> BleEndpoint::Read(const Central& central) const {
  const auto info = client_.Info();
  if (!info) throw sdbus::Error("org.bluez.Error.Failed", "the key has no power");
  const std::size_t fragment =
      central.mtu == 0 ? protocol::kMaxFragment : FragmentOf(central.mtu, kAttHeader);
  std::vector<std::uint8_t> value(2 + info->size());
  protocol::Writer(value).U16(static_cast<std::uint16_t>(fragment)).Put(*info);
  return value;
}

void BleEndpoint::ReadFragments(int fd) {
  std::uint8_t buffer[protocol::kMaxFragment + 1];
  for (int i = 0; i < kFragmentsPerPoll; ++i) {
    const ssize_t n = recv(fd, buffer, sizeof buffer, 0);
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR)) return;
    if (n <= 0) {
      close(fd);
      std::erase(writes_, fd);
      return;
    }
    if (static_cast<std::size_t>(n) <= protocol::kMaxFragment)
      client_.OnFrame(*this, {buffer, static_cast<std::size_t>(n)}, 0);
  }
}

void BleEndpoint::CloseWrites() {
  for (const int fd : std::exchange(writes_, {})) close(fd);
}

void BleEndpoint::Send(protocol::ByteView frame, std::uint32_t) {
  if (!bus_ || central_.empty()) return;
  if (notify_ >= 0) {
    if (send(notify_, frame.data(), frame.size(), MSG_NOSIGNAL | MSG_DONTWAIT) >= 0) return;
    if (errno == EAGAIN || errno == EWOULDBLOCK) return;  // lost, as on the air
    close(std::exchange(notify_, -1));
  }
  try {
    application_->Notify(frame);
  } catch (const sdbus::Error&) {
    // The next turn of the loop finds the bus broken.
  }
}

}  // namespace keyferry::sim

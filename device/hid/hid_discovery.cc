#include "device/hid/hid_discovery.h"

#include <libudev.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <filesystem>
#include <map>
#include <optional>
#include <utility>
#include <vector>

#include "device/hid/report_descriptor.h"
#include "device/hid/sysfs.h"
#include "device/hid/usb_layout.h"

namespace keyferry::device {
namespace {

// Set by packaging/udev/70-keyferry.rules where numbers of nodes are used again.
constexpr char kInstanceProperty[] = "KEYFERRY_INSTANCE";
constexpr int kSocketBuffer = 1 << 20;  // thousands of messages

struct Unref {
  void operator()(udev* one) const { udev_unref(one); }
  void operator()(udev_monitor* one) const { udev_monitor_unref(one); }
  void operator()(udev_device* one) const { udev_device_unref(one); }
};
template <typename T>
using Udev = std::unique_ptr<T, Unref>;

// A device of the right ids. `instance` differs at each plugging in; `refused` says why it is no
// key.
struct Candidate {
  std::string path;
  std::string name;  // in the kernel
  std::string instance;
  std::string words;  // for the log
  std::string refused;
};

// What differs between the two paths to a key.
class Kind {
 public:
  virtual ~Kind() = default;
  virtual const char* Subsystem() const = 0;
  virtual const char* DevType() const = 0;
  virtual std::vector<Candidate> List(const HidMatch& match) const = 0;
  // Of a device's name in the kernel; nothing when it is gone, or is none of `match`.
  virtual std::optional<Candidate> Look(const std::string& name, const HidMatch& match) const = 0;
  // The path of a device's name; empty for names that no key has.
  virtual std::string PathOf(const std::string& name) const = 0;
  // Which plugging in a message is about.
  virtual std::string InstanceOf(udev_device* message) const = 0;
};

std::string Reason(const Result<void>& checked) {
  return checked ? std::string() : checked.error().message;
}

std::string Words(const UsbDevice& usb) {
  return usb.Path() + ", " + usb.id.Text() + " \"" + usb.product + "\"" +
         (usb.serial.empty() ? "" : " serial \"" + usb.serial + "\"");
}

class HidrawKind final : public Kind {
 public:
  const char* Subsystem() const override { return "hidraw"; }
  const char* DevType() const override { return nullptr; }

  std::vector<Candidate> List(const HidMatch& match) const override {
    std::vector<Candidate> out;
    for (const HidrawDevice& one : ListHidrawDevices(match)) out.push_back(From(one));
    return out;
  }
  std::optional<Candidate> Look(const std::string& name, const HidMatch& match) const override {
    const auto device = ReadHidrawDevice(name);
    if (!device || !match.Has(device->id)) return std::nullopt;
    return From(*device);
  }
  std::string PathOf(const std::string& name) const override {
    const std::string path = "/dev/" + name;
    return HidrawNameOf(path) ? path : std::string();
  }
  // …/0003:1209:0001.0005/hidraw/hidraw0
  std::string InstanceOf(udev_device* message) const override {
    const char* path = udev_device_get_devpath(message);
    const std::filesystem::path device(path == nullptr ? "" : path);
    return device.parent_path().parent_path().filename().string();
  }

 private:
  static Candidate From(const HidrawDevice& device) {
    Candidate out{device.node, device.node.substr(5), device.instance, {}, {}};
    out.words = device.usb ? Words(*device.usb) : device.id.Text() + " \"" + device.name + "\"";
    if (device.usb) out.refused = Reason(CheckKeyUsb(device.usb->descriptors));
    if (out.refused.empty()) out.refused = Reason(CheckKeyReports(device.report_descriptor));
    return out;
  }
};

// The report descriptor is only to be had by opening the device: OpenLibusb looks at it.
class LibusbKind final : public Kind {
 public:
  const char* Subsystem() const override { return "usb"; }
  const char* DevType() const override { return "usb_device"; }

  std::vector<Candidate> List(const HidMatch& match) const override {
    std::vector<Candidate> out;
    for (const UsbDevice& one : ListUsbDevices(match)) out.push_back(From(one));
    return out;
  }
  std::optional<Candidate> Look(const std::string& name, const HidMatch& match) const override {
    const auto usb = ReadUsbDevice(name);
    if (!usb || !match.Has(usb->id)) return std::nullopt;
    return From(*usb);
  }
  std::string PathOf(const std::string& name) const override {
    const std::string path = "usb:" + name;
    return UsbNameOf(path) ? path : std::string();
  }
  std::string InstanceOf(udev_device* message) const override {
    const char* number = udev_device_get_property_value(message, "DEVNUM");
    return number == nullptr ? std::string() : std::to_string(std::strtoul(number, nullptr, 10));
  }

 private:
  static Candidate From(const UsbDevice& usb) {
    return {usb.Path(), usb.name, std::to_string(usb.number), Words(usb),
            Reason(CheckKeyUsb(usb.descriptors))};
  }
};

class HidDiscovery final : public Discovery {
 public:
  HidDiscovery(std::unique_ptr<Kind> kind, HidMatch match, HidNote note)
      : kind_(std::move(kind)), match_(std::move(match)), note_(std::move(note)) {}

  ~HidDiscovery() override {
    if (stop_fd_ >= 0) close(stop_fd_);
  }

  Result<void> Begin() {
    stop_fd_ = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    udev_.reset(udev_new());
    if (stop_fd_ < 0 || !udev_) return Broken(errno);
    // udevd makes this socket; without it nobody sends what the "udev" monitor waits for.
    udevd_ = access("/run/udev/control", F_OK) == 0;
    monitor_.reset(udev_monitor_new_from_netlink(udev_.get(), udevd_ ? "udev" : "kernel"));
    if (!monitor_ ||
        udev_monitor_filter_add_match_subsystem_devtype(monitor_.get(), kind_->Subsystem(),
                                                        kind_->DevType()) < 0 ||
        udev_monitor_enable_receiving(monitor_.get()) < 0) {
      return Broken(errno);
    }
    udev_monitor_set_receive_buffer_size(monitor_.get(), kSocketBuffer);
    if (!udevd_) {
      Note(std::string("No udevd runs: ") + kind_->Subsystem() +
           " devices are watched for through the kernel, and no rule gives their nodes to the "
           "group of security keys.");
    }
    Compare();
    return {};
  }

  Result<DiscoveryEvent> Next() override {
    while (events_.empty()) {
      pollfd fds[2] = {{udev_monitor_get_fd(monitor_.get()), POLLIN, 0}, {stop_fd_, POLLIN, 0}};
      if (poll(fds, 2, -1) < 0) {
        if (errno == EINTR) continue;
        return tl::unexpected(Broken(errno).error());
      }
      if (fds[1].revents != 0) return Fail(ErrorCode::kUnavailable, "Stopped.");
      if (auto received = Receive(); !received) return tl::unexpected(received.error());
    }
    DiscoveryEvent event = std::move(events_.front());
    events_.pop_front();
    return event;
  }

  void Stop() override {
    const std::uint64_t one = 1;
    [[maybe_unused]] const ssize_t n = write(stop_fd_, &one, sizeof one);
  }

 private:
  static Result<void> Broken(int error) {
    return Fail(ErrorCode::kIo, "USB security keys cannot be watched for.", std::strerror(error));
  }

  void Note(const std::string& line) {
    if (note_) note_(line);
  }

  Result<void> Receive() {
    errno = 0;
    const Udev<udev_device> device(udev_monitor_receive_device(monitor_.get()));
    if (!device) {
      if (errno == ENOBUFS) {
        Note("Messages about USB devices were lost in a flood of them; looking again.");
        Compare();
      }
      // Else a message of somebody who is not believed, or of no interest.
      return {};
    }
    const char* action = udev_device_get_action(device.get());
    const char* name = udev_device_get_sysname(device.get());
    if (action == nullptr || name == nullptr) return {};
    const std::string path = kind_->PathOf(name);
    if (path.empty()) return {};
    // Messages may be late, and the path another device's by now, which has messages of its own.
    const std::string instance = kind_->InstanceOf(device.get());
    if (std::strcmp(action, "remove") == 0) {
      const auto known = known_.find(path);
      if (known != known_.end() && known->second.instance == instance) Remove(path);
    } else if (std::strcmp(action, "add") == 0) {
      const auto found = kind_->Look(name, match_);
      if (found && found->instance == instance) Add(*found);
    }
    return {};
  }

  // Whether udevd is done with it: before, its node has not got its group yet, and a message is to
  // come. What udevd knows goes by the number of the node, so that until it has heard of a pull it
  // says of the device that has the number now what was true of the one before; by our rule's
  // property it also says which one it means.
  bool Ready(const Candidate& one) const {
    if (!udevd_) return true;
    const Udev<udev_device> device(
        udev_device_new_from_subsystem_sysname(udev_.get(), kind_->Subsystem(), one.name.c_str()));
    if (!device || udev_device_get_is_initialized(device.get()) <= 0) return false;
    const char* known = udev_device_get_property_value(device.get(), kInstanceProperty);
    return known == nullptr || one.instance == known;
  }

  // What is there now against what was told.
  void Compare() {
    const auto present = kind_->List(match_);
    std::vector<std::string> gone;
    for (const auto& [path, unused] : known_) {
      bool still = false;
      for (const Candidate& one : present) still = still || one.path == path;
      if (!still) gone.push_back(path);
    }
    for (const std::string& path : gone) Remove(path);
    for (const Candidate& one : present) {
      if (Ready(one)) Add(one);
    }
  }

  void Add(const Candidate& found) {
    const auto known = known_.find(found.path);
    if (known != known_.end()) {
      if (known->second.instance == found.instance) return;
      Remove(found.path);
    }
    known_.emplace(found.path, Known{found.instance, found.refused.empty()});
    if (found.refused.empty()) {
      Note("A security key came: " + found.path + " (" + found.words + ").");
      Tell(DiscoveryEvent::kAppeared, found.path);
    } else {
      Note("The device at " + found.path + " (" + found.words +
           ") is not a Keyferry key: " + found.refused + ".");
    }
  }

  void Remove(const std::string& path) {
    const auto known = known_.find(path);
    if (known == known_.end()) return;
    if (known->second.told) Tell(DiscoveryEvent::kVanished, path);
    known_.erase(known);
  }

  void Tell(DiscoveryEvent::Kind kind, const std::string& path) {
    events_.push_back({kind, {TransportKind::kHid, path}});
  }

  struct Known {
    std::string instance;
    bool told = false;
  };

  const std::unique_ptr<Kind> kind_;
  const HidMatch match_;
  const HidNote note_;
  int stop_fd_ = -1;
  bool udevd_ = false;
  Udev<udev> udev_;
  Udev<udev_monitor> monitor_;
  std::map<std::string, Known> known_;
  std::deque<DiscoveryEvent> events_;
};

Result<std::unique_ptr<Discovery>> Watch(std::unique_ptr<Kind> kind, HidMatch match, HidNote note) {
  auto out = std::make_unique<HidDiscovery>(std::move(kind), std::move(match), std::move(note));
  if (auto begun = out->Begin(); !begun) return tl::unexpected(begun.error());
  return out;
}

}  // namespace

Result<std::unique_ptr<Discovery>> WatchHidraw(HidMatch match, HidNote note) {
  return Watch(std::make_unique<HidrawKind>(), std::move(match), std::move(note));
}

Result<std::unique_ptr<Discovery>> WatchLibusb(HidMatch match, HidNote note) {
  return Watch(std::make_unique<LibusbKind>(), std::move(match), std::move(note));
}

}  // namespace keyferry::device

// Both paths to a key through the kernel's real HID and USB stacks. Runs in the guest (scripts/vm
// run -- …), as root:
//   with-udev hid_guest_tests            everything but [noudev]
//   hid_guest_tests '[noudev]'           without udevd
#include <fcntl.h>
#include <linux/usbdevice_fs.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cstdio>
#include <functional>
#include <future>

#include "device/hid/inspect.h"
#include "tests/integration/hid/guest_roads.h"

using namespace keyferry;
using namespace keyferry::device;
using namespace keyferry::test;

namespace {

// `body` in another process; returns when it said that it is ready, ends it at the end of the
// scope.
class OtherProcess {
 public:
  explicit OtherProcess(const std::function<bool()>& body) {
    int ready[2];
    REQUIRE(pipe2(ready, O_CLOEXEC) == 0);
    pid_ = fork();
    REQUIRE(pid_ >= 0);
    if (pid_ == 0) {
      const char ok = body() ? 'y' : 'n';
      if (write(ready[1], &ok, 1) != 1) _exit(1);
      pause();
      _exit(0);
    }
    close(ready[1]);
    char answer = 'n';
    REQUIRE(read(ready[0], &answer, 1) == 1);
    close(ready[0]);
    REQUIRE(answer == 'y');
  }
  ~OtherProcess() {
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
  }
  std::string Pid() const { return std::to_string(pid_); }

 private:
  pid_t pid_ = -1;
};

KeyInspection Seen(const std::string& path) {
  const auto seen = InspectUsb(path);
  REQUIRE(seen);
  return seen->at(0);
}

}  // namespace

TEST_CASE("reports pass both ways on every road") {
  for (const Road& road : kRoads) {
    INFO(road.name);
    Events events(road.watch);
    const auto key = road.plug(Key());
    const std::string path = events.Appeared();
    events.Note("A security key came: " + path);
    {
      const Port port = Open(road, path);
      RoundTrips(*port, 300);
      CHECK(port->Describe().path == path);
      Report in{};
      CHECK(port->Read(in, Clock::now() + std::chrono::milliseconds(20)).error().code ==
            ErrorCode::kDeadline);
      RoundTrips(*port, 10);
    }
    // And again by another holder, after the first one has let go.
    RoundTrips(*Open(road, path), 10);
    key->Unplug();
    CHECK(events.Vanished() == path);
    CHECK(road.open(path, {}).error().code == ErrorCode::kUnavailable);
  }
}

TEST_CASE("unplugging in mid-read ends it on every road") {
  for (const Road& road : kRoads) {
    INFO(road.name);
    Events events(road.watch);
    const auto key = road.plug(Key());
    const std::string path = events.Appeared();
    const Port port = Open(road, path);
    RoundTrips(*port, 3);
    auto reading = WaitingRead(*port);
    LetItWait();
    key->Unplug();
    const auto ended = reading.get();
    REQUIRE_FALSE(ended);
    INFO(ended.error().detail);
    CHECK(ended.error().code == ErrorCode::kUnavailable);
    CHECK(ended.error().detail != "cancelled");
    const Report report{};
    CHECK(port->Write(report, Soon()).error().code == ErrorCode::kUnavailable);
    Report in{};
    CHECK(port->Read(in, Soon()).error().code == ErrorCode::kUnavailable);
    CHECK(events.Vanished() == path);
  }
}

TEST_CASE("unplugging between writes ends them on every road") {
  for (const Road& road : kRoads) {
    INFO(road.name);
    Events events(road.watch);
    ToySettings settings = Key();
    settings.echo = false;
    const auto key = road.plug(settings);
    const std::string path = events.Appeared();
    const Port port = Open(road, path);
    auto writing = std::async(std::launch::async, [&port] {
      Result<void> last;
      const Report report{};
      while (last) last = port->Write(report, Soon());
      return last.error();
    });
    while (key->Heard() < 20) std::this_thread::yield();
    key->Unplug();
    const Error error = writing.get();
    INFO(error.detail);
    CHECK(error.code == ErrorCode::kUnavailable);
    Report in{};
    CHECK(port->Read(in, Soon()).error().code == ErrorCode::kUnavailable);
    CHECK(events.Vanished() == path);
  }
}

TEST_CASE("Cancel ends a waiting read at once on every road, and the key is free again") {
  for (const Road& road : kRoads) {
    INFO(road.name);
    Events events(road.watch);
    const auto key = road.plug(Key());
    const std::string path = events.Appeared();
    {
      const Port port = Open(road, path);
      auto reading = WaitingRead(*port);
      LetItWait();
      port->Cancel();
      const auto ended = reading.get();
      REQUIRE_FALSE(ended);
      CHECK(ended.error().detail == "cancelled");
      const Report report{};
      CHECK(port->Write(report, Soon()).error().code == ErrorCode::kUnavailable);
    }
    RoundTrips(*Open(road, path), 3);
  }
}

TEST_CASE("a key that takes nothing makes writers late, not stuck") {
  for (const Road& road : {kHidraw, kLibusb}) {
    INFO(road.name);
    Events events(road.watch);
    ToySettings settings = Key();
    settings.take = false;
    const auto key = road.plug(settings);
    const std::string path = events.Appeared();
    const Port port = Open(road, path);
    const Report report{};
    Result<void> last;
    int accepted = 0;
    while (last) {
      last = port->Write(report, Clock::now() + std::chrono::milliseconds(50));
      accepted += last ? 1 : 0;
    }
    CHECK(last.error().code == ErrorCode::kDeadline);
    CHECK(accepted <= 18);
    // The other direction still works.
    key->Say(report);
    Report in{};
    CHECK(port->Read(in, Soon()).value() == 64);
    auto waiting = std::async(std::launch::async, [&] {
      Result<void> written;
      while (written) written = port->Write(report, Soon());
      return written.error();
    });
    LetItWait();
    port->Cancel();
    CHECK(waiting.get().detail == "cancelled");
    key->Unplug();
  }
}

TEST_CASE("two daemons at one key: one works, the other is told who has it") {
  for (const Road& road : kRoads) {
    INFO(road.name);
    Events events(road.watch);
    const auto key = road.plug(Key());
    const std::string path = events.Appeared();
    Port theirs;
    const OtherProcess other([&] {
      auto opened = road.open(path, {});
      if (!opened) return false;
      theirs = *std::move(opened);
      return true;
    });
    const auto refused = road.open(path, {});
    REQUIRE_FALSE(refused);
    CHECK(refused.error().code == ErrorCode::kConflict);
    INFO(refused.error().message);
    CHECK(Contains(refused.error().message, "process " + other.Pid()));
  }
}

TEST_CASE("a daemon on hidraw keeps another from taking the key through libusb") {
  Events events(WatchHidraw);
  const auto key = PlugUsb(Key());
  const std::string node = events.Appeared();
  const std::string path = Seen(node).usb->Path();
  const Port port = Open(kHidraw, node);
  const auto refused = OpenLibusb(path);
  REQUIRE_FALSE(refused);
  CHECK(refused.error().code == ErrorCode::kConflict);
  RoundTrips(*port, 3);
}

TEST_CASE("libusb takes the key from the kernel and gives it back") {
  Events events(WatchLibusb);
  EventLog hidraw(WatchHidraw);
  const auto key = PlugUsb(Key());
  const std::string path = events.Appeared();
  const std::string node = hidraw.Appeared();
  {
    const Port port = Open(kLibusb, path);
    CHECK(hidraw.Vanished() == node);
    RoundTrips(*port, 3);
    const KeyInspection seen = Seen(path);
    CHECK_FALSE(seen.report_read);
    CHECK(Contains(Text(seen), "through libusb"));
  }
  RoundTrips(*Open(kHidraw, hidraw.Appeared()), 3);
}

TEST_CASE("a program that holds the interface is named") {
  Events events(WatchLibusb);
  const auto key = PlugUsb(Key());
  const std::string path = events.Appeared();
  const std::string usb_node = Seen(path).usb->Node();
  const OtherProcess other([&] {
    const int fd = open(usb_node.c_str(), O_RDWR | O_CLOEXEC);
    usbdevfs_ioctl disconnect{0, USBDEVFS_DISCONNECT, nullptr};
    unsigned interface = 0;
    ioctl(fd, USBDEVFS_IOCTL, &disconnect);
    return ioctl(fd, USBDEVFS_CLAIMINTERFACE, &interface) == 0;
  });
  const auto refused = OpenLibusb(path);
  REQUIRE_FALSE(refused);
  INFO(refused.error().message);
  CHECK(refused.error().code == ErrorCode::kConflict);
  CHECK(Contains(refused.error().message, "process " + other.Pid() + " (hid_guest"));
  const KeyInspection seen = Seen(path);
  CHECK(Contains(Text(seen), "process " + other.Pid()));
}

TEST_CASE("a device that lies about itself is no key, and the log says which and why") {
  struct Lie {
    const char* reason;
    std::function<void(ToySettings&)> tell;
    bool usb_descriptors;  // to be seen without opening it
  };
  const Lie lies[] = {
      {"input reports have 8 bytes", [](ToySettings& s) { s.report_descriptor[17] = 8; }, false},
      {"2 top-level collections",
       [](ToySettings& s) {
         s.report_descriptor.insert(
             s.report_descriptor.end(),
             {0x05, 0x01, 0x09, 0x06, 0xA1, 0x01, 0x05, 0x07, 0x19, 0x00, 0x29, 0x65,
              0x15, 0x00, 0x25, 0x65, 0x75, 0x08, 0x95, 0x06, 0x81, 0x00, 0xC0});
       },
       false},
      {"boot keyboard", [](ToySettings& s) { s.usb_descriptors[33] = 1; }, true},
  };
  for (const Lie& lie : lies) {
    for (const Road& road : kRoads) {
      const bool usb = road.plug == PlugUsb;
      if (lie.usb_descriptors && !usb) continue;
      INFO(lie.reason << " on " << road.name);
      ToySettings settings = Key();
      lie.tell(settings);
      settings.usb_descriptors[43] = static_cast<std::uint8_t>(settings.report_descriptor.size());
      settings.product_name = "Evil\x1b[2J";
      Events events(road.watch);
      const auto key = road.plug(settings);
      if (road.watch == WatchLibusb && !lie.usb_descriptors) {
        const auto opened = OpenLibusb(events.Appeared());
        REQUIRE_FALSE(opened);
        CHECK(opened.error().code == ErrorCode::kProtocol);
        CHECK(Contains(opened.error().message, lie.reason));
        key->Unplug();
        events.Vanished();
        continue;
      }
      const std::string note = events.Note("is not a Keyferry key");
      INFO(note);
      CHECK(Contains(note, lie.reason));
      CHECK(Contains(note, "Evil\\x1b[2J"));
      CHECK(events.Waiting() == 0);
      const std::string path = note.substr(14, note.find(' ', 14) - 14);  // "The device at PATH ("
      const auto opened = road.open(path, {});
      REQUIRE_FALSE(opened);
      INFO(opened.error().message);
      CHECK(opened.error().code == ErrorCode::kProtocol);
      const KeyInspection seen = Seen(path);
      CHECK_FALSE(seen.IsKey());
    }
  }
}

TEST_CASE("other devices are not looked at") {
  Events events(WatchHidraw);
  ToySettings settings = Key();
  settings.product = 2;
  const auto other = PlugUhid(settings);
  const auto key = PlugUhid(Key());
  const std::string path = events.Appeared();
  events.Note("A security key came: " + path);
  HidMatch match;
  match.ids = {{0x1209, 0x0002}};
  CHECK(OpenHidraw(path, match).error().code == ErrorCode::kProtocol);
  EventLog others(WatchHidraw, match);
  CHECK(others.Appeared() != path);  // those present are told first
}

TEST_CASE("reports of all sizes and floods of them do no harm") {
  Events events(WatchHidraw);
  const auto key = PlugUhid(Key());
  const Port port = Open(kUhid, events.Appeared());
  const Bytes bytes(4096, 0x5A);
  Report in{};
  // The kernel may drop a report that is too short, or pass it on; it never makes it longer.
  key->Say(std::span(bytes).first(3));
  key->Say(bytes);
  auto size = port->Read(in, Soon());
  if (size) {
    CHECK(*size == 3);
    size = port->Read(in, Soon());
  }
  REQUIRE_FALSE(size);
  CHECK(size.error().code == ErrorCode::kProtocol);
  for (int i = 0; i < 2000; ++i) key->Say(std::span(bytes).first(64));
  const Bytes last(64, 0x77);
  // The node drops what nobody reads; what comes after is read again.
  while (port->Read(in, Clock::now() + std::chrono::milliseconds(200))) {
  }
  key->Say(last);
  REQUIRE(port->Read(in, Soon()).value() == 64);
  CHECK(in[0] == 0x77);
}

TEST_CASE("a flood through libusb is held back, and none of it is lost") {
  Events events(WatchLibusb);
  const auto key = PlugUsb(Key());
  const Port port = Open(kLibusb, events.Appeared());
  for (int i = 0; i < 1000; ++i) {
    key->Say(Bytes(64, static_cast<std::uint8_t>(i)));
  }
  for (int i = 0; i < 1000; ++i) {
    Report in{};
    REQUIRE(port->Read(in, Soon()).value() == 64);
    REQUIRE(in[5] == static_cast<std::uint8_t>(i));
  }
  // A short one, and one without content, which no living key sends.
  key->Say(Bytes(5, 1));
  Report in{};
  CHECK(port->Read(in, Soon()).value() == 5);
  key->Say({});
  CHECK(port->Read(in, Soon()).error().code == ErrorCode::kUnavailable);
}

TEST_CASE("the rule gives the nodes to the group of keys, and others are told what to do") {
  Events events(WatchHidraw);
  const auto key = PlugUsb(Key());
  const std::string node = events.Appeared();
  const std::string usb = Seen(node).usb->Path();
  const KeyInspection seen = Seen(node);
  for (const NodeState& state : seen.nodes) {
    INFO(state.path << " " << Text(state));
    CHECK(state.group == "keyferry-keys");
    CHECK(state.mode == 0660);
  }
  CHECK(CheckHidPermissions().empty());
  REQUIRE(seteuid(65534) == 0);
  const auto hidraw = OpenHidraw(node);
  const auto libusb = OpenLibusb(usb);
  const auto reset = ResetUsb(usb);
  const auto findings = CheckHidPermissions();
  const KeyInspection nobody = Seen(node);
  REQUIRE(seteuid(0) == 0);
  REQUIRE_FALSE(hidraw);
  CHECK(hidraw.error().code == ErrorCode::kPermissionDenied);
  CHECK(Contains(hidraw.error().message, node));
  CHECK(Contains(hidraw.error().message, "keyferry-keys"));
  REQUIRE_FALSE(libusb);
  CHECK(libusb.error().code == ErrorCode::kPermissionDenied);
  CHECK(Contains(libusb.error().message, "/dev/bus/usb/"));
  REQUIRE_FALSE(reset);
  CHECK(reset.error().code == ErrorCode::kPermissionDenied);
  REQUIRE(findings.size() == 3);  // not in the group, two nodes
  CHECK(Contains(findings[0].what, "not in the group"));
  CHECK(Contains(findings[1].what, node));
  CHECK(nobody.IsKey());  // what it is can be seen by everybody
  CHECK(Contains(Text(nobody), "Only the group keyferry-keys may use it"));
}

TEST_CASE("a wedged key is reset") {
  Events events(WatchLibusb);
  const auto key = PlugUsb(Key());
  const std::string path = events.Appeared();
  const auto reset = ResetUsb(path);
  INFO((reset ? "" : reset.error().message + reset.error().detail));
  REQUIRE(reset);
  RoundTrips(*Open(kLibusb, path), 3);
  const auto uhid = PlugUhid(Key());
  const auto all = InspectUsb();
  REQUIRE(all);
  REQUIRE(all->size() == 2);
  CHECK(ResetUsb(all->at(1).hidraw->node).error().code == ErrorCode::kUnsupported);
}

TEST_CASE("inspection shows what there is") {
  Events events(WatchHidraw);
  const auto usb = PlugUsb(Key());
  const std::string node = events.Appeared();
  const KeyInspection seen = Seen(node);
  const std::string text = Text(seen);
  std::printf("%s\n", text.c_str());
  CHECK(seen.IsKey());
  for (const char* words :
       {"usb:1-", "1209:0001", "\"Toy key\"", "\"0042\"", "12 Mbit/s (full speed)",
        "packets of 64 bytes, bInterval 1", "usage FF00/0001, interface 0", "looks like"}) {
    INFO(words);
    CHECK(Contains(text, words));
  }
  const auto uhid = PlugUhid(Key());
  const std::string other = events.Appeared();
  CHECK(InspectUsb()->size() == 2);
  CHECK(Seen(other).IsKey());
  CHECK(Contains(Text(Seen(other)), "not on USB"));
  const OtherProcess holder([&] { return open(node.c_str(), O_RDWR | O_CLOEXEC) >= 0; });
  CHECK(Contains(Text(Seen(node)), "process " + holder.Pid()));
}

// The hidraw road without a kernel that has one: umockdev plays /sys, the node, its ioctls and the
// udev messages. Run with libumockdev-preload.so.0 preloaded. The node is a pseudo terminal, so
// reports keep their bounds only because each is read before the next is sent.
#include <linux/hidraw.h>
#include <sys/ioctl.h>
#include <umockdev.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <catch2/catch.hpp>
#include <cstring>

#include "device/hid/hidraw_transport.h"
#include "device/hid/inspect.h"
#include "tests/integration/hid/event_log.h"
#include "tests/unit/device/hid_descriptors.h"

using namespace keyferry;
using namespace keyferry::device;
using namespace keyferry::test;

namespace {

using Bytes = std::vector<std::uint8_t>;
using Report = std::array<std::uint8_t, 64>;

std::string Hex(const Bytes& bytes) {
  std::string out;
  for (const std::uint8_t byte : bytes) {
    char text[3];
    std::snprintf(text, sizeof text, "%02X", byte);
    out += text;
  }
  return out;
}

Clock::time_point Soon() { return Clock::now() + kPatience; }

class MockedKey {
 public:
  MockedKey() : testbed_(umockdev_testbed_new()), ioctls_(umockdev_ioctl_base_new()) {
    REQUIRE(umockdev_in_mock_environment());
    g_signal_connect(ioctls_, "handle-ioctl", G_CALLBACK(OnIoctl), this);
  }
  ~MockedKey() {
    g_object_unref(ioctls_);
    g_object_unref(testbed_);
  }

  // Each time under another number: umockdev does not clean up the node of one that is gone.
  std::string Plug(const Bytes& sysfs_descriptor = KeyReportDescriptor()) {
    const std::string number = std::to_string(plugged_++);
    hid_ = "/devices/mock/0003:1209:0001." + number;
    node_ = "hidraw" + number;
    Add("P: " + hid_ +
        "\nE: SUBSYSTEM=hid\nE: HID_ID=0003:00001209:00000001\nE: HID_NAME=Mocked key\n"
        "H: report_descriptor=" +
        Hex(sysfs_descriptor) + "\n");
    Add("P: " + hid_ + "/hidraw/" + node_ + "\nN: " + node_ +
        "\nE: SUBSYSTEM=hidraw\nE: DEVNAME=/dev/" + node_ + "\nL: device=../../../" +
        hid_.substr(hid_.rfind('/') + 1) + "\n");
    GError* error = nullptr;
    REQUIRE(umockdev_testbed_attach_ioctl(testbed_, Node().c_str(), ioctls_, &error));
    umockdev_testbed_uevent(testbed_, Syspath().c_str(), "add");
    return Node();
  }

  void Unplug() {
    umockdev_testbed_uevent(testbed_, Syspath().c_str(), "remove");
    umockdev_testbed_remove_device(testbed_, Syspath().c_str());
    umockdev_testbed_remove_device(testbed_, ("/sys" + hid_).c_str());
  }

  // The key's end of the node.
  int Fd() {
    const int fd = umockdev_testbed_get_dev_fd(testbed_, Node().c_str());
    REQUIRE(fd >= 0);
    return fd;
  }

  // What the node itself answers when it is asked.
  Bytes descriptor = KeyReportDescriptor();
  hidraw_devinfo info{3, 0x1209, 0x0001};

 private:
  std::string Node() const { return "/dev/" + node_; }
  std::string Syspath() const { return "/sys" + hid_ + "/hidraw/" + node_; }

  void Add(const std::string& device) {
    GError* error = nullptr;
    const bool added = umockdev_testbed_add_from_string(testbed_, device.c_str(), &error);
    INFO((error != nullptr ? error->message : ""));
    REQUIRE(added);
  }

  template <typename T>
  static void Fill(UMockdevIoctlClient* client, const T& value) {
    UMockdevIoctlData* argument = umockdev_ioctl_client_get_arg(client);
    GError* error = nullptr;
    UMockdevIoctlData* data = umockdev_ioctl_data_resolve(argument, 0, sizeof value, &error);
    std::array<std::uint8_t, sizeof value> bytes;
    std::memcpy(bytes.data(), &value, sizeof value);
    umockdev_ioctl_data_update(data, 0, bytes.data(), static_cast<gint>(bytes.size()));
    umockdev_ioctl_data_unref(data);
    umockdev_ioctl_client_complete(client, 0, 0);
  }

  static gboolean OnIoctl(UMockdevIoctlBase*, UMockdevIoctlClient* client, gpointer self) {
    const MockedKey& key = *static_cast<MockedKey*>(self);
    switch (umockdev_ioctl_client_get_request(client)) {
      case HIDIOCGRAWINFO:
        Fill(client, key.info);
        return TRUE;
      case HIDIOCGRDESCSIZE:
        Fill(client, static_cast<int>(key.descriptor.size()));
        return TRUE;
      case HIDIOCGRDESC: {
        hidraw_report_descriptor out{};
        out.size = static_cast<std::uint32_t>(key.descriptor.size());
        std::memcpy(out.value, key.descriptor.data(),
                    std::min(key.descriptor.size(), sizeof out.value));
        Fill(client, out);
        return TRUE;
      }
      default:
        return FALSE;
    }
  }

  UMockdevTestbed* testbed_;
  UMockdevIoctlBase* ioctls_;
  int plugged_ = 0;
  std::string hid_, node_;
};

}  // namespace

TEST_CASE("umockdev: a key comes, carries reports both ways, and goes") {
  MockedKey key;
  EventLog events(WatchHidraw);
  key.Plug();
  REQUIRE(events.Appeared() == "/dev/hidraw0");
  CHECK(events.Note("A security key came").find("Mocked key") != std::string::npos);
  auto opened = OpenHidraw("/dev/hidraw0");
  INFO((opened ? "" : opened.error().message + " / " + opened.error().detail));
  REQUIRE(opened);
  const int fd = key.Fd();
  for (int i = 0; i < 50; ++i) {
    Report out{}, in{};
    out.fill(static_cast<std::uint8_t>(i));
    REQUIRE((*opened)->Write(out, Soon()));
    std::array<std::uint8_t, 65> seen{};
    std::size_t got = 0;
    while (got < seen.size()) {
      const ssize_t n = read(fd, seen.data() + got, seen.size() - got);
      REQUIRE(n > 0);
      got += static_cast<std::size_t>(n);
    }
    REQUIRE(seen[0] == 0);
    REQUIRE(write(fd, seen.data() + 1, 64) == 64);
    REQUIRE((*opened)->Read(in, Soon()).value() == 64);
    REQUIRE(in == out);
  }
  key.Unplug();
  CHECK(events.Vanished() == "/dev/hidraw0");
}

TEST_CASE("umockdev: what the node says counts, not what was said before it was opened") {
  MockedKey key;
  key.Plug();
  CHECK(OpenHidraw("/dev/hidraw0"));
  key.descriptor[17] = 8;
  CHECK(OpenHidraw("/dev/hidraw0").error().message.find("8 bytes, not 64") != std::string::npos);
  key.descriptor = Bytes(4096, 0xC0);
  CHECK(OpenHidraw("/dev/hidraw0").error().code == ErrorCode::kProtocol);
  key.descriptor = KeyReportDescriptor();
  key.info.product = 7;
  CHECK(OpenHidraw("/dev/hidraw0").error().message.find("1209:0007") != std::string::npos);
}

TEST_CASE("umockdev: a device whose descriptor lies is not told, and the note says why") {
  MockedKey key;
  EventLog events(WatchHidraw);
  Bytes keyboard = KeyReportDescriptor();
  keyboard.insert(keyboard.begin() + 7, {0x05, 0x07});
  key.Plug(keyboard);
  CHECK(events.Note("is not a Keyferry key").find("usage page 0x0007") != std::string::npos);
  CHECK(events.Waiting() == 0);
  const auto seen = InspectUsb();
  REQUIRE(seen);
  REQUIRE(seen->size() == 1);
  CHECK_FALSE(seen->at(0).IsKey());
  CHECK(Text(seen->at(0)).find("usage page 0x0007") != std::string::npos);
}

TEST_CASE("umockdev: a hundred plugs and pulls are told in order") {
  MockedKey key;
  EventLog events(WatchHidraw);
  for (int i = 0; i < 100; ++i) {
    const std::string node = key.Plug();
    REQUIRE(events.Appeared() == node);
    key.Unplug();
    REQUIRE(events.Vanished() == node);
  }
}

#include <catch2/catch.hpp>

#include "device/hid/hid_match.h"
#include "device/hid/holders.h"
#include "device/hid/inspect.h"
#include "device/hid/sysfs.h"

using namespace keyferry;
using namespace keyferry::device;

TEST_CASE("ids of USB devices are written with four digits each") {
  const auto id = UsbId::Parse("1209:0aBc");
  REQUIRE(id);
  CHECK(*id == UsbId{0x1209, 0x0ABC});
  CHECK(id->Text() == "1209:0abc");
  for (const char* wrong : {"", ":", "1209", "1209:1", "1209:00011", "1209-0001", "120g:0001",
                            "0x12:0001", "+209:0001", "1209:-001", " 209:0001", "1209:0001 "}) {
    INFO(wrong);
    CHECK(UsbId::Parse(wrong).error().code == ErrorCode::kInvalidArgument);
  }
  CHECK(HidMatch{}.Has({0x1209, 0x0001}));
  CHECK_FALSE(HidMatch{}.Has({0x1209, 0x0002}));
}

TEST_CASE("what a device says of itself is printed without harm") {
  CHECK(Printable("Key 7") == "Key 7");
  CHECK(Printable("\x1b[2J\n\r\t") == "\\x1b[2J\\x0a\\x0d\\x09");
  CHECK(Printable("a\\b") == "a\\x5cb");
  CHECK(Printable("\xE2\x80\xAE") == "\\xe2\\x80\\xae");
  CHECK(Printable(std::string(100, 'x')) == std::string(64, 'x') + "...");
  CHECK(Printable(std::string_view("a\0b", 3)) == "a\\x00b");
}

TEST_CASE("a place that leads elsewhere is none") {
  CHECK(UsbNameOf("usb:1-2").value() == "1-2");
  CHECK(UsbNameOf("usb:12-3.4.5").value() == "12-3.4.5");
  for (const char* wrong :
       {"", "1-2", "usb:", "usb:1", "usb:1-", "usb:-1", "usb:1-2.", "usb:1-2..3", "usb:../1-2",
        "usb:1-2/..", "usb:1-2:1.0", "usb:usb1", "usb:1-2.3.4.5.6.7.8.9.10.11.12.13.14.15"}) {
    INFO(wrong);
    CHECK(UsbNameOf(wrong).error().code == ErrorCode::kInvalidArgument);
  }
  CHECK(HidrawNameOf("/dev/hidraw10").value() == "hidraw10");
  for (const char* wrong : {"", "/dev/hidraw", "/dev/hidraw1/..", "/dev/sda", "hidraw0",
                            "/dev/hidraw-1", "/dev/hidraw123456789"}) {
    INFO(wrong);
    CHECK(HidrawNameOf(wrong).error().code == ErrorCode::kInvalidArgument);
  }
}

TEST_CASE("who holds a node is named, but for ourselves") {
  CHECK(Text(std::vector<Holder>{}, "nobody") == "nobody");
  CHECK(Text({{1, "a"}, {22, "b"}, {3, "c"}}, "") ==
        "process 1 (a), process 22 (b) and process 3 (c)");
  CHECK(HoldersOf("/nonexistent").empty());
  CHECK(HoldersOf("/etc/passwd").empty());
}

TEST_CASE("nothing is plugged in where nothing is") {
  CHECK(InspectUsb("usb:98-7").error().code == ErrorCode::kUnavailable);
  CHECK(InspectUsb("/dev/hidraw9999").error().code == ErrorCode::kUnavailable);
  CHECK(InspectUsb("/etc/passwd").error().code == ErrorCode::kInvalidArgument);
}

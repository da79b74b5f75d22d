#include <catch2/catch.hpp>
#include <initializer_list>
#include <random>

#include "device/hid/report_descriptor.h"
#include "device/hid/usb_layout.h"
#include "tests/unit/device/hid_descriptors.h"

using namespace keyferry;
using namespace keyferry::device;

namespace {

using Bytes = std::vector<std::uint8_t>;

// Why the descriptor is no key's; empty: it is.
std::string Refusal(const Bytes& bytes) {
  const auto checked = CheckKeyReports(bytes);
  if (!checked) CHECK(checked.error().code == ErrorCode::kProtocol);
  return checked ? std::string() : checked.error().message;
}

Bytes Inserted(Bytes bytes, std::size_t at, std::initializer_list<std::uint8_t> more) {
  bytes.insert(bytes.begin() + static_cast<std::ptrdiff_t>(at), more);
  return bytes;
}

Bytes Changed(Bytes bytes, std::size_t at, std::uint8_t to) {
  bytes.at(at) = to;
  return bytes;
}

constexpr std::size_t kInside = 7;  // after the collection's beginning
constexpr std::size_t kSizeAt = 15, kCountAt = 17, kInputAt = 18, kOutputAt = 22;

std::string LayoutRefusal(const Bytes& bytes) {
  const auto layout = UsbLayout::Parse(bytes);
  if (!layout) return layout.error().message;
  const auto key = layout->CheckKey();
  return key ? std::string() : key.error().message;
}

}  // namespace

TEST_CASE("a key's report descriptor is a key's") {
  CHECK(Refusal(KeyReportDescriptor()).empty());
  const auto parsed = ReportDescriptor::Parse(KeyReportDescriptor());
  REQUIRE(parsed);
  CHECK(parsed->input_bits == 512);
  CHECK(parsed->output_bits == 512);
  CHECK(parsed->feature_bits == 0);
}

TEST_CASE("the same reports said in other words are a key's too") {
  // 32-bit usages with a page of their own, nested collection, PUSH and POP, fields in two halves.
  const Bytes other = {0x0B, 0x01, 0x00, 0x00, 0xFF, 0xA1, 0x01, 0x06, 0x00, 0xFF, 0xA1,
                       0x02, 0xA4, 0x75, 0x10, 0xB4, 0x75, 0x08, 0x95, 0x20, 0x81, 0x02,
                       0x81, 0x02, 0x96, 0x40, 0x00, 0x91, 0x02, 0xC0, 0xC0};
  CHECK(Refusal(other).empty());
}

TEST_CASE("descriptors that lie are not a key's, and the reason is said") {
  const Bytes key = KeyReportDescriptor();
  struct Case {
    Bytes bytes;
    const char* reason;
  };
  const Case cases[] = {
      {{}, "it is empty"},
      {Bytes(5000, 0x00), "more than 4096"},
      {Changed(key, kCountAt, 8), "input reports have 8 bytes"},
      {Changed(key, kSizeAt, 9), "input reports have 72 bytes"},
      {Changed(key, kSizeAt, 1), "input reports have 8 bytes"},
      {Changed(key, kInputAt, 0xB1), "input reports have none"},
      {Changed(key, kOutputAt, 0x81), "input reports have 128 bytes"},
      {Inserted(key, kOutputAt, {0x95, 0x3F}), "output reports have 63 bytes"},
      {Inserted(key, kInside, {0x75, 0x08, 0x95, 0x01, 0xB1, 0x02}), "feature reports"},
      {Inserted(key, kInside, {0x85, 0x01}), "report ids"},
      {Inserted(key, kInside, {0x85, 0x00}), "report id that cannot be"},
      {Changed(key, 1, 0x01), "usage is 0xFF01/0x0001"},
      {Changed(key, 4, 0x06), "usage is 0xFF00/0x0006"},
      // A keyboard's keys among the reports: by page, by 32-bit usage, in a nested collection.
      {Inserted(key, kInside, {0x05, 0x07}), "usage page 0x0007"},
      {Inserted(key, kInside, {0x0B, 0x04, 0x00, 0x07, 0x00}), "usage page 0x0007"},
      {Inserted(key, kInside, {0x1B, 0x04, 0x00, 0x07, 0x00}), "usage page 0x0007"},
      {Inserted(key, kInside, {0x05, 0x01, 0x09, 0x06, 0xA1, 0x02, 0xC0, 0x06, 0x00, 0xFF}),
       "usage page 0x0001"},
      // A second top-level collection: a keyboard beside the key.
      {Inserted(key, key.size(), {0x05, 0x01, 0x09, 0x06, 0xA1, 0x01, 0xC0}),
       "2 top-level collections"},
      {Changed(key, 6, 0x00), "no application"},
      {Inserted(key, 5, {0x09, 0x06}), "with 2 usages"},
      {Inserted(key, key.size(), {0xC0}), "closed that was not opened"},
      {Bytes(key.begin(), key.end() - 1), "is not closed"},
      {Bytes(key.begin(), key.begin() + 2), "cut off"},
      {Inserted(key, 0, {0x81, 0x02}), "outside of all collections"},
      {Inserted(key, kInside, {0xFE, 0x00, 0x00}), "long item"},
      {Inserted(key, kInside, {0x0C}), "reserved"},
      {Inserted(key, kInside, {0xF0}), "unknown main item"},
      {Inserted(key, kInside, {0xC4}), "unknown global item"},
      {Inserted(key, kInside, {0xA8}), "unknown local item"},
      {Inserted(key, kInside, {0xB4}), "POP without PUSH"},
      {Inserted(key, kInside, {0xA4, 0xA4, 0xA4, 0xA4, 0xA4, 0xA4, 0xA4, 0xA4, 0xA4}),
       "too many PUSH"},
      {Inserted(key, kInside, {0x07, 0x00, 0x00, 0x01, 0x00}), "usage page that cannot be"},
      {Inserted(key, kInside, {0x77, 0xFF, 0xFF, 0xFF, 0xFF}), "a field of 4294967295 bits"},
      {Inserted(key, kInside, {0x97, 0xFF, 0xFF, 0xFF, 0xFF}), "4294967295 fields"},
      {Inserted(key, kInside, {0x76, 0x00, 0x01, 0x96, 0x00, 0x30, 0x81, 0x02}),
       "more than 65536 bytes"},
      {Inserted(key, kInside,
                {0xA1, 0x02, 0xA1, 0x02, 0xA1, 0x02, 0xA1, 0x02, 0xA1, 0x02, 0xA1, 0x02, 0xA1, 0x02,
                 0xA1, 0x02}),
       "nested too deeply"},
  };
  for (const Case& one : cases) {
    const std::string refusal = Refusal(one.bytes);
    INFO(one.reason << " / " << refusal);
    CHECK(refusal.find(one.reason) != std::string::npos);
  }
}

TEST_CASE("every cut of a key's report descriptor is refused") {
  const Bytes key = KeyReportDescriptor();
  for (std::size_t size = 0; size < key.size(); ++size) {
    INFO(size);
    CHECK_FALSE(
        Refusal(Bytes(key.begin(), key.begin() + static_cast<std::ptrdiff_t>(size))).empty());
  }
}

TEST_CASE("a key's USB descriptors are a key's") {
  const auto layout = UsbLayout::Parse(KeyUsbDescriptors());
  REQUIRE(layout);
  CHECK(layout->id == UsbId{0x1209, 0x0001});
  REQUIRE(layout->CheckKey());
  CHECK(layout->KeyEndpoint(true).address == 0x81);
  CHECK(layout->KeyEndpoint(false).address == 0x01);
  CHECK(layout->interfaces[0].report_descriptor_size == 25);
}

TEST_CASE("USB descriptors that lie are not a key's") {
  const Bytes key = KeyUsbDescriptors();
  constexpr std::size_t kInterface = 27, kHid = 36, kIn = 45, kOut = 52;
  struct Case {
    Bytes bytes;
    const char* reason;
  };
  const Bytes endpoint(key.begin() + kOut, key.end());
  Bytes third = key;
  third.insert(third.end(), endpoint.begin(), endpoint.end());
  Bytes second = key;
  second.insert(second.end(), {9, 4, 1, 0, 0, 3, 1, 1, 0});
  Bytes many = key;
  for (int i = 0; i < 40; ++i) many.insert(many.end(), {9, 4, 1, 0, 0, 3, 1, 1, 0});
  Bytes crowded = key;
  for (int i = 0; i < 40; ++i) crowded.insert(crowded.end(), endpoint.begin(), endpoint.end());
  Bytes lost(key.begin(), key.begin() + kInterface);
  lost.insert(lost.end(), endpoint.begin(), endpoint.end());
  const Case cases[] = {
      {{}, "no device descriptor"},
      {Bytes(20000, 0), "more than 16384"},
      {Changed(key, 0, 17), "no device descriptor"},
      {Changed(key, 17, 2), "several configurations"},
      {Bytes(key.begin(), key.begin() + kInterface), "0 interfaces"},
      {Changed(key, kInterface, 0), "cut off"},
      {Changed(key, kInterface, 8), "too short"},
      {Changed(key, kOut, 8), "cut off"},
      {Changed(key, kOut, 1), "cut off"},
      {Changed(key, kInterface + 5, 8), "no HID device"},
      {Changed(key, kInterface + 6, 1), "boot keyboard"},
      {Changed(key, kInterface + 7, 1), "boot keyboard"},
      {Changed(key, kIn + 2, 0x02), "one way only"},
      {Changed(key, kIn + 3, 2), "not of the interrupt kind"},
      {Changed(key, kIn + 2, 0x80), "not of the interrupt kind"},
      {Changed(key, kIn + 4, 8), "packets of 8 bytes"},
      {Changed(key, kHid + 7, 0), "no report descriptor"},
      {Changed(key, kHid + 6, 0x23), "no report descriptor"},
      {Changed(key, kHid + 5, 255), ""},  // counts more than it has: what is there counts
      {third, "3 endpoints"},
      {second, "2 interfaces"},
      {many, "too many interfaces"},
      {crowded, "too many endpoints"},
      {lost, "misplaced"},
  };
  for (const Case& one : cases) {
    const std::string refusal = LayoutRefusal(one.bytes);
    INFO(one.reason << " / " << refusal);
    CHECK(refusal.find(one.reason) != std::string::npos);
    CHECK(refusal.empty() == (*one.reason == 0));
  }
}

TEST_CASE("no change of three bytes breaks the parsers") {
  std::mt19937 random(20260101);
  const Bytes reports = KeyReportDescriptor(), usb = KeyUsbDescriptors();
  for (int i = 0; i < 20000; ++i) {
    Bytes one = reports, other = usb;
    for (int change = 0; change < 3; ++change) {
      one[random() % one.size()] = static_cast<std::uint8_t>(random());
      other[random() % other.size()] = static_cast<std::uint8_t>(random());
    }
    const auto parsed = ReportDescriptor::Parse(one);
    if (parsed) CHECK(parsed->input_bits <= ReportDescriptor::kMaxBits);
    const auto layout = UsbLayout::Parse(other);
    if (layout && layout->CheckKey()) CHECK(layout->KeyEndpoint(true).In());
  }
}

#include "device/hid/sysfs.h"

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <filesystem>
#include <fstream>

#include "device/hid/report_descriptor.h"
#include "device/hid/usb_layout.h"

namespace keyferry::device {
namespace {

namespace fs = std::filesystem;

constexpr char kUsbDevices[] = "/sys/bus/usb/devices";
constexpr char kHidraw[] = "/sys/class/hidraw";
constexpr std::size_t kMaxAttribute = 4096;  // a page, as sysfs has it
constexpr int kMaxAbove = 8;                 // directories from a HID device to its USB device

std::vector<std::uint8_t> ReadBytes(const fs::path& path, std::size_t max) {
  std::ifstream in(path, std::ios::binary);
  std::vector<std::uint8_t> out(max);
  in.read(reinterpret_cast<char*>(out.data()), static_cast<std::streamsize>(max));
  out.resize(static_cast<std::size_t>(std::max<std::streamsize>(in.gcount(), 0)));
  return out;
}

std::string ReadText(const fs::path& path) {
  const auto bytes = ReadBytes(path, kMaxAttribute);
  std::string out(bytes.begin(), bytes.end());
  while (!out.empty() && out.back() == '\n') out.pop_back();
  return out;
}

template <typename Number>
std::optional<Number> ReadNumber(std::string_view text, int base) {
  Number out{};
  const auto end = text.data() + text.size();
  const auto [at, error] = std::from_chars(text.data(), end, out, base);
  if (error != std::errc() || at != end) return std::nullopt;
  return out;
}

bool AllDigits(std::string_view text) {
  return !text.empty() && text.find_first_not_of("0123456789") == std::string_view::npos;
}

tl::unexpected<Error> Absent(const std::string& path) {
  return Fail(ErrorCode::kUnavailable, "No security key is attached at " + path + ".");
}

Result<UsbDevice> ReadUsbDirectory(const fs::path& directory) {
  UsbDevice out;
  out.name = directory.filename().string();
  const auto bus = ReadNumber<unsigned>(ReadText(directory / "busnum"), 10);
  const auto number = ReadNumber<unsigned>(ReadText(directory / "devnum"), 10);
  const auto vendor = ReadNumber<std::uint16_t>(ReadText(directory / "idVendor"), 16);
  const auto product = ReadNumber<std::uint16_t>(ReadText(directory / "idProduct"), 16);
  if (!bus || !number || !vendor || !product || *bus > 999 || *number > 999) {
    return Absent("usb:" + out.name);
  }
  out.bus = *bus;
  out.number = *number;
  out.id = {*vendor, *product};
  out.speed = Printable(ReadText(directory / "speed"), 8);
  out.manufacturer = Printable(ReadText(directory / "manufacturer"));
  out.product = Printable(ReadText(directory / "product"));
  out.serial = Printable(ReadText(directory / "serial"));
  out.descriptors = ReadBytes(directory / "descriptors", UsbLayout::kMaxSize + 1);
  return out;
}

std::vector<std::string> NamesIn(const char* directory) {
  std::vector<std::string> out;
  std::error_code error;
  for (fs::directory_iterator it(directory, error), end; !error && it != end; it.increment(error)) {
    out.push_back(it->path().filename().string());
  }
  std::sort(out.begin(), out.end());
  return out;
}

}  // namespace

std::string UsbDevice::Node() const {
  char text[32];
  std::snprintf(text, sizeof text, "/dev/bus/usb/%03u/%03u", bus, number);
  return text;
}

std::string UsbDevice::ClaimName() const {
  return "usb " + std::to_string(bus) + " " + std::to_string(number);
}

std::string HidrawDevice::ClaimName() const { return usb ? usb->ClaimName() : "hid " + instance; }

Result<std::string> UsbNameOf(std::string_view path) {
  constexpr std::string_view kPrefix = "usb:";
  const auto refuse = [] {
    return Fail(ErrorCode::kInvalidArgument,
                "A USB key's place is written usb:BUS-PORT or usb:BUS-PORT.PORT, such as usb:1-2.");
  };
  if (path.substr(0, kPrefix.size()) != kPrefix || path.size() > 32 + kPrefix.size()) {
    return refuse();
  }
  const std::string_view name = path.substr(kPrefix.size());
  const auto dash = name.find('-');
  if (dash == std::string_view::npos || !AllDigits(name.substr(0, dash))) return refuse();
  for (std::string_view ports = name.substr(dash + 1);;) {
    const auto dot = ports.find('.');
    if (!AllDigits(ports.substr(0, dot))) return refuse();
    if (dot == std::string_view::npos) return std::string(name);
    ports = ports.substr(dot + 1);
  }
}

Result<std::string> HidrawNameOf(std::string_view path) {
  constexpr std::string_view kPrefix = "/dev/hidraw";
  if (path.substr(0, kPrefix.size()) != kPrefix || path.size() > 8 + kPrefix.size() ||
      !AllDigits(path.substr(kPrefix.size()))) {
    return Fail(ErrorCode::kInvalidArgument,
                "A HID key's place is written /dev/hidrawN, such as /dev/hidraw0.");
  }
  return std::string(path.substr(5));
}

Result<UsbDevice> ReadUsbDevice(const std::string& name) {
  std::error_code error;
  const fs::path directory = fs::canonical(fs::path(kUsbDevices) / name, error);
  if (error) return Absent("usb:" + name);
  return ReadUsbDirectory(directory);
}

Result<HidrawDevice> ReadHidrawDevice(const std::string& name) {
  HidrawDevice out;
  out.node = "/dev/" + name;
  std::error_code error;
  const fs::path directory = fs::canonical(fs::path(kHidraw) / name / "device", error);
  if (error) return Absent(out.node);
  out.instance = directory.filename().string();
  // HID_ID=0003:00001209:00000001 in `uevent`; the bus is of no interest: uhid gives any.
  const std::string uevent = "\n" + ReadText(directory / "uevent") + "\n";
  const auto value = [&uevent](std::string_view key) -> std::string {
    const auto at = uevent.find("\n" + std::string(key) + "=");
    if (at == std::string::npos) return {};
    const auto begin = at + key.size() + 2;
    return uevent.substr(begin, uevent.find('\n', begin) - begin);
  };
  const std::string id = value("HID_ID");
  if (id.size() != 22 || id[4] != ':' || id[13] != ':') return Absent(out.node);
  const auto vendor = ReadNumber<std::uint32_t>(std::string_view(id).substr(5, 8), 16);
  const auto product = ReadNumber<std::uint32_t>(std::string_view(id).substr(14, 8), 16);
  if (!vendor || !product || *vendor > 0xFFFF || *product > 0xFFFF) return Absent(out.node);
  out.id = {static_cast<std::uint16_t>(*vendor), static_cast<std::uint16_t>(*product)};
  out.name = Printable(value("HID_NAME"));
  out.report_descriptor =
      ReadBytes(directory / "report_descriptor", ReportDescriptor::kMaxSize + 1);
  fs::path above = directory;
  for (int i = 0; i < kMaxAbove && above.has_relative_path(); ++i) {
    above = above.parent_path();
    if (!fs::exists(above / "devnum", error)) continue;
    if (auto usb = ReadUsbDirectory(above)) out.usb = *std::move(usb);
    break;
  }
  return out;
}

std::vector<UsbDevice> ListUsbDevices(const HidMatch& match) {
  std::vector<UsbDevice> out;
  for (const std::string& name : NamesIn(kUsbDevices)) {
    if (!UsbNameOf("usb:" + name)) continue;  // interfaces and root hubs
    auto usb = ReadUsbDevice(name);
    if (usb && match.Has(usb->id)) out.push_back(*std::move(usb));
  }
  return out;
}

std::vector<HidrawDevice> ListHidrawDevices(const HidMatch& match) {
  std::vector<HidrawDevice> out;
  for (const std::string& name : NamesIn(kHidraw)) {
    if (!HidrawNameOf("/dev/" + name)) continue;
    auto device = ReadHidrawDevice(name);
    if (device && match.Has(device->id)) out.push_back(*std::move(device));
  }
  return out;
}

std::string InterfaceDriver(const UsbDevice& usb) {
  std::error_code error;
  const fs::path driver =
      fs::canonical(fs::path(kUsbDevices) / (usb.name + ":1.0") / "driver", error);
  return error ? std::string() : Printable(driver.filename().string());
}

}  // namespace keyferry::device

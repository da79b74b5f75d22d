#include "device/hid/windows_devices.h"

#include <windows.h>
// After windows.h
extern "C" {  // mingw-w64's header does not say so itself
#include <hidsdi.h>
}
#include <setupapi.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <memory>
#include <optional>

#include "device/hid/hid_errors.h"
#include "device/hid/printable.h"

namespace keyferry::device {
namespace {

constexpr std::size_t kMaxPath = 1024;
constexpr std::string_view kHidPrefix = "\\\\?\\hid#";

struct CloseIt {
  void operator()(void* handle) const { CloseHandle(handle); }
};
using Handle = std::unique_ptr<void, CloseIt>;

struct FreeIt {
  void operator()(PHIDP_PREPARSED_DATA data) const { HidD_FreePreparsedData(data); }
};
using Preparsed = std::unique_ptr<std::remove_pointer_t<PHIDP_PREPARSED_DATA>, FreeIt>;

char Lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; }

std::string Words(BOOLEAN NTAPI ask(HANDLE, PVOID, ULONG), HANDLE handle) {
  std::array<wchar_t, 127> text{};
  if (!ask(handle, text.data(), sizeof text - sizeof text[0])) return {};
  std::string out;
  for (const wchar_t c : text) {
    if (c == 0) break;
    out += c >= ' ' && c <= '~' ? static_cast<char>(c) : '?';
  }
  return Printable(out);
}

std::uint32_t Bits(USHORT report_bytes) {
  return report_bytes == 0 ? 0 : 8U * (report_bytes - 1U);  // the report id's byte
}

// Buttons or values of one kind of report: their pages and ids.
template <typename Caps>
void Fields(NTSTATUS NTAPI get(HIDP_REPORT_TYPE, Caps*, PUSHORT, PHIDP_PREPARSED_DATA),
            HIDP_REPORT_TYPE type, USHORT count, PHIDP_PREPARSED_DATA data, ReportDescriptor& out) {
  if (count == 0) return;
  std::vector<Caps> caps(count);
  if (get(type, caps.data(), &count, data) != HIDP_STATUS_SUCCESS) {
    out.report_ids = true;  // not to be judged: refused
    return;
  }
  caps.resize(std::min<std::size_t>(count, caps.size()));
  for (const Caps& one : caps) {
    if (one.ReportID != 0) out.report_ids = true;
    if (one.UsagePage != ReportDescriptor::kKeyPage) {
      out.foreign_page = out.foreign ? std::min(out.foreign_page, one.UsagePage) : one.UsagePage;
      out.foreign = true;
    }
  }
}

std::optional<ReportDescriptor> Reports(HANDLE handle) {
  PHIDP_PREPARSED_DATA raw = nullptr;
  if (!HidD_GetPreparsedData(handle, &raw)) return std::nullopt;
  const Preparsed data(raw);
  HIDP_CAPS caps{};
  if (HidP_GetCaps(raw, &caps) != HIDP_STATUS_SUCCESS) return std::nullopt;
  ReportDescriptor out;
  out.applications.push_back({caps.UsagePage, caps.Usage});
  out.input_bits = Bits(caps.InputReportByteLength);
  out.output_bits = Bits(caps.OutputReportByteLength);
  out.feature_bits = Bits(caps.FeatureReportByteLength);
  Fields(HidP_GetButtonCaps, HidP_Input, caps.NumberInputButtonCaps, raw, out);
  Fields(HidP_GetValueCaps, HidP_Input, caps.NumberInputValueCaps, raw, out);
  Fields(HidP_GetButtonCaps, HidP_Output, caps.NumberOutputButtonCaps, raw, out);
  Fields(HidP_GetValueCaps, HidP_Output, caps.NumberOutputValueCaps, raw, out);
  return out;
}

class DeviceList {
 public:
  explicit DeviceList(const GUID& kind)
      : list_(
            SetupDiGetClassDevsW(&kind, nullptr, nullptr, DIGCF_PRESENT | DIGCF_DEVICEINTERFACE)) {}
  ~DeviceList() {
    if (list_ != INVALID_HANDLE_VALUE) SetupDiDestroyDeviceInfoList(list_);
  }
  DeviceList(const DeviceList&) = delete;
  DeviceList& operator=(const DeviceList&) = delete;

  // The path of the device interface number `index`; nothing behind the last. Empty: unusable.
  std::optional<std::wstring> Path(const GUID& kind, DWORD index) const {
    SP_DEVICE_INTERFACE_DATA data{};
    data.cbSize = sizeof data;
    if (list_ == INVALID_HANDLE_VALUE ||
        !SetupDiEnumDeviceInterfaces(list_, nullptr, &kind, index, &data)) {
      return std::nullopt;
    }
    using Detail = SP_DEVICE_INTERFACE_DETAIL_DATA_W;
    alignas(Detail) std::array<std::byte, sizeof(Detail) + kMaxPath * sizeof(wchar_t)> room{};
    auto* detail = reinterpret_cast<Detail*>(room.data());
    detail->cbSize = sizeof(Detail);
    if (!SetupDiGetDeviceInterfaceDetailW(list_, &data, detail, static_cast<DWORD>(room.size()),
                                          nullptr, nullptr)) {
      return std::wstring();
    }
    return detail->DevicePath;
  }

 private:
  const HDEVINFO list_;
};

}  // namespace

Result<void> WindowsHid::CheckKey() const {
  if (path.find("&col") != std::string::npos) {
    return Fail(ErrorCode::kProtocol, "it has several top-level collections, not one");
  }
  return reports.CheckKey();
}

Result<std::string> WindowsHidPath(const std::string& path) {
  std::string out(path.size(), '\0');
  std::transform(path.begin(), path.end(), out.begin(), Lower);
  const bool plain =
      std::all_of(out.begin(), out.end(), [](char c) { return c > ' ' && c <= '~'; });
  if (!plain || out.size() >= kMaxPath || out.substr(0, kHidPrefix.size()) != kHidPrefix ||
      out.find_first_of("\\/", kHidPrefix.size()) != std::string::npos) {
    return Fail(ErrorCode::kInvalidArgument,
                Printable(path, 80) +
                    " is no HID device; such a path begins with \\\\?\\hid# (keyferry key "
                    "inspect prints those that there are).");
  }
  return out;
}

Result<WindowsHid> LookAtWindowsHid(void* handle, const std::string& path) {
  HIDD_ATTRIBUTES attributes{};
  attributes.Size = sizeof attributes;
  if (!HidD_GetAttributes(handle, &attributes)) {
    return tl::unexpected(Gone("Windows error " + std::to_string(GetLastError())));
  }
  auto reports = Reports(handle);
  if (!reports) return tl::unexpected(Gone("Windows error " + std::to_string(GetLastError())));
  WindowsHid out;
  out.path = path;
  out.id = {attributes.VendorID, attributes.ProductID};
  out.manufacturer = Words(HidD_GetManufacturerString, handle);
  out.product = Words(HidD_GetProductString, handle);
  out.serial = Words(HidD_GetSerialNumberString, handle);
  out.reports = *std::move(reports);
  return out;
}

std::vector<WindowsHid> ListWindowsHid(const HidMatch& match) {
  GUID kind{};
  HidD_GetHidGuid(&kind);
  const DeviceList list(kind);
  std::vector<WindowsHid> out;
  for (DWORD i = 0;; ++i) {
    const auto wide = list.Path(kind, i);
    if (!wide) break;
    std::string path;
    for (const wchar_t c : *wide) path += c > 0 && c <= '~' ? static_cast<char>(c) : ' ';
    const auto ours = WindowsHidPath(path);
    if (!ours) continue;
    const HANDLE raw = CreateFileW(wide->c_str(), 0, FILE_SHARE_READ | FILE_SHARE_WRITE, nullptr,
                                   OPEN_EXISTING, 0, nullptr);
    if (raw == INVALID_HANDLE_VALUE) continue;
    const Handle handle(raw);
    auto seen = LookAtWindowsHid(raw, *ours);
    if (seen && match.Has(seen->id)) out.push_back(*std::move(seen));
  }
  return out;
}

}  // namespace keyferry::device

#include "device/hid/hidapi_list.h"

#include <hidapi/hidapi.h>

#include <mutex>

#include "device/hid/printable.h"

namespace keyferry::device {
namespace {

std::string Narrow(const wchar_t* text) {
  std::string out;
  for (std::size_t i = 0; text != nullptr && text[i] != 0 && i < 128; ++i) {
    out += text[i] >= ' ' && text[i] <= '~' ? static_cast<char>(text[i]) : '?';
  }
  return Printable(out);
}

}  // namespace

std::vector<HidapiDevice> ListWithHidapi(const HidMatch& match) {
  static std::mutex mutex;  // hidapi keeps its last error in one place for all
  const std::scoped_lock lock(mutex);
  std::vector<HidapiDevice> out;
  for (const UsbId& id : match.ids) {
    hid_device_info* list = hid_enumerate(id.vendor, id.product);
    for (const hid_device_info* one = list; one != nullptr; one = one->next) {
      out.push_back({one->path == nullptr ? "" : one->path,  // the system's own word
                     {one->vendor_id, one->product_id},
                     one->usage_page,
                     one->usage,
                     one->interface_number,
                     Narrow(one->manufacturer_string),
                     Narrow(one->product_string),
                     Narrow(one->serial_number)});
    }
    hid_free_enumeration(list);
  }
  return out;
}

}  // namespace keyferry::device

#include "device/hid/usb_handle.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <mutex>

#include "device/hid/hid_errors.h"
#include "device/hid/holders.h"

namespace keyferry::device {
namespace {

constexpr int kKeyInterface = 0;
constexpr unsigned kControlTimeout = 1000;  // ms
constexpr std::uint16_t kReportDescriptor = 0x22 << 8;

std::vector<std::uint8_t> ReadDescriptors(int fd) {
  std::vector<std::uint8_t> out(UsbLayout::kMaxSize + 1);
  std::size_t size = 0;
  while (size < out.size()) {
    const ssize_t n = pread(fd, out.data() + size, out.size() - size, static_cast<off_t>(size));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) break;
    size += static_cast<std::size_t>(n);
  }
  out.resize(size);
  return out;
}

}  // namespace

Error UsbError(int error, const std::string& what) {
  const std::string detail = what + ": " + libusb_error_name(error);
  switch (error) {
    case LIBUSB_ERROR_NO_DEVICE:
    case LIBUSB_ERROR_IO:
    case LIBUSB_ERROR_PIPE:
    case LIBUSB_ERROR_NOT_FOUND:
      return Gone(detail);
    case LIBUSB_ERROR_TIMEOUT: {
      Error late = Late();
      late.detail = detail;
      return late;
    }
    default:
      return {ErrorCode::kIo, "The security key cannot be used through libusb.", detail, 0};
  }
}

Result<std::unique_ptr<UsbHandle>> UsbHandle::Open(const std::string& path) {
  const auto name = UsbNameOf(path);
  if (!name) return tl::unexpected(name.error());
  auto usb = ReadUsbDevice(*name);
  if (!usb) return tl::unexpected(usb.error());

  std::unique_ptr<UsbHandle> out(new UsbHandle());
  out->usb_ = *std::move(usb);
  const std::string node = out->usb_.Node();
  out->fd_ = open(node.c_str(), O_RDWR | O_CLOEXEC);
  if (out->fd_ < 0) return tl::unexpected(CannotOpen(node, errno));
  auto layout = UsbLayout::Parse(ReadDescriptors(out->fd_));
  if (!layout) return tl::unexpected(NotAKey(path, layout.error().message));
  out->layout_ = *std::move(layout);

  static std::once_flag once;
  std::call_once(once, [] { libusb_set_option(nullptr, LIBUSB_OPTION_NO_DEVICE_DISCOVERY); });
  if (const int error = libusb_init(&out->context_); error != 0) {
    return tl::unexpected(UsbError(error, "libusb_init"));
  }
  if (const int error = libusb_wrap_sys_device(out->context_, out->fd_, &out->handle_);
      error != 0) {
    return tl::unexpected(UsbError(error, "libusb_wrap_sys_device"));
  }
  return out;
}

UsbHandle::~UsbHandle() {
  if (claimed_) libusb_release_interface(handle_, kKeyInterface);
  if (detached_) libusb_attach_kernel_driver(handle_, kKeyInterface);
  if (handle_ != nullptr) libusb_close(handle_);
  if (context_ != nullptr) libusb_exit(context_);
  if (fd_ >= 0) close(fd_);
}

Result<void> UsbHandle::Claim() {
  int error = libusb_detach_kernel_driver(handle_, kKeyInterface);
  // NOT_FOUND: no driver has it; it may be free, or a program's, which the claim will tell.
  if (error != 0 && error != LIBUSB_ERROR_NOT_FOUND) {
    return tl::unexpected(UsbError(error, "libusb_detach_kernel_driver"));
  }
  detached_ = detached_ || error == 0;
  error = libusb_claim_interface(handle_, kKeyInterface);
  if (error == LIBUSB_ERROR_BUSY) {
    return Fail(ErrorCode::kConflict,
                "The security key at " + usb_.Path() + " is in use by " +
                    Text(HoldersOf(usb_.Node()),
                         "another program, which only root can see (keyferry key inspect)") +
                    "; end it or plug the key in again.");
  }
  if (error != 0) return tl::unexpected(UsbError(error, "libusb_claim_interface"));
  claimed_ = true;
  return {};
}

Result<std::vector<std::uint8_t>> UsbHandle::ReadReportDescriptor(std::uint16_t size) {
  std::vector<std::uint8_t> out(size);
  const int n = libusb_control_transfer(handle_,
                                        static_cast<std::uint8_t>(LIBUSB_ENDPOINT_IN) |
                                            static_cast<std::uint8_t>(LIBUSB_RECIPIENT_INTERFACE),
                                        LIBUSB_REQUEST_GET_DESCRIPTOR, kReportDescriptor,
                                        kKeyInterface, out.data(), size, kControlTimeout);
  if (n < 0) return tl::unexpected(UsbError(n, "reading the report descriptor"));
  out.resize(static_cast<std::size_t>(n));
  return out;
}

Result<void> UsbHandle::Reset() {
  const int error = libusb_reset_device(handle_);
  // NOT_FOUND: it came back as a new device, which is a reset too.
  if (error != 0 && error != LIBUSB_ERROR_NOT_FOUND) {
    return tl::unexpected(UsbError(error, "libusb_reset_device"));
  }
  return {};
}

}  // namespace keyferry::device

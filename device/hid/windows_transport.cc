#include "device/hid/windows_transport.h"

#include <windows.h>
// After windows.h
extern "C" {  // mingw-w64's header does not say so itself
#include <hidsdi.h>
}

#include <algorithm>
#include <array>
#include <mutex>
#include <new>
#include <optional>
#include <utility>

#include "device/hid/hid_errors.h"
#include "device/hid/windows_devices.h"
#include "protocol/limits.h"

namespace keyferry::device {
namespace {

using protocol::kReportSize;

constexpr ULONG kInputReports = 512;  // kept by Windows until we read them; its own default is 32

std::string WindowsError(DWORD error) { return "Windows error " + std::to_string(error); }

class Handle {
 public:
  explicit Handle(HANDLE handle) : handle_(handle) {}
  ~Handle() {
    if (ok()) CloseHandle(handle_);
  }
  Handle(const Handle&) = delete;
  Handle& operator=(const Handle&) = delete;
  HANDLE get() const { return handle_; }
  bool ok() const { return handle_ != nullptr && handle_ != INVALID_HANDLE_VALUE; }
  HANDLE Release() { return std::exchange(handle_, INVALID_HANDLE_VALUE); }

 private:
  HANDLE handle_;
};

class NewEvent : public Handle {
 public:
  NewEvent() : Handle(CreateEventW(nullptr, TRUE, FALSE, nullptr)) {
    if (!ok()) throw std::bad_alloc();
  }
};

class WindowsTransport final : public Transport {
 public:
  WindowsTransport(HANDLE device, std::string path) : device_(device), path_(std::move(path)) {}
  ~WindowsTransport() override { Cancel(); }

  Result<void> Write(std::span<const std::uint8_t> report, Deadline deadline) override {
    if (report.size() != kReportSize) {
      return Fail(ErrorCode::kInvalidArgument, "A report to the key has 64 bytes.");
    }
    std::array<std::uint8_t, kReportSize + 1> out{};  // report id 0, then the report
    std::copy(report.begin(), report.end(), out.begin() + 1);
    const auto done = Wait(write_done_, deadline, [&](OVERLAPPED* how) {
      return WriteFile(device_.get(), out.data(), out.size(), nullptr, how);
    });
    if (!done) return tl::unexpected(done.error());
    if (*done != out.size()) return tl::unexpected(End("short write"));
    return {};
  }

  Result<std::size_t> Read(std::span<std::uint8_t> buffer, Deadline deadline) override {
    std::array<std::uint8_t, kReportSize + 1> in{};
    const auto done = Wait(read_done_, deadline, [&](OVERLAPPED* how) {
      return ReadFile(device_.get(), in.data(), in.size(), nullptr, how);
    });
    if (!done) return tl::unexpected(done.error());
    if (*done < 2 || in[0] != 0 || *done - 1 > buffer.size()) {
      return Fail(ErrorCode::kProtocol, "The key sent a report that cannot be one.");
    }
    std::copy_n(in.begin() + 1, *done - 1, buffer.begin());
    return *done - 1;
  }

  void Cancel() override { SetEnd(Cancelled()); }

  TransportInfo Describe() const override { return {TransportKind::kHid, path_, kReportSize}; }

 private:
  // Starts a call and waits for its end; the bytes it moved. The call is over, in every case, when
  // this returns: its buffer is the caller's.
  template <typename Start>
  Result<DWORD> Wait(const NewEvent& event, Deadline deadline, Start start) {
    if (auto ended = Ended()) return tl::unexpected(*std::move(ended));
    OVERLAPPED how{};
    how.hEvent = event.get();
    ResetEvent(event.get());
    if (!start(&how)) {
      const DWORD error = GetLastError();
      if (error == ERROR_MORE_DATA) return TooLong();
      if (error != ERROR_IO_PENDING) return tl::unexpected(End(WindowsError(error)));
      if (!WaitFor(event.get(), deadline)) CancelIoEx(device_.get(), &how);
    }
    DWORD done = 0;
    if (GetOverlappedResult(device_.get(), &how, &done, TRUE)) return done;
    const DWORD error = GetLastError();
    if (error == ERROR_MORE_DATA) return TooLong();
    if (auto ended = Ended()) return tl::unexpected(*std::move(ended));
    if (error == ERROR_OPERATION_ABORTED && Clock::now() >= deadline) {
      return tl::unexpected(Late());
    }
    return tl::unexpected(End(WindowsError(error)));
  }

  static Result<DWORD> TooLong() {
    return Fail(ErrorCode::kProtocol, "The key sent a report that is too long.");
  }

  // True when the call is over; false after the deadline or the end of the transport.
  bool WaitFor(HANDLE done, Deadline deadline) const {
    const HANDLE both[] = {done, ended_event_.get()};
    while (true) {
      const auto left =
          std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now()).count();
      const auto ms = static_cast<DWORD>(std::clamp<long long>(left, 0, 3'600'000));
      const DWORD which = WaitForMultipleObjects(2, both, FALSE, ms);
      if (which == WAIT_OBJECT_0) return true;
      if (which != WAIT_TIMEOUT || left <= 0) return false;
    }
  }

  std::optional<Error> Ended() const {
    const std::scoped_lock lock(mutex_);
    return ended_;
  }

  // The key is gone: nobody waits any longer, in either direction. Returns the first reason.
  Error End(const std::string& cause) { return SetEnd(Gone(cause)); }

  Error SetEnd(Error why) {
    const std::scoped_lock lock(mutex_);
    if (!ended_) ended_ = std::move(why);
    SetEvent(ended_event_.get());
    return *ended_;
  }

  const Handle device_;
  const NewEvent read_done_;
  const NewEvent write_done_;
  const NewEvent ended_event_;  // set once, for good
  const std::string path_;
  mutable std::mutex mutex_;
  std::optional<Error> ended_;  // guarded by mutex_
};

Error CannotOpenWindows(const std::string& path, DWORD error) {
  switch (error) {
    case ERROR_SHARING_VIOLATION:
      return {ErrorCode::kConflict,
              "The security key at " + path +
                  " is in use by another program; only one can have it. Stop the other one.",
              WindowsError(error), 0};
    case ERROR_ACCESS_DENIED:
      return {ErrorCode::kPermissionDenied,
              "The security key at " + path + " may not be opened by this user.",
              WindowsError(error), 0};
    case ERROR_FILE_NOT_FOUND:
    case ERROR_PATH_NOT_FOUND:
    case ERROR_DEVICE_NOT_CONNECTED:
    case ERROR_DEV_NOT_EXIST:
    case ERROR_GEN_FAILURE:
      return {ErrorCode::kUnavailable, "No security key is attached at " + path + ".",
              WindowsError(error), 0};
    default:
      return {ErrorCode::kIo, "The security key at " + path + " cannot be opened.",
              WindowsError(error), 0};
  }
}

}  // namespace

Result<std::unique_ptr<Transport>> OpenWindowsHid(const std::string& path, const HidMatch& match) {
  const auto ours = WindowsHidPath(path);
  if (!ours) return tl::unexpected(ours.error());
  Handle device(CreateFileW(std::wstring(ours->begin(), ours->end()).c_str(),
                            GENERIC_READ | GENERIC_WRITE, 0, nullptr, OPEN_EXISTING,
                            FILE_FLAG_OVERLAPPED, nullptr));
  if (!device.ok()) return tl::unexpected(CannotOpenWindows(*ours, GetLastError()));
  const auto seen = LookAtWindowsHid(device.get(), *ours);
  if (!seen) return tl::unexpected(seen.error());
  if (!match.Has(seen->id)) {
    return tl::unexpected(NotAKey(*ours, "its ids are " + seen->id.Text()));
  }
  if (const auto key = seen->CheckKey(); !key) {
    return tl::unexpected(NotAKey(*ours, key.error().message));
  }
  HidD_SetNumInputBuffers(device.get(), kInputReports);
  return AdoptWindowsHid(device.Release(), *ours);
}

std::unique_ptr<Transport> AdoptWindowsHid(void* handle, std::string path) {
  return std::make_unique<WindowsTransport>(handle, std::move(path));
}

}  // namespace keyferry::device

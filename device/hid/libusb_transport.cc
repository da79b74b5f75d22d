#include "device/hid/libusb_transport.h"

#include <algorithm>
#include <array>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>

#include "device/hid/hid_errors.h"
#include "device/hid/report_descriptor.h"
#include "device/hid/usb_handle.h"
#include "device/key_claim.h"
#include "protocol/limits.h"

namespace keyferry::device {
namespace {

using protocol::kReportSize;

constexpr std::size_t kTransfers = 4;    // in each direction; two would do; the thread may be late
constexpr std::size_t kMaxReports = 64;  // not yet read; as many as a hidraw node keeps
constexpr std::size_t kTooLong = kReportSize + 1;

class LibusbTransport final : public Transport {
 public:
  LibusbTransport(std::unique_ptr<UsbHandle> usb, KeyClaim claim)
      : claim_(std::move(claim)), usb_(std::move(usb)), path_(usb_->usb().Path()) {
    const UsbLayout& layout = usb_->layout();
    for (Slot& slot : in_) Prepare(slot, layout.KeyEndpoint(true).address, OnIn);
    for (Slot& slot : out_) Prepare(slot, layout.KeyEndpoint(false).address, OnOut);
    {
      const std::scoped_lock lock(mutex_);
      Ask();
    }
    events_ = std::thread([this] { ServeEvents(); });
  }

  ~LibusbTransport() override {
    {
      const std::scoped_lock lock(mutex_);
      stop_ = true;
      End(Cancelled());
    }
    libusb_interrupt_event_handler(usb_->context());
    events_.join();
    // One that libusb never gave back is still its own.
    for (Slot& slot : in_) Free(slot);
    for (Slot& slot : out_) Free(slot);
  }

  Result<void> Write(std::span<const std::uint8_t> report, Deadline deadline) override {
    if (report.size() != kReportSize) {
      return Fail(ErrorCode::kInvalidArgument, "A report to the key has 64 bytes.");
    }
    std::unique_lock lock(mutex_);
    const auto free = [this] { return std::find_if_not(out_.begin(), out_.end(), IsBusy); };
    changed_.wait_until(lock, deadline, [&] { return free() != out_.end() || ended_; });
    if (ended_) return tl::unexpected(*ended_);
    const auto slot = free();
    if (slot == out_.end()) {
      give_up_ = true;  // by the thread: the call may wait for the kernel
      libusb_interrupt_event_handler(usb_->context());
      return tl::unexpected(Late());
    }
    std::copy(report.begin(), report.end(), slot->buffer.begin());
    if (const int error = libusb_submit_transfer(slot->transfer); error != 0) {
      End(UsbError(error, "sending"));
      return tl::unexpected(*ended_);
    }
    slot->busy = true;
    return {};
  }

  Result<std::size_t> Read(std::span<std::uint8_t> buffer, Deadline deadline) override {
    std::unique_lock lock(mutex_);
    changed_.wait_until(lock, deadline, [this] { return !reports_.empty() || ended_; });
    if (cancelled_ || (reports_.empty() && ended_)) return tl::unexpected(*ended_);
    if (reports_.empty()) return tl::unexpected(Late());
    const Received report = reports_.front();
    reports_.pop_front();
    if (!ended_) Ask();
    if (report.size > kReportSize || report.size > buffer.size()) {
      return Fail(ErrorCode::kProtocol, "The key sent a report that is too long.");
    }
    std::copy_n(report.bytes.begin(), report.size, buffer.begin());
    return report.size;
  }

  void Cancel() override {
    const std::scoped_lock lock(mutex_);
    cancelled_ = true;
    End(Cancelled());
  }

  TransportInfo Describe() const override { return {TransportKind::kHid, path_, kReportSize}; }

 private:
  struct Slot {
    LibusbTransport* owner = nullptr;
    libusb_transfer* transfer = nullptr;
    std::array<std::uint8_t, kReportSize> buffer{};
    bool busy = false;  // libusb has it
  };
  struct Received {
    std::array<std::uint8_t, kReportSize> bytes{};
    std::size_t size = 0;  // kTooLong: there was more
  };

  void Prepare(Slot& slot, std::uint8_t endpoint, libusb_transfer_cb_fn done) {
    slot.owner = this;
    slot.transfer = libusb_alloc_transfer(0);
    if (slot.transfer == nullptr) throw std::bad_alloc();
    libusb_fill_interrupt_transfer(slot.transfer, usb_->get(), endpoint, slot.buffer.data(),
                                   static_cast<int>(slot.buffer.size()), done, &slot, 0);
  }

  static bool IsBusy(const Slot& slot) { return slot.busy; }

  static void Free(Slot& slot) {
    if (!slot.busy) libusb_free_transfer(slot.transfer);
  }

  // The first reason stays. With the lock.
  void End(Error reason) {
    if (!ended_) ended_ = std::move(reason);
    changed_.notify_all();
  }

  // Asks the key for as many reports as there is room for. With the lock.
  void Ask() {
    std::size_t room = kMaxReports - reports_.size();
    for (const Slot& slot : in_) room -= slot.busy && room > 0 ? 1 : 0;
    for (Slot& slot : in_) {
      if (slot.busy || room == 0) continue;
      if (const int error = libusb_submit_transfer(slot.transfer); error != 0) {
        return End(UsbError(error, "receiving"));
      }
      slot.busy = true;
      --room;
    }
  }

  static void LIBUSB_CALL OnIn(libusb_transfer* transfer) {
    Slot& slot = *static_cast<Slot*>(transfer->user_data);
    LibusbTransport& self = *slot.owner;
    const std::scoped_lock lock(self.mutex_);
    slot.busy = false;
    Received report;
    report.size = static_cast<std::size_t>(std::max(transfer->actual_length, 0));
    if (transfer->status == LIBUSB_TRANSFER_OVERFLOW) {
      report.size = kTooLong;
    } else if (transfer->status != LIBUSB_TRANSFER_COMPLETED) {
      return self.End(Gone("receiving ended with status " + std::to_string(transfer->status)));
    } else if (report.size == 0) {
      return self.End(Gone("a report without content"));
    } else {
      std::copy_n(slot.buffer.begin(), std::min(report.size, kReportSize), report.bytes.begin());
    }
    if (self.ended_) return;
    self.reports_.push_back(report);
    self.Ask();
    self.changed_.notify_all();
  }

  static void LIBUSB_CALL OnOut(libusb_transfer* transfer) {
    Slot& slot = *static_cast<Slot*>(transfer->user_data);
    LibusbTransport& self = *slot.owner;
    const std::scoped_lock lock(self.mutex_);
    slot.busy = false;
    const bool whole = transfer->status == LIBUSB_TRANSFER_COMPLETED &&
                       transfer->actual_length == static_cast<int>(kReportSize);
    if (!whole && transfer->status != LIBUSB_TRANSFER_CANCELLED) {
      self.End(Gone("sending ended with status " + std::to_string(transfer->status)));
    }
    self.changed_.notify_all();
  }

  void ServeEvents() {
    bool stopping = false;
    while (true) {
      bool give_up = false;
      {
        const std::scoped_lock lock(mutex_);
        const bool busy = std::any_of(out_.begin(), out_.end(), IsBusy) ||
                          std::any_of(in_.begin(), in_.end(), IsBusy);
        if (stop_ && !busy) return;
        give_up = std::exchange(give_up_, false);
        if (stop_ && !std::exchange(stopping, true)) {
          for (Slot& slot : in_) libusb_cancel_transfer(slot.transfer);
          give_up = true;
        }
      }
      // Those that libusb does not have answer NOT_FOUND.
      for (Slot& slot : out_) {
        if (give_up) libusb_cancel_transfer(slot.transfer);
      }
      if (const int error = libusb_handle_events(usb_->context());
          error != 0 && error != LIBUSB_ERROR_INTERRUPTED) {
        std::unique_lock lock(mutex_);
        End(UsbError(error, "waiting for events"));
        changed_.wait(lock, [this] { return stop_; });
        return;  // nothing more will come; closing the node ends what the kernel has
      }
    }
  }

  const KeyClaim claim_;
  const std::unique_ptr<UsbHandle> usb_;
  const std::string path_;

  std::mutex mutex_;  // all below
  std::condition_variable changed_;
  std::array<Slot, kTransfers> in_;
  std::array<Slot, kTransfers> out_;
  std::deque<Received> reports_;
  std::optional<Error> ended_;
  bool cancelled_ = false;
  bool stop_ = false;
  bool give_up_ = false;  // the reports in out_
  std::thread events_;
};

}  // namespace

Result<std::unique_ptr<Transport>> OpenLibusb(const std::string& path, const HidMatch& match) {
  const auto name = UsbNameOf(path);
  if (!name) return tl::unexpected(name.error());
  const auto known = ReadUsbDevice(*name);
  if (!known) return tl::unexpected(known.error());
  // Before the interface is taken from the kernel: that would unplug a daemon that uses hidraw.
  auto claim = KeyClaim::Take(known->ClaimName(), path);
  if (!claim) return tl::unexpected(claim.error());
  auto usb = UsbHandle::Open(path);
  if (!usb) return tl::unexpected(usb.error());
  if ((*usb)->usb().ClaimName() != known->ClaimName()) {
    return tl::unexpected(Gone("another device came to the same port"));
  }
  const UsbLayout& layout = (*usb)->layout();
  if (!match.Has(layout.id)) {
    return tl::unexpected(NotAKey(path, "its ids are " + layout.id.Text()));
  }
  if (auto key = layout.CheckKey(); !key) {
    return tl::unexpected(NotAKey(path, key.error().message));
  }
  if (auto claimed = (*usb)->Claim(); !claimed) return tl::unexpected(claimed.error());
  const auto descriptor = (*usb)->ReadReportDescriptor(layout.interfaces[0].report_descriptor_size);
  if (!descriptor) return tl::unexpected(descriptor.error());
  if (auto key = CheckKeyReports(*descriptor); !key) {
    return tl::unexpected(NotAKey(path, key.error().message));
  }
  return std::make_unique<LibusbTransport>(*std::move(usb), *std::move(claim));
}

}  // namespace keyferry::device

#include <fcntl.h>
#include <linux/uhid.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <stdexcept>
#include <utility>

#include "tests/support/usb/toy_device.h"

namespace keyferry::test {
namespace {

class UhidDevice final : public ToyDevice {
 public:
  explicit UhidDevice(const ToySettings& settings) : settings_(settings) {
    fd_ = open("/dev/uhid", O_RDWR | O_CLOEXEC);
    stop_fd_ = eventfd(0, EFD_CLOEXEC);
    if (fd_ < 0 || stop_fd_ < 0) throw std::runtime_error("/dev/uhid cannot be opened");
    auto event = std::make_unique<uhid_event>();
    std::memset(event.get(), 0, sizeof *event);
    event->type = UHID_CREATE2;
    auto& create = event->u.create2;
    std::strncpy(reinterpret_cast<char*>(create.name), settings.product_name.c_str(),
                 sizeof create.name - 1);
    std::strncpy(reinterpret_cast<char*>(create.uniq), settings.serial.c_str(),
                 sizeof create.uniq - 1);
    create.rd_size = static_cast<std::uint16_t>(settings.report_descriptor.size());
    std::copy(settings.report_descriptor.begin(), settings.report_descriptor.end(), create.rd_data);
    create.bus = 3;
    create.vendor = settings.vendor;
    create.product = settings.product;
    Send(*event);
    thread_ = std::thread([this] { Serve(); });
  }

  ~UhidDevice() override { Unplug(); }

  void Say(std::span<const std::uint8_t> report) override {
    auto event = std::make_unique<uhid_event>();
    event->type = UHID_INPUT2;
    event->u.input2.size = static_cast<std::uint16_t>(report.size());
    std::copy(report.begin(), report.end(), event->u.input2.data);
    Send(*event);
  }

  void Unplug() override {
    if (fd_ < 0) return;
    const std::uint64_t one = 1;
    if (write(stop_fd_, &one, sizeof one) < 0) std::terminate();
    thread_.join();
    close(std::exchange(fd_, -1));  // destroys the device
    close(stop_fd_);
  }

 private:
  void Send(const uhid_event& event) {
    if (write(fd_, &event, sizeof event) < 0) throw std::runtime_error("uhid refused an event");
  }

  void Serve() {
    auto event = std::make_unique<uhid_event>();
    while (true) {
      pollfd fds[2] = {{fd_, POLLIN, 0}, {stop_fd_, POLLIN, 0}};
      poll(fds, 2, -1);
      if (fds[1].revents != 0) return;
      if (read(fd_, event.get(), sizeof *event) <= 0) return;
      if (event->type != UHID_OUTPUT) continue;
      ++heard_;
      // The first byte is the report's number, zero.
      const auto& output = event->u.output;
      const Bytes report(output.data + 1, output.data + output.size);
      if (settings_.echo) Say(report);
    }
  }

  const ToySettings settings_;
  int fd_ = -1;
  int stop_fd_ = -1;
  std::thread thread_;
};

}  // namespace

std::unique_ptr<ToyDevice> PlugUhid(const ToySettings& settings) {
  return std::make_unique<UhidDevice>(settings);
}

}  // namespace keyferry::test

#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <thread>
#include <vector>

// HID devices for tests, made behind the kernel's real stacks. They echo every report, unless told
// otherwise, and say whatever descriptors they are given. They need root and a kernel with uhid and
// vhci_hcd (scripts/vm).
namespace keyferry::test {

using Bytes = std::vector<std::uint8_t>;

struct ToySettings {
  Bytes report_descriptor;
  std::uint16_t vendor = 0x1209;
  std::uint16_t product = 0x0001;
  Bytes usb_descriptors;  // device and configuration, for USB/IP
  std::string product_name = "Toy key";
  std::string serial = "0042";
  bool echo = true;
  bool take = true;  // false: reports from the host are never accepted (USB/IP only)
};

class ToyDevice {
 public:
  virtual ~ToyDevice() = default;
  // Sends a report of any size to the host.
  virtual void Say(std::span<const std::uint8_t> report) = 0;
  // Pulls it out, as a cable would; the destructor does so too.
  virtual void Unplug() = 0;
  // Reports that came from the host so far.
  std::size_t Heard() const { return heard_; }

 protected:
  std::atomic<std::size_t> heard_{0};
};

// Through /dev/uhid: a HID device without USB. Throws std::runtime_error.
std::unique_ptr<ToyDevice> PlugUhid(const ToySettings& settings);
// Through USB/IP's virtual host controller, full speed. Throws std::runtime_error.
std::unique_ptr<ToyDevice> PlugUsb(const ToySettings& settings);

}  // namespace keyferry::test

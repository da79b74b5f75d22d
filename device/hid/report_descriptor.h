#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "protocol/result.h"

namespace keyferry::device {

// What a HID device says about its reports (USB HID 1.11, section 6.2.2), read by ourselves: the
// bytes come from the device and may say anything. Nothing is allocated by their word, every sum is
// bounded, and what we do not understand is refused instead of skipped.
struct ReportDescriptor {
  static constexpr std::size_t kMaxSize = 4096;  // HID_MAX_DESCRIPTOR_SIZE of the kernel
  static constexpr std::size_t kMaxDepth = 8;    // of collections, and of PUSH
  static constexpr std::uint32_t kMaxBits = 8 * 65536;

  struct Application {
    std::uint16_t page = 0;
    std::uint16_t usage = 0;
  };
  std::vector<Application> applications;  // top-level collections, at most kMaxDepth
  bool report_ids = false;
  // Usage pages other than kKeyPage of the fields in the reports; the lowest of them.
  std::uint16_t foreign_page = 0;
  bool foreign = false;
  // Of one report (with report ids: of all together).
  std::uint32_t input_bits = 0;
  std::uint32_t output_bits = 0;
  std::uint32_t feature_bits = 0;

  static constexpr std::uint16_t kKeyPage = 0xFF00;
  static constexpr std::uint16_t kKeyUsage = 1;

  // kProtocol with the reason in `message` ("item 12 is cut off").
  static Result<ReportDescriptor> Parse(std::span<const std::uint8_t> bytes);

  // Whether these are a key's reports: one collection of page 0xFF00, usage 1; 64 bytes in, 64
  // bytes out, nothing else, no report ids, no usage of another page (a key that also types is
  // none). kProtocol with the reason in `message` ("its input reports have 8 bytes, not 64").
  Result<void> CheckKey() const;
};

// Both at once.
Result<void> CheckKeyReports(std::span<const std::uint8_t> bytes);

}  // namespace keyferry::device

#pragma once

#include <cstdint>
#include <vector>

// The descriptors of a rightful key (PROTOCOL.md section 6), as a start for those that are not.
namespace keyferry::device {

inline std::vector<std::uint8_t> KeyReportDescriptor() {
  return {0x06, 0x00, 0xFF,  // usage page 0xFF00
          0x09, 0x01,        // usage 1
          0xA1, 0x01,        // collection: application
          0x09, 0x02,        // usage 2
          0x15, 0x00,        // logical minimum 0
          0x26, 0xFF, 0x00,  // logical maximum 255
          0x75, 0x08,        // report size 8
          0x95, 0x40,        // report count 64
          0x81, 0x02,        // input
          0x09, 0x03,        // usage 3
          0x91, 0x02,        // output
          0xC0};             // end
}

inline std::vector<std::uint8_t> KeyUsbDescriptors() {
  return {18, 1,    0x00, 0x02, 0,  0, 0,    64,   0x09, 0x12, 0x01, 0x00, 0x00, 0x01, 1, 2, 3,
          1,                                            // device
          9,  2,    41,   0,    1,  1, 0,    0x80, 50,  // configuration
          9,  4,    0,    0,    2,  3, 0,    0,    0,   // interface
          9,  0x21, 0x11, 0x01, 0,  1, 0x22, 25,   0,   // HID
          7,  5,    0x81, 3,    64, 0, 1,               // in
          7,  5,    0x01, 3,    64, 0, 1};              // out
}

}  // namespace keyferry::device

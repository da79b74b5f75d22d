#pragma once

#include <optional>
#include <string>

#include "protocol/secure/secure_bytes.h"

namespace keyferry::server {

// A QR code as one path of an SVG image, in units of one module, without the quiet zone around it.
struct QrImage {
  std::size_t size = 0;  // modules along an edge
  std::string path;      // attribute `d`; shows the text to whoever has it, so the caller wipes it
};
// Nothing for a text that does not fit (more than 1000 bytes) or without memory.
std::optional<QrImage> MakeQr(const SecureBytes& text);

}  // namespace keyferry::server

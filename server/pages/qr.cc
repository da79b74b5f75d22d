#include "server/pages/qr.h"

#include <qrencode.h>

#include <memory>

namespace keyferry::server {

std::optional<QrImage> MakeQr(const SecureBytes& text) {
  constexpr std::size_t kMost = 1000;
  if (text.empty() || text.size() > kMost) return std::nullopt;
  const std::unique_ptr<QRcode, void (*)(QRcode*)> code(
      QRcode_encodeData(static_cast<int>(text.size()), text.data(), 0, QR_ECLEVEL_M), QRcode_free);
  if (!code || code->width <= 0) return std::nullopt;
  QrImage image;
  image.size = static_cast<std::size_t>(code->width);
  for (std::size_t y = 0; y < image.size; ++y) {
    const unsigned char* const row = code->data + y * image.size;
    for (std::size_t x = 0; x < image.size;) {
      std::size_t end = x;
      while (end < image.size && (row[end] & 1) != 0) ++end;
      if (end == x) {
        ++x;
        continue;
      }
      const std::string run = std::to_string(end - x);
      image.path +=
          "M" + std::to_string(x) + " " + std::to_string(y) + "h" + run + "v1h-" + run + "z";
      x = end;
    }
  }
  Wipe(code->data, image.size * image.size);
  return image;
}

}  // namespace keyferry::server

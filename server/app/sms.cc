#include "server/app/sms.h"

#include <algorithm>
#include <utility>

#include "server/app/files.h"
#include "server/outbound/https_poster.h"

namespace keyferry::server {

Result<std::unique_ptr<SmsGateway>> OpenSmsGateway(const ServerConfig& config) {
  const auto& sms = config.sms;
  if (sms.url.empty()) return std::unique_ptr<SmsGateway>();
  SmsGatewayConfig gateway;
  gateway.url = sms.url;
  gateway.message = sms.message;
  gateway.header = sms.header;
  if (!sms.header.empty()) {
    auto secret = ReadSecretLine(sms.secret_file);
    if (!secret) return tl::unexpected(std::move(secret.error()));
    const auto span = secret->span();
    if (!std::all_of(span.begin(), span.end(),
                     [](std::uint8_t c) { return c >= 0x20 && c < 0x7F; })) {
      return Fail(ErrorCode::kInvalidArgument,
                  sms.secret_file.string() +
                      " must hold one line of printable ASCII: the whole value of the header.");
    }
    gateway.header_value = *std::move(secret);
  }
  return MakeSmsGateway(
      MakeHttpsPoster({sms.ca_file.string(), static_cast<long>(sms.timeout_seconds)}),
      std::move(gateway));
}

}  // namespace keyferry::server

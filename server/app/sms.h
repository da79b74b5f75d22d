#pragma once

#include <memory>

#include "server/app/config.h"
#include "server/core/sms.h"

namespace keyferry::server {

// The gateway of [sms]; null where none is configured. Reads its secret; the error says what is
// wrong with the file.
Result<std::unique_ptr<SmsGateway>> OpenSmsGateway(const ServerConfig& config);

}  // namespace keyferry::server

#pragma once

#include <memory>

#include "server/core/fido.h"

namespace keyferry::server {

// FidoVerifier over libfido2: it reads COSE keys and verifies every signature. What it is given has
// been taken apart strictly before (authenticator_data.h).
std::unique_ptr<FidoVerifier> MakeFidoVerifier();

}  // namespace keyferry::server

#pragma once

#include <vector>

#include "server/core/services.h"

namespace keyferry::server {

// Hands ready jobs of these keys out, as far as workstations of this very server see them. (A job
// that is out already is sent once more: whoever has it knows it by its identifier.)
void OfferHere(const CorePorts& ports, const std::vector<DeviceId>& devices);

}  // namespace keyferry::server

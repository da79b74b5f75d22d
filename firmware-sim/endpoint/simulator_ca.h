#pragma once

#include <string>

#include "firmware-sim/core/factory.h"
#include "protocol/result.h"

namespace keyferry::sim {

// The simulator's attestation CA. Its private key is in the source for all to see: whoever trusts
// this CA trusts everybody. The certificate's name says SIMULATOR, and a production server refuses
// it.
Result<std::string> SimulatorCaPem();

// A new key as it leaves the simulator's factory: device_id and attestation key from `random`,
// certificate under the simulator's CA.
Result<Factory> ManufactureKey(protocol::RandomSource& random);

}  // namespace keyferry::sim

#pragma once

#include <cstddef>

#include "firmware-sim/core/hal.h"
#include "protocol/crypto.h"
#include "protocol/info.h"

namespace keyferry::sim {

// What the factory puts in: kept through every wipe.
struct Factory {
  protocol::Id device_id{};
  protocol::P256Private attestation_priv;
  protocol::P256Public attestation_pub{};
  protocol::Bytes<protocol::kMaxAttestation> certificate_data{};
  std::size_t certificate_size = 0;

  protocol::ByteView certificate() const {
    return protocol::ByteView(certificate_data).first(certificate_size);
  }
};

// False when the page is blank or damaged; `out` is then unspecified.
bool ReadFactory(const Flash& flash, Factory* out);

// Done once in manufacturing, with the flash blank. False when the flash does not take it.
bool WriteFactory(Flash& flash, const Factory& factory);

}  // namespace keyferry::sim

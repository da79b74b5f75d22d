#pragma once

#include <cstddef>

#include "firmware-sim/core/state.h"

namespace keyferry::sim {

using DeviceSecret = protocol::Secret<32>;

// The state record's bytes. All fields in the order of Persistent, big-endian, then, when enrolled,
// the four private keys sealed with ChaCha20-Poly1305 under HKDF(device secret, salt), the bytes
// before them as associated data. So the erasure of the secret's page alone makes every copy of
// them worthless.

// Returns the length, or 0 when `out` is too small or sealing failed.
std::size_t EncodeState(const Persistent& state, const DeviceSecret& secret,
                        protocol::RandomSource& random, protocol::MutableBytes out);

// False when the bytes are not a record, or not one of this secret. `secret` may be null: then an
// enrolled record is not readable. `out` is unspecified after false.
bool DecodeState(protocol::ByteView data, const DeviceSecret* secret, Persistent* out);

// A 32-byte key from device secret, salt and label, with `more` mixed in: what the state record and
// the vault are sealed under.
protocol::Secret<32> DeviceKey(const DeviceSecret& secret, protocol::ByteView salt,
                               protocol::ByteView label, protocol::ByteView more = {});

}  // namespace keyferry::sim

#pragma once

#include <cstddef>

// The pages under SecureBytes, for secure_bytes.cc only. One implementation a system, with the rest
// of what this folder asks of it: system_posix.cc (libsodium) and system_windows.cc.
namespace keyferry {

// `size` > 0 bytes, unspecified, in pages of their own between guard pages: never swapped out, left
// out of dumps. Throws std::bad_alloc.
void* AllocateLocked(std::size_t size);

// Wipes, unlocks and frees. Ends the process when something wrote before the block's first byte.
void FreeLocked(void* data);

}  // namespace keyferry

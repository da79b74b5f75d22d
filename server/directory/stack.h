#pragma once

namespace keyferry::server {

// Wipes the 32 KiB of the stack below the caller, where the ciphers of a finished call left blocks
// of what they encrypted.
void ScrubStack();

}  // namespace keyferry::server

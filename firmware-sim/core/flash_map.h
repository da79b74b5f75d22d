#pragma once

#include <cstdint>

namespace keyferry::sim {

// Where things lie in flash, in pages of kPageSize bytes. README.md, "Layout of the flash".
inline constexpr std::uint32_t kPageSize = 8192;
inline constexpr std::uint32_t kFactoryPage =
    0;  // device_id, attestation key and certificate; written once
inline constexpr std::uint32_t kSecretPage =
    1;  // device secret of this enrolment; its erasure kills the rest
inline constexpr std::uint32_t kStatePageA = 2;  // state record, slot A
inline constexpr std::uint32_t kStatePageB = 3;  // state record, slot B
inline constexpr std::uint32_t kTriesPageA = 4;  // tries and boot counter: append log, A
inline constexpr std::uint32_t kTriesPageB = 5;  // the same, B
inline constexpr std::uint32_t kPages = 6;

}  // namespace keyferry::sim

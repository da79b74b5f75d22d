#pragma once

#include <functional>
#include <span>
#include <string>

#include "client-daemon/core/encoding.h"
#include "protocol/result.h"

namespace keyferry::daemon {

// Small files that say of themselves whether they are whole: `KFS1 ‖ payload ‖ SHA-256 of both`.
// The hash finds damage (a torn write, a bad sector), it does not keep anybody out.
inline constexpr std::size_t kMaxPayload = 4096;

Result<void> WriteChecked(const std::string& path, std::span<const std::uint8_t> payload);

// The payload of a file's bytes; kProtocol when it is damaged or none of these.
Result<Bytes> ParseChecked(std::span<const std::uint8_t> file);
Result<Bytes> ReadChecked(const std::string& path);

// Reads every file of `directory` in the order of names. One that is damaged, or that `take`
// refuses (returns false), is moved to `bad_directory` and named to `warn`. Returns how many were.
Result<std::size_t> LoadChecked(const std::string& directory, const std::string& bad_directory,
                                const std::function<void(const std::string&)>& warn,
                                const std::function<bool(const std::string& name, Bytes)>& take);

}  // namespace keyferry::daemon

#pragma once

#include <filesystem>
#include <span>
#include <string>
#include <string_view>

#include "protocol/result.h"
#include "protocol/secure/secure_bytes.h"

namespace keyferry::server {

// Who else may touch a file that the server relies on.
enum class Sharing {
  kOthersMayRead,  // nobody but the owner (or root) may change it
  kSecret,         // nobody but the owner may read or change it
};

// Reads a regular file of at most 1 MiB. kIo when it cannot be read, kPermissionDenied when its
// owner is neither this user nor root or its mode is too wide; the message names the chmod that
// mends it.
Result<std::string> ReadTextFile(const std::filesystem::path& file, Sharing sharing);
// The same for secrets (at most 64 KiB): the bytes go into locked memory only.
Result<SecureBytes> ReadSecretFile(const std::filesystem::path& file);
// A secret in one line of text: without its line end. kInvalidArgument when it is empty.
Result<SecureBytes> ReadSecretLine(const std::filesystem::path& file);

// Creates `file` with `mode`, never over an existing one (kConflict); on disk when it returns.
Result<void> CreateFile(const std::filesystem::path& file, std::span<const std::uint8_t> bytes,
                        unsigned mode);
Result<void> CreateFile(const std::filesystem::path& file, std::string_view text, unsigned mode);
// Puts `text` in place of `file` in one step; on disk when it returns.
Result<void> ReplaceFile(const std::filesystem::path& file, std::string_view text, unsigned mode);

// What was made, renamed or removed in `directory` is on disk when it returns.
Result<void> SyncFolder(const std::filesystem::path& directory);

// kPermissionDenied unless `directory` is a folder that only its owner may enter.
Result<void> CheckPrivateFolder(const std::filesystem::path& directory);

// The name of this machine; empty when the system has none.
std::string HostName();

}  // namespace keyferry::server

#include "client-daemon/core/sealed_file.h"

#include <algorithm>
#include <array>

#include "client-daemon/core/files.h"
#include "protocol/crypto.h"

namespace keyferry::daemon {
namespace {

constexpr std::array<std::uint8_t, 4> kMagic = {'K', 'F', 'S', '1'};
constexpr std::size_t kHash = 32;

}  // namespace

Result<void> WriteChecked(const std::string& path, std::span<const std::uint8_t> payload) {
  Bytes file(kMagic.begin(), kMagic.end());
  file.insert(file.end(), payload.begin(), payload.end());
  const auto hash = protocol::Sha256Of(protocol::ByteView(file));
  file.insert(file.end(), hash.begin(), hash.end());
  return WriteDurably(path, file);
}

Result<Bytes> ParseChecked(std::span<const std::uint8_t> file) {
  constexpr char kDamaged[] = "The file is damaged.";
  if (file.size() < kMagic.size() + kHash ||
      !std::equal(kMagic.begin(), kMagic.end(), file.begin())) {
    return Fail(ErrorCode::kProtocol, kDamaged);
  }
  const auto body = file.first(file.size() - kHash);
  const auto hash = protocol::Sha256Of(body);
  if (!std::equal(hash.begin(), hash.end(), file.last(kHash).begin())) {
    return Fail(ErrorCode::kProtocol, kDamaged);
  }
  const auto payload = body.subspan(kMagic.size());
  return Bytes(payload.begin(), payload.end());
}

Result<Bytes> ReadChecked(const std::string& path) {
  const auto file = ReadBounded(path, kMagic.size() + kMaxPayload + kHash);
  if (!file) return file;
  return ParseChecked(*file);
}

Result<std::size_t> LoadChecked(const std::string& directory, const std::string& bad_directory,
                                const std::function<void(const std::string&)>& warn,
                                const std::function<bool(const std::string&, Bytes)>& take) {
  auto names = ListFiles(directory);
  if (!names) return tl::unexpected(names.error());
  std::size_t bad = 0;
  for (const std::string& name : *names) {
    const std::string path = directory + "/" + name;
    auto payload = ReadChecked(path);
    if (payload && take(name, *std::move(payload))) continue;
    if (!payload && payload.error().code == ErrorCode::kIo) return tl::unexpected(payload.error());
    ++bad;
    warn(Printable(path, 4096) + " is damaged; it was moved to " + bad_directory + ".");
    if (auto moved = MoveDurably(path, bad_directory + "/" + name); !moved) {
      return tl::unexpected(moved.error());
    }
  }
  return bad;
}

}  // namespace keyferry::daemon

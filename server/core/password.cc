#include "server/core/password.h"

#include <array>
#include <string_view>

#include "protocol/limits.h"
#include "server/core/encoding.h"

namespace keyferry::server {
namespace {

constexpr std::string_view kUpper = "ABCDEFGHJKLMNPQRSTUVWXYZ";
constexpr std::string_view kLower = "abcdefghijkmnopqrstuvwxyz";
constexpr std::string_view kDigits = "23456789";
constexpr std::string_view kSigns = "!#%+-.:=?@_";
constexpr std::string_view kAll =
    "ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz23456789!#%+-.:=?@_";
static_assert(kAll.size() == kUpper.size() + kLower.size() + kDigits.size() + kSigns.size());
constexpr std::string_view kCrockford = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
static_assert(kCrockford.size() == 32);

bool HasEachClass(const SecureBytes& password) {
  bool upper = false, lower = false, digit = false, sign = false;
  for (const std::uint8_t byte : password.span()) {
    const char c = static_cast<char>(byte);
    upper = upper || kUpper.find(c) != std::string_view::npos;
    lower = lower || kLower.find(c) != std::string_view::npos;
    digit = digit || kDigits.find(c) != std::string_view::npos;
    sign = sign || kSigns.find(c) != std::string_view::npos;
  }
  return upper && lower && digit && sign;
}

}  // namespace

Result<SecureBytes> GeneratePassword(std::size_t length, protocol::RandomSource& random) {
  if (length < kMinPasswordLength || length > kMaxPasswordLength) {
    return Fail(ErrorCode::kInvalidArgument,
                "The configured length of generated passwords must be 12 to 128.");
  }
  // Bytes at or above the largest multiple of the alphabet are drawn again, and so is a password
  // that lacks a class: both keep every acceptable password equally likely.
  constexpr std::size_t kEven = 256 / kAll.size() * kAll.size();
  constexpr int kMaxDraws = 1000;
  SecureBytes password(length);
  SecureBytes pool(kMaxPasswordLength);
  for (int draw = 0; draw < kMaxDraws; ++draw) {
    std::size_t filled = 0;
    while (filled < length) {
      if (!random.Fill(pool.span())) {
        return Fail(ErrorCode::kInternal, "The system gave no random numbers.");
      }
      for (std::size_t i = 0; i < pool.size() && filled < length; ++i) {
        const std::uint8_t byte = pool.data()[i];
        if (byte >= kEven) continue;
        password.data()[filled++] = static_cast<std::uint8_t>(kAll[byte % kAll.size()]);
      }
    }
    if (HasEachClass(password)) return password;
  }
  return Fail(ErrorCode::kInternal, "The system's random numbers are not random.");
}

Result<void> CheckTypedPassword(const SecureBytes& password) {
  if (password.empty()) {
    return Fail(ErrorCode::kInvalidArgument, "Type the new password.");
  }
  if (password.size() > protocol::kMaxPassword) {
    return Fail(ErrorCode::kInvalidArgument, "The new password is longer than 256 bytes.");
  }
  if (!IsPrintableUtf8(password.view())) {
    return Fail(ErrorCode::kInvalidArgument,
                "The new password holds a character that cannot be typed at a login screen.");
  }
  return {};
}

Result<std::string> GenerateActivationCode(protocol::RandomSource& random) {
  std::array<std::uint8_t, 16> bytes{};
  if (!random.Fill(bytes)) {
    return Fail(ErrorCode::kInternal, "The system gave no random numbers.");
  }
  std::string code;
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    if (i != 0 && i % 4 == 0) code += '-';
    code += kCrockford[bytes[i] & 31];
  }
  return code;
}

}  // namespace keyferry::server

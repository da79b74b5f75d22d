#include "server/core/notice_link.h"

#include <array>

#include "protocol/bytes.h"
#include "protocol/crypto.h"
#include "server/core/encoding.h"

namespace keyferry::server {
namespace {

constexpr std::size_t kNumberSize = 8;
constexpr std::size_t kTokenSize = kNumberSize + protocol::kHashSize;
constexpr std::size_t kTokenText = 54;  // of 40 bytes, base64url

}  // namespace

Result<std::string> NoticeToken(const Issuer& issuer, const NoticeRecord& notice) {
  protocol::Secret<32> key;
  if (auto made = issuer.NoticeKey(key); !made) return tl::unexpected(made.error());
  std::array<std::uint8_t, kNumberSize + 16 + 8> about{};
  protocol::Writer(about)
      .U64(notice.number)
      .Put(notice.account.bytes)
      .U64(static_cast<std::uint64_t>(notice.created));
  protocol::Bytes<protocol::kHashSize> mac{};
  protocol::Hmac(key.view()).Update(about).Final(mac);
  std::array<std::uint8_t, kTokenSize> token{};
  protocol::Writer(token).U64(notice.number).Put(mac);
  return ToBase64Url(token);
}

std::optional<std::uint64_t> ClaimedNotice(std::string_view token) {
  if (token.size() != kTokenText) return std::nullopt;
  std::string padded(token);
  for (char& c : padded) {
    if (c == '+' || c == '/' || c == '=') return std::nullopt;
    c = c == '-' ? '+' : c == '_' ? '/' : c;
  }
  const auto bytes = FromBase64(padded + "==");
  if (!bytes || bytes->size() != kTokenSize) return std::nullopt;
  protocol::Reader reader(*bytes);
  return reader.U64();
}

Result<bool> IsTokenOf(const Issuer& issuer, const NoticeRecord& notice, std::string_view token) {
  const auto right = NoticeToken(issuer, notice);
  if (!right) return tl::unexpected(right.error());
  return protocol::ConstantTimeEquals(protocol::AsBytes(*right), protocol::AsBytes(token));
}

}  // namespace keyferry::server

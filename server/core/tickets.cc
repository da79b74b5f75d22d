#include "server/core/tickets.h"

#include <utility>

#include "server/core/encoding.h"

namespace keyferry::server {

Result<Bytes> NegotiateToken(std::string_view authorization) {
  constexpr std::string_view kScheme = "negotiate ";
  constexpr std::size_t kMostText = (kMaxTicketToken + 2) / 3 * 4;
  if (authorization.size() < kScheme.size()) return Bytes();
  for (std::size_t i = 0; i < kScheme.size(); ++i) {
    const char c = authorization[i];
    if ((c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c) != kScheme[i]) return Bytes();
  }
  authorization.remove_prefix(kScheme.size());
  while (!authorization.empty() && authorization.front() == ' ') authorization.remove_prefix(1);
  if (authorization.empty()) return Bytes();
  if (authorization.size() > kMostText) {
    return Fail(ErrorCode::kInvalidArgument,
                "Your Windows ticket is too large for this server; sign in with your password.");
  }
  auto token = FromBase64(authorization);
  if (!token || token->empty() || token->size() > kMaxTicketToken) {
    return Fail(ErrorCode::kInvalidArgument, "The browser's answer is damaged; try again.");
  }
  return *std::move(token);
}

}  // namespace keyferry::server

#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "protocol/result.h"
#include "server/core/records.h"

// Sign-in by a Kerberos ticket instead of the password: HTTP's Negotiate (RFC 4559), which carries
// SPNEGO (RFC 4178). It stands for the password alone: what else is asked of people is asked here
// too, and a ticket is no proof of the second factor.
namespace keyferry::server {

// Most of a token, in bytes: what fits into the header of a request. Windows makes larger ones for
// people in some hundreds of groups; they sign in with their password.
inline constexpr std::size_t kMaxTicketToken = 11 * 1024;

// Whom a ticket names, by the word of the domain's key distribution centre.
struct TicketHolder {
  std::string principal;  // "alice@CORP.EXAMPLE", printable; for the audit log
  std::string sid;        // S-1-5-…, the account
  Bytes answer;           // proves this service to the client; may be empty
};

// Reads and verifies tokens. Thread-safe; blocks (replay cache on disk).
class TicketReader {
 public:
  virtual ~TicketReader() = default;
  // Every byte comes from outside. kUnauthenticated: refused, the message is for the person, the
  // detail for the log. kUnavailable: this server's own part (the keytab) cannot be used.
  virtual Result<TicketHolder> Read(std::span<const std::uint8_t> token) = 0;
};

// The token of "Authorization: Negotiate …": empty when the header is, or is of another scheme.
// kInvalidArgument: no base64, or more than kMaxTicketToken.
Result<Bytes> NegotiateToken(std::string_view authorization);

}  // namespace keyferry::server

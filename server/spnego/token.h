#pragma once

#include <cstdint>
#include <span>

namespace keyferry::server {

// What a client offers in its first token.
enum class TicketOffer {
  kKerberos,  // SPNEGO whose list of mechanisms has Kerberos 5, by either of its two names
  kNtlm,      // NTLM, bare or as all that SPNEGO's list has beside what nobody here knows
  kOther,
};

// Looks at the first structure of a token (RFC 4178 section 4.2.1, NegTokenInit in the wrapping of
// RFC 2743 section 3.1) and its list of at most 16 mechanisms; nothing behind the list is read.
TicketOffer OfferOf(std::span<const std::uint8_t> token);

}  // namespace keyferry::server

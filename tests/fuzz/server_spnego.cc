// LINKS: keyferry_spnego
// What a browser may send to sign in by a Kerberos ticket, and what a ticket may carry: the header,
// the list of mechanisms, the authorization data. The first byte says which.
#include <cstdlib>
#include <string_view>

#include "server/core/tickets.h"
#include "server/spnego/pac.h"
#include "server/spnego/ticket_reader.h"
#include "server/spnego/token.h"

using namespace keyferry::server;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::span<const std::uint8_t> bytes(data + 1, size - 1);
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  switch (data[0] % 4) {
    case 0:
      if (const auto token = NegotiateToken(text); token && token->size() > kMaxTicketToken) {
        std::abort();
      }
      break;
    case 1:
      // Nothing shorter than the wrapping of one name can offer Kerberos.
      if (OfferOf(bytes) == TicketOffer::kKerberos && bytes.size() < 27) std::abort();
      break;
    case 2:
      if (const auto sid = SidOfUpnDnsInfo(bytes);
          sid && (sid->size() > 200 || bytes.size() < 32)) {
        std::abort();
      }
      break;
    default:
      if (IsOfRealm(text, "CORP.EXAMPLE") && !text.ends_with("@CORP.EXAMPLE")) std::abort();
  }
  return 0;
}

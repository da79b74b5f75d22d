#include "server/spnego/token.h"

#include <algorithm>
#include <cstddef>
#include <initializer_list>
#include <optional>

namespace keyferry::server {
namespace {

constexpr std::size_t kMostMechanisms = 16;
constexpr std::uint8_t kApplication = 0x60, kOid = 0x06, kFirst = 0xA0, kSequence = 0x30;
constexpr std::uint8_t kSpnegoOid[] = {0x2B, 0x06, 0x01, 0x05, 0x05, 0x02};
constexpr std::uint8_t kKerberosOid[] = {0x2A, 0x86, 0x48, 0x86, 0xF7, 0x12, 0x01, 0x02, 0x02};
// As Windows 2000 wrote it, one bit off; Windows still sends both.
constexpr std::uint8_t kWindowsOid[] = {0x2A, 0x86, 0x48, 0x82, 0xF7, 0x12, 0x01, 0x02, 0x02};
constexpr std::uint8_t kNtlmOid[] = {0x2B, 0x06, 0x01, 0x04, 0x01, 0x82, 0x37, 0x02, 0x02, 0x0A};
constexpr std::uint8_t kNtlmMark[] = {'N', 'T', 'L', 'M', 'S', 'S', 'P', 0};

using Span = std::span<const std::uint8_t>;

bool Same(Span a, Span b) { return std::equal(a.begin(), a.end(), b.begin(), b.end()); }

// Takes one DER element with this tag off the front: its content. Lengths have one to three bytes.
std::optional<Span> Take(Span& from, std::uint8_t tag) {
  if (from.size() < 2 || from[0] != tag) return std::nullopt;
  std::size_t header = 2, length = from[1];
  if (length >= 0x80) {
    const std::size_t bytes = length & 0x7F;
    if (bytes < 1 || bytes > 2 || from.size() < 2 + bytes) return std::nullopt;
    length = 0;
    for (std::size_t i = 0; i < bytes; ++i) length = length << 8 | from[2 + i];
    if (length < 0x80 || (bytes == 2 && length < 0x100)) return std::nullopt;  // not the shortest
    header += bytes;
  }
  if (from.size() - header < length) return std::nullopt;
  const Span content = from.subspan(header, length);
  from = from.subspan(header + length);
  return content;
}

}  // namespace

TicketOffer OfferOf(std::span<const std::uint8_t> token) {
  if (token.size() >= sizeof kNtlmMark && Same(token.first(sizeof kNtlmMark), kNtlmMark)) {
    return TicketOffer::kNtlm;
  }
  const auto whole = Take(token, kApplication);
  if (!whole || !token.empty()) return TicketOffer::kOther;
  Span rest = *whole;
  const auto mechanism = Take(rest, kOid);
  if (!mechanism || !Same(*mechanism, kSpnegoOid)) return TicketOffer::kOther;
  // Down to mechTypes, the first member of the sequence.
  for (const std::uint8_t tag : {kFirst, kSequence, kFirst, kSequence}) {
    const auto inner = Take(rest, tag);
    if (!inner) return TicketOffer::kOther;
    rest = *inner;
  }
  bool ntlm = false;
  for (std::size_t count = 0; !rest.empty(); ++count) {
    const auto offered = Take(rest, kOid);
    if (!offered || count == kMostMechanisms) return TicketOffer::kOther;
    if (Same(*offered, kKerberosOid) || Same(*offered, kWindowsOid)) return TicketOffer::kKerberos;
    ntlm = ntlm || Same(*offered, kNtlmOid);
  }
  return ntlm ? TicketOffer::kNtlm : TicketOffer::kOther;
}

}  // namespace keyferry::server

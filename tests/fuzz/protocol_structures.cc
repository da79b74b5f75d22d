// LINKS: keyferry_protocol
// Receipts, certificates, statements, grants, assertions, INFO, Status, fields: whatever parses
// encodes to the same bytes.
#include <cstdlib>

#include "protocol/certs.h"
#include "protocol/framing.h"
#include "protocol/messages.h"
#include "protocol/receipt.h"

using namespace keyferry::protocol;

template <typename T>
void Canonical(ByteView input) {
  const auto parsed = T::Parse(input);
  if (!parsed) return;
  const auto again = parsed->Encode();
  if (!std::equal(input.begin(), input.end(), again.begin(), again.end())) std::abort();
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const ByteView input(data, size);
  Canonical<Receipt>(input);
  Canonical<HostCert>(input);
  Canonical<IssuerCert>(input);
  Canonical<Statement>(input);
  Canonical<EnrolGrant>(input);
  Canonical<EnrollBegin>(input);
  Canonical<Assertion>(input);
  Canonical<Policy>(input);
  Canonical<Info>(input);
  Canonical<KeyStatus>(input);
  Canonical<AssertRequest>(input);
  Canonical<InitResponse>(input);
  (void)Released::Parse(input);
  (void)ParsePinField(input);
  (void)ParseCodeField(input);
  return 0;
}

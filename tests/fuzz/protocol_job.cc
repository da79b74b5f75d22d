// LINKS: keyferry_protocol
// Jobs: parse, signature, open with a fixed key; and the plaintext rules on the input as a body.
#include <cstdlib>

#include "protocol/job.h"

using namespace keyferry::protocol;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const ByteView input(data, size);
  X25519Private recipient;
  recipient.bytes.fill(3);
  if (const auto job = ParsedJob::Parse(input)) {
    const Bytes<kJobHeaderSize> again = job->header.Encode();
    if (!std::equal(again.begin(), again.end(), job->header_bytes.begin())) std::abort();
    (void)OpenJob(*job, recipient);
  }
  if (size > 0) (void)CheckBody(static_cast<JobType>(1 + data[0] % 8), input.subspan(1));
  if (const auto body = SetPasswordBody::Parse(input)) {
    Bytes<512> out{};
    const std::size_t length = body->Encode(out);
    if (length != size || !std::equal(input.begin(), input.end(), out.begin())) std::abort();
  }
  return 0;
}

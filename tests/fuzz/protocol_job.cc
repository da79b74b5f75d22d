// LINKS: keyferry_protocol
// Jobs. The input is once a job as it comes from the wire, once the plaintext inside a job that is
// sealed as it should be, so that the rules behind the AEAD are reached.
#include <algorithm>
#include <cstdlib>

#include "protocol/hpke.h"
#include "protocol/job.h"

using namespace keyferry::protocol;

namespace {

X25519Pair Pair(std::uint8_t fill) {
  X25519Pair pair;
  pair.priv.bytes.fill(fill);
  if (!X25519DerivePublic(pair.priv, pair.pub)) std::abort();
  return pair;
}

void FromTheWire(ByteView input, const X25519Pair& recipient) {
  const auto job = ParsedJob::Parse(input);
  if (!job) return;
  const Bytes<kJobHeaderSize> again = job->header.Encode();
  if (!std::equal(again.begin(), again.end(), job->header_bytes.begin())) std::abort();
  (void)OpenJob(*job, recipient);
}

void Inside(std::uint8_t type, std::uint8_t bucket, ByteView plaintext,
            const X25519Pair& recipient) {
  static const X25519Pair ephemeral = Pair(4);
  Bytes<kMaxJobSize> raw{};
  JobHeader header;
  header.type = static_cast<JobType>(1 + type % 8);
  header.seq = 1;
  header.ct_len = static_cast<std::uint16_t>((128u << bucket % 3) + kTagSize);
  Secret<kMaxBucket> padded;
  const std::size_t size = header.ct_len - kTagSize;
  std::copy_n(plaintext.begin(), std::min(size, plaintext.size()), padded.bytes.begin());
  const Bytes<kJobHeaderSize> aad = header.Encode();
  const MutableBytes out(raw);
  Writer(out).Put(aad).Put(ephemeral.pub);
  if (!HpkeSeal(ephemeral, recipient.pub, JobInfo(header), aad, padded.view().first(size),
                out.subspan(128, header.ct_len)))
    std::abort();
  const auto job = ParsedJob::Parse(out.first(kJobOverhead + header.ct_len));
  if (!job) std::abort();
  const auto opened = OpenJob(*job, recipient);
  if (!opened && opened.error() != Status::kBadPlaintext) std::abort();
  // What opens is the one way to write its body: sealed again it gives the same bucket.
  if (opened && (opened->body_size + 2 > size || (size > 128 && opened->body_size + 2 <= size / 2)))
    std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const X25519Pair recipient = Pair(3);
  const ByteView input(data, size);
  FromTheWire(input, recipient);
  if (size > 2) Inside(data[0], data[1], input.subspan(2), recipient);
  if (const auto body = SetPasswordBody::Parse(input)) {
    Bytes<512> out{};
    const std::size_t length = body->Encode(out);
    if (length != size || !std::equal(input.begin(), input.end(), out.begin())) std::abort();
  }
  return 0;
}

// LINKS: keyferry_protocol
// BLE fragments of any length and content into one assembler; the first byte of the input chooses
// the fragment size.
#include <cstdlib>

#include "protocol/framing.h"

using namespace keyferry::protocol;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::size_t step_size = 1 + data[0];
  ByteView rest(data + 1, size - 1);
  Assembler assembler;
  while (!rest.empty()) {
    const ByteView raw = rest.first(std::min(step_size, rest.size()));
    rest = rest.subspan(raw.size());
    BleFragment fragment;
    if (!BleFragment::Parse(raw, fragment)) continue;
    const auto step = fragment.first
                          ? assembler.Begin(fragment.command, fragment.length, fragment.data)
                          : assembler.Continue(fragment.sequence, fragment.data);
    if (step == Assembler::Step::kComplete && assembler.message().size() > kMaxMessage)
      std::abort();
  }
  return 0;
}

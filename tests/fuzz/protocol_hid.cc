// LINKS: keyferry_protocol
// HID reports of any content into one assembler: never more than was claimed, never past its
// buffer.
#include <cstdlib>

#include "protocol/framing.h"

using namespace keyferry::protocol;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Assembler assembler;
  std::size_t claimed = 0;
  for (; size >= kReportSize; data += kReportSize, size -= kReportSize) {
    Report report{};
    std::copy_n(data, kReportSize, report.begin());
    const HidFrame frame = HidFrame::Parse(report);
    if (frame.first) claimed = frame.length;
    const auto step = frame.first ? assembler.Begin(frame.command, frame.length, frame.data)
                                  : assembler.Continue(frame.sequence, frame.data);
    if (assembler.message().size() > kMaxMessage) std::abort();
    if (step == Assembler::Step::kComplete && assembler.message().size() != claimed) std::abort();
  }
  return 0;
}

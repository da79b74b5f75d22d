// LINKS: keyferry_firmware_bench
// Reports of any content, and time, against a key: it never crashes, and every report that it sends
// is well framed.

#include <cstdlib>

#include "tests/unit/firmware-sim/bench.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace keyferry::sim::test;
  Bench bench;
  bench.PowerOn();
  bench.touching = size % 2 == 0 ? Touching::kAuto : Touching::kManual;
  const std::uint32_t cids[] = {0x11111111, 0x22222222};
  for (const char* cid : {"11111111", "22222222"}) {
    bench.random().Queue(FromHex(cid));
    bench.Send(keyferry::protocol::kBroadcastCid, FrameCommand::kInit, Blob(8));
  }
  keyferry::protocol::Reader in({data, size});
  while (in.ok() && in.remaining() != 0) {
    // One control byte: which cid (or the report's own), how much time, how many bytes of the
    // report are given.
    const std::uint8_t control = in.U8();
    keyferry::protocol::Report report{};
    const auto given = in.Take(std::min<std::size_t>(in.remaining(), control & 0x3F));
    std::copy(given.begin(), given.end(), report.begin());
    if ((control & 0x40) != 0) keyferry::protocol::Writer(report).U32(cids[control & 1]);
    bench.Send(report);
    if ((control & 0x80) != 0) bench.Pass(600);
  }
  for (const auto& report : bench.out) {
    const auto frame = keyferry::protocol::HidFrame::Parse(report);
    if (frame.first && frame.length > keyferry::protocol::kMaxMessage) std::abort();
  }
  if (bench.flash().violations() != 0) std::abort();
  return 0;
}

// LINKS: keyferry_protocol
// Whatever is split comes together again, byte for byte, over HID and over BLE at any fragment
// size.
#include <array>
#include <cstdlib>

#include "protocol/framing.h"

using namespace keyferry::protocol;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 2 || size > kMaxMessage + 2) return 0;
  const std::size_t fragment = 20 + data[0] + data[1];
  const ByteView message(data + 2, size - 2);
  const auto same = [&](const Assembler& assembler, Assembler::Step step) {
    return step == Assembler::Step::kComplete &&
           std::equal(message.begin(), message.end(), assembler.message().begin(),
                      assembler.message().end());
  };

  HidSplitter hid(0x01020304, FrameCommand::kMsg, message);
  Assembler at_key;
  auto step = Assembler::Step::kMore;
  Report report{};
  while (hid.Next(report)) {
    const HidFrame frame = HidFrame::Parse(report);
    step = frame.first ? at_key.Begin(frame.command, frame.length, frame.data)
                       : at_key.Continue(frame.sequence, frame.data);
  }
  if (!same(at_key, step)) std::abort();

  BleSplitter ble(fragment, FrameCommand::kMsg, message);
  std::array<std::uint8_t, 600> raw{};
  while (const std::size_t length = ble.Next(raw)) {
    BleFragment part;
    if (length > fragment || !BleFragment::Parse(ByteView(raw).first(length), part)) std::abort();
    step = part.first ? at_key.Begin(part.command, part.length, part.data)
                      : at_key.Continue(part.sequence, part.data);
  }
  if (!same(at_key, step)) std::abort();
  return 0;
}

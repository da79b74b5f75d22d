// LINKS: keyferry_firmware_bench
// A key mounts whatever its flash holds: it comes up in some state, answers INFO, and survives a
// hello.
//
// Input: base image (blank, factory, enrolled), two counter offsets, then patches of where(2)
// length(1) bytes; or a whole state record or tries entry, written the way the key would.

#include <cstdlib>

#include "tests/unit/firmware-sim/bench.h"

namespace {

using namespace keyferry::sim;
using namespace keyferry::sim::test;

const FlashImage& Enrolled() {
  static const FlashImage image = [] {
    Bench bench;
    bench.PowerOn();
    Owner owner(bench);
    owner.Enrol();
    Host daemon = owner.Daemon();
    if (!daemon.Connect() || !owner.Put(daemon, owner.SealPassword("secret")).ok()) std::abort();
    return bench.flash().image();
  }();
  return image;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  keyferry::protocol::Reader in({data, size});
  const std::uint8_t mode = in.U8();
  FlashImage image = mode % 2 == 0 ? FactoryImage() : Enrolled();
  image.counters[0] += in.U8() % 4;
  image.counters[1] += in.U8() % 4;
  if (!in.ok()) return 0;
  if ((mode & 2) != 0) {
    MemoryFlash flash(image);
    NoProgress progress;
    RecordStore store(flash, flash, CounterId::kState, kStatePageA, kStatePageB, progress);
    (void)store.Mount();
    const auto record = in.Take(std::min(in.remaining(), RecordStore::kMaxData));
    std::copy(record.begin(), record.end(), store.buffer().begin());
    (void)store.Commit(record.size());
    image = flash.image();
  }
  while (in.ok() && in.remaining() != 0) {
    const std::size_t where = std::size_t{in.U16()} % image.bytes.size();
    const auto patch = in.Take(in.U8());
    for (std::size_t i = 0; i < patch.size() && where + i < image.bytes.size(); ++i)
      image.bytes[where + i] = patch[i];
  }
  Factory factory;
  if (!ReadFactory(MemoryFlash(image), &factory)) return 0;  // the bench wants a device_id
  Bench bench(image);
  for (int boot = 0; boot < 2; ++boot) {
    bench.PowerOn();
    if (bench.key().View().state > keyferry::protocol::KeyState::kTampered) std::abort();
    if ((mode & 4) != 0) {
      Owner owner(bench);
      Host host = owner.Daemon();
      (void)host.Connect();
    }
    bench.PowerOff();
  }
  if (bench.flash().violations() != 0) std::abort();
  return 0;
}

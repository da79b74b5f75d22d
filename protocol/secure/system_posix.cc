// What locked_memory.h, secure_bytes.h and system_random.h ask of Linux.
#include <sodium.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <cstdlib>
#include <new>

#include "protocol/secure/locked_memory.h"
#include "protocol/secure/secure_bytes.h"
#include "protocol/secure/system_random.h"

namespace keyferry {
namespace {

void InitSodium() {
  static const bool ready = [] { return sodium_init() >= 0; }();
  if (!ready) std::abort();  // no entropy source: nothing secret may be made on this machine
}

}  // namespace

void* AllocateLocked(std::size_t size) {
  InitSodium();
  void* data = sodium_malloc(size);
  if (data == nullptr) throw std::bad_alloc();
  return data;
}

void FreeLocked(void* data) { sodium_free(data); }

void Wipe(void* data, std::size_t size) {
  if (size != 0) sodium_memzero(data, size);
}

void HardenProcess() {
  InitSodium();
  const rlimit no_core{0, 0};
  setrlimit(RLIMIT_CORE, &no_core);
  prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
  prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  umask(077);
}

bool SystemRandom::Fill(protocol::MutableBytes out) {
  static const bool ready = sodium_init() >= 0;
  if (!ready) return false;
  randombytes_buf(out.data(), out.size());
  return true;
}

}  // namespace keyferry

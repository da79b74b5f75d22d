#include "server/directory/wiping_memory.h"

#include <lber.h>
#include <malloc.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <mutex>

#include "protocol/secure/secure_bytes.h"

namespace keyferry::server {
namespace {

void* Allocate(ber_len_t size, void*) { return std::malloc(size); }

void* AllocateZeroed(ber_len_t count, ber_len_t size, void*) { return std::calloc(count, size); }

void Release(void* block, void*) {
  if (block == nullptr) return;
  Wipe(block, malloc_usable_size(block));
  std::free(block);
}

// Never the heap's own realloc: it may move the block and leave the old copy behind.
void* Resize(void* block, ber_len_t size, void* context) {
  void* moved = std::malloc(size);
  if (moved == nullptr || block == nullptr) return moved;
  std::memcpy(moved, block, std::min<std::size_t>(size, malloc_usable_size(block)));
  Release(block, context);
  return moved;
}

}  // namespace

void PrepareLdapLibrary() {
  static std::once_flag once;
  std::call_once(once, [] {
    static BerMemoryFunctions functions{Allocate, AllocateZeroed, Resize, Release};
    ber_set_option(nullptr, LBER_OPT_MEMORY_FNS, &functions);
  });
}

}  // namespace keyferry::server

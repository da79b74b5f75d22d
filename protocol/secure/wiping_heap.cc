// Every block of the heap is overwritten before it is free again, whoever used it: TLS libraries,
// libldap, HTTP and JSON buffers all keep copies of a password that they never wipe. A program gets
// this by linking keyferry_wiping_heap; nothing is called.
//
// Why not M_PERTURB: glibc's per-thread cache (blocks up to 1032 bytes, where passwords are) takes
// a block before the perturbing is done. Why not the libraries' own allocator hooks: liblber
// ignores its hooks for clients, and not every library has one.
//
// Replaces free and realloc of the C library and hands the blocks on to it. Only for programs,
// never for a plug-in such as the PAM module: its host may have brought an allocator of its own.
// Sanitizers bring theirs too, so there this file is empty.
#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define KEYFERRY_FOREIGN_HEAP 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define KEYFERRY_FOREIGN_HEAP 1
#endif

#ifndef KEYFERRY_FOREIGN_HEAP

#include <malloc.h>

#include <cstdlib>
#include <cstring>

// glibc's implementation behind the public names (exported for replacements like this one).
extern "C" void __libc_free(void* block);
extern "C" void* __libc_malloc(std::size_t size);

namespace {

void Overwrite(void* block, std::size_t from) {
  const std::size_t size = malloc_usable_size(block);
  if (size <= from) return;
  std::memset(static_cast<char*>(block) + from, 0, size - from);
  asm volatile("" : : "r"(block) : "memory");  // the block's end is near: keep the stores
}

}  // namespace

extern "C" [[gnu::visibility("default")]] void free(void* block) noexcept {
  if (block == nullptr) return;
  Overwrite(block, 0);
  __libc_free(block);
}

extern "C" [[gnu::visibility("default")]] void* realloc(void* block, std::size_t size) noexcept {
  if (block == nullptr) return __libc_malloc(size);
  if (size == 0) {
    free(block);
    return nullptr;
  }
  const std::size_t have = malloc_usable_size(block);
  if (size <= have && size >= have / 2) {
    Overwrite(block, size);
    return block;
  }
  // Never the C library's own: it may move the block and leave the old one as it was.
  void* moved = __libc_malloc(size);
  if (moved == nullptr) return nullptr;
  std::memcpy(moved, block, size < have ? size : have);
  free(block);
  return moved;
}

#endif

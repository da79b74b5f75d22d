// Every block of the heap is overwritten before it is free again, as wiping_heap.cc does on Linux
// and for its reasons. The linker sends every free and realloc of the program, of the C++ library
// and of the libraries in it here (--wrap); what Windows' own DLLs do among themselves stays
// theirs.
#include <malloc.h>

#include <cstdlib>
#include <cstring>

extern "C" void __real_free(void* block);

namespace {

void Overwrite(void* block, std::size_t from) {
  const std::size_t size = _msize(block);
  if (size == static_cast<std::size_t>(-1) || size <= from) return;
  std::memset(static_cast<char*>(block) + from, 0, size - from);
  asm volatile("" : : "r"(block) : "memory");  // the block's end is near: keep the stores
}

}  // namespace

extern "C" void __wrap_free(void* block) {
  if (block == nullptr) return;
  Overwrite(block, 0);
  __real_free(block);
}

extern "C" void* __wrap_realloc(void* block, std::size_t size) {
  if (block == nullptr) return std::malloc(size);
  if (size == 0) {
    __wrap_free(block);
    return nullptr;
  }
  const std::size_t have = _msize(block);
  if (size <= have && size >= have / 2) return block;
  // Never the C library's own: it may move the block and leave the old one as it was.
  void* moved = std::malloc(size);
  if (moved == nullptr) return nullptr;
  std::memcpy(moved, block, size < have ? size : have);
  __wrap_free(block);
  return moved;
}

#include <catch2/catch.hpp>
#include <cstdlib>
#include <cstring>
#include <string>

// This program links keyferry_wiping_heap, so freed blocks are zero where the heap itself has not
// written its links (the first 16 bytes of a block).
namespace {

constexpr std::size_t kHeapLinks = 16;

bool Zero(const char* from, const char* to) {
  for (const char* at = from; at != to; ++at) {
    if (*static_cast<const volatile char*>(at) != 0) return false;
  }
  return true;
}

}  // namespace

TEST_CASE("a freed block is wiped, whoever freed it") {
  const std::size_t size = 200;
  auto* block = static_cast<char*>(std::malloc(size));
  std::memset(block, 0x5a, size);
  // The heap keeps a block of this size committed after it is freed.
  char* volatile was = block;
  std::free(block);
  CHECK(Zero(was + kHeapLinks, was + size));

  auto text = new std::string(size, 'x');
  char* volatile letters = text->data();
  delete text;
  CHECK(Zero(letters + kHeapLinks, letters + size));

  auto* small = static_cast<char*>(std::malloc(size));
  std::memset(small, 0x5a, size);
  char* volatile before = small;
  auto* grown = static_cast<char*>(std::realloc(small, 8 * size));
  REQUIRE(grown != before);
  CHECK(grown[size - 1] == 0x5a);
  CHECK(Zero(before + kHeapLinks, before + size));
  std::free(grown);
}

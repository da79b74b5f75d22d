// keyferry-vectors FILE…: runs files of test vectors; the last line is 'N passed, N failed'.
#include <cstdio>

#include "tests/support/vectors/vectors.h"

int main(int argc, char** argv) {
  if (argc < 2) {
    std::fputs("usage: keyferry-vectors FILE…\n", stderr);
    return 2;
  }
  std::size_t passed = 0;
  std::size_t failed = 0;
  for (int i = 1; i < argc; ++i) {
    keyferry::vectors::RunFile(argv[i], [&](const std::string& what, bool ok) {
      ok ? ++passed : ++failed;
      if (!ok) std::printf("failed: %s: %s\n", argv[i], what.c_str());
    });
  }
  std::printf("%zu passed, %zu failed\n", passed, failed);
  return failed == 0 ? 0 : 1;
}

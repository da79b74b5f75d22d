#pragma once

#include <cstdlib>
#include <filesystem>
#include <string>

namespace keyferry::test {

struct TempDir {
  TempDir() {
    char name[] = "/tmp/keyferry-unit-XXXXXX";
    path = mkdtemp(name);
  }
  ~TempDir() {
    std::error_code ignored;
    std::filesystem::remove_all(path, ignored);
  }
  std::string operator/(const std::string& name) const { return (path / name).string(); }
  std::filesystem::path path;
};

}  // namespace keyferry::test

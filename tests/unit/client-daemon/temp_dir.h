#pragma once

#include <filesystem>
#include <random>
#include <string>

namespace keyferry::test {

// A folder of our own that goes with the object.
struct TempDir {
  TempDir() {
    namespace fs = std::filesystem;
    std::random_device random;
    do {
      path = fs::temp_directory_path() / ("keyferry-unit-" + std::to_string(random()));
    } while (!fs::create_directory(path));
    fs::permissions(path, fs::perms::owner_all);
  }
  ~TempDir() {
    std::error_code ignored;
    std::filesystem::remove_all(path, ignored);
  }
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;
  std::string operator/(const std::string& name) const { return path.string() + "/" + name; }
  std::filesystem::path path;
};

}  // namespace keyferry::test

#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "protocol/result.h"
#include "server/core/store.h"

namespace keyferry::server::testing {

// A folder that goes away with the object.
struct TempFolder {
  TempFolder();
  ~TempFolder();
  TempFolder(const TempFolder&) = delete;
  TempFolder& operator=(const TempFolder&) = delete;
  std::filesystem::path path;
};

// A database of a test's own: a SQLite file or, where KEYFERRY_TEST_POSTGRESQL holds a URL
// (`scripts/pg run`), a database over there.
class TestDatabase {
 public:
  enum class Content {
    kSchema,  // as a server leaves it that was started once
    kNone,    // as whoever installs it makes it: the first Open migrates it
  };
  explicit TestDatabase(Content content = Content::kSchema);
  ~TestDatabase();
  TestDatabase(const TestDatabase&) = delete;
  TestDatabase& operator=(const TestDatabase&) = delete;

  static bool IsPostgres();

  Result<std::unique_ptr<Store>> Open() const;
  const std::string& url() const { return url_; }  // of PostgreSQL
  // Past the store, as whoever has the file or an account can.
  void Run(const std::string& sql) const;
  std::string Text(const std::string& sql) const;
  // The folder in which it lies.
  std::filesystem::path Where() const;
  // What is found by whoever has the disk: the database's files, and those of them that hold
  // `text`.
  struct Found {
    std::size_t files = 0;
    std::vector<std::filesystem::path> with;
  };
  Found Search(std::string_view text) const;

 private:
  TempFolder folder_;
  std::string name_, url_;
};

}  // namespace keyferry::server::testing

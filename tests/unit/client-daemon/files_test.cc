#include "client-daemon/core/files.h"

#include <sys/stat.h>

#include <catch2/catch.hpp>
#include <fstream>

#include "client-daemon/core/sealed_file.h"
#include "tests/unit/client-daemon/temp_dir.h"

using namespace keyferry;
using namespace keyferry::daemon;

TEST_CASE("a durable write replaces the file whole and leaves nothing else") {
  const test::TempDir dir;
  REQUIRE(WriteDurably(dir / "file", Bytes{1, 2, 3}));
  REQUIRE(WriteDurably(dir / "file", Bytes{4}));
  CHECK(ReadBounded(dir / "file", 10) == Bytes{4});
  struct stat info {};
  REQUIRE(stat((dir / "file").c_str(), &info) == 0);
  CHECK((info.st_mode & 0777) == 0600);
  CHECK(ListFiles(dir.path.string())->size() == 1);
  REQUIRE(RemoveDurably(dir / "file"));
  CHECK(RemoveDurably(dir / "file"));
  CHECK(ReadBounded(dir / "file", 10).error().code == ErrorCode::kNotFound);
}

TEST_CASE("reading is bounded and follows no link") {
  const test::TempDir dir;
  REQUIRE(WriteDurably(dir / "file", Bytes(100)));
  CHECK(ReadBounded(dir / "file", 100)->size() == 100);
  CHECK_FALSE(ReadBounded(dir / "file", 99));
  std::filesystem::create_symlink(dir / "file", dir / "link");
  CHECK_FALSE(ReadBounded(dir / "link", 1000));
  REQUIRE(mkfifo((dir / "fifo").c_str(), 0600) == 0);
  CHECK_FALSE(ReadBounded(dir / "fifo", 10));  // and does not hang
}

TEST_CASE("a directory that others may enter is refused with the remedy") {
  const test::TempDir dir;
  REQUIRE(MakePrivateDirectory(dir / "a/b"));
  REQUIRE(MakePrivateDirectory(dir / "a/b"));
  std::filesystem::permissions(dir / "a/b", std::filesystem::perms::all);
  const auto refused = MakePrivateDirectory(dir / "a/b");
  REQUIRE_FALSE(refused);
  CHECK(refused.error().message.find("chmod 700") != std::string::npos);
}

TEST_CASE("a lock has one holder") {
  const test::TempDir dir;
  {
    const auto held = FileLock::Take(dir / "lock");
    REQUIRE(held);
    const auto second = FileLock::Take(dir / "lock");
    REQUIRE_FALSE(second);
    CHECK(second.error().code == ErrorCode::kConflict);
    CHECK(second.error().detail == std::to_string(getpid()));
  }
  CHECK(FileLock::Take(dir / "lock"));
}

TEST_CASE("any changed byte of a checked file is found") {
  const test::TempDir dir;
  REQUIRE(WriteChecked(dir / "file", Bytes{1, 2, 3, 4}));
  CHECK(ReadChecked(dir / "file") == Bytes{1, 2, 3, 4});
  const Bytes whole = *ReadBounded(dir / "file", 1000);
  for (std::size_t i = 0; i < whole.size(); ++i) {
    Bytes changed = whole;
    changed[i] ^= 1;
    CHECK_FALSE(ParseChecked(changed));
    CHECK_FALSE(ParseChecked(std::span(whole).first(i)));
  }
}

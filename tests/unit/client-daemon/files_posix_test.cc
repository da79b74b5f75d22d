#include <sys/stat.h>
#include <unistd.h>

#include <catch2/catch.hpp>

#include "client-daemon/core/files.h"
#include "tests/unit/client-daemon/temp_dir.h"

using namespace keyferry;
using namespace keyferry::daemon;

TEST_CASE("what is written is for its owner alone") {
  const test::TempDir dir;
  REQUIRE(WriteDurably(dir / "file", Bytes{1}));
  struct stat info {};
  REQUIRE(stat((dir / "file").c_str(), &info) == 0);
  CHECK((info.st_mode & 0777) == 0600);
}

TEST_CASE("the holder of a lock is named by its process id") {
  const test::TempDir dir;
  const auto held = FileLock::Take(dir / "lock");
  REQUIRE(held);
  CHECK(FileLock::Take(dir / "lock").error().detail == std::to_string(getpid()));
}

TEST_CASE("reading follows no link and waits for no FIFO") {
  const test::TempDir dir;
  REQUIRE(WriteDurably(dir / "file", Bytes(100)));
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

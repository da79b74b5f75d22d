#include "client-daemon/core/files.h"

#include <catch2/catch.hpp>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "client-daemon/core/sealed_file.h"
#include "tests/unit/client-daemon/temp_dir.h"

using namespace keyferry;
using namespace keyferry::daemon;

namespace {

std::optional<std::string> ReadPid(const std::string& path) {
  const auto file = ReadBounded(path, 20);
  if (!file || file->empty() || file->back() != '\n') return std::nullopt;
  return std::string(file->begin(), file->end() - 1);
}

}  // namespace

TEST_CASE("a durable write replaces the file whole and leaves nothing else") {
  const test::TempDir dir;
  REQUIRE(WriteDurably(dir / "file", Bytes{1, 2, 3}));
  REQUIRE(WriteDurably(dir / "file", Bytes{4}));
  CHECK(ReadBounded(dir / "file", 10) == Bytes{4});
  CHECK(ListFiles(dir.path.string())->size() == 1);
  REQUIRE(RemoveDurably(dir / "file"));
  CHECK(RemoveDurably(dir / "file"));
  CHECK(ReadBounded(dir / "file", 10).error().code == ErrorCode::kNotFound);
}

TEST_CASE("reading is bounded") {
  const test::TempDir dir;
  REQUIRE(WriteDurably(dir / "file", Bytes(100)));
  CHECK(ReadBounded(dir / "file", 100)->size() == 100);
  CHECK_FALSE(ReadBounded(dir / "file", 99));
  CHECK(ReadBounded(dir.path.string(), 99).error().code != ErrorCode::kNotFound);
  CHECK(ReadBounded(dir / "no/such/folder", 99).error().code == ErrorCode::kNotFound);
}

TEST_CASE("names beyond ASCII are names") {
  const test::TempDir dir;
  REQUIRE(MakePrivateDirectory(dir / "Büro/Schlüssel"));
  REQUIRE(WriteDurably(dir / "Büro/Schlüssel/Größe", Bytes{7}));
  CHECK(ReadBounded(dir / "Büro/Schlüssel/Größe", 10) == Bytes{7});
  CHECK(ListFiles(dir / "Büro/Schlüssel") == std::vector<std::string>{"Größe"});
}

TEST_CASE("a file moves whole, over another one too") {
  const test::TempDir dir;
  REQUIRE(MakePrivateDirectory(dir / "bad"));
  REQUIRE(WriteDurably(dir / "file", Bytes{1}));
  REQUIRE(WriteDurably(dir / "bad/file", Bytes{2}));
  REQUIRE(MoveDurably(dir / "file", dir / "bad/file"));
  CHECK(ReadBounded(dir / "bad/file", 10) == Bytes{1});
  CHECK(ReadBounded(dir / "file", 10).error().code == ErrorCode::kNotFound);
  CHECK_FALSE(MoveDurably(dir / "file", dir / "bad/file"));
}

TEST_CASE("a reader meets the old content or the new, never less") {
  const test::TempDir dir;
  const Bytes first(5000, 1);
  const Bytes second(9000, 2);
  REQUIRE(WriteDurably(dir / "file", first));
  std::jthread writer([&](std::stop_token stop) {
    for (bool odd = true; !stop.stop_requested(); odd = !odd) {
      if (!WriteDurably(dir / "file", odd ? second : first)) return;
    }
  });
  for (int i = 0; i < 200; ++i) {
    const auto seen = ReadBounded(dir / "file", 10000);
    REQUIRE(seen);
    REQUIRE((*seen == first || *seen == second));
  }
  writer.request_stop();
  writer.join();
  CHECK(WriteDurably(dir / "file", first));  // the writer did not give up on a reader's handle
}

TEST_CASE("a lock has one holder") {
  const test::TempDir dir;
  {
    const auto held = FileLock::Take(dir / "lock");
    REQUIRE(held);
    const auto second = FileLock::Take(dir / "lock");
    REQUIRE_FALSE(second);
    CHECK(second.error().code == ErrorCode::kConflict);
    CHECK(second.error().detail == *ReadPid(dir / "lock"));
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

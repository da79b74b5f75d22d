// The server's own files: secrets, configuration, log.
#include "server/app/files.h"

#include <sys/stat.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>

#include "config_text.h"
#include "server/app/log.h"

using namespace keyferry;
using namespace keyferry::server;
namespace fs = std::filesystem;

namespace {

struct Folder {
  Folder() {
    std::string name = (fs::temp_directory_path() / "keyferry-config-XXXXXX").string();
    REQUIRE(mkdtemp(name.data()) != nullptr);
    path = name;
  }
  ~Folder() { fs::remove_all(path); }
  fs::path Write(const char* name, const std::string& text, unsigned mode) const {
    const fs::path file = path / name;
    std::ofstream(file) << text;
    ::chmod(file.c_str(), mode);
    return file;
  }
  fs::path path;
};

}  // namespace

TEST_CASE("files: modes, owners, one line of secret, never over an old one") {
  const Folder folder;
  const auto secret = ReadSecretLine(folder.Write("secret", "hush\r\n", 0600));
  REQUIRE(secret);
  CHECK(secret->view() == "hush");
  for (const unsigned mode : {0640u, 0604u, 0660u, 0666u, 0610u}) {
    const auto wide = ReadSecretFile(folder.Write("wide", "hush", mode));
    REQUIRE_FALSE(wide);
    CHECK(wide.error().message.find("chmod 600") != std::string::npos);
    ::unlink((folder.path / "wide").c_str());
  }
  CHECK_FALSE(ReadSecretLine(folder.Write("empty", "\n", 0600)));
  CHECK_FALSE(ReadSecretFile(folder.path));
  CHECK_FALSE(ReadSecretFile(folder.path / "missing"));
  CHECK(ReadTextFile(folder.Write("text", "x", 0644), Sharing::kOthersMayRead));
  const auto writable = ServerConfig::Load(folder.Write("server.toml", kGood, 0664));
  REQUIRE_FALSE(writable);
  CHECK(writable.error().message.find("chmod go-w") != std::string::npos);
  CHECK(ServerConfig::Load(folder.Write("good.toml", kGood, 0644)));

  const fs::path made = folder.path / "made";
  CHECK(CreateFile(made, "one", 0600));
  const auto again = CreateFile(made, "two", 0600);
  REQUIRE_FALSE(again);
  CHECK(again.error().code == ErrorCode::kConflict);
  CHECK(ReplaceFile(made, "three", 0600));
  CHECK(*ReadTextFile(made, Sharing::kSecret) == "three");
  fs::create_symlink(made, folder.path / "link");
  CHECK_FALSE(CreateFile(folder.path / "link", "four", 0600));

  ::chmod(folder.path.c_str(), 0755);
  const auto open_folder = CheckPrivateFolder(folder.path);
  REQUIRE_FALSE(open_folder);
  CHECK(open_folder.error().message.find("chmod 700") != std::string::npos);
  ::chmod(folder.path.c_str(), 0700);
  CHECK(CheckPrivateFolder(folder.path));
}

TEST_CASE("a log line stays one line and deceives nobody") {
  CHECK(OneLine("plain \xC3\xA9 \xF0\x9F\x98\x80") == "plain \xC3\xA9 \xF0\x9F\x98\x80");
  CHECK(OneLine("a\r\nb\tc") == "a\\u{d}\\u{a}b\\u{9}c");
  CHECK(OneLine("\x1b[31mred") == "\\u{1b}[31mred");
  CHECK(OneLine(std::string("nul\0x", 5)) == "nul\\u{0}x");
  CHECK(OneLine("\xE2\x80\xAE"
                "evil\xE2\x80\xA8line") == "\\u{202e}evil\\u{2028}line");
  CHECK(OneLine("\xC2\x85\x7f") == "\\u{85}\\u{7f}");
  CHECK(OneLine("\xFF\xC0\xAF\xED") == "\\xff\\xc0\\xaf\\xed");
  CHECK(OneLine(std::string(5000, 'a')).size() < 2010);
}

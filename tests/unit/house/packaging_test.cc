// What is packaged for every desktop session, held to the Desktop Entry and Autostart
// specifications of freedesktop.org.
#include <catch2/catch.hpp>
#include <fstream>
#include <map>
#include <regex>
#include <set>
#include <string>

namespace {

std::string TextOf(const std::string& file) {
  std::ifstream in(std::string(KEYFERRY_SOURCE_DIR) + "/" + file);
  return std::string(std::istreambuf_iterator<char>(in), {});
}

constexpr const char* kEntry = "packaging/autostart/keyferry-notices.desktop";

}  // namespace

TEST_CASE("the autostart file is a desktop entry that desktops take") {
  std::ifstream in(std::string(KEYFERRY_SOURCE_DIR) + "/" + kEntry);
  std::string line;
  REQUIRE(std::getline(in, line));
  CHECK(line == "[Desktop Entry]");
  std::map<std::string, std::string> keys;
  static const std::regex kPair("([A-Za-z]+)(\\[[a-z]{2}\\])?=([^\\s].*[^\\s]|[^\\s])");
  while (std::getline(in, line)) {
    INFO(line);
    std::smatch pair;
    REQUIRE(std::regex_match(line, pair, kPair));
    CHECK(keys.emplace(pair[1].str() + pair[2].str(), pair[3]).second);  // no key twice
  }
  const std::set<std::string> known = {"Type",     "Version",     "Name", "Name[uk]",
                                       "Comment",  "Comment[uk]", "Exec", "TryExec",
                                       "Terminal", "NoDisplay"};
  for (const auto& [key, unused] : keys) {
    INFO(key);
    CHECK(known.count(key) == 1);
  }
  CHECK(keys["Type"] == "Application");
  CHECK(keys["Terminal"] == "false");
  CHECK(keys["NoDisplay"] == "true");
  CHECK_FALSE(keys["Name"].empty());
  CHECK_FALSE(keys["Name[uk]"].empty());
  // Nothing in it needs quoting, and there is nothing to fill in.
  CHECK(keys["Exec"] == "keyferry notices agent");
  CHECK(keys["TryExec"] == "keyferry");
}

TEST_CASE("what it starts is there, and it is installed where sessions look, as a conffile") {
  const std::string commands = TextOf("client-daemon/cli/notice_command.cc");
  CHECK(commands.find("\"notices\", \"") != std::string::npos);
  CHECK(commands.find("command->add_subcommand(\n      \"agent\"") != std::string::npos);
  const std::string install = TextOf("cmake/Install.cmake");
  CHECK(install.find("install(TARGETS keyferry RUNTIME DESTINATION bin)") != std::string::npos);
  CHECK(install.find("install(FILES " + std::string(kEntry) + " DESTINATION /etc/xdg/autostart)") !=
        std::string::npos);
  CHECK(install.find("packaging/debian/conffiles") != std::string::npos);
  CHECK(TextOf("packaging/debian/conffiles") == "/etc/xdg/autostart/keyferry-notices.desktop\n");
}

// The dependency direction of docs/architecture.md, held over every #include line of the tree.
#include <algorithm>
#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>
#include <map>
#include <regex>
#include <set>
#include <string>
#include <vector>

namespace {

namespace fs = std::filesystem;

// Which rooms a room may include besides itself. Anything that is not listed is a wall.
const std::map<std::string, std::set<std::string>> kMayInclude = {
    {"protocol", {}},
    {"device", {"protocol"}},
    {"device/hid", {"protocol", "device"}},
    {"device/ble", {"protocol", "device"}},
    {"firmware-sim", {"protocol", "firmware-sim/ble"}},  // its main.cc alone needs the latter
    {"firmware-sim/ble", {"protocol", "firmware-sim"}},
    {"server/core", {"protocol"}},
    {"server/tls", {"protocol", "server/core"}},
    {"server/fido", {"protocol", "server/core"}},
    {"server/spnego", {"protocol", "server/core"}},
    {"server/syslog", {"protocol", "server/core"}},
    {"server/mail", {"protocol", "server/core"}},
    {"server/outbound", {"protocol", "server/core"}},
    {"server/directory", {"protocol", "server/core"}},
    {"server/storage", {"protocol", "server/core"}},
    {"server/http", {"protocol", "server/core"}},
    {"server/api", {"protocol", "server/core", "server/http"}},
    {"server/pages", {"protocol", "server/core", "server/http", "server/api"}},
    {"server/app",
     {"protocol", "server/core", "server/fido", "server/spnego", "server/syslog", "server/tls",
      "server/mail", "server/outbound", "server/directory", "server/storage", "server/http",
      "server/api", "server/pages"}},
    {"client-daemon/core", {"protocol", "device"}},
    {"client-daemon/uplink", {"protocol", "device", "client-daemon/core"}},
    {"client-daemon/ipc", {"protocol", "device", "client-daemon/core"}},
    {"client-daemon/agent", {"protocol", "device", "client-daemon/core", "client-daemon/ipc"}},
    {"client-daemon/pam", {"protocol", "client-daemon/agent"}},
    {"client-daemon/cli",
     {"protocol", "device", "device/hid", "device/ble", "client-daemon/core", "client-daemon/ipc",
      "client-daemon/agent", "client-daemon/uplink", "client-daemon/app"}},
    {"client-daemon/app",
     {"protocol", "device", "device/hid", "device/ble", "client-daemon/core",
      "client-daemon/uplink", "client-daemon/ipc"}},
};

// Libraries that only one room may name.
const std::vector<std::pair<std::string, std::set<std::string>>> kLibraryRooms = {
    {"mbedtls/", {"protocol"}},
    {"ldap.h", {"server/directory"}},
    {"lber.h", {"server/directory"}},
    {"soci/", {"server/storage"}},
    {"unicode/", {"server/core"}},  // ICU
    {"sqlite3.h", {"server/storage"}},
    {"boost/beast", {"server/http"}},
    {"kainjow/", {"server/pages"}},
    {"security/pam", {"client-daemon/pam"}},
    {"curl/", {"client-daemon/uplink", "server/mail", "server/outbound"}},
    {"fido.h", {"server/fido"}},
    {"fido/", {"server/fido"}},
    {"gssapi", {"server/spnego"}},
    {"krb5", {"server/spnego"}},
    {"hidapi/", {"device/hid"}},
    {"libusb.h", {"device/hid"}},
    {"libudev.h", {"device/hid"}},
    {"sdbus-c++/", {"device/ble", "client-daemon/cli", "firmware-sim/ble"}},
};

std::string RoomOf(const std::string& path) {
  std::string best;
  for (const auto& [room, unused] : kMayInclude) {
    if (path.rfind(room + "/", 0) == 0 && room.size() > best.size()) best = room;
  }
  return best;
}

struct Include {
  std::string file;
  int line;
  std::string target;
};

std::vector<Include> IncludesUnder(const fs::path& root) {
  static const std::regex kInclude(R"(^\s*#\s*include\s*[<"]([^>"]+)[>"])");
  std::vector<Include> found;
  for (const char* top : {"protocol", "device", "firmware-sim", "server", "client-daemon"}) {
    for (const auto& entry : fs::recursive_directory_iterator(root / top)) {
      const auto extension = entry.path().extension();
      if (extension != ".h" && extension != ".cc" && extension != ".c") continue;
      std::ifstream in(entry.path());
      std::string text;
      for (int line = 1; std::getline(in, text); ++line) {
        std::smatch match;
        if (std::regex_search(text, match, kInclude)) {
          found.push_back({fs::relative(entry.path(), root).generic_string(), line, match[1]});
        }
      }
    }
  }
  return found;
}

std::string Violation(const Include& include) {
  const std::string from = RoomOf(include.file);
  if (from.empty()) return "belongs to no room of docs/architecture.md";
  const std::string to = RoomOf(include.target);
  if (!to.empty() && to != from && kMayInclude.at(from).count(to) == 0) {
    return from + " may not include " + to;
  }
  for (const auto& [prefix, rooms] : kLibraryRooms) {
    if (include.target.rfind(prefix, 0) == 0 && rooms.count(from) == 0) {
      return "only " + *rooms.begin() + " may name " + prefix;
    }
  }
  return {};
}

}  // namespace

TEST_CASE("no include crosses a wall the wrong way") {
  const auto includes = IncludesUnder(KEYFERRY_SOURCE_DIR);
  REQUIRE(includes.size() > 20);
  for (const Include& include : includes) {
    const std::string violation = Violation(include);
    INFO(include.file << ":" << include.line << " includes " << include.target << ": "
                      << violation);
    CHECK(violation.empty());
  }
}

TEST_CASE("the rules notice a crossing") {
  CHECK_FALSE(Violation({"protocol/job.cc", 1, "device/link.h"}).empty());
  CHECK_FALSE(Violation({"firmware-sim/core/key.cc", 1, "device/link.h"}).empty());
  CHECK_FALSE(Violation({"server/core/saga.cc", 1, "server/directory/ldap_directory.h"}).empty());
  CHECK_FALSE(Violation({"server/core/saga.cc", 1, "ldap.h"}).empty());
  CHECK_FALSE(Violation({"client-daemon/core/spool.cc", 1, "server/core/ids.h"}).empty());
  CHECK_FALSE(Violation({"elsewhere/x.cc", 1, "vector"}).empty());
  CHECK(Violation({"server/app/main.cc", 1, "server/directory/ldap_directory.h"}).empty());
}

TEST_CASE("no source file outgrows its room") {
  for (const char* top :
       {"protocol", "device", "firmware-sim", "server", "client-daemon", "tests"}) {
    for (const auto& entry :
         fs::recursive_directory_iterator(fs::path(KEYFERRY_SOURCE_DIR) / top)) {
      const auto extension = entry.path().extension();
      if (extension != ".h" && extension != ".cc") continue;
      std::ifstream in(entry.path());
      const auto lines = std::count(std::istreambuf_iterator<char>(in), {}, '\n');
      INFO(entry.path().string() << " has " << lines << " lines");
      CHECK(lines <= 700);
    }
  }
}

TEST_CASE("every test that the attack list of docs/security.md names is there") {
  const auto text = [](const fs::path& file) {
    std::ifstream in(file);
    return std::string(std::istreambuf_iterator<char>(in), {});
  };
  const fs::path root = KEYFERRY_SOURCE_DIR;
  std::string tests;
  for (const auto& entry : fs::recursive_directory_iterator(root / "tests")) {
    const auto extension = entry.path().extension();
    if (extension == ".cc" || extension == ".mjs") tests += text(entry.path());
  }
  // A title that is longer than a line; an apostrophe in a script.
  tests = std::regex_replace(tests, std::regex("\"\\s*\n\\s*\""), "");
  tests = std::regex_replace(tests, std::regex("\\\\'"), "'");
  std::string list = text(root / "docs/security.md");
  list = list.substr(list.find("## Attack list"));
  list = list.substr(0, list.find("\n## "));
  const std::regex title("\"([^\"]+)\"");
  const std::sregex_iterator titles(list.begin(), list.end(), title), end;
  CHECK(std::distance(titles, end) > 30);
  for (auto at = titles; at != end; ++at) {
    INFO((*at)[1].str());
    CHECK(tests.find((*at)[1].str()) != std::string::npos);
  }
}

// Assets, templates and texts: what is loaded, what is refused, and that nothing is missing.
#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>
#include <regex>
#include <set>
#include <sstream>

#include "fake_services.h"
#include "response_text.h"

using namespace keyferry;
using namespace keyferry::server;
using fake::World;
namespace fs = std::filesystem;

namespace {

std::string ReadFile(const fs::path& path) {
  std::ifstream in(path);
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

// A copy of the pages' files that a test may spoil.
struct Spoiled {
  Spoiled() {
    std::string name = (fs::temp_directory_path() / "keyferry-web-XXXXXX").string();
    REQUIRE(mkdtemp(name.data()) != nullptr);
    folder = name;
    fs::copy(KEYFERRY_WEB_DIR, folder, fs::copy_options::recursive);
  }
  ~Spoiled() { fs::remove_all(folder); }
  void Append(const std::string& file, const std::string& text) const {
    std::ofstream(folder / file, std::ios::app) << text;
  }
  std::string LoadError() const {
    const auto loaded = Catalog::Load(folder);
    return loaded ? std::string() : loaded.error().message;
  }
  fs::path folder;
};

}  // namespace

TEST_CASE("assets have one address each, which changes with them") {
  World world(KEYFERRY_WEB_DIR);
  const std::string url = world.catalog->AssetUrl("keyferry.css");
  Request request = world.Get(url);
  request.headers.erase("cookie");
  const Response css = world.Send(std::move(request));
  CHECK(css.status == 200);
  CHECK(css.cacheable);
  CHECK(css.content_type == "text/css; charset=utf-8");
  CHECK(world.Send(world.Get("/assets/000000000000/keyferry.css")).status == 404);
  CHECK(world.Send(world.Get(url.substr(0, url.rfind('/')) + "/layout.mustache")).status == 404);
  CHECK(world.Send(world.Get(url.substr(0, url.rfind('/')) + "/en.toml")).status == 404);
  Spoiled changed;
  changed.Append("assets/keyferry.css", "/**/");
  const auto catalog = Catalog::Load(changed.folder);
  REQUIRE(catalog);
  CHECK((*catalog)->AssetUrl("keyferry.css") != url);
}

TEST_CASE("templates that could write unescaped, or miss something, are refused with their line") {
  for (const auto& [text, expected] : std::vector<std::pair<std::string, std::string>>{
           {"\n{{{name}}}", "templates/keys.mustache"},
           {"\n{{&name}}", "only escaped values"},
           {"\n{{ & name }}", "only escaped values"},
           {"\n{{=<% %>=}}", "only escaped values"},
           {"\n{{t.no.such}}", "there is no text \"no.such\""},
           {"\n{{> nothere}}", "there is no template \"nothere\""},
           {"\n{{> keys}}", "there is no template"},
           {"\n{{asset:gone.css}}", "there is no asset \"gone.css\""},
           {"\n{{#open}}", "keys.mustache"},
           {"\n{{never closed", "is never closed"}}) {
    INFO(text);
    Spoiled spoiled;
    spoiled.Append("templates/keys.mustache", text);
    const std::string error = spoiled.LoadError();
    CHECK(Contains(error, expected));
    CHECK(Contains(error, "keys.mustache"));
  }
  Spoiled bad_text;
  bad_text.Append("strings/en.toml", "\nx = [unclosed");
  CHECK(Contains(bad_text.LoadError(), "en.toml:"));
  Spoiled gone;
  fs::remove(gone.folder / "templates" / "layout.mustache");
  CHECK(Contains(gone.LoadError(), "layout.mustache"));
}

TEST_CASE("the texts name the source that the employees come from") {
  const auto windows = Catalog::Load(KEYFERRY_WEB_DIR);
  const auto other = Catalog::Load(KEYFERRY_WEB_DIR, "OpenLDAP");
  REQUIRE((windows && other));
  CHECK((*windows)->Text("sign_in.intro") == "With your Active Directory account.");
  CHECK((*other)->Text("sign_in.intro") == "With your OpenLDAP account.");
  const std::string strings = ReadFile(fs::path(KEYFERRY_WEB_DIR) / "strings/en.toml");
  CHECK_FALSE(Contains(strings, "Active Directory"));
  for (const char* key : {"sign_in.intro", "employee.prepared_what"}) {
    CHECK_FALSE(Contains((*other)->Text(key), "@"));
  }
}

TEST_CASE("every text that the code or a template asks for is there, and every text is asked for") {
  const auto catalog = Catalog::Load(KEYFERRY_WEB_DIR);
  REQUIRE(catalog);
  std::string sources;
  for (const auto& entry : fs::directory_iterator(fs::path(KEYFERRY_SOURCE_DIR) / "server/pages")) {
    sources += ReadFile(entry.path());
  }
  static const std::regex kKey("\"([a-z_]+\\.[a-z_]+)\"");
  std::set<std::string> prefixes;
  std::string strings = ReadFile(fs::path(KEYFERRY_WEB_DIR) / "strings/en.toml");
  static const std::regex kTable("\\[([a-z_]+)\\]");
  for (std::sregex_iterator it(strings.begin(), strings.end(), kTable), end; it != end; ++it) {
    prefixes.insert((*it)[1]);
  }
  std::size_t seen = 0;
  for (std::sregex_iterator it(sources.begin(), sources.end(), kKey), end; it != end; ++it) {
    const std::string key = (*it)[1];
    if (prefixes.count(key.substr(0, key.find('.'))) == 0 || key.back() == '_') continue;
    INFO(key);
    ++seen;
    CHECK((*catalog)->HasText(key));
  }
  CHECK(seen > 80);

  std::string templates;
  for (const auto& entry : fs::directory_iterator(fs::path(KEYFERRY_WEB_DIR) / "templates")) {
    templates += ReadFile(entry.path());
  }
  static const std::regex kLine("^([a-z_0-9]+) = \"");
  std::istringstream lines(strings);
  std::string table, line;
  while (std::getline(lines, line)) {
    std::smatch match;
    if (std::regex_match(line, match, kTable)) table = std::string(match[1]) + ".";
    if (!std::regex_search(line, match, kLine)) continue;
    const std::string key = table + std::string(match[1]);
    if (key.rfind("add_key.transport_", 0) == 0) continue;  // made from the transport's name
    // From the names of choices; employees_test.cc.
    if (key.rfind("employees.show_", 0) == 0 || key.rfind("employees.order_", 0) == 0) continue;
    if (key.rfind("help_desk_", 0) == 0) continue;  // from names of states; help_desk_test.cc
    if (key.rfind("approval_", 0) == 0) continue;   // likewise; approvals_test.cc
    if (key.rfind("notice_", 0) == 0) continue;     // likewise; notices_test.cc
    INFO(key);
    CHECK((Contains(sources, "\"" + key + "\"") || Contains(templates, "{{t." + key + "}}")));
  }
}

TEST_CASE("what is wrong with a field stands before the field, which names it") {
  const std::regex problem("class=\"problem\"[^>]* id=\"([a-z-]+)\"");
  std::size_t seen = 0;
  const fs::path templates = fs::path(KEYFERRY_SOURCE_DIR) / "server/web/templates";
  for (const fs::directory_entry& entry : fs::directory_iterator(templates)) {
    std::ifstream in(entry.path());
    const std::string text{std::istreambuf_iterator<char>(in), {}};
    for (std::sregex_iterator it(text.begin(), text.end(), problem), end; it != end; ++it) {
      const std::string id = (*it)[1];
      const std::regex field("aria-describedby=\"[^\"]*\\b" + id + "[ \"{]");
      std::smatch found;
      if (!std::regex_search(text, found, field)) continue;  // of a choice, or of the whole page
      INFO(entry.path().filename() << " " << id);
      ++seen;
      CHECK(it->position() < found.position());
    }
  }
  CHECK(seen > 15);
}

// The languages of the pages, and what an organisation lays over texts and templates.
#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>
#include <regex>
#include <set>
#include <thread>
#include <tuple>

#include "fake_services.h"
#include "response_text.h"
#include "server/pages/language.h"
#include "server/pages/texts.h"

using namespace keyferry;
using namespace keyferry::server;
using fake::World;
namespace fs = std::filesystem;

namespace {

Texts Shipped(const std::string& tag) {
  auto texts = ReadTexts(fs::path(KEYFERRY_WEB_DIR) / "strings" / (tag + ".toml"), "AD");
  REQUIRE(texts);
  return *std::move(texts);
}

std::set<char> ValuesIn(const std::string& text) {
  std::set<char> out;
  for (std::size_t i = 0; i + 1 < text.size(); ++i) {
    if (text[i] == '%' && text[i + 1] >= '1' && text[i + 1] <= '9') out.insert(text[i + 1]);
  }
  return out;
}

// A folder of an organisation.
struct Own {
  Own() {
    std::string name = (fs::temp_directory_path() / "keyferry-own-XXXXXX").string();
    REQUIRE(mkdtemp(name.data()) != nullptr);
    folder = name;
    fs::create_directories(folder / "strings");
    fs::create_directories(folder / "templates");
  }
  ~Own() { fs::remove_all(folder); }
  void Write(const std::string& file, const std::string& text) const {
    std::ofstream(folder / file) << text;
  }
  std::unique_ptr<Catalog> Load() const {
    auto catalog = Catalog::Load(KEYFERRY_WEB_DIR, "AD", folder);
    REQUIRE(catalog);
    return *std::move(catalog);
  }
  std::string Problem() const {
    const auto catalog = Load();
    return catalog->problem() ? catalog->problem()->message : std::string();
  }
  fs::path folder;
};

std::string SpokenIn(const Catalog& catalog, const std::string& tag, const std::string& key) {
  const Catalog::Speaking speaking(catalog, tag, "");
  return catalog.Text(key);
}

}  // namespace

TEST_CASE("every shipped language has every text, with the same values") {
  const Texts english = Shipped("en");
  std::size_t languages = 0;
  for (const auto& entry : fs::directory_iterator(fs::path(KEYFERRY_WEB_DIR) / "strings")) {
    const std::string tag = entry.path().stem().string();
    if (tag == "en") continue;
    ++languages;
    const Texts texts = Shipped(tag);
    for (const auto& [key, text] : english.entries) {
      INFO(tag << " " << key);
      const auto found = texts.entries.find(key);
      REQUIRE(found != texts.entries.end());
      CHECK_FALSE(found->second.empty());
      CHECK(ValuesIn(found->second) == ValuesIn(text));
    }
    for (const auto& [key, text] : texts.entries) {
      INFO(tag << " " << key);
      CHECK(english.entries.count(key) == 1);
    }
  }
  CHECK(languages >= 1);
}

TEST_CASE("the language is the chosen one, or what the browser asks for first") {
  const std::vector<std::string> known{"en", "uk", "ar"};
  for (const auto& [chosen, accepted, expected] :
       std::vector<std::tuple<std::string, std::string, std::string>>{
           {"", "", "en"},
           {"", "uk", "uk"},
           {"", "uk-UA,uk;q=0.9,en;q=0.8", "uk"},
           {"", "de, en;q=0.5, UK;q=0.7", "uk"},
           {"", "en;q=0.3,ar;q=0.31", "ar"},
           {"", "ukr", "en"},
           {"", "de-DE,fr", "en"},
           {"", "uk;q=0", "en"},
           {"", "uk;q=nonsense", "en"},
           {"", "uk;q=2", "en"},
           {"", "*", "en"},
           {"", std::string(5000, ',') + "uk", "en"},
           {"uk", "en", "uk"},
           {"xx", "uk", "uk"},
           {"../en", "", "en"}}) {
    INFO(chosen << " / " << accepted.substr(0, 60));
    CHECK(ChooseLanguage(known, chosen, accepted) == expected);
  }
}

TEST_CASE("a reader is shown the language that the browser asks for, and keeps the one chosen") {
  World world(KEYFERRY_WEB_DIR);
  fake::Populate(world);
  Request first = world.Get("/employees");
  first.headers["accept-language"] = "uk-UA,uk;q=0.9";
  const Response ukrainian = world.Send(std::move(first));
  CHECK(Contains(ukrainian.body, "<html lang=\"uk\" dir=\"ltr\">"));
  CHECK(Contains(ukrainian.body, "Працівники"));
  CHECK(Contains(ukrainian.body, "value=\"en\" lang=\"en\">English</button>"));
  CHECK(Contains(ukrainian.body, "value=\"uk\" lang=\"uk\" aria-current=\"true\">Українська"));

  const Response chosen = world.Send(world.Post("/language", "language=uk&next=%2Fkeys"));
  CHECK(chosen.status == 303);
  std::string cookie, location;
  for (const auto& [name, value] : chosen.headers) {
    if (name == "Set-Cookie") cookie = value;
    if (name == "Location") location = value;
  }
  CHECK(location == "/keys");
  REQUIRE(Contains(cookie, "__Host-keyferry-language=uk; Path=/; Secure; HttpOnly; SameSite=Lax"));
  Request again = world.Get("/keys");
  again.headers["cookie"] += "; __Host-keyferry-language=uk";
  CHECK(Contains(world.Send(std::move(again)).body, "<html lang=\"uk\""));

  // Errors too, and other sites' addresses are not gone to.
  Request missing = world.Get("/nothing");
  missing.headers["accept-language"] = "uk";
  CHECK(Contains(world.Send(std::move(missing)).body, "Такої сторінки немає"));
  for (const char* next : {"https%3A%2F%2Fevil.example%2F", "%2F%2Fevil.example"}) {
    const Response back =
        world.Send(world.Post("/language", std::string("language=uk&next=") + next));
    for (const auto& [name, value] : back.headers) {
      if (name == "Location") CHECK(value == "/");
    }
  }
  // What is no language becomes no cookie.
  for (const char* odd : {"xx", "", "uk%3B%20Domain%3Dexample", "UK", "uk%20"}) {
    INFO(odd);
    const Response none =
        world.Send(world.Post("/language", std::string("language=") + odd + "&next=%2F"));
    for (const auto& [name, value] : none.headers) CHECK(name != "Set-Cookie");
  }
}

TEST_CASE("the language of one request is not that of the next, nor of another thread's") {
  const auto catalog = Catalog::Load(KEYFERRY_WEB_DIR);
  REQUIRE(catalog);
  const Catalog& texts = **catalog;
  CHECK(texts.Text("lang") == "en");
  {
    const Catalog::Speaking ukrainian(texts, "uk", "");
    CHECK(texts.Text("lang") == "uk");
    {
      const Catalog::Speaking english(texts, "en", "");
      CHECK(texts.Text("lang") == "en");
    }
    CHECK(texts.Text("lang") == "uk");
    std::string other;
    std::thread([&] { other = texts.Text("lang"); }).join();
    CHECK(other == "en");
  }
  CHECK(texts.Text("lang") == "en");
}

TEST_CASE("an organisation's texts and templates lie over the shipped ones, key by key") {
  Own own;
  own.Write("strings/en.toml", "[sign_in]\ntitle = \"Welcome to Acme\"\n");
  own.Write("strings/uk.toml", "[sign_in]\ntitle = \"Вітаємо в Acme\"\n");
  own.Write("strings/de.toml",
            "lang = \"de\"\nlanguage = \"Deutsch\"\n[sign_in]\ntitle = \"Anmelden\"\n");
  own.Write("templates/error.mustache", "<h1>{{heading}}</h1><p>Acme: {{message}}</p>");
  const auto catalog = own.Load();
  CHECK_FALSE(catalog->problem());
  CHECK(SpokenIn(*catalog, "en", "sign_in.title") == "Welcome to Acme");
  CHECK(SpokenIn(*catalog, "uk", "sign_in.title") == "Вітаємо в Acme");
  CHECK(SpokenIn(*catalog, "uk", "sign_in.submit") == "Увійти");
  CHECK(SpokenIn(*catalog, "de", "sign_in.title") == "Anmelden");
  CHECK(SpokenIn(*catalog, "de", "sign_in.submit") == "Sign in");  // what it does not have
  CHECK(catalog->Languages().size() == 3);
  Data data;
  Put(data, "heading", "Oh");
  Put(data, "message", "<b>");
  const auto html = catalog->Render("error", data);
  REQUIRE(html);
  CHECK(Contains(*html, "<p>Acme: &lt;b&gt;</p>"));

  // One mistake, and what was good stays.
  own.Write("templates/error.mustache", "{{{message}}}");
  const auto read = catalog->Reload();
  REQUIRE_FALSE(read);
  CHECK(Contains(read.error().message, "error.mustache:1"));
  CHECK(Contains(*catalog->Render("error", data), "Acme: "));
  own.Write("templates/error.mustache", "<p>mended</p>");
  REQUIRE(catalog->Reload());
  CHECK(Contains(*catalog->Render("error", data), "mended"));
}

TEST_CASE("a mistake in an organisation's folder is named, and the pages are shown as shipped") {
  for (const auto& [file, text, expected] :
       std::vector<std::tuple<std::string, std::string, std::string>>{
           {"strings/en.toml", "x = [unclosed", "en.toml:"},
           {"strings/en.toml", "[sign_in]\ntitel = \"T\"", "there is no text \"sign_in.titel\""},
           {"strings/uk.toml", "[error]\nkind = \"%1 of %2\"", "\"error.kind\" names a value"},
           {"strings/de.toml", "language = \"Deutsch\"", "`lang` must be \"de\""},
           {"strings/de.toml", "lang = \"de\"\ndir = \"up\"", "`dir` must be"},
           {"strings/d e.toml", "lang = \"de\"", "is named by its language"},
           {"strings/uk.toml", "[messages]\n\"%1\" = \"%1\"", "all values"},
           {"strings/uk.toml", "[messages]\n\"No %1.\" = \"%2\"", "names a value"},
           {"strings/en.toml", "[sign_in]\ntitle = \"{{title}}\"", "a text may not hold"},
           {"templates/own.mustache", "<p>", "there is no template of this name"},
           {"templates/layout.mustache", "{{> content}}{{{x}}}", "layout.mustache:1"}}) {
    INFO(file << ": " << text);
    Own own;
    own.Write(file, text);
    CHECK(Contains(own.Problem(), expected));
    CHECK(SpokenIn(*own.Load(), "en", "sign_in.title") == "Sign in");
  }
}

TEST_CASE("every translated sentence is one that the server says") {
  // All string literals of the server, adjacent ones joined as the compiler does.
  std::string said;
  static const std::regex kLiterals("(?:\"(?:[^\"\\\\\n]|\\\\.)*\"\\s*)+");
  static const std::regex kJoint("\"\\s*\"");
  for (const auto& entry :
       fs::recursive_directory_iterator(fs::path(KEYFERRY_SOURCE_DIR) / "server")) {
    if (entry.path().extension() != ".cc" && entry.path().extension() != ".h") continue;
    std::ifstream in(entry.path());
    std::string line, text;
    while (std::getline(in, line)) text += line + "\n";
    for (std::sregex_iterator it(text.begin(), text.end(), kLiterals), end; it != end; ++it) {
      said += std::regex_replace(it->str(), kJoint, "") + "\n";
    }
  }
  for (std::size_t at = 0; (at = said.find("\\\"", at)) != std::string::npos;) said.erase(at, 1);
  // What a sentence is put together from: values, and the words for a directory's servers.
  static const std::regex kParts("%[1-9]|[Tt]he domain controller|domain controller");
  const Texts ukrainian = Shipped("uk");
  CHECK(ukrainian.sentences.size() > 80);
  for (const auto& [sentence, unused] : ukrainian.sentences) {
    for (std::sregex_token_iterator part(sentence.begin(), sentence.end(), kParts, -1), end;
         part != end; ++part) {
      std::string words = *part;
      words.erase(0, words.find_first_not_of(" ().:;"));
      words.erase(words.find_last_not_of(" ().:;") + 1);
      INFO(sentence << " | " << words);
      CHECK(Contains(said, words));
    }
  }
}

TEST_CASE("a sentence of the server is said in the reader's language where it is known") {
  Texts texts;
  texts.sentences = {
      {"Nothing was changed.", "N."},        {"The key is gone; look again.", "K."},
      {"%1 Nothing was changed.", "%1 N2."}, {"It is %1. Nothing was changed.", "S %1."},
      {"At \"%1\": %2", "Bei %1: %2"},       {"It has %1 of %2 bytes.", "%2 > %1"}};
  CHECK(Translate(texts, "The key is gone; look again.") == "K.");
  CHECK(Translate(texts, "It has 3 of 9 bytes.") == "9 > 3");
  CHECK(Translate(texts, "It has 3 of 9 bytes") == "It has 3 of 9 bytes");
  CHECK(Translate(texts, "The key is gone; look again. Nothing was changed.") == "K. N2.");
  CHECK(Translate(texts, "At \"LDAP\": The key is gone; look again.") == "Bei LDAP: K.");
  // Two fit: the one that says more of it itself.
  CHECK(Translate(texts, "It is late. Nothing was changed.") == "S late.");
  CHECK(Translate(texts, "Something else.") == "Something else.");
  CHECK(Translate(texts, "").empty());
  CHECK(Translate(texts, std::string(20000, 'x')) == std::string(20000, 'x'));
}

// The small parts: encodings, events, passwords, presence, the audit chain, canaries.
#include <algorithm>
#include <catch2/catch.hpp>
#include <fstream>
#include <set>
#include <sstream>
#include <thread>

#include "company.h"
#include "server/core/audit_chain.h"
#include "server/core/audit_verify.h"
#include "server/core/json_line.h"
#include "server/core/password.h"
#include "server/core/queue.h"

using namespace keyferry;
using namespace keyferry::server;
using namespace keyferry::server::testing;

TEST_CASE("base64 and hex are strict") {
  const Blob bytes = {0, 1, 254, 255, 7};
  for (std::size_t size = 0; size <= bytes.size(); ++size) {
    const Blob part(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(size));
    CHECK(FromBase64(ToBase64(part)) == part);
    CHECK(FromHex(ToHex(part)) == part);
  }
  CHECK(ToBase64(bytes) == "AAH+/wc=");
  CHECK(ToBase64Url(bytes) == "AAH-_wc");
  for (const char* bad :
       {"AAH+/wc", "AAH+/wd=", "AA==AA==", "A===", "====", "AA H", "AAH-", "=AAA"}) {
    INFO(bad);
    CHECK_FALSE(FromBase64(bad));
  }
  for (const char* bad : {"0", "0G", "AB", " 00"}) CHECK_FALSE(FromHex(bad));
}

TEST_CASE("text from outside is made presentable") {
  CHECK(Presentable("a\r\nb\x1b\x7f", 100) == "a??b??");
  CHECK(Presentable("gr\xC3\xBC\xC3", 100) == "gr\xC3\xBC?");
  CHECK(Presentable("gr\xC3\xBC", 3) == "gr");
  CHECK(Presentable("\xE2\x80\xA8x", 10) == "?x");  // U+2028
  CHECK(IsPrintableUtf8("Grüße"));
  for (const char* bad :
       {"\xC0\x80", "\xED\xA0\x80", "\xF4\x90\x80\x80", "\xE2\x82", "\x80", "a\tb"}) {
    CHECK_FALSE(IsPrintableUtf8(bad));
  }
}

TEST_CASE("event data is one line of JSON whatever is in it") {
  const std::string line = JsonLine()
                               .Text("a", "x\"\\\n\xFF</script>")
                               .Number("b", -5)
                               .Unsigned("c", 18446744073709551615u)
                               .Base64("d", Blob{1, 2, 3})
                               .Null("e")
                               .Take();
  CHECK(line == R"({"a":"x\"\\??</script>","b":-5,"c":18446744073709551615,"d":"AQID","e":null})");
  CHECK(JsonLine().Take() == "{}");
}

TEST_CASE("generated passwords use the whole alphabet evenly and have each class") {
  std::map<char, int> counts;
  for (int i = 0; i < 500; ++i) {
    const auto password = GeneratePassword(24, OsRandom());
    REQUIRE(password);
    const std::string text(password->view());
    CHECK(text.find_first_of("ABCDEFGHJKLMNPQRSTUVWXYZ") != std::string::npos);
    CHECK(text.find_first_of("abcdefghijkmnopqrstuvwxyz") != std::string::npos);
    CHECK(text.find_first_of("23456789") != std::string::npos);
    CHECK(text.find_first_of("!#%+-.:=?@_") != std::string::npos);
    CHECK(text.find_first_of("0O1lI") == std::string::npos);
    for (const char c : text) ++counts[c];
  }
  CHECK(counts.size() == 68);
  // 12,000 symbols, 176 expected of each.
  for (const auto& [symbol, count] : counts) CHECK((count > 90 && count < 300));
  CHECK_FALSE(GeneratePassword(11, OsRandom()));
  CHECK_FALSE(GeneratePassword(129, OsRandom()));
}

TEST_CASE("a broken random source makes no password") {
  struct Stuck final : protocol::RandomSource {
    bool Fill(protocol::MutableBytes out) override {
      std::fill(out.begin(), out.end(), std::uint8_t{7});
      return true;
    }
  } stuck;
  CHECK_FALSE(GeneratePassword(24, stuck));
  struct Dead final : protocol::RandomSource {
    bool Fill(protocol::MutableBytes) override { return false; }
  } dead;
  CHECK_FALSE(GeneratePassword(24, dead));
  CHECK_FALSE(GenerateActivationCode(dead));
}

TEST_CASE("activation codes are typed without doubt") {
  std::set<std::string> codes;
  for (int i = 0; i < 100; ++i) {
    const std::string code = GenerateActivationCode(OsRandom()).value();
    CHECK(code.size() == 19);
    CHECK(code.find_first_of("ILOU") == std::string::npos);
    codes.insert(code);
  }
  CHECK(codes.size() == 100);
}

TEST_CASE("typed passwords that no login screen takes are refused") {
  for (const std::string& bad : {std::string(), std::string(257, 'x'), std::string("a\nb"),
                                 std::string("a\0b", 3), std::string("\xFF")}) {
    CHECK_FALSE(CheckTypedPassword(SecureBytes::CopyOf(std::string_view(bad))));
  }
  CHECK(CheckTypedPassword(SecureBytes::CopyOf(std::string_view("pässwörd with spaces"))));
}

TEST_CASE("the epoch rule") {
  CHECK(MayHandOut(5, 5, 0) == HandOut::kNow);
  CHECK(MayHandOut(5, 5, 1) == HandOut::kNow);
  CHECK(MayHandOut(5, 5, 2) == HandOut::kWait);
  CHECK(MayHandOut(5, 4, 1) == HandOut::kNow);
  CHECK(MayHandOut(5, 3, 0) == HandOut::kDead);
  CHECK(MayHandOut(1, 1, 0) == HandOut::kNow);
  CHECK(MayHandOut(0xFFFFFFFF, 0xFFFFFFFF, 0) == HandOut::kNow);
}

TEST_CASE("a subscription that ended is not called again") {
  const auto bus = MakeEventBus();
  int calls = 0;
  auto first = bus->Subscribe("t", [&](const BusEvent&) { ++calls; });
  auto second = bus->Subscribe("t", [&](const BusEvent&) { calls += 10; });
  bus->Publish("t", {"e", "{}"});
  bus->Publish("other", {"e", "{}"});
  CHECK(calls == 11);
  first.reset();
  bus->Publish("t", {"e", "{}"});
  CHECK(calls == 21);

  std::atomic<bool> stop{false};
  std::atomic<int> alive{1};
  std::thread publisher([&] {
    while (!stop) bus->Publish("busy", {"e", "{}"});
  });
  for (int i = 0; i < 200; ++i) {
    auto target = std::make_unique<std::atomic<int>>(0);
    auto subscription = bus->Subscribe("busy", [&target](const BusEvent&) { ++*target; });
    subscription.reset();
    target.reset();  // a call from here on would be a use after free
  }
  stop = true;
  publisher.join();
  CHECK(alive == 1);
}

TEST_CASE("the issuer does not load with the wrong files") {
  auto one = MakeAuthority(OsRandom(), 1000, 2000).value();
  auto two = MakeAuthority(OsRandom(), 1000, 2000).value();
  CHECK(Issuer::Load(one.issuer_private.Clone(), one.issuer_cert, one.root_pub, 1500));
  CHECK_FALSE(Issuer::Load(two.issuer_private.Clone(), one.issuer_cert, one.root_pub, 1500));
  CHECK_FALSE(Issuer::Load(one.issuer_private.Clone(), one.issuer_cert, two.root_pub, 1500));
  CHECK_FALSE(Issuer::Load(one.issuer_private.Clone(), one.issuer_cert, one.root_pub, 2500));
  CHECK_FALSE(Issuer::Load(one.issuer_private.Clone(), one.issuer_cert, one.root_pub, 500));
  CHECK_FALSE(Issuer::Load(SecureBytes(31), one.issuer_cert, one.root_pub, 1500));
  CHECK_FALSE(Issuer::Load(one.issuer_private.Clone(), {}, one.root_pub, 1500));
}

TEST_CASE("the audit chain holds over many rows and lists newest first") {
  Company c;
  for (int i = 0; i < 600; ++i) {
    REQUIRE(c.store->AppendAudit({i, "a", "test", std::to_string(i), "ok", "", ""}));
  }
  CHECK(VerifyAudit(*c.store, {})->last == 600);
  const auto page = c.audit->List(0, 10).value();
  REQUIRE(page.size() == 10);
  CHECK(page.front().number == 600);
  CHECK(c.audit->List(page.back().number, 10)->front().number == 590);
  AuditEntry moved{1, "ab", "c", "", "", "", ""};
  AuditEntry shifted{1, "a", "bc", "", "", "", ""};
  CHECK(ChainHash(1, {}, moved) != ChainHash(1, {}, shifted));
}

namespace {

std::string ReadAll(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  std::ostringstream out;
  out << in.rdbuf();
  return out.str();
}

// Raw, UTF-16LE, hex in both cases, and base64 at each of its three alignments.
std::vector<std::string> Spellings(const std::string& secret) {
  std::vector<std::string> out = {secret};
  std::string wide;
  for (const char c : secret) {
    wide += c;
    wide += '\0';
  }
  out.push_back(wide);
  const auto bytes = [](const std::string& text) { return Blob(text.begin(), text.end()); };
  std::string hex = ToHex(bytes(secret));
  out.push_back(hex);
  for (char& c : hex) c = static_cast<char>(std::toupper(c));
  out.push_back(hex);
  for (const std::string& form : {secret, wide}) {
    for (std::size_t shift = 0; shift < 3; ++shift) {
      const std::string text = ToBase64(bytes(std::string(shift, 'x') + form));
      out.push_back(text.substr(4, text.size() - 12));
    }
  }
  return out;
}

}  // namespace

TEST_CASE("no password is in the database, its log, an event or the server's log") {
  ChangeConfig config;
  config.allow_typing = true;
  Company c(config);
  auto desk = c.AddWorkstation("desk-1");
  TestKey key(c.maker);
  c.Enrol(key, c.alice, *desk);
  std::vector<std::string> secrets;
  for (int i = 0; i < 3; ++i) {
    ChangeRequest request = c.Request(c.alice, "request-000" + std::to_string(i));
    if (i == 1) {
      request.generate = false;
      request.typed = SecureBytes::CopyOf(std::string_view("Canary-Passwort-7391-typed"));
    }
    if (i == 2) c.directory.script = {Write::kPolicy};
    static_cast<void>(c.changes->Start(c.admin, std::move(request)));
    if (i < 2) {
      secrets.push_back(c.directory.At(c.alice).password);
      REQUIRE(c.Deliver(*desk, key));
      CHECK(key.password == secrets.back());
    }
  }
  std::string haystack;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(c.database.Where())) {
    if (entry.is_regular_file()) haystack += ReadAll(entry.path());
  }
  REQUIRE(haystack.find("password.set") != std::string::npos);  // the log is in there, unflushed
  for (const WorkstationEvent& event : desk->events) haystack += event.data;
  for (const std::string& line : c.log) haystack += line;
  for (const std::string& secret : secrets) {
    for (const std::string& form : Spellings(secret)) {
      CHECK(haystack.find(form) == std::string::npos);
    }
  }
}

// What browsers send at "Sign in with Windows", before and beside the library. The tickets
// themselves are real ones of a domain controller in tests/e2e/single_sign_on.mjs.
#include <sys/stat.h>

#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>

#include "server/spnego/pac.h"
#include "server/spnego/ticket_reader.h"
#include "server/spnego/token.h"

using namespace keyferry;
using namespace keyferry::server;
namespace fs = std::filesystem;

namespace {

using Raw = std::vector<std::uint8_t>;

const Raw kKerberos{0x2A, 0x86, 0x48, 0x86, 0xF7, 0x12, 0x01, 0x02, 0x02};
const Raw kWindows{0x2A, 0x86, 0x48, 0x82, 0xF7, 0x12, 0x01, 0x02, 0x02};
const Raw kNtlm{0x2B, 0x06, 0x01, 0x04, 0x01, 0x82, 0x37, 0x02, 0x02, 0x0A};
const Raw kNegoEx{0x2B, 0x06, 0x01, 0x04, 0x01, 0x82, 0x37, 0x02, 0x02, 0x1E};
const Raw kSpnego{0x2B, 0x06, 0x01, 0x05, 0x05, 0x02};

Raw operator+(Raw a, const Raw& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

Raw Der(std::uint8_t tag, const Raw& content) {
  Raw out{tag};
  if (content.size() < 0x80) {
    out.push_back(static_cast<std::uint8_t>(content.size()));
  } else {
    out.push_back(0x82);
    out.push_back(static_cast<std::uint8_t>(content.size() >> 8));
    out.push_back(static_cast<std::uint8_t>(content.size()));
  }
  return out + content;
}

Raw Offer(const std::vector<Raw>& mechanisms, const Raw& token = Raw(300, 7)) {
  Raw list;
  for (const Raw& one : mechanisms) list = list + Der(6, one);
  const Raw body = Der(0xA0, Der(0x30, list)) + Der(0xA2, Der(4, token));
  return Der(0x60, Der(6, kSpnego) + Der(0xA0, Der(0x30, body)));
}

// UPN_DNS_INFO with one SID behind its header.
Raw Info(const Raw& sid, std::uint8_t flags = 2) {
  const auto size = static_cast<std::uint8_t>(sid.size());
  return Raw{0, 0, 0, 0, 0, 0, 0, 0, flags, 0, 0, 0, 0, 0, 0, 0, size, 0, 20, 0} + sid;
}
const Raw kSid{1, 5, 0, 0, 0, 0, 0, 5, 21, 0, 0,  0, 1, 0,
               0, 0, 2, 0, 0, 0, 3, 0, 0,  0, 80, 4, 0, 0};

struct Folder {
  Folder() {
    std::string name = (fs::temp_directory_path() / "keyferry-spnego-XXXXXX").string();
    REQUIRE(mkdtemp(name.data()) != nullptr);
    path = name;
  }
  ~Folder() { fs::remove_all(path); }
  std::string Write(const char* name, const Raw& bytes) const {
    std::ofstream(path / name, std::ios::binary)
        .write(reinterpret_cast<const char*>(bytes.data()),
               static_cast<std::streamsize>(bytes.size()));
    return (path / name).string();
  }
  fs::path path;
};

Raw Counted(const std::string& text) {
  return Raw{0, static_cast<std::uint8_t>(text.size())} + Raw(text.begin(), text.end());
}

// One entry of a keytab, version 2 of the format.
Raw Entry(std::uint8_t version, std::uint8_t kind, std::uint8_t size) {
  const Raw body = Raw{0, 2} + Counted("CORP.EXAMPLE") + Counted("HTTP") +
                   Counted("keyferry.corp.example") +
                   Raw{0, 0, 0, 1, 0, 0, 0, 0, version, 0, kind} + Raw{0, size} + Raw(size, 0x5A) +
                   Raw{0, 0, 0, version};
  return Raw{0, 0, 0, static_cast<std::uint8_t>(body.size())} + body;
}

}  // namespace

TEST_CASE("what a browser offers is told from its list of mechanisms") {
  CHECK(OfferOf(Offer({kKerberos})) == TicketOffer::kKerberos);
  CHECK(OfferOf(Offer({kWindows, kKerberos, kNegoEx, kNtlm})) == TicketOffer::kKerberos);
  CHECK(OfferOf(Offer({kNtlm, kKerberos})) == TicketOffer::kKerberos);
  CHECK(OfferOf(Offer({kNtlm})) == TicketOffer::kNtlm);
  CHECK(OfferOf(Offer({kNegoEx, kNtlm})) == TicketOffer::kNtlm);
  CHECK(OfferOf(Offer({kNegoEx})) == TicketOffer::kOther);
  CHECK(OfferOf(Offer({})) == TicketOffer::kOther);
  const std::string bare = std::string("NTLMSSP\0\1\0\0\0", 12);
  CHECK(OfferOf(Raw(bare.begin(), bare.end())) == TicketOffer::kNtlm);
  CHECK(OfferOf(Der(0x60, Der(6, kKerberos) + Raw(200, 1))) == TicketOffer::kOther);
  CHECK(OfferOf(Der(0xA1, Der(0x30, Raw(20, 0)))) == TicketOffer::kOther);
  std::vector<Raw> many(17, kNegoEx);
  many.back() = kKerberos;
  CHECK(OfferOf(Offer(many)) == TicketOffer::kOther);
}

TEST_CASE("a token that is cut, longer than it says or spelt otherwise offers nothing") {
  const Raw whole = Offer({kKerberos});
  for (std::size_t size = 0; size < whole.size(); ++size) {
    INFO(size);
    CHECK(OfferOf(std::span(whole).first(size)) == TicketOffer::kOther);
  }
  CHECK(OfferOf(whole + Raw{0}) == TicketOffer::kOther);
  Raw inner = Der(6, kSpnego) + Der(0xA0, Der(0x30, Der(0xA0, Der(0x30, Der(6, kKerberos)))));
  CHECK(OfferOf(Der(0x60, inner)) == TicketOffer::kKerberos);
  const auto size = static_cast<std::uint8_t>(inner.size());
  CHECK(OfferOf(Raw{0x60, 0x81, size} + inner) == TicketOffer::kOther);     // not the shortest
  CHECK(OfferOf(Raw{0x60, 0x82, 0, size} + inner) == TicketOffer::kOther);  // …
  CHECK(OfferOf(Raw{0x60, 0x80} + inner + Raw{0, 0}) == TicketOffer::kOther);
}

TEST_CASE("the account's SID is read out of the ticket's authorization data") {
  CHECK(SidOfUpnDnsInfo(Info(kSid)) == "S-1-5-21-1-2-3-1104");
  CHECK(SidOfUpnDnsInfo(Info(kSid, 3)) == "S-1-5-21-1-2-3-1104");
  CHECK_FALSE(SidOfUpnDnsInfo(Info(kSid, 1)));  // a controller that does not say it
  CHECK_FALSE(SidOfUpnDnsInfo({}));
  const Raw good = Info(kSid);
  for (std::size_t size = 0; size < good.size(); ++size) {
    INFO(size);
    CHECK_FALSE(SidOfUpnDnsInfo(std::span(good).first(size)));
  }
  CHECK(SidOfUpnDnsInfo(good + Raw(100, 9)) == "S-1-5-21-1-2-3-1104");
  CHECK_FALSE(SidOfUpnDnsInfo(good + Raw(5000, 9)));
  for (const auto& [at, value] : std::vector<std::pair<std::size_t, std::uint8_t>>{{16, 27},
                                                                                   {16, 29},
                                                                                   {16, 0},
                                                                                   {18, 19},
                                                                                   {18, 21},
                                                                                   {18, 255},
                                                                                   {19, 255},
                                                                                   {20, 2},
                                                                                   {21, 4},
                                                                                   {21, 0},
                                                                                   {21, 16}}) {
    INFO(at << " = " << int{value});
    Raw bad = good;
    bad[at] = value;
    CHECK_FALSE(SidOfUpnDnsInfo(bad));
  }
}

TEST_CASE("a principal is of the realm, or of another one that looks like it") {
  CHECK(IsOfRealm("alice@CORP.EXAMPLE", "CORP.EXAMPLE"));
  CHECK(IsOfRealm("alice\\@corp.example@CORP.EXAMPLE", "CORP.EXAMPLE"));
  for (const char* other :
       {"alice@OTHER.EXAMPLE", "alice@corp.example", "alice@CORP.EXAMPLE.", "alice",
        "@CORP.EXAMPLE", "alice@EVIL\\@CORP.EXAMPLE", "alice@SUB.CORP.EXAMPLE", ""}) {
    INFO(other);
    CHECK_FALSE(IsOfRealm(other, "CORP.EXAMPLE"));
  }
  CHECK_FALSE(IsOfRealm("alice@", ""));
  CHECK(RealmOf("HTTP/k.corp.example@CORP.EXAMPLE") == "CORP.EXAMPLE");
  CHECK(RealmOf("HTTP/k.corp.example").empty());
}

TEST_CASE("what is no ticket is refused in words, before or by the library") {
  const Folder folder;
  const std::string keytab = folder.Write("keytab", Raw{5, 2} + Entry(3, 18, 32));
  const auto reader = MakeTicketReader(
      {keytab, "HTTP/keyferry.corp.example@CORP.EXAMPLE", (folder.path / "replay").string()});
  const auto refused = [&reader](const Raw& token) {
    auto read = reader->Read(token);
    REQUIRE_FALSE(read);
    CHECK(read.error().code == ErrorCode::kUnauthenticated);
    return read.error().message;
  };
  CHECK_THAT(refused(Offer({kNtlm})), Catch::Contains("NTLM"));
  CHECK_THAT(refused(Offer({kNegoEx})), Catch::Contains("no Kerberos ticket"));
  CHECK_THAT(refused({}), Catch::Contains("no Kerberos ticket"));
  CHECK_THAT(refused(Offer({kKerberos}, Raw(12000, 1))), Catch::Contains("no Kerberos ticket"));
  for (const Raw& inside : {Raw{}, Raw(300, 7), Raw(300, 0x60), Der(0x60, Der(6, kKerberos)),
                            Der(0x60, Der(6, kKerberos) + Raw{1, 0} + Raw(200, 0x6E))}) {
    CHECK_FALSE(refused(Offer({kKerberos}, inside)).empty());
    CHECK_FALSE(refused(Offer({kWindows, kKerberos}, inside)).empty());
  }
  reader->BindTo(Hash32{});
  CHECK_FALSE(refused(Offer({kKerberos})).empty());
}

TEST_CASE("a keytab that cannot be used is our trouble, not the person's") {
  const Folder folder;
  const std::string good = folder.Write("keytab", Raw{5, 2} + Entry(3, 18, 32));
  const std::string bad = folder.Write("bad", Raw(100, 0xFF));
  for (const auto& [keytab, service] : std::vector<std::pair<std::string, std::string>>{
           {(folder.path / "none").string(), "HTTP/keyferry.corp.example@CORP.EXAMPLE"},
           {bad, "HTTP/keyferry.corp.example@CORP.EXAMPLE"},
           {good, "HTTP/other.corp.example@CORP.EXAMPLE"}}) {
    const auto reader = MakeTicketReader({keytab, service, (folder.path / "replay").string()});
    const auto read = reader->Read(Offer({kKerberos}));
    REQUIRE_FALSE(read);
    CHECK(read.error().code == ErrorCode::kUnavailable);
    CHECK_FALSE(read.error().detail.empty());
  }
}

TEST_CASE("a keytab tells its principals, versions and whether its keys are strong") {
  const Folder folder;
  const auto entries =
      ReadKeytab(folder.Write("keytab", Raw{5, 2} + Entry(3, 23, 16) + Entry(4, 18, 32)));
  REQUIRE(entries);
  REQUIRE(entries->size() == 2);
  CHECK((*entries)[0].principal == "HTTP/keyferry.corp.example@CORP.EXAMPLE");
  CHECK((*entries)[0].version == 3);
  CHECK_FALSE((*entries)[0].strong);
  CHECK((*entries)[1].version == 4);
  CHECK((*entries)[1].strong);
  CHECK(ReadKeytab((folder.path / "none").string()).error().code == ErrorCode::kIo);
  CHECK(ReadKeytab(folder.Write("bad", Raw(100, 0xFF))).error().code == ErrorCode::kIo);
}

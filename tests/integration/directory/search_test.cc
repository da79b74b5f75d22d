// The list of employees: order, pages, prefixes, hostile names.
#include <algorithm>
#include <set>

#include "tests/integration/directory/directories.h"

namespace keyferry::testing {
namespace {

std::vector<Person> All(Directory& directory, const std::string& query, std::size_t limit) {
  std::vector<Person> out;
  std::string cursor;
  for (int pages = 0; pages < 400; ++pages) {
    auto page = directory.Search(query, limit, cursor);
    REQUIRE_OK(page);
    CHECK(page->people.size() <= limit);
    out.insert(out.end(), page->people.begin(), page->people.end());
    cursor = page->next;
    if (cursor.empty()) return out;
  }
  FAIL("the pages do not end");
  return out;
}

std::vector<std::string> Logins(const std::vector<Person>& people) {
  std::vector<std::string> out;
  for (const Person& person : people) out.push_back(person.login);
  return out;
}

}  // namespace

TEST_CASE("all 25 employees are listed once, in order, whatever the page size") {
  TestDomain& domain = TestDomain::Shared();
  const auto directory = Open(ConfigFor(domain));
  const auto whole = All(*directory, "", 200);
  REQUIRE(whole.size() == 25);
  for (const std::size_t limit : {1u, 7u, 24u, 25u}) {
    CHECK(Logins(All(*directory, "", limit)) == Logins(whole));
  }
  const auto logins = Logins(whole);
  const auto place = [&](const char* login) {
    return std::find(logins.begin(), logins.end(), login) - logins.begin();
  };
  CHECK(place("ahmet.yilmaz") < place("anna.mueller"));
  CHECK(place("bjorn.aegir") < place("francois.lefevre"));
  CHECK(place("zofia.wozniak") < place("dmytro.bondar"));  // Latin before Cyrillic
  CHECK(place("iryna.savchuk") != place("mykola.lysenko"));
}

TEST_CASE("the list comes in each order, whatever the page size, and from either end") {
  TestDomain& domain = TestDomain::Shared();
  const auto directory = Open(ConfigFor(domain));
  const auto all = [&](PeopleOrder order, std::size_t limit) {
    std::vector<std::string> out;
    std::string cursor;
    for (int pages = 0; pages < 60; ++pages) {
      const auto page = directory->List({"", PeopleState::kAny, order, limit, cursor});
      REQUIRE_OK(page);
      for (const Person& person : page->people) out.push_back(person.login);
      cursor = page->next;
      if (cursor.empty()) return out;
    }
    FAIL("the pages do not end");
    return out;
  };
  const auto by_name = Logins(All(*directory, "", 200));
  auto by_login = by_name;
  std::sort(by_login.begin(), by_login.end());
  for (const std::size_t limit : {1u, 7u, 25u}) {
    INFO(limit);
    CHECK(all(PeopleOrder::kName, limit) == by_name);
    CHECK(all(PeopleOrder::kLogin, limit) == by_login);
    CHECK(all(PeopleOrder::kNameDown, limit) ==
          std::vector<std::string>(by_name.rbegin(), by_name.rend()));
    CHECK(all(PeopleOrder::kLoginDown, limit) ==
          std::vector<std::string>(by_login.rbegin(), by_login.rend()));
  }
}

TEST_CASE("the list is narrowed to whose account is in a state, with a search as well") {
  TestDomain& domain = TestDomain::Shared();
  LdapConfig config = ConfigFor(domain);
  config.listing_life = std::chrono::milliseconds(0);
  const auto directory = Open(std::move(config));
  const auto in = [&](PeopleState state, const char* text = "") {
    const auto page = directory->List({text, state, PeopleOrder::kName, 50, ""});
    REQUIRE_OK(page);
    return Logins(page->people);
  };
  const auto has = [](const std::vector<std::string>& logins, const char* login) {
    return std::find(logins.begin(), logins.end(), login) != logins.end();
  };
  const AccountId taras = All(*directory, "taras.shevchuk", 1).front().id;
  CHECK_FALSE(has(in(PeopleState::kMustChange), "taras.shevchuk"));
  CHECK_FALSE(has(in(PeopleState::kLocked), "taras.shevchuk"));
  CHECK_FALSE(has(in(PeopleState::kExpired), "taras.shevchuk"));
  REQUIRE_OK(directory->RequireChange(taras, AccountId{}, true));
  CHECK(has(in(PeopleState::kMustChange), "taras.shevchuk"));
  CHECK(in(PeopleState::kMustChange, "Шевч") == std::vector<std::string>{"taras.shevchuk"});
  CHECK(in(PeopleState::kMustChange, "zofia").empty());
  CHECK_FALSE(has(in(PeopleState::kExpired), "taras.shevchuk"));
  REQUIRE_OK(directory->RequireChange(taras, AccountId{}, false));
  CHECK_FALSE(has(in(PeopleState::kMustChange), "taras.shevchuk"));
}

TEST_CASE("the configured attributes of a person come in their order, and nothing else") {
  TestDomain& domain = TestDomain::Shared();
  LdapConfig config = ConfigFor(domain);
  config.shown_attributes = {"employeeID", "noSuchAttribute", "displayName", "objectGUID"};
  const auto directory = Open(std::move(config));
  const Person taras = All(*directory, "taras.shevchuk", 1).front();
  const auto shown = directory->Attributes(taras.id);
  REQUIRE_OK(shown);
  REQUIRE(shown->size() == 4);
  CHECK((*shown)[0].name == "employeeID");
  CHECK((*shown)[0].values == std::vector<std::string>{"E1003"});
  CHECK((*shown)[1].values.empty());
  CHECK((*shown)[2].values == std::vector<std::string>{taras.display_name});
  CHECK((*shown)[3].values.empty());  // bytes
  AccountId nobody;
  nobody.bytes.fill(0x5A);
  CHECK(directory->Attributes(nobody).error().code == ErrorCode::kNotFound);
}

TEST_CASE("a person's manager and mobile numbers are told as the directory has them now") {
  TestDomain& domain = TestDomain::Shared();
  const auto directory = Open(ConfigFor(domain));
  const Person taras = All(*directory, "taras.shevchuk", 1).front(),
               zofia = All(*directory, "zofia.wozniak", 1).front();
  const auto manager = [&] {
    const auto found = directory->ManagerOf(taras.id);
    REQUIRE_OK(found);
    return *found ? (*found)->login : std::string("nobody");
  };
  const auto numbers = [&](Directory& asked) {
    const auto found = asked.MobileNumbers(taras.id);
    REQUIRE_OK(found);
    return *found;
  };
  const auto set = [&](const std::string& line) {
    domain.Apply(TestDomain::Line("dn", taras.dn) + "changetype: modify\n" + line);
  };
  CHECK(manager() == "nobody");
  CHECK(numbers(*directory).empty());
  set("replace: manager\n" + TestDomain::Line("manager", zofia.dn));
  set("replace: mobile\nmobile: +380 67 123 45 42\n");
  CHECK(manager() == "zofia.wozniak");
  CHECK(numbers(*directory) == std::vector<std::string>{"+380 67 123 45 42"});
  LdapConfig config = ConfigFor(domain);
  config.mobile_attribute = "otherMobile";
  const auto other = Open(std::move(config));
  CHECK(numbers(*other).empty());
  set("replace: otherMobile\notherMobile: 1\notherMobile: 2\n");
  CHECK(numbers(*other).size() == 2);
  for (const char* name : {"manager", "mobile", "otherMobile"}) {
    set(std::string("delete: ") + name + "\n");
  }
  CHECK(manager() == "nobody");
  AccountId nobody;
  nobody.bytes.fill(0x5A);
  CHECK(directory->ManagerOf(nobody).error().code == ErrorCode::kNotFound);
  CHECK(directory->MobileNumbers(nobody).error().code == ErrorCode::kNotFound);
}

TEST_CASE("a search finds by the beginning of name, login, mail and employee id, in any case") {
  TestDomain& domain = TestDomain::Shared();
  const auto directory = Open(ConfigFor(domain));
  const auto find = [&](const std::string& query) { return Logins(All(*directory, query, 50)); };
  const std::vector<std::string> taras{"taras.shevchuk"};
  for (const char* query :
       {"Тарас", "тарас ш", "Шевч", "taras.s", "TARAS.SHEVCHUK@corp", "E1003", "  taras  "}) {
    INFO(query);
    CHECK(find(query) == taras);
  }
  CHECK(find("O'Brien") == std::vector<std::string>{"sean.obrien"});
  CHECK(find("Groß") == std::vector<std::string>{"jurgen.grosz"});
  CHECK(find("田中") == std::vector<std::string>{"yuki.tanaka"});
  CHECK(find("evchuk").empty());  // beginnings only
}

TEST_CASE("a query is text, never a filter") {
  TestDomain& domain = TestDomain::Shared();
  const auto directory = Open(ConfigFor(domain));
  for (const std::string& query :
       {std::string("*"), std::string("a*"), std::string("*)(objectClass=*"), std::string("\\2a"),
        std::string("("), std::string(")"), std::string("\\"), std::string("a\0b", 3),
        std::string("\xff\xfe\xfd"), std::string("x)(|(cn=*"), std::string(256, '*'),
        std::string("\x01\x02\r\n\x7f"),
        std::string("\xe2\x80\xae"
                    "evil"),
        std::string("%s%n%x"), std::string("'; DROP TABLE people; --")}) {
    INFO(query);
    const auto page = directory->Search(query, 10, "");
    REQUIRE_OK(page);
    CHECK(page->people.empty());
    CHECK(page->next.empty());
  }
  CHECK_REFUSED(directory->Search(std::string(257, 'a'), 10, ""), ErrorCode::kInvalidArgument,
                "too long");
  CHECK_REFUSED(directory->Search("", 0, ""), ErrorCode::kInvalidArgument, "1 to 200");
  CHECK_REFUSED(directory->Search("", 201, ""), ErrorCode::kInvalidArgument, "1 to 200");
  for (const std::string& cursor :
       {std::string("x"), std::string(31, '0'), std::string(32, 'g'), std::string(33, '0'),
        std::string(32, '0') + "zz", std::string(4096, '0')}) {
    CHECK_REFUSED(directory->Search("", 10, cursor), ErrorCode::kInvalidArgument, "not valid");
  }
}

TEST_CASE("200 hostile names find nobody, sign nobody in, and break nothing") {
  TestDomain& domain = TestDomain::Shared();
  const auto directory = Open(ConfigFor(domain));
  // Filter and DN syntax (RFC 4515, RFC 4514), bytes that end or hide text, and overlong ones.
  const std::vector<std::string> pieces{"*",
                                        "(",
                                        ")",
                                        "\\",
                                        std::string(1, '\0'),
                                        "\\00",
                                        "\\2a",
                                        ")(cn=*",
                                        "*)(|(cn=*",
                                        ",",
                                        "+",
                                        "\"",
                                        "<",
                                        ">",
                                        ";",
                                        "=",
                                        "#",
                                        "/",
                                        "\n",
                                        "\r\n",
                                        "\x7f",
                                        "\xff",
                                        "\xc0\xaf",
                                        "\xed\xa0\x80",
                                        "\xe2\x80\xae",
                                        "\xef\xbb\xbf",
                                        "\xf0\x9f\x94\x91",
                                        "e\xcc\x81",
                                        "<GUID=",
                                        "<SID=S-1-5-32-544>",
                                        ":1.2.840.113556.1.4.1941:=",
                                        "%n%s",
                                        "{{{x}}}",
                                        std::string(250, 'A'),
                                        std::string(300, '\x80'),
                                        std::string(5000, '('),
                                        "\t",
                                        "'",
                                        "`",
                                        "~="};
  std::vector<std::string> names;
  for (const std::string& piece : pieces) {
    for (const std::string& name : {"zq" + piece, piece + "zq", "zq" + piece + "zq",
                                    "CORP\\zq" + piece, "zq" + piece + "@corp.example.test"}) {
      names.push_back(name);
    }
  }
  REQUIRE(names.size() == 200);
  for (const std::string& name : names) {
    const auto page = directory->Search(name, 10, "");
    if (name.size() > 256) {
      CHECK_REFUSED(page, ErrorCode::kInvalidArgument, "too long");
    } else {
      REQUIRE_OK(page);
      CHECK(page->people.empty());
    }
    const auto facts = directory->SignIn(name, Secret("certainly wrong"));
    REQUIRE_OK(facts);
    CHECK(facts->outcome == BindOutcome::kWrong);
    CHECK_FALSE(facts->account.has_value());
  }
  const auto all = directory->Search("", 200, "");
  REQUIRE_OK(all);
  CHECK(all->people.size() == 25);
}

TEST_CASE("hostile names in the directory come back as they are, and can be worked with") {
  TestDomain& domain = TestDomain::Shared();
  auto config = ConfigFor(domain);
  config.listing_life = std::chrono::milliseconds(0);
  const auto directory = Open(std::move(config));
  const std::vector<std::string> names{"Zz (star*) paren",
                                       "Zz back\\slash",
                                       "Zz comma, Jr.",
                                       "Zz quote\"d",
                                       "Zz #hash =equals",
                                       "Zz <script>alert(1)</script>",
                                       "Zz {{{mustache}}}",
                                       "Zz a+b;c",
                                       "Zz ' OR '1'='1",
                                       "Zz \xe2\x80\xae"
                                       "rtl",
                                       "Zz 🚢 ferry",
                                       "Zz e\xcc\x81 combining"};
  const auto line = TestDomain::Line;
  std::string ldif;
  for (std::size_t i = 0; i < names.size(); ++i) {
    const std::string login = "hostile" + std::to_string(i);
    // The RDN needs RFC 4514 escapes; hex escapes do for every byte.
    static constexpr char kDigits[] = "0123456789abcdef";
    std::string rdn;
    for (const char c : names[i]) {
      const auto byte = static_cast<std::uint8_t>(c);
      rdn += std::string("\\") + kDigits[byte >> 4] + kDigits[byte & 15];
    }
    ldif += line("dn", "CN=" + rdn + "," + domain.people_dn) +
            "objectClass: user\nsAMAccountName: " + login + "\n" + line("displayName", names[i]) +
            "userAccountControl: 546\n\n";
  }
  domain.Apply(ldif);
  const auto found = All(*directory, "Zz ", 5);
  REQUIRE(found.size() == names.size());
  std::set<std::string> seen;
  std::string enable, remove;
  for (const Person& person : found) {
    INFO(person.display_name);
    seen.insert(person.display_name);
    const auto exact = All(*directory, person.display_name, 5);
    REQUIRE(exact.size() == 1);
    CHECK(exact[0].id == person.id);
    const auto detail = directory->Get(person.id);
    REQUIRE_OK(detail);
    CHECK(detail->person.dn == person.dn);
    const auto target = directory->Pin(person.id, {});
    REQUIRE_OK(target);
    REQUIRE_OK(directory->SetPassword(*target, person.id, Secret("Hostile-Pass-1"), {}));
    enable += line("dn", person.dn) +
              "changetype: modify\nreplace: userAccountControl\nuserAccountControl: 512\n\n";
    remove += line("dn", person.dn) + "changetype: delete\n\n";
  }
  domain.Apply(enable);
  for (const Person& person : found) {
    const auto facts = directory->SignIn(person.login, Secret("Hostile-Pass-1"));
    REQUIRE_OK(facts);
    CHECK(facts->outcome == BindOutcome::kAccepted);
    CHECK(facts->group_dns.size() >= 1);
  }
  domain.Apply(remove);
  CHECK(seen == std::set<std::string>(names.begin(), names.end()));
}

TEST_CASE("an identity survives renaming and moving; pages survive people who come and go") {
  TestDomain& domain = TestDomain::Shared();
  auto config = ConfigFor(domain);
  config.listing_life = std::chrono::milliseconds(0);
  const auto directory = Open(std::move(config));
  const auto line = TestDomain::Line;
  const SamplePerson& person = domain.people()[20];
  domain.Apply("dn: OU=Annex," + domain.people_dn + "\nobjectClass: organizationalUnit\n");
  domain.Apply(line("dn", person.dn) +
               "changetype: modrdn\nnewrdn: CN=Renamed\ndeleteoldrdn: 1\nnewsuperior: OU=Annex," +
               domain.people_dn + "\n");
  const auto detail = directory->Get(IdOf(person));
  REQUIRE_OK(detail);
  CHECK(detail->person.dn == "CN=Renamed,OU=Annex," + domain.people_dn);
  const auto target = directory->Pin(IdOf(person), {});
  REQUIRE_OK(target);
  CHECK_FALSE(directory->SetPassword(*target, IdOf(person), Secret("short"), {}));
  REQUIRE_OK(directory->SetPassword(*target, IdOf(person), Secret(person.password), {}));

  const auto first = directory->Search("", 10, "");
  REQUIRE_OK(first);
  domain.Apply(line("dn", "CN=Aaron New," + domain.people_dn) +
               "objectClass: user\nsAMAccountName: aaron.new\ndisplayName: Aaron "
               "New\nuserAccountControl: 546\n");
  const auto second = directory->Search("", 200, first->next);
  REQUIRE_OK(second);
  CHECK(first->people.size() + second->people.size() ==
        25);  // the newcomer sorts before the cursor
  std::set<AccountId> ids;
  for (const auto* page : {&*first, &*second}) {
    for (const Person& each : page->people) CHECK(ids.insert(each.id).second);
  }
  domain.Apply(line("dn", "CN=Aaron New," + domain.people_dn) + "changetype: delete\n");
}

TEST_CASE("computer accounts are found by name, and what they are is told") {
  TestDomain& domain = TestDomain::Shared();
  const std::string base = ConfigFor(domain).base_dn;
  for (const char* name : {"DESK-1", "DESK-2"}) {
    const bool disabled = std::string(name) == "DESK-2";
    domain.Apply("dn: CN=" + std::string(name) + ",CN=Computers," + base +
                 "\nchangetype: add\nobjectClass: computer\nsAMAccountName: " + name +
                 "$\nuserAccountControl: " + (disabled ? "4098" : "4096") + "\n");
  }
  const auto directory = Open(ConfigFor(domain));
  const std::vector<std::string> names = {"desk-1", "DESK-2",       "DC1", "nobody",
                                          "*",      "desk-1)(cn=*", ""};
  const auto found = directory->FindComputers(names);
  REQUIRE_OK(found);
  REQUIRE(found->size() == 3);
  for (const Computer& computer : *found) {
    INFO(computer.name);
    CHECK(computer.disabled == (computer.name == "DESK-2"));
    CHECK(computer.controller == (computer.name == "DC1"));
    CHECK(computer.id != AccountId{});
    CHECK(computer.dn.find(base) != std::string::npos);
  }
  std::vector<std::string> many;
  for (int i = 0; i < 120; ++i) many.push_back("PC-" + std::to_string(i));
  many.push_back("DESK-1");
  CHECK(directory->FindComputers(many)->size() == 1);
}

}  // namespace keyferry::testing

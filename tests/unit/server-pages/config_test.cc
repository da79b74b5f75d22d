// The configuration file.
#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>
#include <regex>
#include <sstream>

#include "config_text.h"

using namespace keyferry;
using namespace keyferry::server;
namespace fs = std::filesystem;

TEST_CASE("a good configuration, its defaults and relative paths") {
  const auto config = Parse(kGood);
  REQUIRE(config);
  CHECK(config->state_dir == "/etc/keyferry/state");
  CHECK(config->listen.address == "127.0.0.1");
  CHECK(config->workstation_listen.address == "::1");
  CHECK(config->workstation_listen.port == 8444);
  CHECK(config->directory.password_file == "/etc/keyferry/password");
  CHECK(config->passwords.length == 24);
  CHECK_FALSE(config->passwords.allow_typing);
  CHECK_FALSE(config->keys.allow_simulator);
  CHECK(config->log.level == "info");
  CHECK_FALSE(config->postgres);
  CHECK(config->help_desk.points == std::array<std::int64_t, 9>{3, 2, 1, 1, 3, 1, 0, 2, 0});
  CHECK_FALSE(config->self_service.enabled);
  CHECK(config->help_desk.personal_data == std::vector<std::string>{"employee_id"});
  const auto desk = Parse(std::string(kGood) +
                          "[help_desk]\nverification_points = 3\npoints_in_person = 0\n"
                          "personal_data = [\"title\", \"department\"]\n");
  REQUIRE(desk);
  CHECK(desk->help_desk.points == std::array<std::int64_t, 9>{0, 2, 1, 1, 3, 1, 0, 2, 0});
  CHECK(desk->help_desk.personal_data.size() == 2);
  CHECK(desk->help_desk.personal_data_mode == "enter");
  const auto compared =
      Parse(std::string(kGood) + "[help_desk]\npersonal_data_mode = \"confirm\"\n");
  REQUIRE(compared);
  CHECK(compared->help_desk.personal_data_mode == "confirm");
}

TEST_CASE("where the database is") {
  const auto with = [](const std::string& storage) {
    return Parse(With("[server]\n", "[server]\nstorage = \"" + storage + "\"\n"));
  };
  REQUIRE(with("sqlite"));
  CHECK_FALSE(with("sqlite")->postgres);
  const auto config = with("postgresql:///keyferry?host=/run/postgresql");
  REQUIRE(config);
  REQUIRE(config->postgres);
  CHECK(config->postgres->place() == "keyferry at /run/postgresql");
  for (const char* storage :
       {"postgresql://keyferry:Canary-7@db/keyferry", "mysql://db/keyferry", "keyferry.db",
        "postgresql://db.example/keyferry", "postgresql:///keyferry?colour=blue"}) {
    const auto refused = with(storage);
    REQUIRE_FALSE(refused);
    CHECK(refused.error().message.rfind("server.toml:2: server.storage ", 0) == 0);
    CHECK(refused.error().message.find("Canary") == std::string::npos);
  }
}

TEST_CASE("OpenLDAP is configured by one key, and keys of the other kind are refused") {
  const std::string openldap = With("[directory]\n", "[directory]\nkind = \"openldap\"\n");
  auto config = Parse(openldap);
  REQUIRE(config);
  CHECK(config->directory.kind == "openldap");
  const auto with = [](std::string text, const std::string& line) {
    return text.insert(text.find("[keys]"), line + "\n");
  };
  config = Parse(with(openldap, "default_policy = \"cn=default,dc=example,dc=org\""));
  REQUIRE(config);
  CHECK(config->directory.default_policy == "cn=default,dc=example,dc=org");
  config = Parse(with(openldap, "prefer_pdc = true"));
  REQUIRE_FALSE(config);
  CHECK(config.error().message ==
        "server.toml:14: directory.prefer_pdc has no meaning for OpenLDAP; remove it.");
  config = Parse(with(kGood, "default_policy = \"cn=default,dc=example,dc=org\""));
  REQUIRE_FALSE(config);
  CHECK_THAT(config.error().message, Catch::Matchers::Contains("only for directory.kind"));
  config = Parse(With("[directory]\n", "[directory]\nkind = \"ldap\"\n"));
  REQUIRE_FALSE(config);
  CHECK_THAT(config.error().message,
             Catch::Matchers::Contains("one of: active-directory, openldap"));
}

TEST_CASE("addresses of webhooks, which no complaint shows") {
  const auto config = Parse(kGood + std::string("[webhook]\nurls = [\"https://a.example/t0p\", "
                                                "\"http://127.0.0.1:9000/\"]\n"
                                                "secret_file = \"hook\"\n"));
  REQUIRE(config);
  REQUIRE(config->webhook.targets.size() == 2);
  CHECK(config->webhook.targets[0].place == "https://a.example");
  CHECK(config->webhook.secret_file == "/etc/keyferry/hook");
  CHECK(config->webhook.timeout_seconds == 10);
  CHECK(Parse(kGood)->webhook.targets.empty());
  for (const char* urls : {"\"https://a.example/t0p\", \"https://a.example/t0p\"",
                           "\"http://a.example/t0p\"", "\"https://u:t0p@a.example/\"",
                           "\"https://a/\", \"https://b/\", \"https://c/\", \"https://d/\", "
                           "\"https://e/t0p\""}) {
    const auto bad =
        Parse(kGood + std::string("[webhook]\nsecret_file = \"hook\"\nurls = [") + urls + "]\n");
    INFO(urls);
    REQUIRE_FALSE(bad);
    CHECK_THAT(bad.error().message, Catch::Matchers::Contains("webhook.urls"));
    CHECK_THAT(bad.error().message, !Catch::Matchers::Contains("t0p"));
  }
}

namespace {

std::string Source(const std::string& extra = {}) {
  return "[[source]]\nname = \"Lab\"\nkind = \"openldap\"\nuris = [\"ldaps://lab.example\"]\n"
         "ca_file = \"lab.pem\"\nbase_dn = \"dc=lab\"\nbind_name = \"cn=svc,dc=lab\"\n"
         "password_file = \"lab-password\"\n" +
         extra;
}

std::string Scope(const std::string& lists, const std::string& role = "help_desk") {
  return "[[scope]]\nrole = \"" + role + "\"\n" + lists;
}

std::string Sms(const std::string& more) {
  return std::string(kGood) + "[sms]\nurl = \"https://sms.example/t0p\"\n" + more + "\n";
}

std::string Times(int count, const std::string& text) {
  std::string out;
  for (int i = 0; i < count; ++i) {
    out += text;
    out.replace(out.rfind("Lab"), 3, "L" + std::to_string(i) + "b");
  }
  return out;
}

}  // namespace

TEST_CASE("codes by SMS are on with a gateway, and off without") {
  const auto off = Parse(kGood);
  REQUIRE(off);
  CHECK(off->sms.url.empty());
  const auto on = Parse(Sms(""));
  REQUIRE(on);
  CHECK(on->help_desk.points[6] == 1);
  CHECK(on->sms.message.format == SmsFormat::kJson);
  CHECK(on->sms.message.body == R"({"to":"%number%","text":"%text%"})");
  CHECK(on->sms.text.find("{{code}}") == 0);
  CHECK(on->sms.phone.country_code.empty());
  CHECK(on->sms.phone.trunk_prefix == "0");
  CHECK(on->directory.mobile_attribute == "mobile");
  const auto full = Parse(
      Sms("format = \"form\"\nbody = \"n=%number%&t=%text%&f=%from%\"\nfrom = \"IT\"\nheader = "
          "\"X-Key\"\nsecret_file = \"sms\"\nattribute = \"otherMobile\"\ncountry_code = "
          "\"380\"\ntrunk_prefix = \"none\"\ntext = \"Код {{code}}\"\nper_hour = 7\n[help_desk]\n"
          "points_sms_code = 2"));
  REQUIRE(full);
  CHECK(full->help_desk.points[6] == 2);
  CHECK(full->sms.message.from == "IT");
  CHECK(full->sms.secret_file == "/etc/keyferry/sms");
  CHECK(full->sms.phone.country_code == "380");
  CHECK(full->sms.phone.trunk_prefix.empty());
  CHECK(full->directory.mobile_attribute == "otherMobile");
  CHECK(full->sms.text == "Код {{code}}");
  CHECK(full->sms.per_hour == 7);
}

TEST_CASE("attributes to be shown and addresses to be told are checked") {
  const auto config =
      Parse(With("[directory]\n", "[directory]\nshown_attributes = [\"mobile\", \"info\"]\n"));
  REQUIRE(config);
  CHECK(config->directory.shown_attributes == std::vector<std::string>{"mobile", "info"});
  for (const char* bad : {"unicodePwd", "a b", "ms-Mcs-AdmPwd", ""}) {
    INFO(bad);
    const auto refused = Parse(
        With("[directory]\n", std::string("[directory]\nshown_attributes = [\"") + bad + "\"]\n"));
    REQUIRE_FALSE(refused);
    CHECK_THAT(refused.error().message, Catch::Matchers::Contains("directory.shown_attributes"));
  }
  const auto alone = Parse(kGood + std::string("[mail]\nadministrators = [\"a@corp.example\"]\n"));
  REQUIRE_FALSE(alone);
  CHECK_THAT(alone.error().message, Catch::Matchers::Contains("mail.administrators"));
}

TEST_CASE("password sources beside the first are blocks of their own") {
  const auto config =
      Parse(kGood + Source() +
            Source("match = \"mail\"\ndefault = true\nconnections = 2\n").replace(19, 3, "Two"));
  INFO((config ? std::string() : config.error().message));
  REQUIRE(config);
  REQUIRE(config->sources.size() == 2);
  CHECK(config->sources[0].name == "Lab");
  CHECK(config->sources[0].kind == "openldap");
  CHECK(config->sources[0].ca_file == "/etc/keyferry/lab.pem");
  CHECK(config->sources[0].password_file == "/etc/keyferry/lab-password");
  CHECK(config->sources[0].match == "login");
  CHECK_FALSE(config->sources[0].preset);
  CHECK(config->sources[0].connections == 4);
  CHECK(config->sources[1].name == "Two");
  CHECK(config->sources[1].match == "mail");
  CHECK(config->sources[1].preset);
  CHECK(config->sources[1].connections == 2);
  CHECK(config->directory.kind == "active-directory");
  CHECK(Parse(kGood)->sources.empty());
  CHECK(Parse(kGood + Times(4, Source()))->sources.size() == 4);
}

TEST_CASE("a bad configuration is refused with file, line and remedy") {
  struct Bad {
    std::string text;
    int line;
    std::string says;
  };
  const std::vector<Bad> table = {
      {With("[server]", "[server"), 1, "not valid TOML"},
      {With("\"state\"", "\"state"), 2, "not valid TOML"},
      {std::string(kGood) + "[server]\n", 15, "not valid TOML"},
      {With("state_dir = \"state\"\n", ""), 1, "server.state_dir is missing. Add state_dir"},
      {With("\"state\"", "5"), 2, "server.state_dir must be text in quotes"},
      {With("\"state\"", "\"\""), 2, "not empty"},
      {With("127.0.0.1:8443", "localhost:8443"), 3, "IP address and a port"},
      {With("127.0.0.1:8443", "127.0.0.1"), 3, "IP address and a port"},
      {With("127.0.0.1:8443", "127.0.0.1:0"), 3, "IP address and a port"},
      {With("127.0.0.1:8443", "127.0.0.1:65536"), 3, "IP address and a port"},
      {With("127.0.0.1:8443", "127.0.0.1:84x3"), 3, "IP address and a port"},
      {With("8444", "8443"), 4, "must have another port"},
      {With("[\"keyferry.corp.example\", \"10.0.0.1\"]", "[]"), 5, "at least one"},
      {With("[\"keyferry.corp.example\", \"10.0.0.1\"]", "\"x\""), 5, "must be a list"},
      {With("keyferry.corp.example", "Keyferry.corp"), 5, "neither a host name in lower case"},
      {With("keyferry.corp.example", "https://x"), 5, "neither a host name"},
      {With("ldaps://dc1.corp.example", "ldap://dc1.corp.example"), 7, "only ldaps://"},
      {With("ldaps://dc1.corp.example", "ldaps://"), 7, "only ldaps://"},
      {With("[\"ldaps://dc1.corp.example\"]", "[7]"), 7, "must be a list of texts"},
      {With("base_dn", "basedn"), 6, "directory.base_dn is missing"},
      {std::string(kGood) + "vendor_cas = []\n", 15, "Did you mean keys.vendor_ca?"},
      {std::string(kGood) + "colour = \"red\"\n", 15, "keys.colour is not known. Remove it"},
      {std::string(kGood) + "[extra]\na = 1\n", 15, "the table extra is not known"},
      {"top = 1\n" + std::string(kGood), 1, "the key top is not known"},
      {With("[\"vendor.pem\"]", "[]"), 14, "no key could be enrolled"},
      {std::string(kGood) + "allow_simulator = true\n", 15, "names no CA file"},
      {std::string(kGood) + "allow_simulator = \"yes\"\n", 15, "must be true or false"},
      {std::string(kGood) + "pin_min = 5\n", 15, "from 6 to 63"},
      {std::string(kGood) + "pin_tries = 9\n", 15, "from 1 to 8"},
      {std::string(kGood) + "[passwords]\nlength = 11\n", 16, "from 12 to 128"},
      {std::string(kGood) + "[passwords]\nlength = 24.0\n", 16, "whole number"},
      {std::string(kGood) + "[sessions]\nidle_minutes = 0\n", 16, "from 1 to 720"},
      {std::string(kGood) + "[log]\nlevel = \"loud\"\n", 16, "one of: trace, debug"},
      {std::string(kGood) + "[webhook]\nurls = [\"https://itsm.corp.example/t0p\"]\n", 16,
       "needs webhook.secret_file"},
      {std::string(kGood) + "[webhook]\nurls = [\"http://itsm.corp.example/t0p\"]\n", 16,
       "must begin with https://; http:// is only for this machine itself"},
      {std::string(kGood) + "[webhook]\ntimeout_seconds = 31\n", 16, "from 1 to 30"},
      {Sms("format = \"xml\""), 17, "one of: json, form"},
      {Sms("header = \"Authorization\""), 17, "goes together with"},
      {Sms("secret_file = \"sms\"\nheader = \"Bad header\""), 18, "name of a header"},
      {Sms("body = \"{\\\"to\\\": %number%, \\\"text\\\": \\\"%text%\\\"}\""), 17,
       "within strings"},
      {Sms("body = \"{\\\"to\\\": \\\"%number%\\\"}\""), 17, "%number% and %text%"},
      {Sms("body = \"[\\\"%number%\\\", \\\"%text%\\\"]\""), 17, "JSON object"},
      {Sms("format = \"form\"\nbody = \"to=%number% text=%text%\""), 18, "without blanks"},
      {Sms("format = \"form\"\nbody = \"to=%number%&text=%text%&from=%from%\""), 18,
       "there is no sms.from"},
      {Sms("text = \"no code\""), 17, "with {{code}}"},
      {Sms("text = \"{{code}} {{password}}\""), 17, "nothing else in braces"},
      {Sms("country_code = \"+380\""), 17, "1 to 3 digits"},
      {Sms("country_code = \"038\""), 17, "1 to 3 digits"},
      {Sms("trunk_prefix = \"00\""), 17, "one of: 0, 1"},
      {Sms("attribute = \"unicodePwd\""), 17, "that may be read"},
      {Sms("per_hour = 0"), 17, "from 1 to 100000"},
      {Sms("per_person_day = 101"), 17, "from 1 to 100"},
      {std::string(kGood) + "[sms]\nurl = \"http://sms.example/t0p\"\n", 16,
       "must begin with https://"},
      {std::string(kGood) + "[help_desk]\npoints_sms_code = 1\n", 16, "needs sms.url"},
      {std::string(kGood) + "[help_desk]\nrequest_minutes = 1\n", 16, "from 2 to 60"},
      {std::string(kGood) + "[help_desk]\nattempts = 0\n", 16, "from 1 to 10"},
      {std::string(kGood) + "[help_desk]\nresets_per_day = 0\n", 16, "from 1 to 100"},
      {std::string(kGood) + "[help_desk]\nverification_points = 14\n", 16, "cannot be reached"},
      {std::string(kGood) +
           "[help_desk]\nverification_methods = 6\npoints_mail_code = 0\npoints_totp = 0\n",
       15, "cannot be reached"},
      {std::string(kGood) + "[help_desk]\npersonal_data = [\"phone\"]\n", 16,
       "may hold employee_id, mail, title and department"},
      {std::string(kGood) + "[help_desk]\npersonal_data_mode = \"show\"\n", 16, "confirm"},
      {std::string(kGood) +
           "[help_desk]\npoints_personal_data = 2\npersonal_data_mode = \"confirm\"\n",
       17, "where personal data alone suffice"},
      {"", 1, "server.state_dir is missing"},
      {With("[server]", "[server]\nstate_dir = \"twice\""), 3, "not valid TOML"},
      {With("\"state\"", "\"st\\xate\""), 2, "not valid TOML"},
      {With("\"state\"", "\"st\xC0\x80\""), 2, "not valid TOML"},
      {With("\"state\"", std::string("\"st\0\"", 5)), 2, "not valid TOML"},
      {With("\"state\"", "[\"state\"]"), 2, "server.state_dir must be text"},
      {With("\"state\"", "{ a = 1 }"), 2, "server.state_dir must be text"},
      {With("\"state\"", "2026-11-21"), 2, "server.state_dir must be text"},
      {With("\"state\"", "nan"), 2, "server.state_dir must be text"},
      {With("127.0.0.1:8443", "::1:8443x"), 3, "IP address and a port"},
      {With("127.0.0.1:8443", "256.0.0.1:8443"), 3, "IP address and a port"},
      {With("127.0.0.1:8443", "127.0.0.1:-1"), 3, "IP address and a port"},
      {With("127.0.0.1:8443", "127.0.0.1:8443/x"), 3, "IP address and a port"},
      {With("10.0.0.1\"]", "10.0.0.1\", \"\"]"), 5, "server.names"},
      {With("keyferry.corp.example", "a b"), 5, "neither a host name"},
      {With("keyferry.corp.example", "k\u00fche.example"), 5, "neither a host name"},
      {With("\"DC=corp,DC=example\"", "5"), 9, "directory.base_dn must be text"},
      {With("\"svc@corp.example\"", "\"\""), 10, "not empty"},
      {With("[\"CN=Admins,DC=corp,DC=example\"]", "[[\"x\"]]"), 12, "must be a list of texts"},
      {With("[\"CN=Admins,DC=corp,DC=example\"]", "[]"), 12, "at least one"},
      {With("[keys]", "timeout_ms = 499\n[keys]"), 13, "from 500 to 60000"},
      {With("[keys]", "timeout_ms = 9223372036854775807\n[keys]"), 13, "from 500 to 60000"},
      {With("[keys]", "timeout_ms = 9223372036854775808\n[keys]"), 13, "not valid TOML"},
      {With("[keys]", "prefer_pdc = 1\n[keys]"), 13, "must be true or false"},
      {With("[keys]", "connections = true\n[keys]"), 13, "whole number"},
      {std::string(kGood) + "[passwords]\nwait_days = -1\n", 16, "from 1 to 3650"},
      {std::string(kGood) + "[passwords]\nminimum_age = \"ignore\"\n", 16, "one of: tell, respect"},
      {std::string(kGood) + "[api]\nmax_token_days = 0\n", 16, "from 1 to 3660"},
      {std::string(kGood) + "[api]\nrequests_per_minute = \"many\"\n", 16, "whole number"},
      {std::string(kGood) + "[api]\ntokens = 1\n", 16, "api.tokens is not known"},
      {std::string(kGood) + "[audit]\nsyslog = \"syslog\"\n", 16, "must be a host"},
      {std::string(kGood) + "[audit]\nsyslog = \"syslog:6514\"\n", 16, "names no CA file"},
      {std::string(kGood) + "[audit]\nsyslog_transport = \"udp\"\n", 16, "one of: tls, tcp"},
      {kGood + Source("match = \"name\"\n"), 23, "one of: login, mail, employee_id"},
      {kGood + Source("default = \"yes\"\n"), 23, "source.default must be true or false"},
      {kGood + Source("colour = 1\n"), 23, "source.colour is not known"},
      {kGood + Source("settle_seconds = 5\n"), 23, "source.settle_seconds is not known"},
      {kGood + Source("administrator_groups = [\"cn=a\"]\n"), 23, "is not known"},
      {kGood + Source("prefer_pdc = true\n"), 23, "has no meaning for OpenLDAP"},
      {kGood + Source("timeout_ms = 1\n"), 23, "source.timeout_ms must be a whole number"},
      {kGood + Source() + Source(), 24, "is the name of another [[source]]"},
      {kGood + Source().replace(19, 3, std::string(65, 'x')), 16, "at most 64 bytes"},
      {kGood + Source().replace(19, 3, "a\\nb"), 16, "on one line"},
      {kGood + Source().replace(11, 13, ""), 15, "source.name is missing"},
      {kGood + Source().replace(Source().find("ldaps"), 5, "ldap"), 18, "only ldaps://"},
      {kGood + Times(5, Source()), 47, "more than 4 blocks"},
      {std::string(kGood) + "[source]\nname = \"Lab\"\n", 15, "blocks that begin with [[source]]"},
      {"source = []\n" + std::string(kGood), 1, "blocks that begin with [[source]]"},
      {"source = [1]\n" + std::string(kGood), 1, "blocks that begin with [[source]]"},
      {"source = [{}]\n" + std::string(kGood), 1, "source.name is missing"},
      {std::string(kGood) + "[[source]]\nname = \"x\"\nuris = [\"ldaps://dc1.corp.example\"]\n"
                            "ca_file = \"a\"\nbase_dn = \"DC=corp,DC=example\"\nbind_name = "
                            "\"s\"\npassword_file = \"p\"\n",
       17, "that is the first source already"},
      {kGood + Scope("include_users = [\"a\"]\n", "guest"), 16, "must be one of administrator"},
      {kGood + Scope(""), 16, "name whom to include or to exclude"},
      {kGood + Scope("include_ous = [\"Sales\"]\n"), 17, "must hold distinguished names"},
      {kGood + Scope("include_groups = [\"cn=a\\n,dc=b\"]\n"), 17, "distinguished names"},
      {kGood + Scope("exclude_ous = [\"OU=A,DC=other\"]\n"), 17, "not below directory.base_dn"},
      {kGood + Scope("exclude_users = [\"\"]\n"), 17, "scope.exclude_users"},
      {kGood + Scope("include_users = \"anna\"\n"), 17, "scope.include_users"},
      {kGood + Scope("include_people = [\"anna\"]\n"
                     "include_users = [\"a\"]\n"),
       17, "scope.include_people is not known"},
      {std::string(kGood) + "[scope]\nrole = \"auditor\"\n", 15,
       "blocks that begin with [[scope]]"},
      {std::string(kGood) + "[[sessions]]\nidle_minutes = 5\n", 15, "sessions"},
  };
  CHECK(table.size() >= 50);
  for (const Bad& bad : table) {
    INFO(bad.text);
    const auto config = Parse(bad.text);
    REQUIRE_FALSE(config);
    INFO(config.error().message);
    CHECK(config.error().message.rfind("server.toml:" + std::to_string(bad.line) + ": ", 0) == 0);
    CHECK(config.error().message.find(bad.says) != std::string::npos);
  }
}

TEST_CASE("docs/configuration.md explains exactly the keys that there are") {
  std::ifstream in(fs::path(KEYFERRY_SOURCE_DIR) / "docs/configuration.md");
  std::ostringstream text;
  text << in.rdbuf();
  const std::string page = text.str();
  static const std::regex kRow("\n\\| `([a-z_]+\\.[a-z_]+)` \\|");
  std::vector<std::string> explained;
  for (std::sregex_iterator it(page.begin(), page.end(), kRow), end; it != end; ++it) {
    explained.push_back((*it)[1]);
  }
  CHECK(explained == ConfigKeys());
  const std::size_t begin = page.find("```toml\n") + 8;
  CHECK(Parse(page.substr(begin, page.find("```", begin) - begin)));
}

TEST_CASE("scopes are read into rules of their role") {
  const auto config = Parse(kGood + Scope("include_ous = [\"ou=Sales, DC=corp,DC=example\"]\n") +
                            Scope("exclude_users = [\"anna\", \"boris\"]\n", "auditor"));
  REQUIRE(config);
  REQUIRE(config->scopes.size() == 2);
  CHECK(Describe(config->scopes[0]) == "help_desk: include OU ou=Sales, DC=corp,DC=example");
  CHECK(Describe(config->scopes[1]) == "auditor: exclude user anna; exclude user boris");
  std::string many = kGood;
  for (int i = 0; i < 33; ++i) many += Scope("include_users = [\"a\"]\n");
  CHECK_FALSE(Parse(many));
}

// The configuration file, secret files, and lines of the log.
#include "server/app/config.h"

#include <sys/stat.h>

#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>
#include <regex>
#include <sstream>

#include "server/app/fido_config.h"
#include "server/app/files.h"
#include "server/app/log.h"

using namespace keyferry;
using namespace keyferry::server;
namespace fs = std::filesystem;

namespace {

const char* const kGood = R"([server]
state_dir = "state"
listen = "127.0.0.1:8443"
workstation_listen = "[::1]:8444"
names = ["keyferry.corp.example", "10.0.0.1"]
[directory]
uris = ["ldaps://dc1.corp.example"]
ca_file = "ca.pem"
base_dn = "DC=corp,DC=example"
bind_name = "svc@corp.example"
password_file = "/etc/keyferry/password"
administrator_groups = ["CN=Admins,DC=corp,DC=example"]
[keys]
vendor_ca = ["vendor.pem"]
)";

Result<ServerConfig> Parse(const std::string& text) {
  return ServerConfig::Parse(text, "server.toml", "/etc/keyferry");
}

std::string With(const std::string& from, const std::string& to) {
  std::string text = kGood;
  const std::size_t at = text.find(from);
  REQUIRE(at != std::string::npos);
  return text.replace(at, from.size(), to);
}

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

TEST_CASE("employees themselves: off by default, their questions read and bounded") {
  const auto with = [](const std::string& lines) {
    return Parse(kGood + ("[self_service]\n" + lines));
  };
  auto config = with("enabled = true\n");
  REQUIRE(config);
  CHECK(config->self_service.enabled);
  CHECK(config->self_service.questions.empty());
  CHECK(config->self_service.passwords_per_day == 0);
  CHECK(with("enabled = true\npasswords_per_day = 3\n")->self_service.passwords_per_day == 3);
  CHECK(config->help_desk.points.back() == 1);
  config = with(
      "questions = [\"One?\", \"Two? | Два?\", \"Three?\", \"Four?\", \"Five?\"]\n"
      "answers = 5\nasked = 4\nanswer_length = 6\n");
  REQUIRE(config);
  const auto& questions = config->self_service.questions;
  REQUIRE(questions.size() == 5);
  CHECK(questions[0].english == "One?");
  CHECK(questions[0].ukrainian.empty());
  CHECK(questions[1].english == "Two?");
  CHECK(questions[1].ukrainian == "Два?");
  CHECK(questions[0].id.size() == 20);
  CHECK(questions[0].id != questions[1].id);
  for (const auto& [lines, complaint] : std::vector<std::pair<std::string, std::string>>{
           {"questions = [\"One?\"]", "5 to 40"},
           {"questions = [\"A?\", \"B?\", \"C?\", \"D?\", \"A?\"]", "twice"},
           {"questions = [\"A?\", \"B?\", \"C?\", \"D?\", \" | E?\"]", "write a question"},
           {"questions = [\"A?\", \"B?\", \"C?\", \"D?\", \"E | F | G\"]", "write a question"},
           {"questions = [\"A?\", \"B?\", \"C?\", \"D?\", \"E\\u0001\"]", "write a question"},
           {"questions = [\"A?\", \"B?\", \"C?\", \"D?\", \"" + std::string(201, 'x') + "\"]",
            "write a question"},
           {"passwords_per_day = 21", "self_service.passwords_per_day"},
           {"answers = 2", "self_service.answers"},
           {"answers = 6", "self_service.answers"},
           {"asked = 1", "self_service.asked"},
           {"asked = 4", "self_service.asked"},
           {"answer_length = 2", "self_service.answer_length"}}) {
    INFO(lines);
    const auto refused = with(lines + "\n");
    REQUIRE_FALSE(refused);
    CHECK_THAT(refused.error().message, Catch::Matchers::Contains(complaint));
  }
  // Points of what nobody can do do not make a policy that can be met.
  const std::string only =
      "[help_desk]\npoints_in_person = 0\npoints_call_back = 0\npoints_mail_code = 0\n"
      "points_personal_data = 0\npoints_key_touch = 0\npoints_totp = 0\npoints_questions = 9\n";
  CHECK_FALSE(Parse(kGood + only));
  CHECK(with("enabled = true\n" + only));
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

TEST_CASE("FIDO2 keys know the first name of the server, or what the configuration says") {
  const auto fido = [](const std::string& sign_in, const std::string& names = {}) {
    std::string text = kGood + ("[sign_in]\n" + sign_in);
    if (!names.empty()) {
      const std::string now = "names = [\"keyferry.corp.example\", \"10.0.0.1\"]";
      text.replace(text.find(now), now.size(), "names = [" + names + "]");
    }
    return FidoOf(Parse(text).value());
  };
  const auto plain = fido("");
  REQUIRE(plain);
  CHECK(plain->relying_party == "keyferry.corp.example");
  CHECK(plain->origins == std::vector<std::string>{"https://keyferry.corp.example:8443"});
  CHECK(plain->user_verification == "preferred");
  const auto above = fido("relying_party = \"corp.example\"\nuser_verification = \"required\"\n",
                          "\"10.0.0.1\", \"a.corp.example\", \"b.other\", \"corp.example\"");
  REQUIRE(above);
  CHECK(above->relying_party == "corp.example");
  CHECK(above->origins ==
        std::vector<std::string>{"https://a.corp.example:8443", "https://corp.example:8443"});
  CHECK(above->user_verification == "required");
  CHECK(fido("origins = [\"https://keyferry.corp.example\"]\n")->origins ==
        std::vector<std::string>{"https://keyferry.corp.example"});
  CHECK_FALSE(fido("fido_keys = false\n"));
  CHECK_FALSE(fido("second_factor = \"off\"\n"));
  CHECK_FALSE(fido("", "\"10.0.0.1\", \"::1\""));
  for (const char* bad :
       {"relying_party = \"other.example\"", "relying_party = \"eyferry.corp.example\"",
        "relying_party = \"10.0.0.1\"", "relying_party = \"Corp.example\"",
        "relying_party = \"https://corp.example\"", "origins = [\"http://keyferry.corp.example\"]",
        "origins = [\"https://keyferry.corp.example/\"]", "origins = [\"https://10.0.0.1\"]",
        "origins = [\"https://keyferry.corp.example:443\"]",
        "origins = [\"https://keyferry.corp.example:99999\"]",
        "origins = [\"https://keyferry.corp.example:\"]", "user_verification = \"always\""}) {
    INFO(bad);
    CHECK_FALSE(Parse(kGood + ("[sign_in]\n" + std::string(bad) + "\n")));
  }
}

TEST_CASE("sign-in with Windows wants a keytab and the principal of a name that browsers know") {
  const auto with = [](const std::string& text) {
    return Parse(kGood + ("[single_sign_on]\n" + text + "\n"));
  };
  const std::string keytab = "keytab = \"http.keytab\"\n", service = "service = ";
  CHECK(Parse(kGood)->single_sign_on.keytab.empty());
  const auto good = with(keytab + service + "\"HTTP/keyferry.corp.example@CORP.EXAMPLE\"");
  REQUIRE(good);
  CHECK(good->single_sign_on.keytab == "/etc/keyferry/http.keytab");
  CHECK(good->single_sign_on.service == "HTTP/keyferry.corp.example@CORP.EXAMPLE");
  CHECK_THAT(with(keytab).error().message, Catch::Contains("give both or none"));
  CHECK_THAT(with(service + "\"HTTP/keyferry.corp.example@CORP.EXAMPLE\"").error().message,
             Catch::Contains("give both or none"));
  for (const char* bad :
       {"HTTP/keyferry.corp.example", "http/keyferry.corp.example@CORP.EXAMPLE",
        "HTTP/keyferry.corp.example@corp.example", "HTTP/keyferry.corp.example@",
        "HTTP/other.corp.example@CORP.EXAMPLE", "HTTP/10.0.0.1@CORP.EXAMPLE", "HTTP/@CORP.EXAMPLE",
        "HTTP/keyferry.corp.example@A@CORP.EXAMPLE", "host/keyferry.corp.example@CORP.EXAMPLE"}) {
    INFO(bad);
    const auto refused = with(keytab + service + "\"" + bad + "\"");
    REQUIRE_FALSE(refused);
    CHECK_THAT(refused.error().message, Catch::Contains("single_sign_on.service"));
  }
  const std::string openldap = With("[directory]\n", "[directory]\nkind = \"openldap\"\n");
  CHECK_THAT(Parse(openldap + "[single_sign_on]\n" + keytab + service +
                   "\"HTTP/keyferry.corp.example@CORP.EXAMPLE\"\n")
                 .error()
                 .message,
             Catch::Contains("active-directory"));
}

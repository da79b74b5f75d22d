// The configuration of sign-in, and of what employees do for themselves.
#include <catch2/catch.hpp>

#include "config_text.h"
#include "server/app/fido_config.h"

using namespace keyferry;
using namespace keyferry::server;

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

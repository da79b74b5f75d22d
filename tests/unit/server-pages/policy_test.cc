// Rotation policies and mailed activation codes by API: strict contents, scopes, once, pages.
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <catch2/catch.hpp>

#include "fake_services.h"
#include "server/api/policy_api.h"

using namespace keyferry;
using namespace keyferry::server;
using fake::FakeTokens;
using fake::World;
namespace json = boost::json;

namespace {

struct Rota : World {
  Rota() : World(KEYFERRY_WEB_DIR) { fake::Populate(*this); }

  Response Person(Method method, const std::string& target, const std::string& body = {},
                  const std::string& key = {}) {
    Request request = Get(target);
    request.method = method;
    request.headers["x-keyferry-csrf"] = kCsrf;
    request.headers["idempotency-key"] = key.empty() ? std::to_string(++number_) : key;
    if (!body.empty()) request.headers["content-type"] = "application/json";
    request.body = SecureBytes::CopyOf(std::string_view(body));
    return Send(std::move(request));
  }
  Response Robot(Method method, const std::string& target, const std::string& body = {}) {
    Request request = Get(target);
    request.method = method;
    request.headers.erase("cookie");
    request.headers["authorization"] = std::string("Bearer ") + FakeTokens::kSecret;
    request.headers["idempotency-key"] = std::to_string(++number_);
    if (!body.empty()) request.headers["content-type"] = "application/json";
    request.body = SecureBytes::CopyOf(std::string_view(body));
    return Send(std::move(request));
  }

 private:
  int number_ = 10'000'000;
};

std::string Named(const std::string& name) {
  return R"({"name":")" + name +
         R"(","group_dn":"CN=Staff","max_age_days":30,"window_from":"22:00","window_until":"06:30",)"
         R"("notify_days":[14,3],"enabled":true})";
}

std::string With(const std::string& member, const std::string& value) {
  json::object body = json::parse(Named("x")).as_object();
  body[member] = json::parse(value);
  return json::serialize(body);
}

std::string Code(const Response& response) {
  return json::parse(response.body).at("code").as_string().c_str();
}

}  // namespace

TEST_CASE("a policy is made, changed, listed and removed") {
  Rota rota;
  const Response made = rota.Person(Method::kPost, "/api/v1/policies", Named("Staff"));
  CHECK(made.status == 201);
  REQUIRE(rota.rotation.policies.size() == 1);
  const RotationPolicy stored = rota.rotation.policies[0];
  CHECK(stored.window_from == 22 * 60);
  CHECK(stored.window_until == 6 * 60 + 30);
  CHECK(stored.notify_days == std::vector<std::int64_t>{14, 3});
  const json::value shown = json::parse(made.body);
  CHECK(shown.at("id").as_string() == stored.id.Hex());
  CHECK(shown.at("window_from").as_string() == "22:00");
  CHECK(shown.at("window_until").as_string() == "06:30");

  const std::string place = "/api/v1/policies/" + stored.id.Hex();
  CHECK(rota.Person(Method::kPost, place, Named("All")).status == 200);
  CHECK(rota.rotation.policies[0].name == "All");
  CHECK(rota.Person(Method::kDelete, place).status == 204);
  CHECK(rota.rotation.policies.empty());
  CHECK(rota.Person(Method::kDelete, place).status == 404);
  CHECK(rota.rotation.calls == std::vector<std::string>{"put alice.admin Staff",
                                                        "put alice.admin All",
                                                        "remove alice.admin " + stored.id.Hex(),
                                                        "remove alice.admin " + stored.id.Hex()});
}

TEST_CASE("no address makes a policy: zero is none's identifier") {
  Rota rota;
  for (const std::string& id : {std::string(32, '0'), std::string("x"), std::string(31, '1')}) {
    INFO(id);
    CHECK(rota.Person(Method::kPost, "/api/v1/policies/" + id, Named("x")).status == 404);
    CHECK(rota.Person(Method::kDelete, "/api/v1/policies/" + id).status == 404);
  }
  CHECK(rota.rotation.calls.empty());
}

TEST_CASE("a policy that is not one is refused before anybody looks at it") {
  Rota rota;
  const std::vector<std::pair<std::string, std::string>> bad = {
      {"name", "\"\""},
      {"name", "\"" + std::string(65, 'a') + "\""},
      {"group_dn", "\"\""},
      {"max_age_days", "0"},
      {"max_age_days", "3651"},
      {"max_age_days", "1.5"},
      {"window_from", "\"\""},
      {"window_from", "\"7:00\""},
      {"window_from", "\"0700\""},
      {"window_from", "\"07-00\""},
      {"window_until", "\"24:01\""},
      {"window_until", "\"12:60\""},
      {"window_until", "\"-1:00\""},
      {"notify_days", "3"},
      {"notify_days", "[0]"},
      {"notify_days", "[91]"},
      {"notify_days", "[\"3\"]"},
      {"notify_days", "[1,2,3,4,5,6]"},
      {"enabled", "\"true\""},
      {"id", "\"1\""}};
  for (const auto& [member, value] : bad) {
    INFO(member << " " << value);
    for (const char* place : {"/api/v1/policies", "/api/v1/policies/preview"}) {
      CHECK(rota.Person(Method::kPost, place, With(member, value)).status == 400);
    }
  }
  CHECK(rota.rotation.calls.empty());
}

TEST_CASE("a preview needs no more than the scope to read, and changes nothing") {
  Rota rota;
  RotationCandidate member;
  member.login = "ann";
  member.password_set = 1'795'000'000;
  member.verdict = RotationCandidate::Verdict::kDue;
  rota.rotation.preview.members = {member};
  rota.rotation.preview.complete = false;
  rota.tokens.scopes = {"policies:read"};
  const Response looked = rota.Robot(Method::kPost, "/api/v1/policies/preview", Named("Staff"));
  CHECK(looked.status == 200);
  const json::value body = json::parse(looked.body);
  CHECK_FALSE(body.at("complete").as_bool());
  const json::value& shown = body.at("members").as_array().at(0);
  CHECK(shown.at("login").as_string() == "ann");
  CHECK(shown.at("verdict").as_string() == "due");
  CHECK(shown.at("password_set").as_int64() == 1'795'000'000'000);
  CHECK(rota.Robot(Method::kGet, "/api/v1/policies").status == 200);
  CHECK(Code(rota.Robot(Method::kPost, "/api/v1/policies", Named("Staff"))) == "missing_scope");
  const std::string place = "/api/v1/policies/" + std::string(32, '1');
  CHECK(Code(rota.Robot(Method::kPost, place, Named("Staff"))) == "missing_scope");
  CHECK(Code(rota.Robot(Method::kDelete, place)) == "missing_scope");
  CHECK(rota.rotation.calls == std::vector<std::string>{"preview token robot Staff"});
  CHECK(rota.rotation.policies.empty());
}

TEST_CASE("a policy that is sent twice is made once") {
  Rota rota;
  const Response first =
      rota.Person(Method::kPost, "/api/v1/policies", Named("Staff"), "key-00000001");
  const Response second =
      rota.Person(Method::kPost, "/api/v1/policies", Named("Staff"), "key-00000001");
  CHECK(first.status == 201);
  CHECK(second.status == 201);
  CHECK(second.body == first.body);
  CHECK(rota.rotation.policies.size() == 1);
}

TEST_CASE("policies come in pages, by name") {
  Rota rota;
  for (const char* name : {"c", "a", "e", "b", "d"}) {
    CHECK(rota.Person(Method::kPost, "/api/v1/policies", Named(name)).status == 201);
  }
  std::string names, cursor;
  std::size_t pages = 0;
  do {
    const Response response = rota.Send(rota.Get(
        "/api/v1/policies?limit=2" + (cursor.empty() ? std::string() : "&cursor=" + cursor)));
    REQUIRE(response.status == 200);
    const json::value body = json::parse(response.body);
    for (const json::value& one : body.at("policies").as_array()) {
      names += one.at("name").as_string().c_str();
    }
    cursor = body.at("next").as_string().c_str();
    REQUIRE(++pages < 5);
  } while (!cursor.empty());
  CHECK(names == "abcde");
  CHECK(pages == 3);
  CHECK(rota.Send(rota.Get("/api/v1/policies?cursor=x")).status == 400);
  CHECK(rota.Send(rota.Get("/api/v1/policies?limit=501")).status == 400);
}

TEST_CASE("times of the day are read and written strictly") {
  CHECK(ParseDayTime("00:00") == 0);
  CHECK(ParseDayTime("23:59") == 1439);
  CHECK(ParseDayTime("24:00") == 1440);
  for (const char* bad :
       {"", "1:00", "001:0", "24:01", "25:00", "12:60", "1200", "12:0x", "12.00"}) {
    INFO(bad);
    CHECK_FALSE(ParseDayTime(bad));
  }
  CHECK(DayTime(0) == "00:00");
  CHECK(DayTime(1440) == "24:00");
}

TEST_CASE("an activation code goes by mail when that is asked for") {
  Rota rota;
  const std::string id(32, 'a');
  const std::string ids =
      R"("account":")" + id + R"(","device":")" + id + R"(","workstation":")" + id + '"';
  const auto begin = [&](const std::string& more) {
    return rota.Person(Method::kPost, "/api/v1/enrolments", "{" + ids + more + "}");
  };
  const json::value plain = json::parse(begin("").body);
  CHECK(plain.as_object().contains("activation_code"));
  CHECK_FALSE(plain.as_object().contains("mailed_to"));
  CHECK_FALSE(json::parse(begin(R"(,"mail":false)").body).as_object().contains("mailed_to"));
  CHECK(rota.activation_mail.calls.empty());

  const Response mailed = begin(R"(,"mail":true)");
  CHECK(mailed.status == 201);
  const json::value sent = json::parse(mailed.body);
  CHECK(sent.at("mailed_to").as_string() == "employee@corp.example");
  CHECK(sent.at("mail_problem").as_string() == "");
  const std::string code = sent.at("activation_code").as_string().c_str();
  CHECK(rota.activation_mail.calls ==
        std::vector<std::string>{"mail alice.admin " + id + " " + code});

  rota.activation_mail.refused =
      Error{ErrorCode::kUnavailable, "The mail server does not answer.", "10.1.2.3", 0};
  const Response not_mailed = begin(R"(,"mail":true)");
  CHECK(not_mailed.status == 201);
  CHECK(not_mailed.body.find("10.1.2.3") == std::string::npos);
  const json::value kept = json::parse(not_mailed.body);
  CHECK(kept.at("activation_code").as_string() == code);
  CHECK(kept.at("mailed_to").as_string() == "");
  CHECK(kept.at("mail_problem").as_string() == "The mail server does not answer.");
  CHECK(rota.reported.back().detail == "10.1.2.3");

  rota.services.activation_mail = nullptr;
  const std::size_t before = rota.keys.calls.size();
  CHECK(begin(R"(,"mail":true)").status == 400);
  CHECK(rota.keys.calls.size() == before);
  CHECK(begin(R"(,"mail":"yes")").status == 400);
}

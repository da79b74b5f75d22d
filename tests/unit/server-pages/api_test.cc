// The REST API of administrators and of workstations: strict JSON, right calls, no secret.
#include <catch2/catch.hpp>

#include "fake_services.h"
#include "server/api/json_reader.h"

using namespace keyferry;
using namespace keyferry::server;
using fake::FakeStream;
using fake::World;

namespace {

JsonReader Read(std::string_view text) {
  return JsonReader(std::span(reinterpret_cast<const std::uint8_t*>(text.data()), text.size()));
}

std::string Fresh() {
  static int number = 10'000'000;
  return std::to_string(++number);
}

struct Api : World {
  Api() : World(KEYFERRY_WEB_DIR) { fake::Populate(*this); }

  Response Json(const std::string& target, const std::string& json) {
    Request request = Get(target);
    request.method = Method::kPost;
    request.headers["content-type"] = "application/json";
    request.headers["x-keyferry-csrf"] = kCsrf;
    request.headers["idempotency-key"] =
        target.find("/password") != std::string::npos ? "12345678" : Fresh();
    request.body = SecureBytes::CopyOf(std::string_view(json));
    return Send(std::move(request));
  }
  Response Work(Method method, const std::string& target, const std::string& json = {}) {
    Request request = Get(target);
    request.method = method;
    request.headers.erase("cookie");
    request.certificate.emplace();
    workstations.caller = fake::MakeId<WorkstationId>(12);
    if (!json.empty()) request.headers["content-type"] = "application/json";
    request.body = SecureBytes::CopyOf(std::string_view(json));
    return workstation->Dispatch(request);
  }
};

std::string Base64(std::size_t size) {
  return std::string(size / 3 * 4, 'A') + (size % 3 == 1 ? "AA==" : size % 3 == 2 ? "AAA=" : "");
}

}  // namespace

TEST_CASE("JSON is read strictly") {
  auto good = Read(R"({"a":"x","n":5,"b":true,"z":null,"d":"AAEC"})");
  CHECK(good.Text("a", 1, 5) == "x");
  CHECK(good.Integer("n", 0, 9) == 5);
  CHECK(good.Bool("b"));
  CHECK_FALSE(good.NullableBytes("z", 32, 32));
  CHECK(good.Bytes("d", 3, 3) == std::vector<std::uint8_t>{0, 1, 2});
  CHECK(good.Finish());

  for (const char* bad : {"",
                          "x",
                          "[]",
                          "\"a\"",
                          "{",
                          R"({"a":"x",})",
                          R"({"a":"x"} )"
                          "x",
                          R"({"a":"x","a":"y"})",
                          R"({"a":1})",
                          R"({"a":null})",
                          R"({"a":["x"]})",
                          R"({"a":{"b":"x"}})",
                          R"({"a":"toolong"})",
                          R"({"a":""})",
                          R"({"a":"x","b":1})",
                          R"({"b":"x"})",
                          R"({"a":"\u0000"})",
                          "{\"a\":\"\n\"}",
                          "{'a':'x'}",
                          "{\"a\":\"x\"/*c*/}",
                          R"({"a":"\ud800"})",
                          "{\"a\":\"\xff\"}",
                          R"({"A":"x"})",
                          "\xEF\xBB\xBF{\"a\":\"x\"}"}) {
    INFO(bad);
    auto in = Read(bad);
    in.Text("a", 1, 5);
    CHECK_FALSE(in.Finish());
  }
  for (const char* bad : {"5.0", "1e3", "-1", "10", "\"5\"", "true", "99999999999999999999"}) {
    INFO(bad);
    auto in = Read(std::string("{\"n\":") + bad + "}");
    in.Integer("n", 0, 9);
    CHECK_FALSE(in.Finish());
  }
  for (const char* bad : {"AAEC=", "AAE", "A A=", "AA-_", "AAECAA==", "!"}) {
    INFO(bad);
    auto in = Read(std::string("{\"d\":\"") + bad + "\"}");
    in.Bytes("d", 3, 3);
    CHECK_FALSE(in.Finish());
  }
  const std::string deep = "{\"a\":" + std::string(40, '[') + std::string(40, ']') + "}";
  CHECK_FALSE(Read(deep).Finish());
}

TEST_CASE("the session: who am I, token, end") {
  Api api;
  const Response me = api.Send(api.Get("/api/v1/session"));
  CHECK(me.body.find("\"csrf\":\"csrf-of-the-session\"") != std::string::npos);
  CHECK(me.body.find(World::kToken) == std::string::npos);
  Request in = api.Post("/api/v1/session", "name=alice.admin&password=right");
  in.headers.erase("cookie");
  in.headers.erase("origin");  // a program, not a browser
  in.headers.erase("sec-fetch-site");
  const Response made = api.Send(std::move(in));
  CHECK(made.status == 201);
  CHECK(made.body.find("\"right\"") == std::string::npos);
  CHECK(made.headers[0].first == "Set-Cookie");
  Request end = api.Get("/api/v1/session");
  end.method = Method::kDelete;
  end.headers["x-keyferry-csrf"] = World::kCsrf;
  CHECK(api.Send(std::move(end)).status == 204);
  CHECK(api.Send(api.Get("/api/v1/session")).status == 401);
}

TEST_CASE("a password change by API") {
  Api api;
  const std::string target = "/api/v1/employees/" + fake::MakeId<AccountId>(1).Hex() + "/password";
  CHECK(api.Json(target, R"({"generate":true,"reason":"INC-1"})").status == 201);
  REQUIRE(api.changes.started.size() == 1);
  CHECK(api.changes.started[0].generate);
  CHECK(api.changes.started[0].actor == "alice.admin");
  CHECK(api.changes.started[0].key == "12345678");

  for (const char* bad :
       {R"({"generate":false})", R"({"generate":true,"password":"secret"})", R"({"password":"x"})",
        R"({"generate":"true"})", R"({"generate":[true]})", "{}", R"({"generate":true,"x":1})"}) {
    INFO(bad);
    CHECK(api.Json(target, bad).status == 400);
  }
  const auto form = [&](const std::string& text) {
    Request request = api.Post(target, text + "&csrf=" + World::kCsrf);
    request.headers["idempotency-key"] = "abcdefgh";
    return api.Send(std::move(request)).status;
  };
  CHECK(form("generate=false&password=Typed-1!&reason=x") == 201);
  CHECK(api.changes.started.back().typed == "Typed-1!");
  CHECK(form("generate=true&password=Typed-1!") == 400);
  CHECK(form("generate=false") == 400);
  CHECK(form("generate=maybe&password=x") == 400);
  CHECK(form("password[]=x") == 400);
  CHECK(api.changes.started.size() == 2);

  CHECK(api.changes.started.back().mode == ChangeMode::kNow);
  CHECK(api.Json(target, R"({"generate":true,"mode":"at_delivery"})").status == 201);
  CHECK(api.changes.started.back().mode == ChangeMode::kAtDelivery);
  CHECK(form("generate=true&mode=at_delivery") == 201);
  CHECK(api.changes.started.back().mode == ChangeMode::kAtDelivery);
  CHECK(api.Json(target, R"({"generate":true,"mode":"now"})").status == 201);
  CHECK(api.changes.started.back().mode == ChangeMode::kNow);
  for (const char* bad : {R"({"generate":true,"mode":"later"})", R"({"generate":true,"mode":1})",
                          R"({"generate":true,"mode":"now","mode":"at_delivery"})"}) {
    INFO(bad);
    CHECK(api.Json(target, bad).status == 400);
  }
  CHECK(form("generate=true&mode=never") == 400);
  CHECK(api.changes.started.size() == 5);

  for (const std::string& key :
       {std::string(), std::string("short"), std::string(65, 'a'), std::string("with space")}) {
    Request request = api.Get(target);
    request.method = Method::kPost;
    request.headers["content-type"] = "application/json";
    request.headers["x-keyferry-csrf"] = World::kCsrf;
    request.headers["idempotency-key"] = key;
    request.body = SecureBytes::CopyOf(std::string_view(R"({"generate":true})"));
    CHECK(api.Send(std::move(request)).status == 400);
  }
}

TEST_CASE("a password change by API names its sources, or leaves them to the server") {
  Api api;
  const std::string target = "/api/v1/employees/" + fake::MakeId<AccountId>(1).Hex() + "/password";
  const auto form = [&](const std::string& text) {
    Request request = api.Post(target, text + "&csrf=" + World::kCsrf);
    request.headers["idempotency-key"] = "abcdefgh";
    return api.Send(std::move(request)).status;
  };
  CHECK(api.Json(target, R"({"generate":true,"sources":["Lab","Mail"]})").status == 201);
  CHECK(api.changes.started.back().sources == std::vector<std::string>{"Lab", "Mail"});
  CHECK(api.Json(target, R"({"generate":true,"sources":[]})").status == 201);
  CHECK(api.changes.started.back().sources == std::vector<std::string>{});
  CHECK(form("generate=true&sources=Lab%0AMail") == 201);
  CHECK(api.changes.started.back().sources == std::vector<std::string>{"Lab", "Mail"});
  CHECK(form("generate=true&sources=") == 201);
  CHECK(api.changes.started.back().sources == std::vector<std::string>{});
  CHECK(api.Json(target, R"({"generate":true})").status == 201);
  CHECK_FALSE(api.changes.started.back().sources);
  for (const char* bad :
       {R"({"generate":true,"sources":"Lab"})", R"({"generate":true,"sources":[""]})",
        R"({"generate":true,"sources":[1]})", R"({"generate":true,"sources":null})",
        R"({"generate":true,"sources":["a","b","c","d","e"]})",
        R"({"generate":true,"sources":["a\nb"]})"}) {
    CHECK(api.Json(target, bad).status == 400);
  }
}

TEST_CASE("sessions by API: one's own, a person's, and their end") {
  Api api;
  Session other;
  other.id = fake::MakeId<SessionId>(0x44);
  other.actor.id = api.directory.people[0].person.id;
  other.actor.login = api.directory.people[0].person.login;
  other.created = 1'700'000'000;
  api.sessions.sessions["theirs"] = other;
  const Response mine = api.Send(api.Get("/api/v1/sessions"));
  CHECK(mine.status == 200);
  CHECK(mine.body.find("\"login\":\"alice.admin\"") != std::string::npos);
  CHECK(mine.body.find("\"current\":true") != std::string::npos);
  CHECK(mine.body.find(other.id.Hex()) == std::string::npos);
  CHECK(mine.body.find("henry.desk") == std::string::npos);
  const std::string theirs = "/api/v1/employees/" + other.actor.id.Hex() + "/sessions";
  const Response list = api.Send(api.Get(theirs));
  CHECK(list.body.find(other.id.Hex()) != std::string::npos);
  CHECK(list.body.find("\"current\":false") != std::string::npos);
  CHECK(list.body.find("\"created\":1700000000000") != std::string::npos);
  CHECK(list.body.find("alice.admin") == std::string::npos);
  const auto end = [&](const std::string& target) {
    Request request = api.Get(target);
    request.method = Method::kDelete;
    request.headers["x-keyferry-csrf"] = World::kCsrf;
    return api.Send(std::move(request));
  };
  CHECK(end("/api/v1/sessions/" + other.id.Hex()).status == 204);
  CHECK(end("/api/v1/sessions/x").status == 404);
  CHECK(end("/api/v1/sessions").body == R"({"ended":1})");
  CHECK(end(theirs).body == R"({"ended":1})");
  CHECK(api.sessions.calls ==
        std::vector<std::string>{"end " + other.id.Hex() + " by alice.admin",
                                 "end all but " + SessionId{}.Hex() + " by alice.admin",
                                 "end those of " + other.actor.id.Hex() + " by alice.admin"});
  Request robot = api.Get("/api/v1/sessions");
  robot.headers.erase("cookie");
  robot.headers["authorization"] = std::string("Bearer ") + fake::FakeTokens::kSecret;
  CHECK(api.Send(std::move(robot)).body.find("session_required") != std::string::npos);
}

TEST_CASE("errors of the services become statuses and stable codes") {
  Api api;
  const std::string target = "/api/v1/employees/" + fake::MakeId<AccountId>(1).Hex() + "/password";
  const std::vector<std::tuple<ErrorCode, int, std::string>> table = {
      {ErrorCode::kPolicyRefused, 422, "policy_refused"},
      {ErrorCode::kUnavailable, 503, "unavailable"},
      {ErrorCode::kOutcomeUnknown, 504, "outcome_unknown"},
      {ErrorCode::kConflict, 409, "conflict"},
      {ErrorCode::kPermissionDenied, 403, "permission_denied"},
      {ErrorCode::kRateLimited, 429, "rate_limited"},
      {ErrorCode::kInternal, 500, "internal"},
  };
  for (const auto& [code, status, name] : table) {
    api.changes.start_error = Error{code, "A sentence.", "secret detail", 0};
    const Response response = api.Json(target, R"({"generate":true})");
    CHECK(response.status == status);
    CHECK(response.body.find("\"code\":\"" + name + "\"") != std::string::npos);
    CHECK(response.body.find("A sentence.") != std::string::npos);
    CHECK(response.body.find("secret detail") == std::string::npos);
  }
}

TEST_CASE("a workstation says that somebody was not it, under its own certificate alone") {
  Api api;
  const std::string number = "/workstation/v1/notices/7/not-me";
  CHECK(api.Work(Method::kPost, number).status == 204);
  CHECK(api.notices.calls ==
        std::vector<std::string>{"object 7 at " + fake::MakeId<WorkstationId>(12).Hex()});
  CHECK(api.Work(Method::kPost, "/workstation/v1/notices/x/not-me").status == 404);
  CHECK(api.Work(Method::kPost, number, R"({"login":"bob"})").status == 400);
  Request bare = api.Get(number);
  bare.method = Method::kPost;
  CHECK(api.workstation->Dispatch(bare).status == 403);
  api.notices.error = Error{ErrorCode::kNotFound, "There is no such notice.", {}, 0};
  CHECK(api.Work(Method::kPost, number).status == 404);
  CHECK(api.notices.calls.size() == 1);
}

TEST_CASE("enrolment and workstations by API") {
  Api api;
  const std::string id = std::string(32, 'a');
  const Response begun =
      api.Json("/api/v1/enrolments", "{\"account\":\"" + id + "\",\"device\":\"" + id +
                                         "\",\"workstation\":\"" + id + "\"}");
  CHECK(begun.status == 201);
  CHECK(begun.body.find("7KQM-2XWD-94TB-ZR6H") != std::string::npos);
  CHECK(
      api.Json("/api/v1/enrolments", R"({"account":"x","device":"y","workstation":"z"})").status ==
      400);
  const std::string enrolment = "/api/v1/enrolments/" + api.keys.enrolment.id.Hex();
  CHECK(api.Send(api.Get(enrolment)).body.find("\"waiting\"") != std::string::npos);
  CHECK(api.Send(api.Get("/api/v1/enrolments/zz")).status == 404);
  CHECK(api.Json("/api/v1/workstations/" + id + "/approve", "{}").status == 204);
  auto stream = std::make_shared<FakeStream>();
  api.streams->Begin(*WorkstationId::Parse(id), stream);
  CHECK(api.Json("/api/v1/workstations/" + id + "/revoke", "{}").status == 204);
  CHECK(stream->closed);  // a revoked workstation hears nothing more
  CHECK(api.Json("/api/v1/workstations/" + id + "/allow-login", "{}").status == 204);
  CHECK(api.workstations.calls.size() == 3);
  CHECK(api.Send(api.Get("/api/v1/audit?cursor=x")).status == 400);
  CHECK(api.Send(api.Get("/api/v1/audit?limit=5")).status == 200);
}

TEST_CASE("health asks the directory rarely and tells no reason") {
  Api api;
  api.directory.down = Error{ErrorCode::kUnavailable, "reason", "inner", 0};
  for (int i = 0; i < 20; ++i) {
    const Response response = api.Send(api.Get("/api/v1/health"));
    CHECK(response.status == 200);
    CHECK(response.body == R"({"status":"degraded","directory":"unavailable"})");
  }
  CHECK(api.directory.pings == 1);
}

TEST_CASE("a workstation registers and polls") {
  Api api;
  const std::string key = Base64(32);
  const std::string good =
      "{\"name\":\"pc\",\"os\":\"Debian\",\"version\":\"1\",\"csr\":\"-----BEGIN "
      "X\\n-----END X\\n\",\"deliver_noise_pub\":\"" +
      key + "\",\"login_noise_pub\":null}";
  CHECK(api.Json("/api/v1/workstations", good).status == 201);
  REQUIRE(api.workstations.registered.size() == 1);
  CHECK(api.workstations.registered[0].address == "127.0.0.1");
  CHECK_FALSE(api.workstations.registered[0].login_noise_pub);
  for (const auto& [from, to] : std::vector<std::pair<std::string, std::string>>{
           {"\"pc\"", "\"\""},
           {"\"pc\"", "\"" + std::string(65, 'a') + "\""},
           {"\"pc\"", "\"a\\nb\""},
           {"\"pc\"", "7"},
           {key, Base64(31)},
           {key, Base64(33)},
           {"null}", "\"AA\"}"},
           {"null}", "null,\"extra\":1}"},
           {"\"version\":\"1\",", ""}}) {
    std::string bad = good;
    bad.replace(bad.find(from), from.size(), to);
    INFO(bad);
    CHECK(api.Json("/api/v1/workstations", bad).status == 400);
  }
  CHECK(api.workstations.registered.size() == 1);
  Request poll = api.Get("/api/v1/workstations/" + std::string(32, '7') + "/enrolment");
  CHECK(api.Send(api.Get("/api/v1/workstations/" + std::string(32, '7') + "/enrolment")).status ==
        401);
  poll.headers["authorization"] = "Bearer poll-token";
  const Response approved = api.Send(std::move(poll));
  CHECK(approved.body.find("\"state\":\"approved\"") != std::string::npos);
  CHECK(approved.body.find("\"login_cert\":null") != std::string::npos);
  CHECK(approved.body.find("\"daemon_url\":\"https://localhost:8444\"") != std::string::npos);
}

TEST_CASE("a workstation's posts") {
  Api api;
  const std::string id = std::string(32, 'b');
  const std::string receipt = "{\"device_id\":\"" + id + "\",\"receipt\":\"" + Base64(236) + "\"}";
  CHECK(api.Work(Method::kPost, "/workstation/v1/jobs/" + id + "/spooled").status == 204);
  CHECK(api.Work(Method::kPost, "/workstation/v1/receipts", receipt).body ==
        R"({"verdict":"duplicate","reason":"seen before"})");
  CHECK(api.Work(Method::kPost, "/workstation/v1/jobs/" + id + "/problem",
                 R"({"code":"unplugged","message":"gone"})")
            .status == 204);
  CHECK(api.Work(Method::kPost, "/workstation/v1/keys",
                 "{\"keys\":[{\"device_id\":\"" + id +
                     "\",\"state\":2,\"transport\":\"hid\",\"firmware\":1,\"simulator\":true}]}")
            .status == 204);
  CHECK(api.Work(Method::kPost, "/workstation/v1/used", "{\"device_id\":\"" + id + "\",\"seq\":3}")
            .status == 204);
  CHECK(api.Work(Method::kPost, "/workstation/v1/enrolments/" + id + "/statement",
                 "{\"statement\":\"" + Base64(325) + "\",\"attestation\":\"" + Base64(500) + "\"}")
            .body.find("\"grant\"") != std::string::npos);
  const std::string answer = "/workstation/v1/callers/" + id + "/answer";
  CHECK(api.Work(Method::kPost, answer, "{\"assertion\":\"" + Base64(172) + "\"}").body ==
        R"({"passed":true,"reason":""})");
  CHECK(api.Work(Method::kPost, answer, R"({"assertion":null})").body ==
        R"({"passed":false,"reason":""})");
  CHECK(api.help_desk.calls.size() == 2);
  CHECK_THAT(api.help_desk.calls.at(0), Catch::EndsWith(" 172"));
  CHECK_THAT(api.help_desk.calls.at(1), Catch::EndsWith(" denied"));
  CHECK(api.workstations.calls ==
        std::vector<std::string>{"spooled " + id, "problem unplugged gone", "keys 1"});
  CHECK(api.keys.calls == std::vector<std::string>{"receipt", "used 3", "statement"});

  for (const auto& [target, json] : std::vector<std::pair<std::string, std::string>>{
           {answer, "{}"},
           {answer, "{\"assertion\":\"" + Base64(171) + "\"}"},
           {answer, R"({"assertion":null,"passed":true})"},
           {"/workstation/v1/receipts", "{}"},
           {"/workstation/v1/receipts",
            "{\"device_id\":\"" + id + "\",\"receipt\":\"" + Base64(235) + "\"}"},
           {"/workstation/v1/keys", R"({"keys":{}})"},
           {"/workstation/v1/keys", R"({"keys":[1]})"},
           {"/workstation/v1/keys", R"({"keys":[{}]})"},
           {"/workstation/v1/keys", "{\"keys\":[" +
                                        [&] {
                                          std::string many;
                                          for (int i = 0; i < 17; ++i)
                                            many += (i == 0 ? "{}" : ",{}");
                                          return many;
                                        }() +
                                        "]}"},
           {"/workstation/v1/keys",
            "{\"keys\":[{\"device_id\":\"" + id +
                "\",\"state\":2,\"transport\":\"smoke\",\"firmware\":1,\"simulator\":true}]}"},
           {"/workstation/v1/used", "{\"device_id\":\"" + id + "\",\"seq\":0}"},
           {"/workstation/v1/jobs/" + id + "/spooled", "{\"x\":1}"},
       }) {
    INFO(target << " " << json);
    CHECK(api.Work(Method::kPost, target, json).status == 400);
  }
  CHECK(api.Work(Method::kPost, "/workstation/v1/jobs/short/spooled").status == 404);
  CHECK(api.keys.calls.size() == 3);
}

TEST_CASE("a workstation's stream: hello first, then what happened meanwhile, one at a time") {
  Api api;
  const WorkstationId id = fake::MakeId<WorkstationId>(12);
  const std::string topic = "workstation/" + id.Hex();
  const Response response = api.Work(Method::kGet, "/workstation/v1/events");
  REQUIRE(response.stream);
  auto first = std::make_shared<FakeStream>();
  response.stream(first);
  api.bus.Publish(topic, {"job", "{\"seq\":1}"});
  CHECK(first->sent == std::vector<std::string>{"hello {\"protocol\":1}", "job {\"seq\":1}"});
  auto second = std::make_shared<FakeStream>();
  response.stream(second);
  CHECK(first->closed);  // a newer one ends the older
  api.bus.Publish(topic, {"job", "{\"seq\":2}"});
  CHECK(first->sent.size() == 2);
  CHECK(second->sent.back() == "job {\"seq\":2}");
  second->Close();
  CHECK(api.bus.subscribers.empty());
  CHECK(std::count(api.workstations.calls.begin(), api.workstations.calls.end(), "connected") == 2);
  CHECK(std::count(api.workstations.calls.begin(), api.workstations.calls.end(), "disconnected") ==
        2);
}

TEST_CASE("a page's stream says look again, and nothing else") {
  Api api;
  const AccountId id = fake::MakeId<AccountId>(1);
  const Response response = api.Send(api.Get("/events/accounts/" + id.Hex()));
  REQUIRE(response.stream);
  auto stream = std::make_shared<FakeStream>();
  response.stream(stream);
  api.bus.Publish("account/" + id.Hex(), {"change", "{\"account_id\":\"x\"}"});
  api.bus.Publish("account/" + std::string(32, '9'), {"change", "{}"});
  CHECK(stream->sent == std::vector<std::string>{"change {}"});
  stream->Close();
  CHECK(api.bus.subscribers.empty());
}

TEST_CASE("a workstation that is too old is refused with the cure in words") {
  Api api;
  const auto with = [&](Method method, const std::string& target, const std::string& protocol,
                        const std::string& version) {
    Request request = api.Get(target);
    request.method = method;
    request.headers.erase("cookie");
    request.headers["keyferry-protocol"] = protocol;
    request.headers["keyferry-version"] = version;
    request.headers["content-type"] = "application/json";
    const bool work = target.rfind("/workstation/", 0) == 0;
    if (work) {
      request.certificate.emplace();
      api.workstations.caller = fake::MakeId<WorkstationId>(12);
    } else {
      request.body = SecureBytes::CopyOf(std::string_view("{}"));
    }
    return work ? api.workstation->Dispatch(request) : api.Send(std::move(request));
  };
  for (const Response& refused : {with(Method::kGet, "/workstation/v1/events", "0", "0.0.9"),
                                  with(Method::kPost, "/api/v1/workstations", "0", "0.0.9")}) {
    CHECK(refused.status == 426);
    CHECK_FALSE(refused.stream);
    CHECK_THAT(refused.body, Catch::Contains("workstation_too_old"));
    CHECK_THAT(refused.body, Catch::Contains("keyferryd 0.0.9"));
    CHECK_THAT(refused.body, Catch::Contains("install the keyferry package of version 0.1.0"));
  }
  for (const char* nonsense : {"x", "-1", "2x", "99999999999999999999"}) {
    CHECK(with(Method::kGet, "/workstation/v1/events", nonsense, "").status == 400);
  }
  CHECK(api.workstations.greetings.empty());
  for (const char* good : {"1", "2", "3"}) {  // a newer one is told what we speak
    const Response response = with(Method::kGet, "/workstation/v1/events", good, "1.2");
    REQUIRE(response.stream);
    response.stream(std::make_shared<FakeStream>());
  }
  const Response first = api.Work(Method::kGet, "/workstation/v1/events");
  REQUIRE(first.stream);
  first.stream(std::make_shared<FakeStream>());  // the first version says nothing of itself
  REQUIRE(api.workstations.greetings.size() == 4);
  CHECK(api.workstations.greetings[0].protocol == 1);
  CHECK(api.workstations.greetings[2].protocol == 3);
  CHECK(api.workstations.greetings[2].version == "1.2");
  CHECK(api.workstations.greetings[3].protocol == 1);
  CHECK(api.workstations.greetings[3].version.empty());
}

TEST_CASE("certificates of an approved workstation by API") {
  Api api;
  CHECK(api.Work(Method::kPost, "/workstation/v1/certificate", R"({"csr":"PEM"})").body ==
        R"({"certificate":"certificate for PEM"})");
  CHECK(api.Work(Method::kPost, "/workstation/v1/certificate", "{}").status == 400);
  const std::string key = "\"login_noise_pub\":\"" + Base64(32) + "\"";
  CHECK(api.Work(Method::kPost, "/workstation/v1/login-key", "{" + key + "}").body ==
        "{\"challenge\":\"" + Base64(32) + "\"}");
  const std::string proof = "{" + key + ",\"challenge\":\"" + Base64(32) + "\",\"proof\":\"";
  CHECK(api.Work(Method::kPost, "/workstation/v1/login-cert", proof + Base64(32) + "\"}").status ==
        200);
  CHECK(api.Work(Method::kPost, "/workstation/v1/login-cert",
                 proof + "/" + Base64(32).substr(1) + "\"}")
            .status == 403);
  CHECK(api.Work(Method::kPost, "/workstation/v1/login-cert", proof + Base64(31) + "\"}").status ==
        400);
}

TEST_CASE("workstations are approved by computer account, by API and by page") {
  Api api;
  api.workstations.workstations.clear();
  for (const int fill : {1, 2, 3}) {
    WorkstationView view;
    view.id = fake::MakeId<WorkstationId>(static_cast<std::uint8_t>(fill));
    view.name = "pc-" + std::to_string(fill);
    if (fill != 3) view.computer = "PC" + std::to_string(fill);
    if (fill != 3) view.domain = "corp.example";
    api.workstations.workstations.push_back(view);
  }
  const std::string first = fake::MakeId<WorkstationId>(1).Hex();
  const std::string second = fake::MakeId<WorkstationId>(2).Hex();
  const Response matches = api.Send(api.Get("/api/v1/workstation-matches"));
  CHECK_THAT(matches.body, Catch::Contains("\"computer_dn\":\"CN=PC1,DC=corp,DC=example\""));
  CHECK_THAT(matches.body, Catch::Contains("\"why_not\":\"It says that it is in no domain.\""));
  const Response done = api.Json("/api/v1/workstation-matches/approve",
                                 "{\"workstations\":[{\"id\":\"" + first + "\"}]}");
  CHECK_THAT(done.body, Catch::Contains("\"approved\":true"));
  CHECK(api.Json("/api/v1/workstation-matches/approve", "{\"workstations\":[\"x\"]}").status ==
        400);

  CHECK_THAT(api.Send(api.Get("/workstations")).body, Catch::Contains("/workstations/matches"));
  const Response page = api.Send(api.Get("/workstations/matches"));
  CHECK(page.status == 200);
  CHECK_THAT(page.body, Catch::Contains("value=\"" + first + "," + second + "\""));
  CHECK_THAT(page.body, Catch::Contains("Approve all 2"));
  CHECK_THAT(page.body, Catch::Contains("It says that it is in no domain."));
  api.workstations.calls.clear();
  const std::string form = "csrf=" + std::string(World::kCsrf) + "&ids=" + first + "," + second;
  CHECK(api.Send(api.Post("/workstations/matches", form)).status == 303);
  CHECK(api.workstations.calls ==
        std::vector<std::string>{"approve-matching alice.admin " + first,
                                 "approve-matching alice.admin " + second});
  api.workstations.refused = fake::MakeId<WorkstationId>(2);
  const Response refused = api.Send(api.Post("/workstations/matches", form));
  CHECK(refused.status == 409);
  CHECK_THAT(refused.body, Catch::Contains("It is gone."));
  CHECK(api.Send(api.Post("/workstations/matches", "csrf=" + std::string(World::kCsrf) + "&ids=x"))
            .status == 404);
}

// openapi.json and docs/api.md against the routes, parsers and answers that there are.
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <catch2/catch.hpp>
#include <fstream>
#include <set>
#include <sstream>

#include "fake_services.h"
#include "schema.h"
#include "server/api/problem.h"

using namespace keyferry;
using namespace keyferry::server;
using fake::World;
namespace json = boost::json;

namespace {

struct Contract : World {
  Contract() : World(KEYFERRY_WEB_DIR), schemas(json::parse(std::string(OpenApiDocument()))) {
    fake::Populate(*this);
    check_up.report = {{{Finding::Status::kProblem, "right", "It lacks.", "Give it."}}, 5};
    tokens.Create({}, {"robot", {"people:read", "keys:write"}, 3}).value();
    tokens.calls.clear();
    RotationPolicy policy;
    policy.name = "yearly";
    policy.group_dn = "CN=Staff,DC=corp,DC=example";
    policy.notify_days = {14, 3};
    rotation.Put({}, policy).value();
    RotationCandidate member;
    member.login = "ann";
    member.verdict = RotationCandidate::Verdict::kSkipped;
    member.reason = "It has no key.";
    rotation.preview.members = {member};
  }

  // What the file says of a route; null = nothing.
  const json::object* Described(const Route& route) const {
    const auto* const path = schemas.paths().if_contains(route.pattern);
    if (path == nullptr) return nullptr;
    std::string method = Name(route.method);
    for (char& c : method) c = static_cast<char>(std::tolower(c));
    const auto* const operation = path->as_object().if_contains(method);
    return operation == nullptr ? nullptr : &operation->as_object();
  }

  // The identifiers of what Populate made, so that answers are successes.
  std::string Address(const Route& route) const {
    std::string id = directory.people[0].person.id.Hex();
    if (route.pattern.find("/keys/") != std::string::npos) id = keys.keys[0].device.Hex();
    if (route.pattern.find("/enrolments/") != std::string::npos) id = keys.enrolment.id.Hex();
    if (route.pattern.find("/changes/") != std::string::npos) {
      for (const auto& [unused, views] : changes.history) {
        if (!views.empty()) id = views[0].id.Hex();
      }
    }
    if (route.pattern.find("/workstations/") != std::string::npos) {
      id = workstations.workstations[0].id.Hex();
    }
    if (route.pattern.find("/tokens/") != std::string::npos) id = tokens.tokens[0].id.Hex();
    if (route.pattern.find("/policies/") != std::string::npos) id = rotation.policies[0].id.Hex();
    if (route.pattern.find("/problems/") != std::string::npos) id = "conflict";
    if (route.pattern.find("/approvals/") != std::string::npos) {
      id = four_eyes.approvals[0].id.Hex();
    }
    if (route.pattern.find("/webhooks/") != std::string::npos) id = webhooks.rows[0].id.Hex();
    if (route.pattern.find("/objections/") != std::string::npos) id = "8";
    if (route.pattern.find("/scopes/") != std::string::npos) id = "help_desk";
    if (route.pattern.find("/fido-keys/") != std::string::npos) id = fido.keys[0].id.Hex();
    std::string out = route.pattern;
    const std::size_t open = out.find('{');
    if (open != std::string::npos) out.replace(open, out.find('}') - open + 1, id);
    return out;
  }

  Request As(const Route& route) const {
    Request request = Get(Address(route));
    request.method = route.method;
    request.headers["x-keyferry-csrf"] = kCsrf;
    request.headers["idempotency-key"] = "12345678";
    if (route.needs.access == Access::kPublic)
      request.headers["authorization"] = "Bearer poll-token";
    return request;
  }
  Response Json(const Route& route, const json::value& body) const {
    Request request = As(route);
    request.headers["content-type"] = "application/json";
    request.body = SecureBytes::CopyOf(std::string_view(json::serialize(body)));
    return Send(std::move(request));
  }

  std::vector<Route> Routes() const {
    std::vector<Route> out;
    for (const Route& route : browser->routes()) {
      if (route.pattern.rfind("/api/", 0) == 0) out.push_back(route);
    }
    return out;
  }

  test::Schemas schemas;
};

// The schema of a media type in {"content": {…}}; null = it has none.
const json::value* ContentOf(const json::object& body, const std::string& type) {
  const auto* const content = body.if_contains("content");
  const auto* const found = content == nullptr ? nullptr : content->as_object().if_contains(type);
  return found == nullptr ? nullptr : &found->as_object().at("schema");
}

std::set<std::string> NamesOf(const json::object& object) {
  std::set<std::string> out;
  for (const auto& member : object) out.emplace(member.key().data(), member.key().size());
  return out;
}

std::set<std::string> RequiredOf(const json::object& schema) {
  std::set<std::string> out;
  for (const json::value& name : schema.at("required").as_array()) {
    out.emplace(name.as_string().c_str());
  }
  return out;
}

std::string Detail(const Response& response) {
  return std::string(json::parse(response.body).at("detail").as_string().c_str());
}

// "…; it may have: a, b." → {a, b}
std::set<std::string> Accepted(const std::string& detail) {
  const std::string start = "it may have: ";
  const std::size_t at = detail.find(start);
  if (at == std::string::npos) return {};
  std::set<std::string> out;
  std::istringstream words(detail.substr(at + start.size()));
  for (std::string word; words >> word;) out.insert(word.substr(0, word.size() - 1));
  return out;
}

}  // namespace

TEST_CASE("openapi.json has every route of the API and no other") {
  Contract api;
  std::set<std::string> described, registered;
  for (const auto& path : api.schemas.paths()) {
    for (const auto& operation : path.value().as_object()) {
      std::string method(operation.key().data(), operation.key().size());
      for (char& c : method) c = static_cast<char>(std::toupper(c));
      described.insert(method + " " + std::string(path.key().data(), path.key().size()));
    }
  }
  for (const Route& route : api.Routes()) {
    registered.insert(std::string(Name(route.method)) + " " + route.pattern);
  }
  CHECK(described == registered);
  CHECK(registered.size() > 35);
}

TEST_CASE("openapi.json says who may call a route, with which parameters and fields") {
  Contract api;
  std::set<std::string> ids;
  for (const Route& route : api.Routes()) {
    INFO(Name(route.method) << " " << route.pattern);
    const json::object* const operation = api.Described(route);
    REQUIRE(operation != nullptr);
    CHECK(ids.insert(operation->at("operationId").as_string().c_str()).second);

    const std::string right = operation->at("x-right").as_string().c_str();
    CHECK(right == (route.needs.right ? Name(*route.needs.right) : "anybody"));
    const json::array& security = operation->at("security").as_array();
    const auto* const scope = operation->if_contains("x-scope");
    CHECK((scope == nullptr ? std::string() : scope->as_string().c_str()) == route.scope());
    CHECK(security.size() == (route.needs.access == Access::kPublic ? 0u
                              : scope == nullptr                    ? 1u
                                                                    : 2u));
    if (scope != nullptr) {
      CHECK(security[1].at("token").as_array()[0] == *scope);
      CHECK(FindScope(route.scope()) != nullptr);
    }

    std::set<std::string> in_path, in_query, in_header;
    if (const auto* const parameters = operation->if_contains("parameters")) {
      for (const json::value& one : parameters->as_array()) {
        const json::object& parameter = api.schemas.Resolve(one).as_object();
        const std::string place = parameter.at("in").as_string().c_str();
        auto& names = place == "path" ? in_path : place == "query" ? in_query : in_header;
        names.insert(parameter.at("name").as_string().c_str());
      }
    }
    CHECK(in_query == std::set<std::string>(route.query.begin(), route.query.end()));
    std::set<std::string> captures;
    for (std::size_t at = 0; (at = route.pattern.find('{', at)) != std::string::npos; ++at) {
      captures.insert(route.pattern.substr(at + 1, route.pattern.find('}', at) - at - 1));
    }
    CHECK(in_path == captures);
    // Codes work once as it is.
    const bool keyed = route.method == Method::kPost && route.needs.access != Access::kPublic &&
                       route.pattern.rfind("/api/v1/session/", 0) != 0;
    CHECK(in_header ==
          (keyed ? std::set<std::string>{"Idempotency-Key"} : std::set<std::string>{}));

    const auto* const wanted = operation->if_contains("requestBody");
    const json::value* form = nullptr;
    const json::value* body = nullptr;
    if (wanted != nullptr) {
      form = ContentOf(wanted->as_object(), "application/x-www-form-urlencoded");
      body = ContentOf(wanted->as_object(), "application/json");
    }
    CHECK((form != nullptr) == (route.body == Body::kForm || route.body == Body::kFormOrJson));
    CHECK((body != nullptr) == (route.body == Body::kJson || route.body == Body::kFormOrJson));
    if (form != nullptr) {
      const json::object& schema = api.schemas.Resolve(*form).as_object();
      std::set<std::string> fields, required;
      for (const FormField& field : route.form) {
        fields.insert(field.name);
        if (field.required) required.insert(field.name);
      }
      CHECK(NamesOf(schema.at("properties").as_object()) == fields);
      CHECK(RequiredOf(schema) == required);
    }
  }
}

TEST_CASE("the members of JSON that openapi.json names are those that the parsers take") {
  Contract api;
  std::size_t seen = 0;
  for (const Route& route : api.Routes()) {
    const json::object* const operation = api.Described(route);
    if (operation == nullptr || !operation->contains("requestBody")) continue;
    const auto* const body =
        ContentOf(operation->at("requestBody").as_object(), "application/json");
    if (body == nullptr) continue;
    INFO(Name(route.method) << " " << route.pattern);
    ++seen;
    const json::object& schema = api.schemas.Resolve(*body).as_object();
    const json::object whole = api.schemas.Example(*body).as_object();
    const auto send = [&](const json::object& what) {
      api.journal.kept.clear();
      return api.Json(route, what);
    };
    const Response good = send(whole);
    INFO(good.body);
    CHECK(good.status < 300);

    json::object more = whole;
    more["zz"] = 1;
    const Response refused = send(more);
    CHECK(refused.status == 400);
    CHECK(Accepted(Detail(refused)) == NamesOf(schema.at("properties").as_object()));
    const auto required = RequiredOf(schema);
    for (const std::string& name : NamesOf(whole)) {
      json::object less = whole;
      less.erase(name);
      const Response response = send(less);
      if (required.count(name) != 0) {
        CHECK(response.status == 400);
        CHECK(Detail(response) == name + " is missing.");
      } else {
        CHECK(response.status < 300);
      }
      json::object other = whole;
      other[name] = json::array{json::array{}};
      CHECK(send(other).status == 400);
    }
  }
  CHECK(seen == 22);
}

TEST_CASE("answers are as openapi.json says") {
  Contract api;
  std::size_t seen = 0;
  for (const Route& route : api.Routes()) {
    INFO(Name(route.method) << " " << route.pattern);
    const json::object* const operation = api.Described(route);
    REQUIRE(operation != nullptr);
    if (route.pattern == "/api/v1/session" && route.method == Method::kDelete) {
      continue;  // ends the session that all others use
    }
    api.journal.kept.clear();
    Response response;
    if (route.body == Body::kForm) {
      Request request = api.As(route);
      request.headers["content-type"] = "application/x-www-form-urlencoded";
      const bool proof = route.pattern != "/api/v1/session";
      // Who proves the factor has a new cookie afterwards; the others go on with the old one.
      const auto before = api.sessions.sessions;
      api.sessions.incomplete = route.incomplete;
      request.body = SecureBytes::CopyOf(
          std::string_view(proof ? "code=135790" : "name=alice.admin&password=right"));
      response = api.Send(std::move(request));
      api.sessions.sessions = before;
      api.sessions.incomplete = false;
    } else if (route.body == Body::kNone) {
      api.sessions.incomplete = route.incomplete;
      response = api.Send(api.As(route));
      api.sessions.incomplete = false;
    } else {
      response =
          api.Json(route, api.schemas.Example(*ContentOf(operation->at("requestBody").as_object(),
                                                         "application/json")));
    }
    INFO(response.body);
    const json::object& answers = operation->at("responses").as_object();
    const auto* const answer = answers.if_contains(std::to_string(response.status));
    REQUIRE(answer != nullptr);
    const std::string type = response.content_type.substr(0, response.content_type.find(';'));
    const auto* const schema = ContentOf(answer->as_object(), type);
    CHECK((schema == nullptr) == response.body.empty());
    if (type == "application/json") {
      CHECK(api.schemas.Judge(*schema, json::parse(response.body)) == "");
      ++seen;
    }
  }
  CHECK(seen > 30);
}

TEST_CASE("problems are as openapi.json says, and of types that are listed") {
  Contract api;
  const json::value reference = json::parse(R"({"$ref":"#/components/schemas/Problem"})");
  for (const Route& route : api.Routes()) {
    INFO(Name(route.method) << " " << route.pattern);
    std::vector<Request> bad;
    bad.push_back(api.As(route));
    bad.back().query = {{"zz", "1"}};
    bad.push_back(api.As(route));
    bad.back().headers["origin"] = "https://evil.example";
    const auto routes = api.Routes();
    const bool deletes = std::any_of(routes.begin(), routes.end(), [&](const Route& other) {
      return other.method == Method::kDelete && other.pattern == route.pattern;
    });
    if (!deletes) {
      bad.push_back(api.As(route));
      bad.back().method = Method::kDelete;
    }
    if (route.needs.access != Access::kPublic) {
      bad.push_back(api.As(route));
      bad.back().headers.erase("cookie");
      bad.push_back(api.As(route));
      bad.back().headers["authorization"] = "Bearer x";
      bad.push_back(api.As(route));
      bad.back().headers.erase("cookie");
      bad.back().headers["authorization"] = "Bearer x";
    }
    for (Request& request : bad) {
      if (route.pattern == "/api/v1/session" && request.method == Method::kDelete) continue;
      const Response response = api.Send(std::move(request));
      INFO(response.body);
      CHECK(response.status >= 400);
      CHECK(response.content_type == "application/problem+json; charset=utf-8");
      const json::value problem = json::parse(response.body);
      CHECK(api.schemas.Judge(reference, problem) == "");
      const ProblemType* const type = FindProblemType(problem.at("code").as_string().c_str());
      REQUIRE(type != nullptr);
      CHECK(type->status == response.status);
      CHECK(problem.at("type").as_string() == std::string("/api/v1/problems/") + type->name);
    }
  }
}

TEST_CASE("docs/api.md lists every problem, every route and every scope, and no other") {
  std::ifstream file(std::string(KEYFERRY_SOURCE_DIR) + "/docs/api.md");
  std::stringstream text;
  text << file.rdbuf();
  const std::string docs = text.str();
  std::set<std::string> documented, known;
  std::istringstream lines(docs);
  std::size_t problems = 0;
  for (std::string line; std::getline(lines, line);) {
    if (line.size() > 7 && line.substr(0, 2) == "| " && std::isdigit(line[2]) != 0) {
      documented.insert(line);
      ++problems;
    }
  }
  for (const ProblemType& type : ProblemTypes()) {
    known.insert("| " + std::to_string(type.status) + " | `" + type.name + "` | " + type.meaning +
                 " |");
  }
  CHECK(documented == known);
  CHECK(problems == known.size());
  for (const TokenScope& scope : kTokenScopes) {
    INFO(scope.name);
    CHECK(docs.find("| `" + std::string(scope.name) + "` | ") != std::string::npos);
  }
  Contract api;
  for (const Route& route : api.Routes()) {
    INFO(Name(route.method) << " " << route.pattern);
    const std::string place = route.pattern.substr(std::string("/api/v1").size());
    CHECK(docs.find("`" + std::string(Name(route.method)) + " " + place) != std::string::npos);
  }
}

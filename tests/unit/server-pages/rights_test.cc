// Every route × every caller × an object that is there and one that is not, against the real
// router: who may is said by server/core/rights.cc alone, what each route needs and answers by
// route_rights.txt.
#include <catch2/catch.hpp>
#include <fstream>
#include <iterator>
#include <map>
#include <set>
#include <sstream>

#include "fake_services.h"

using namespace keyferry;
using namespace keyferry::server;
using fake::MakeId;
using fake::World;

namespace {

// A line of route_rights.txt: "METHOD pattern right status-here status-elsewhere body…".
struct Expected {
  std::string right;  // its name, or "anybody"
  int here = 0;       // for who may, where the address names something that is there
  int elsewhere = 0;  // … where it names nothing; the same where it names nothing in particular
  std::string body;
};

std::map<std::string, Expected> Matrix() {
  std::map<std::string, Expected> out;
  std::ifstream in(KEYFERRY_SOURCE_DIR "/tests/unit/server-pages/route_rights.txt");
  for (std::string line; std::getline(in, line);) {
    if (line.empty() || line[0] == '#') continue;
    std::istringstream words(line);
    std::string method, pattern;
    Expected one;
    words >> method >> pattern >> one.right >> one.here >> one.elsewhere;
    REQUIRE(words);
    std::getline(words >> std::ws, one.body);
    REQUIRE(out.emplace(method + " " + pattern, one).second);
  }
  return out;
}

std::string NameOf(const Route& route) {
  return std::string(Name(route.method)) + " " + route.pattern;
}

bool IsOfApi(const Route& route) { return route.pattern.rfind("/api/", 0) == 0; }

// What stands for the captures of a pattern where the thing shall be there.
std::string ThingOf(const World& world, const std::string& pattern) {
  const auto begins = [&pattern](std::string_view what) {
    return pattern.find(what) != std::string::npos;
  };
  if (begins("/fido-keys/")) return MakeId<FidoKeyId>(0xF0).Hex();
  if (begins("/sessions/")) return MakeId<SessionId>(5).Hex();
  if (begins("/second-factors/")) return MakeId<AccountId>(2).Hex();
  if (begins("/employees/") || begins("/accounts/")) return MakeId<AccountId>(1).Hex();
  if (begins("/keys/")) return world.keys.keys[0].device.Hex();
  if (begins("/enrolments/")) return MakeId<EnrolmentId>(0xE1).Hex();
  if (begins("/changes/")) return MakeId<ChangeId>(1).Hex();
  if (begins("/workstations/")) return MakeId<WorkstationId>(11).Hex();
  if (begins("/policies/")) return MakeId<PolicyId>(0x90).Hex();
  if (begins("/scopes/")) return "help_desk";
  if (begins("/warnings/")) return MakeId<WarningId>(0xF2).Hex();
  if (begins("/audit/filters/")) return MakeId<AuditFilterId>(0xF1).Hex();
  if (begins("/tokens/")) return MakeId<TokenId>(0x70).Hex();
  if (begins("/webhooks/")) return MakeId<WebhookId>(0xB1).Hex();
  if (begins("/objections/")) return "8";
  if (begins("/approvals/")) return MakeId<ApprovalId>(0xA9).Hex();
  if (begins("/help-desk/requests/")) return MakeId<HelpDeskId>(0xD5).Hex();
  return "nothing";
}

std::string Address(const World& world, const Route& route, bool here) {
  std::string out = route.pattern;
  const std::string thing = here ? ThingOf(world, out) : MakeId<AccountId>(0xEE).Hex();
  for (std::size_t open; (open = out.find('{')) != std::string::npos;) {
    out.replace(open, out.find('}') - open + 1, thing);
  }
  return out;
}

struct Floor : World {
  explicit Floor(PeopleConfig people_config = {})
      : World(KEYFERRY_WEB_DIR, std::move(people_config)) {
    fake::Populate(*this);
    PersonDetail carol;  // who asks
    carol.person.id = MakeId<AccountId>(0xAC);
    carol.person.login = "carol.case";
    directory.people.push_back(carol);
    Refill();
  }

  // What the requests before may have used up.
  void Refill() {
    RotationPolicy policy;
    policy.id = MakeId<PolicyId>(0x90);
    policy.name = "yearly";
    policy.group_dn = "CN=Everybody,DC=corp,DC=example";
    rotation.policies = {policy};
    TokenView token;
    token.id = MakeId<TokenId>(0x70);
    token.name = "robot";
    tokens.tokens = {token};
  }

  Request Asked(const Route& route, const Expected& expected, bool here) const {
    Request request = Get(Address(*this, route, here));
    request.method = route.method;
    request.headers.erase("cookie");
    request.headers["idempotency-key"] = "matrix-" + std::to_string(++asked);
    request.headers["x-keyferry-csrf"] = kCsrf;
    if (!expected.body.empty()) {
      const bool json = expected.body[0] == '{';
      request.headers["content-type"] =
          json ? "application/json" : "application/x-www-form-urlencoded";
      request.body = SecureBytes::CopyOf(std::string_view(expected.body));
    }
    return request;
  }

  Response AnswerTo(Roles roles, const Route& route, const Expected& expected, bool here) {
    Refill();
    Session session;
    session.actor = {MakeId<AccountId>(0xAC), "carol.case", "Carol Case", roles, "127.0.0.1"};
    session.csrf = kCsrf;
    sessions.sessions["case"] = session;
    Request request = Asked(route, expected, here);
    request.headers["cookie"] = std::string(kSessionCookie) + "=case";
    sessions.incomplete = route.incomplete;
    return Send(std::move(request));
  }
  int AsPerson(Roles roles, const Route& route, const Expected& expected, bool here) {
    return AnswerTo(roles, route, expected, here).status;
  }

  int AsToken(const std::string& scope, Roles roles, const Route& route, const Expected& expected,
              bool here) {
    Refill();
    tokens.scopes = {scope};
    tokens.roles = roles;
    Request request = Asked(route, expected, here);
    request.headers["authorization"] = std::string("Bearer ") + fake::FakeTokens::kSecret;
    request.headers.erase("x-keyferry-csrf");
    return Send(std::move(request)).status;
  }

  // Everything that any service was made to do.
  std::size_t Done() const {
    std::size_t judged = 0;
    for (const std::string& call : tokens.calls)
      if (call.rfind("judge ", 0) == 0) ++judged;
    return changes.started.size() + keys.calls.size() + workstations.calls.size() +
           rotation.calls.size() + help_desk.calls.size() + activation_mail.calls.size() +
           alarm.calls.size() + audit_filters.calls.size() + attributes.calls.size() +
           account_steps.calls.size() + four_eyes.calls.size() + webhooks.calls.size() +
           warnings.calls.size() + notices.calls.size() + questions.calls.size() +
           tokens.calls.size() - judged + static_cast<std::size_t>(check_up.runs);
  }

  mutable int asked = 1000;
};

// Nobody's, each alone, each pair, all; and an employee's.
std::vector<Roles> EveryMixture() {
  std::set<std::uint8_t> bits{0};
  Roles all;
  for (const Role one : kAllRoles) {
    all |= one;
    for (const Role other : kAllRoles) bits.insert((one | other).bits());
  }
  bits.insert(all.bits());
  bits.insert(Roles(Role::kEmployee).bits());
  std::vector<Roles> out;
  for (const std::uint8_t mixture : bits) {
    Roles roles;
    REQUIRE(Roles::FromBits(mixture, &roles));
    out.push_back(roles);
  }
  return out;
}

}  // namespace

TEST_CASE("every route stands in the matrix with the right it needs, and the matrix has no other") {
  const auto matrix = Matrix();
  Floor world;
  std::set<std::string> routes;
  for (const Route& route : world.browser->routes()) {
    INFO(NameOf(route));
    routes.insert(NameOf(route));
    const auto found = matrix.find(NameOf(route));
    CHECK(found != matrix.end());
    if (found == matrix.end()) continue;
    CHECK(found->second.right == (route.needs.right ? Name(*route.needs.right) : "anybody"));
    CHECK((route.needs.access == Access::kPublic) == (found->second.right == "anybody"));
  }
  for (const auto& [name, unused] : matrix) {
    INFO(name);
    CHECK(routes.count(name) == 1);
  }
}

TEST_CASE("every route × every mixture of roles × here and elsewhere") {
  const auto matrix = Matrix();
  std::size_t allowed = 0, refused = 0, should_refuse = 0;
  for (const Roles roles : EveryMixture()) {
    Floor world;
    for (const Route& route : world.browser->routes()) {
      const auto found = matrix.find(NameOf(route));
      if (found == matrix.end()) continue;
      const Expected& expected = found->second;
      // The services behind this router do not look at roles: what comes through, does.
      const bool may = !route.needs.right || May(roles, *route.needs.right);
      for (const bool here : {true, false}) {
        INFO(Names(roles) << ": " << NameOf(route) << (here ? "" : ", elsewhere"));
        const std::size_t before = world.Done();
        should_refuse += may ? 0 : 1;
        const int status = world.AsPerson(roles, route, expected, here);
        CHECK(status == (may ? here ? expected.here : expected.elsewhere : 403));
        if (!may) CHECK(world.Done() == before);
        ++(status == 403 ? refused : allowed);
      }
    }
  }
  CHECK(refused == should_refuse);
  CHECK(allowed > 200);
}

TEST_CASE("an employee without a role reaches /me, the proof that it is them, and the way out") {
  Floor world;
  std::set<std::string> reached;
  for (const Route& route : world.browser->routes()) {
    if (!route.needs.right || !May(Role::kEmployee, *route.needs.right)) continue;
    if (route.pattern.rfind("/me/", 0) == 0 || route.pattern == "/me") continue;
    reached.insert(NameOf(route));
  }
  CHECK(reached == std::set<std::string>{"GET /", "GET /sign-in/code",
                                         "POST /api/v1/session/code/challenge",
                                         "POST /api/v1/session/step-up/challenge",
                                         "POST /sign-in/code", "POST /sign-out"});
  for (const RightInfo& info : AllRights()) {
    INFO(info.name);
    CHECK(May(Role::kEmployee, info.right) ==
          (info.right == Right::kSelf || info.right == Right::kOwnPassword));
    if (info.right == Right::kOwnPassword) CHECK(info.roles == Role::kEmployee);
  }
}

TEST_CASE("every route × nobody") {
  const auto matrix = Matrix();
  Floor world;
  for (const Route& route : world.browser->routes()) {
    const auto found = matrix.find(NameOf(route));
    if (found == matrix.end() || !route.needs.right) continue;
    for (const bool here : {true, false}) {
      INFO(NameOf(route));
      CHECK(world.Send(world.Asked(route, found->second, here)).status ==
            (IsOfApi(route) ? 401 : 303));
    }
  }
  CHECK(world.Done() == 0);
}

TEST_CASE("every route of the API × a token of each scope × every mixture of its maker's roles") {
  const auto matrix = Matrix();
  for (const Roles roles : EveryMixture()) {
    Floor world;
    for (const TokenScope& scope : kTokenScopes) {
      for (const Route& route : world.browser->routes()) {
        const auto found = matrix.find(NameOf(route));
        if (found == matrix.end() || !route.needs.right) continue;
        const bool may = IsOfApi(route) && std::string_view(scope.name) == route.scope() &&
                         May(roles, *route.needs.right);
        for (const bool here : {true, false}) {
          INFO(Names(roles) << ", " << scope.name << ": " << NameOf(route));
          const std::size_t before = world.Done();
          const int status = world.AsToken(scope.name, roles, route, found->second, here);
          const int refusal = IsOfApi(route) ? 403 : 303;
          const int wanted = may ? here ? found->second.here : found->second.elsewhere : refusal;
          CHECK(status == wanted);
          if (!may) CHECK(world.Done() == before);
        }
      }
    }
  }
}

TEST_CASE("every GET × somebody out of scope: as if they and their things were not there") {
  const auto matrix = Matrix();
  for (const Role role : kAllRoles) {
    PeopleScope scope;
    scope.role = role;
    {
      const Floor all;
      scope.exclude.users = {all.directory.people[0].person.login,
                             all.directory.people[4].person.login};
    }
    PeopleConfig config;
    config.scopes = {scope};
    Floor world(config);
    const std::string hidden = world.directory.people[0].person.display_name;
    Session other;
    other.id = MakeId<SessionId>(0x44);
    other.actor.id = world.directory.people[0].person.id;
    other.actor.login = scope.exclude.users[0];
    world.sessions.sessions["theirs"] = other;
    world.factors.factors.push_back({other.actor.id, other.actor.login, 1'700'000'000'000, 8});
    std::size_t seen = 0;
    for (const Route& route : world.browser->routes()) {
      const auto found = matrix.find(NameOf(route));
      if (route.method != Method::kGet || found == matrix.end()) continue;
      if (!route.needs.right || !May(role, *route.needs.right)) continue;
      INFO(Name(role) << ": " << NameOf(route));
      const Response answer = world.AnswerTo(role, route, found->second, true);
      // The audit log is not cut to a scope, the rules name whom they exclude, and the fakes of
      // help desk and four eyes cut nothing (four_eyes_test.cc has the real one).
      bool cut = true;
      for (const char* open : {"/audit", "/scopes", "/help-desk", "/approvals"}) {
        if (route.pattern.find(open) != std::string::npos) cut = false;
      }
      if (cut) CHECK(answer.body.find(scope.exclude.users[0]) == std::string::npos);
      if (cut) CHECK(answer.body.find(hidden) == std::string::npos);
      bool theirs = false;
      for (const char* of :
           {"/employees/{", "/keys/{", "/changes/{", "/enrolments/{", "/accounts/{"}) {
        theirs |= route.pattern.find(of) != std::string::npos;
      }
      if (!theirs) continue;
      ++seen;
      CHECK(answer.status == 404);
      CHECK(world.AnswerTo(role, route, found->second, false).status == 404);
    }
    CHECK(seen >= 8);
  }
}

TEST_CASE("the table in docs/security.md is the matrix") {
  std::ifstream in(KEYFERRY_SOURCE_DIR "/docs/security.md");
  const std::string text{std::istreambuf_iterator<char>(in), {}};
  std::string table = "| right | token scope |";
  std::string rule = "|---|---|";
  std::vector<Role> columns(std::begin(kAllRoles), std::end(kAllRoles));
  columns.push_back(Role::kEmployee);
  for (const Role role : columns) {
    table += std::string(" ") + Name(role) + " |";
    rule += "---|";
  }
  table += " allows |\n" + rule + "---|\n";
  for (const RightInfo& info : AllRights()) {
    table += std::string("| `") + info.name + "` | " +
             (*info.scope == '\0' ? std::string("–") : "`" + std::string(info.scope) + "`") + " |";
    for (const Role role : columns) table += May(role, info.right) ? " yes |" : " |";
    table += std::string(" ") + info.what + " |\n";
  }
  INFO("The table should be:\n" << table);
  CHECK(text.find(table) != std::string::npos);
}

TEST_CASE("rights and scopes speak one language") {
  std::set<std::string> names, scopes;
  for (const RightInfo& info : AllRights()) {
    INFO(info.name);
    CHECK(names.insert(info.name).second);
    CHECK_FALSE(info.roles.empty());
    if (*info.scope == '\0') continue;
    scopes.insert(info.scope);
    CHECK(FindScope(info.scope) != nullptr);
  }
  for (const TokenScope& scope : kTokenScopes) CHECK(scopes.count(scope.name) == 1);
  Roles roles;
  CHECK_FALSE(Roles::FromBits(-1, &roles));
  CHECK_FALSE(Roles::FromBits(128, &roles));
}

TEST_CASE("no page is over 100 kB, however much there is") {
  const auto matrix = Matrix();
  Floor world;
  const auto fill = [](auto& list, std::size_t count, auto change) {
    const auto one = list.at(0);
    for (std::size_t i = 0; i < count; ++i) {
      list.push_back(one);
      change(list.back(), i);
    }
  };
  const auto id_of = [](auto& id, std::size_t i) {
    id.bytes[0] = static_cast<std::uint8_t>(0x40 + i / 256);
    id.bytes[1] = static_cast<std::uint8_t>(i);
  };
  const std::string long_text(200, 'w');
  for (std::size_t i = 0; i < 1000; ++i) {
    Session other;
    id_of(other.id, i);
    other.actor.id = world.directory.people[1].person.id;
    other.actor.login = "somebody.with.a.long.name" + std::to_string(i);
    other.browser = long_text;
    other.address = "2001:db8:1234:5678:9abc:def0:1234:5678";
    world.sessions.sessions["other" + std::to_string(i)] = other;
    other.actor.id = MakeId<AccountId>(0xAC);
    id_of(other.id, 2000 + i);
    world.sessions.sessions["mine" + std::to_string(i)] = other;
    world.factors.factors.push_back(
        {world.directory.people[1].person.id, other.actor.login, 1'700'000'000'000, 8, true, 2});
  }
  fill(world.fido.keys, 9, [&](FidoKeyView& key, std::size_t i) {
    id_of(key.id, i);
    key.name = std::string(42, 'k');
    key.suspect = 1'700'000'000'000;
  });
  fill(world.tokens.tokens, 500, [&](TokenView& token, std::size_t i) {
    id_of(token.id, i);
    token.name = std::string(40, 't');
    for (const TokenScope& scope : kTokenScopes) token.scopes.emplace_back(scope.name);
  });
  fill(world.four_eyes.approvals, 199, [&](Approval& row, std::size_t i) {
    id_of(row.id, i);
    row.asker_login = row.display_name = std::string(64, 'a');
  });
  fill(world.rotation.policies, 200, [&](RotationPolicy& policy, std::size_t i) {
    id_of(policy.id, i);
    policy.name = std::string(64, 'p');
    policy.group_dn = long_text;
    policy.last_result = "200 begun, 200 refused, 200 skipped.";
  });
  fill(world.workstations.workstations, 400, [&](WorkstationView& workstation, std::size_t i) {
    id_of(workstation.id, i);
    workstation.state = WorkstationState::kPending;
    workstation.name = std::string(63, 'n');
    workstation.computer = i % 2 == 0 ? std::string(15, 'C') : std::string();
  });
  fill(world.audit.rows, 500, [&](AuditView& row, std::size_t i) {
    row.number = 10'000 + i;
    row.detail = std::string(1000, 'd');
  });
  fill(world.webhooks.rows, 1000, [&](WebhookRecord& row, std::size_t i) {
    id_of(row.id, i);
    row.last_error = long_text;
  });
  RotationCandidate candidate;
  candidate.account = world.directory.people[1].person.id;
  candidate.login = candidate.display_name = std::string(64, 'm');
  candidate.reason = long_text;
  candidate.verdict = RotationCandidate::Verdict::kSkipped;
  world.rotation.preview.members.assign(500, candidate);

  const auto measure = [&](const Route& route, const Expected& expected) {
    INFO(NameOf(route));
    const Response answer = world.AnswerTo(Role::kAdministrator, route, expected, true);
    CHECK(answer.body.size() < 100 * 1000);
  };
  std::size_t pages = 0;
  for (const Route& route : world.browser->routes()) {
    const auto found = matrix.find(NameOf(route));
    if (found == matrix.end() || IsOfApi(route) || route.pattern.rfind("/events/", 0) == 0) {
      continue;
    }
    if (route.method == Method::kGet) measure(route, found->second);
    pages += route.method == Method::kGet ? 1 : 0;
    if (NameOf(route) != "POST /policies") continue;
    Expected preview = found->second;
    preview.body.replace(preview.body.find("do=save"), 7, "do=preview");
    measure(route, preview);
  }
  CHECK(pages > 40);
}

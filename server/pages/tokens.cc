// Tokens of programs for the API.
#include <algorithm>
#include <charconv>

#include "server/api/problem.h"
#include "server/pages/frame.h"
#include "server/pages/models.h"

namespace keyferry::server {
namespace {

constexpr std::size_t kTokensOnAPage = 200;

// What the form shows again after a mistake.
struct EnteredToken {
  std::string name, problem;
  std::string days = "90";
  std::vector<std::string> scopes;
};

// The form's field of a scope: a field may come once only, so each has one of its own.
std::string FieldOf(const TokenScope& scope) {
  std::string name = std::string("scope_") + scope.name;
  for (char& c : name) {
    if (c == ':') c = '_';
  }
  return name;
}

Data StateBadge(const Catalog& catalog, const TokenView& token, std::int64_t now) {
  if (token.revoked != 0) return Badge("bad", "lock", catalog.Text("tokens.revoked"));
  if (now >= token.expires) return Badge("warn", "clock", catalog.Text("tokens.expired"));
  return Badge("ok", "check", catalog.Text("tokens.good"));
}

Data TokenRow(const Catalog& catalog, const TokenView& token, std::int64_t now) {
  Data row;
  Put(row, "id", token.id.Hex());
  Put(row, "name", token.name);
  std::string scopes;
  for (const std::string& scope : token.scopes) scopes += (scopes.empty() ? "" : ", ") + scope;
  Put(row, "scopes", scopes);
  Put(row, "creator", catalog.Text("tokens.made_by", {token.creator}));
  row["badge"] = StateBadge(catalog, token, now);
  row["expires"] = Time(token.expires);
  row["last_used"] = Time(token.last_used);
  PutMaybe(row, "last_address", token.last_address);
  PutMaybe(
      row, "revoked_by",
      token.revoked == 0 ? std::string() : catalog.Text("tokens.revoked_by", {token.revoked_by}));
  PutFlag(row, "revocable", token.revoked == 0);
  return row;
}

// `secret` is empty but in the one answer that made the token.
Response ShowTokens(const PageContext& context, const Request& request, const EnteredToken& entered,
                    std::string_view secret, int status) {
  const Catalog& catalog = context.catalog;
  const auto tokens = context.services.tokens.List();
  if (!tokens) return ShowFailure(context, request, tokens.error());
  Data data = Frame(context, request, catalog.Text("tokens.title"), "tokens");
  const std::int64_t now = context.services.clock.UnixMillis();
  Data list = List();
  std::size_t count = 0;
  for (const TokenView& token : *tokens) {
    if (++count > kTokensOnAPage) break;
    list << TokenRow(catalog, token, now);
  }
  PutFlag(data, "any", !tokens->empty());
  PutFlag(data, "more", tokens->size() > kTokensOnAPage);
  data["tokens"] = std::move(list);
  PutMaybe(data, "secret", secret);
  Put(data, "name", entered.name);
  Put(data, "days", entered.days);
  PutMaybe(data, "problem", entered.problem);
  Data scopes = List();
  for (const TokenScope& scope : kTokenScopes) {
    Data row;
    Put(row, "field", FieldOf(scope));
    Put(row, "scope", scope.name);
    Put(row, "what", scope.what);
    PutFlag(row, "chosen",
            std::find(entered.scopes.begin(), entered.scopes.end(), scope.name) !=
                entered.scopes.end());
    scopes << row;
  }
  data["scopes"] = std::move(scopes);
  return Show(context, request, "tokens", data, status);
}

Response MakeToken(const PageContext& context, Request& request) {
  const Form& form = *request.form;
  EnteredToken entered;
  entered.name = form.Text("name");
  entered.days = form.Text("days");
  for (const TokenScope& scope : kTokenScopes) {
    if (form.Text(FieldOf(scope)) == "on") entered.scopes.emplace_back(scope.name);
  }
  TokenRequest wanted{entered.name, entered.scopes, 0};
  const char* const last = entered.days.data() + entered.days.size();
  const auto [end, failure] = std::from_chars(entered.days.data(), last, wanted.days);
  if (failure != std::errc() || end != last) wanted.days = 0;
  auto issued = context.services.tokens.Create(request.session->actor, wanted);
  if (!issued) {
    context.services.report(request, issued.error());
    entered.problem = context.catalog.Say(issued.error().message);
    return ShowTokens(context, request, entered, {}, HttpStatus(issued.error().code));
  }
  Response response = ShowTokens(context, request, {}, issued->secret, 200);
  Wipe(issued->secret.data(), issued->secret.size());
  return response;
}

Response RevokeToken(const PageContext& context, Request& request, const TokenId& id) {
  const auto revoked = context.services.tokens.Revoke(request.session->actor, id);
  if (revoked) return Response::SeeOther("/tokens");
  if (revoked.error().code == ErrorCode::kNotFound) return ShowNotFound(context, request);
  context.services.report(request, revoked.error());
  EnteredToken entered;
  entered.problem = context.catalog.Say(revoked.error().message);
  return ShowTokens(context, request, entered, {}, HttpStatus(revoked.error().code));
}

}  // namespace

void AddTokenPage(Router& router, const PageContext& context) {
  router.Add({Method::kGet, "/tokens", Right::kTokensRead,
              [context](Request& request) { return ShowTokens(context, request, {}, {}, 200); }});
  std::vector<FormField> fields = {CsrfField(), {"name", 200}, {"days", 10}};
  for (const TokenScope& scope : kTokenScopes) fields.push_back({FieldOf(scope), 2});
  router.Add({Method::kPost,
              "/tokens",
              Right::kTokensWrite,
              [context](Request& request) { return MakeToken(context, request); },
              {},
              Body::kForm,
              std::move(fields)});
  router.Add({Method::kPost,
              "/tokens/{id}/revoke",
              Right::kTokensWrite,
              PageWithId<TokenId>(context, RevokeToken),
              {},
              Body::kForm,
              {CsrfField()}});
}

}  // namespace keyferry::server

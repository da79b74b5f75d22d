// Tokens of the API. Only people make and revoke them: no scope allows it.
#include "server/api/handlers.h"
#include "server/api/json_reader.h"
#include "server/api/once.h"

namespace keyferry::server {
namespace {

constexpr std::size_t kMostScopes = 32;

Response CreateToken(Services& services, Request& request) {
  JsonReader in(request.body.span());
  TokenRequest wanted;
  wanted.name = in.Text("name", 1, 40);
  wanted.scopes = in.Texts("scopes", kMostScopes, 40);
  wanted.days = in.Integer("days", 1, 3660);
  if (const auto bad = in.Finish(); !bad) return Problem(request, bad.error());
  auto issued = services.tokens.Create(request.session->actor, wanted);
  if (!issued) return Answer(services, request, issued.error());
  boost::json::object body = ToJson(issued->token);
  body["token"] = issued->secret;
  return Ok(body, 201);
}

}  // namespace

void AddTokenRoutes(Router& router, Services& services) {
  router.Add(Reading("/tokens", Right::kTokensRead,
                     [&services](Request& request) {
                       return PageInOrder(services, request, "tokens", services.tokens.List(),
                                          [](const TokenView& token) { return token.id.Hex(); });
                     },
                     {"cursor", "limit"}));
  router.Add(
      Reading("/tokens/{id}", Right::kTokensRead,
              WithId<TokenId>(services, [](Services& all, Request& request, const TokenId& id) {
                return One(all, request, all.tokens.Get(id));
              })));
  router.Add(Writing(
      "/tokens", Right::kTokensWrite, Body::kJson,
      Once(services, [&services](Request& request) { return CreateToken(services, request); })));
  router.Add(Writing("/tokens/{id}/revoke", Right::kTokensWrite, Body::kNone,
                     Once(services, WithId<TokenId>(services, [](Services& all, Request& request,
                                                                 const TokenId& id) {
                            return One(all, request, all.tokens.Revoke(request.session->actor, id));
                          }))));
}

}  // namespace keyferry::server

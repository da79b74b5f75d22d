// FIDO2 keys of the person who asks: what the browser has to do for them, and the list of them.
#include "server/api/handlers.h"
#include "server/api/json_reader.h"
#include "server/core/fido.h"
#include "server/core/fido_keys.h"

namespace keyferry::server {
namespace {

namespace json = boost::json;

constexpr std::size_t kMostTransports = 8, kTransportBytes = 16;

using FidoHandler = Response (*)(Services&, FidoKeys&, Request&);
using OneFidoHandler = Response (*)(Services&, FidoKeys&, Request&, const FidoKeyId&);

json::array Credentials(const FidoCeremony& ceremony) {
  json::array out;
  for (const FidoCeremony::Known& key : ceremony.keys) {
    json::array transports;
    for (const std::string& one : key.transports) transports.emplace_back(one);
    out.push_back({{"type", "public-key"}, {"id", key.id}, {"transports", std::move(transports)}});
  }
  return out;
}

// PublicKeyCredentialCreationOptionsJSON of Web Authentication.
json::object CreationJson(const FidoCeremony& ceremony) {
  json::array algorithms;
  for (const std::int64_t algorithm : kFidoAlgorithms) {
    algorithms.push_back({{"type", "public-key"}, {"alg", algorithm}});
  }
  return {
      {"rp", {{"id", ceremony.relying_party}, {"name", "Keyferry"}}},
      {"user",
       {{"id", ceremony.user}, {"name", ceremony.login}, {"displayName", ceremony.display_name}}},
      {"challenge", ceremony.challenge},
      {"pubKeyCredParams", std::move(algorithms)},
      {"timeout", ceremony.timeout_millis},
      {"excludeCredentials", Credentials(ceremony)},
      {"authenticatorSelection",
       {{"residentKey", "discouraged"},
        {"requireResidentKey", false},
        {"userVerification", ceremony.user_verification}}},
      {"attestation", "none"}};
}

// PublicKeyCredentialRequestOptionsJSON.
json::object RequestJson(const FidoCeremony& ceremony) {
  return {{"challenge", ceremony.challenge},
          {"timeout", ceremony.timeout_millis},
          {"rpId", ceremony.relying_party},
          {"allowCredentials", Credentials(ceremony)},
          {"userVerification", ceremony.user_verification}};
}

Response AskToCreate(Services& services, FidoKeys& keys, Request& request) {
  const auto ceremony = keys.BeginNew(request.session_token, *request.session);
  return ceremony ? Ok(CreationJson(*ceremony)) : Answer(services, request, ceremony.error());
}

Response AskToProve(Services& services, FidoKeys& keys, Request& request) {
  const auto ceremony = keys.BeginProof(request.session_token, *request.session);
  return ceremony ? Ok(RequestJson(*ceremony)) : Answer(services, request, ceremony.error());
}

Response ListFidoKeys(Services& services, FidoKeys& keys, Request& request) {
  const auto views = keys.Of(request.session->actor.id);
  if (!views) return Answer(services, request, views.error());
  json::array list;
  for (const FidoKeyView& view : *views) list.push_back(ToJson(view));
  return Ok({{"fido_keys", std::move(list)}});
}

Response AddFidoKey(Services& services, FidoKeys& keys, Request& request) {
  JsonReader in(request.body.span());
  FidoKeyOffer offer;
  offer.name = in.Text("name", 1, kFidoNameBytes);
  offer.credential = in.Text("credential", 1, kFidoCredentialBytes);
  offer.transports = in.Texts("transports", kMostTransports, kTransportBytes);
  if (const auto bad = in.Finish(); !bad) return Problem(request, bad.error());
  const auto added = keys.Add(request.session_token, *request.session, offer);
  if (added) return Ok(ToJson(added->key), 201);
  if (added.error().code != ErrorCode::kUnauthenticated) {
    return Answer(services, request, added.error());
  }
  services.report(request, added.error());
  return ProblemOf(request, "wrong_code", added.error().message);
}

Response RenameFidoKey(Services& services, FidoKeys& keys, Request& request, const FidoKeyId& id) {
  JsonReader in(request.body.span());
  const std::string name = in.Text("name", 1, kFidoNameBytes);
  if (const auto bad = in.Finish(); !bad) return Problem(request, bad.error());
  return Done(services, request, keys.Rename(request.session->actor, id, name));
}

Response RemoveFidoKey(Services& services, FidoKeys& keys, Request& request, const FidoKeyId& id) {
  return Done(services, request, keys.Remove(request.session->actor, id));
}

Response NoFidoHere(const Request& request) {
  return Problem(request,
                 Error{ErrorCode::kConflict, "FIDO2 keys are not used on this server.", {}, 0});
}

Handler WithFido(Services& services, FidoHandler handler) {
  return [&services, handler](Request& request) {
    return services.fido == nullptr ? NoFidoHere(request)
                                    : handler(services, *services.fido, request);
  };
}

Handler WithOneFido(Services& services, OneFidoHandler handler) {
  return WithId<FidoKeyId>(
      services, [handler](Services& all, Request& request, const FidoKeyId& id) {
        return all.fido == nullptr ? NoFidoHere(request) : handler(all, *all.fido, request, id);
      });
}

}  // namespace

json::object ToJson(const FidoKeyView& view) {
  return {{"id", view.id.Hex()},
          {"name", view.name},
          {"created", view.created},
          {"used", view.used},
          {"suspect", view.suspect}};
}

void AddFidoRoutes(Router& router, Services& services) {
  const auto add = [&](Route route, bool incomplete, bool step_up) {
    route.incomplete = incomplete;
    route.step_up = step_up;
    router.Add(std::move(route));
  };
  const auto post = [&](const char* pattern, Body body, Handler handler) {
    return Writing(pattern, Right::kSession, body, std::move(handler));
  };
  // The pages of everybody's own ask for it too.
  const auto prove = [&](const char* pattern) {
    return Writing(pattern, Right::kSelf, Body::kNone, WithFido(services, AskToProve));
  };
  add(prove("/session/code/challenge"), true, false);
  add(prove("/session/step-up/challenge"), false, false);
  add(post("/session/set-up/challenge", Body::kNone, WithFido(services, AskToCreate)), true, false);
  add(Reading("/session/fido-keys", Right::kSession, WithFido(services, ListFidoKeys)), false,
      false);
  add(post("/session/fido-keys/challenge", Body::kNone, WithFido(services, AskToCreate)), false,
      true);
  add(post("/session/fido-keys", Body::kJson, WithFido(services, AddFidoKey)), false, true);
  add(post("/session/fido-keys/{id}", Body::kJson, WithOneFido(services, RenameFidoKey)), false,
      true);
  Route remove =
      Reading("/session/fido-keys/{id}", Right::kSession, WithOneFido(services, RemoveFidoKey));
  remove.method = Method::kDelete;
  add(std::move(remove), false, true);
}

}  // namespace keyferry::server

// FIDO2 keys of one's own: adding, renaming and removing them.
#include "server/pages/fido.h"

#include "server/api/problem.h"
#include "server/pages/models.h"

namespace keyferry::server {
namespace {

constexpr std::size_t kNameCharacters = kFidoNameBytes / 3;  // as a browser counts, in any script

Error NoFidoOnPages() {
  return {ErrorCode::kConflict, "FIDO2 keys are not used on this server.", {}, 0};
}

Response ShowNewKey(const PageContext& context, const Request& request, std::string_view problem,
                    int status) {
  if (context.services.fido == nullptr) {
    return ShowFailure(context, request, NoFidoOnPages());
  }
  Data data = Frame(context, request, context.catalog.Text("fido.new_title"), "");
  PutFidoSetUp(context, data, false);
  PutMaybe(data, "key_problem", problem);
  return Show(context, request, "fido_new", data, status);
}

Response AddAnother(const PageContext& context, Request& request) {
  auto added = AddFidoKeyOf(context, request);
  if (!added) {
    context.services.report(request, added.error());
    return ShowNewKey(context, request, context.catalog.Say(added.error().message),
                      HttpStatus(added.error().code));
  }
  if (!added->signed_in) return Response::SeeOther("/sessions");
  request.session = std::move(added->signed_in->session);
  return std::move(ShowRecoveryCodes(context, request, added->recovery, "/sessions")
                       .With("Set-Cookie", SessionCookie(added->signed_in->token)));
}

Response RenameKey(const PageContext& context, Request& request, const FidoKeyId& id) {
  if (context.services.fido == nullptr) return ShowNotFound(context, request);
  const auto renamed =
      context.services.fido->Rename(request.session->actor, id, request.form->Text("name"));
  return renamed ? Response::SeeOther("/sessions") : ShowFailure(context, request, renamed.error());
}

Response RemoveKey(const PageContext& context, Request& request, const FidoKeyId& id) {
  if (context.services.fido == nullptr) return ShowNotFound(context, request);
  const auto removed = context.services.fido->Remove(request.session->actor, id);
  return removed ? Response::SeeOther("/sessions") : ShowFailure(context, request, removed.error());
}

}  // namespace

void PutFidoProof(const PageContext& context, const Request& request, Data& data,
                  std::string_view challenge, std::string_view field) {
  data["fido"] = Data(false);
  FidoKeys* const keys = context.services.fido;
  if (keys == nullptr || !request.session) return;
  const auto own = keys->Of(request.session->actor.id);
  if (!own || own->empty()) return;
  Data fido;
  Put(fido, "challenge", challenge);
  Put(fido, "field", field);
  data["fido"] = std::move(fido);
}

void PutFidoSetUp(const PageContext& context, Data& data, bool at_sign_in) {
  data["fido"] = Data(false);
  if (context.services.fido == nullptr) return;
  Data fido;
  Put(fido, "challenge",
      at_sign_in ? "/api/v1/session/set-up/challenge" : "/api/v1/session/fido-keys/challenge");
  Put(fido, "action", at_sign_in ? "/sign-in/set-up/key" : "/sessions/fido-keys");
  Put(fido, "most", std::to_string(kNameCharacters));
  PutFlag(fido, "at_sign_in", at_sign_in);
  data["fido"] = std::move(fido);
}

std::vector<FormField> FidoOfferFields() {
  return {CsrfField(),
          {"name", kFidoNameBytes, false, true},
          {"credential", kFidoCredentialBytes, false, true},
          {"transports", 128}};
}

Result<FidoKeyAccepted> AddFidoKeyOf(const PageContext& context, Request& request) {
  if (context.services.fido == nullptr) return tl::unexpected(NoFidoOnPages());
  FidoKeyOffer offer;
  offer.name = request.form->Text("name");
  offer.credential = request.form->Text("credential");
  offer.may_be_first = true;
  std::string_view left = request.form->Text("transports");
  while (!left.empty()) {
    const std::size_t comma = left.find(',');
    offer.transports.emplace_back(left.substr(0, comma));
    left.remove_prefix(comma == std::string_view::npos ? left.size() : comma + 1);
  }
  return context.services.fido->Add(request.session_token, *request.session, offer);
}

Result<void> PutFidoKeys(const PageContext& context, const Request& request, Data& data) {
  data["fido"] = Data(false);
  if (context.services.fido == nullptr) return {};
  const auto keys = context.services.fido->Of(request.session->actor.id);
  if (!keys) return tl::unexpected(keys.error());
  Data fido, list = List();
  for (const FidoKeyView& key : *keys) {
    Data row;
    Put(row, "id", key.id.Hex());
    Put(row, "name", key.name);
    row["created"] = Time(key.created);
    row["used"] = key.used == 0 ? Data(false) : Time(key.used);
    row["suspect"] = key.suspect == 0 ? Data(false) : Time(key.suspect);
    list << row;
  }
  fido["keys"] = std::move(list);
  PutFlag(fido, "any", !keys->empty());
  data["fido"] = std::move(fido);
  return {};
}

void AddFidoPages(Router& router, const PageContext& context) {
  const auto post = [&router](const char* pattern, std::vector<FormField> form, Handler handler) {
    Route route;
    route.method = Method::kPost;
    route.pattern = pattern;
    route.needs = Right::kSession;
    route.handler = std::move(handler);
    route.body = Body::kForm;
    route.form = std::move(form);
    route.step_up = true;
    router.Add(std::move(route));
  };
  post("/sessions/fido-keys/new", {CsrfField()},
       [context](Request& request) { return ShowNewKey(context, request, "", 200); });
  post("/sessions/fido-keys", FidoOfferFields(),
       [context](Request& request) { return AddAnother(context, request); });
  post("/sessions/fido-keys/{id}/name", {CsrfField(), {"name", kFidoNameBytes, false, true}},
       PageWithId<FidoKeyId>(context, RenameKey));
  post("/sessions/fido-keys/{id}/remove", {CsrfField()}, PageWithId<FidoKeyId>(context, RemoveKey));
}

}  // namespace keyferry::server

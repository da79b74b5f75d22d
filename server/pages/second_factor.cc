// The second factor at sign-in: its code, and setting it up.
#include "server/api/guard.h"
#include "server/api/problem.h"
#include "server/pages/fido.h"
#include "server/pages/frame.h"
#include "server/pages/qr.h"

namespace keyferry::server {
namespace {

constexpr std::size_t kGroup = 4;

std::string NextOf(const Request& request) {
  return SafeNext(request.form ? request.form->Text("next") : request.Query("next"));
}

Response ShowCode(const PageContext& context, const Request& request, std::string_view problem,
                  int status) {
  Data data = Frame(context, request, context.catalog.Text("factor.title"), "");
  Put(data, "next", NextOf(request));
  PutMaybe(data, "problem", problem);
  PutFidoProof(context, request, data, "/api/v1/session/code/challenge", "assertion");
  return Show(context, request, "factor_code", data, status);
}

Response GiveCode(const PageContext& context, Request& request) {
  const SecureBytes code = request.form->TakeSecret("code");
  const std::string_view answer = request.form->Text("assertion");
  const bool by_key = !answer.empty() && context.services.fido != nullptr;
  const auto proven =
      by_key ? context.services.fido->Prove(request.session_token, *request.session, answer)
             : context.services.factors->Prove(request.session_token, *request.session, code);
  if (!proven) {
    context.services.report(request, proven.error());
    return ShowCode(context, request, context.catalog.Say(proven.error().message),
                    HttpStatus(proven.error().code));
  }
  return std::move(Response::SeeOther(PlaceOf(proven->session, NextOf(request)))
                       .With("Set-Cookie", SessionCookie(proven->token)));
}

// `base` is where the forms go: the set-up has the same steps at sign-in and later.
struct SetUp {
  const char* base;
  bool incomplete;  // at sign-in
  Right needs = Right::kSession;
  bool own = false;  // of the page /me: it begins with the password, typed once more
};

Data SetUpFrame(const PageContext& context, const Request& request, const SetUp& set_up) {
  Data data = Frame(context, request, context.catalog.Text("factor.set_up_title"), "");
  Put(data, "base", set_up.base);
  Put(data, "next", NextOf(request));
  PutFlag(data, "own", set_up.own);
  for (const char* name : {"problem", "secret", "begun", "fido", "key_problem", "wrong_password"}) {
    data[name] = Data(false);
  }
  // Later the page of the sessions adds further keys.
  if (set_up.incomplete) PutFidoSetUp(context, data, true);
  return data;
}

Response ShowSetUp(const PageContext& context, const Request& request, const SetUp& set_up) {
  return Show(context, request, "factor_set_up", SetUpFrame(context, request, set_up));
}

// The secret is on this one page, and on no other.
Response Begin(const PageContext& context, Request& request, const SetUp& set_up) {
  if (set_up.own) {
    const auto proven = context.services.sessions.ProvePassword(
        *request.session, request.form->TakeSecret("password"));
    if (!proven) {
      context.services.report(request, proven.error());
      Data data = SetUpFrame(context, request, set_up);
      Put(data, "wrong_password", context.catalog.Say(proven.error().message));
      return Show(context, request, "factor_set_up", data, HttpStatus(proven.error().code));
    }
  }
  const auto proposal = context.services.factors->Propose(*request.session);
  if (!proposal) return ShowFailure(context, request, proposal.error());
  auto image = MakeQr(proposal->uri);
  if (!image) {
    return ShowFailure(
        context, request,
        Error{ErrorCode::kInternal, "The QR code could not be made; try again.", {}, 0});
  }
  std::string grouped;
  grouped.reserve(proposal->secret.size() * 2);
  for (std::size_t i = 0; i < proposal->secret.size(); ++i) {
    if (i != 0 && i % kGroup == 0) grouped += ' ';
    grouped += static_cast<char>(proposal->secret.data()[i]);
  }
  Data data = SetUpFrame(context, request, set_up);
  PutFlag(data, "begun", true);
  Data secret;
  Put(secret, "text", grouped);
  Put(secret, "path", image->path);
  Put(secret, "size", std::to_string(image->size + 8));  // with four modules of quiet zone around
  data["secret"] = std::move(secret);
  Wipe(grouped.data(), grouped.size());
  Wipe(image->path.data(), image->path.size());
  return Show(context, request, "factor_set_up", data);
}

Response Confirm(const PageContext& context, Request& request, const SetUp& set_up) {
  const SecureBytes first = request.form->TakeSecret("first");
  const SecureBytes second = request.form->TakeSecret("second");
  auto confirmed =
      context.services.factors->Confirm(request.session_token, *request.session, first, second);
  if (!confirmed) {
    const Error& error = confirmed.error();
    context.services.report(request, error);
    Data data = SetUpFrame(context, request, set_up);
    // After a mistake the entry in the app is still the right one; after a conflict it is not.
    PutFlag(data, "begun", error.code == ErrorCode::kUnauthenticated);
    Put(data, "problem", context.catalog.Say(error.message));
    return Show(context, request, "factor_set_up", data, HttpStatus(error.code));
  }
  request.session = std::move(confirmed->signed_in.session);
  return std::move(ShowRecoveryCodes(context, request, confirmed->recovery, NextOf(request))
                       .With("Set-Cookie", SessionCookie(confirmed->signed_in.token)));
}

// A FIDO2 key as the first second factor.
Response AddKey(const PageContext& context, Request& request, const SetUp& set_up) {
  auto added = AddFidoKeyOf(context, request);
  if (!added) {
    const Error& error = added.error();
    context.services.report(request, error);
    Data data = SetUpFrame(context, request, set_up);
    Put(data, "key_problem", context.catalog.Say(error.message));
    return Show(context, request, "factor_set_up", data, HttpStatus(error.code));
  }
  if (!added->signed_in) return Response::SeeOther(NextOf(request));
  request.session = std::move(added->signed_in->session);
  return std::move(ShowRecoveryCodes(context, request, added->recovery, NextOf(request))
                       .With("Set-Cookie", SessionCookie(added->signed_in->token)));
}

void AddSetUp(Router& router, const PageContext& context, const SetUp& set_up) {
  const std::string base = set_up.base;
  Route show;
  show.pattern = base;
  show.needs = set_up.needs;
  show.handler = [context, set_up](Request& request) {
    return ShowSetUp(context, request, set_up);
  };
  show.query = {"next"};
  Route begin;
  begin.method = Method::kPost;
  begin.pattern = base;
  begin.needs = set_up.needs;
  begin.handler = [context, set_up](Request& request) { return Begin(context, request, set_up); };
  begin.body = Body::kForm;
  begin.form = {CsrfField(), {"next", 2048}};
  Route confirm = begin;
  if (set_up.own) begin.form.push_back({"password", 1024, true, true});
  confirm.pattern = base + "/confirm";
  confirm.handler = [context, set_up](Request& request) {
    return Confirm(context, request, set_up);
  };
  confirm.form = {
      CsrfField(), {"first", 16, true, true}, {"second", 16, true, true}, {"next", 2048}};
  // Who has a factor adds an app to it; that one proves it first.
  begin.step_up = confirm.step_up = !set_up.incomplete;
  for (Route* route : {&show, &begin, &confirm}) {
    route->incomplete = set_up.incomplete;
    router.Add(std::move(*route));
  }
  if (!set_up.incomplete) return;
  Route key;
  key.method = Method::kPost;
  key.pattern = base + "/key";
  key.needs = Right::kSession;
  key.handler = [context, set_up](Request& request) { return AddKey(context, request, set_up); };
  key.body = Body::kForm;
  key.form = FidoOfferFields();
  key.form.push_back({"next", 2048});
  key.incomplete = true;
  router.Add(std::move(key));
}

}  // namespace

Response ShowRecoveryCodes(const PageContext& context, const Request& request,
                           const std::vector<SecureBytes>& codes, const std::string& next) {
  Data data = Frame(context, request, context.catalog.Text("factor.recovery_title"), "");
  Data list = List();
  for (const SecureBytes& code : codes) {
    Data row;
    Put(row, "code", code.view());
    list << row;
  }
  data["codes"] = std::move(list);
  Put(data, "next", next);
  return Show(context, request, "recovery_codes", data);
}

void AddFactorPages(Router& router, const PageContext& context) {
  Route show;
  show.pattern = "/sign-in/code";
  show.needs = Right::kSelf;
  show.handler = [context](Request& request) { return ShowCode(context, request, "", 200); };
  show.query = {"next"};
  show.incomplete = true;
  Route give;
  give.method = Method::kPost;
  give.pattern = show.pattern;
  give.needs = Right::kSelf;
  give.handler = [context](Request& request) { return GiveCode(context, request); };
  give.body = Body::kForm;
  give.form = {CsrfField(), {"code", 64, true}, {"assertion", kFidoAnswerBytes}, {"next", 2048}};
  give.incomplete = true;
  router.Add(std::move(show));
  router.Add(std::move(give));
  AddSetUp(router, context, SetUp{"/sign-in/set-up", true});
  AddSetUp(router, context, SetUp{"/second-factor", false});  // where it is optional
  if (context.services.self_service) {
    AddSetUp(router, context, SetUp{"/me/app", false, Right::kSelf, true});
  }
}

}  // namespace keyferry::server

// The page that stands in a guarded form's place until the second factor is proven anew.
#include "server/pages/fido.h"
#include "server/pages/frame.h"
#include "server/pages/language.h"
#include "server/pages/pages.h"

namespace keyferry::server {
namespace {

// The fields of the form that was sent, to be sent once more. Of a password only its being asked
// for: it is typed again.
void KeepForm(const Catalog& catalog, Request& request, const Route& route, Data& data) {
  Data kept = List(), secrets = List();
  bool any = false;
  for (const FormField& field : route.form) {
    if (field.name == "csrf" || !request.form) continue;
    Data row;
    Put(row, "name", field.name);
    if (field.secret) {
      if (request.form->TakeSecret(field.name).empty()) continue;
      Put(row, "label",
          catalog.Text(field.name == "again"                 ? "step_up.field_again"
                       : field.name.rfind("answer_", 0) == 0 ? "step_up.field_answer"
                                                             : "step_up.field_password"));
      secrets << row;
      any = true;
    } else if (request.form->Has(field.name)) {
      Put(row, "value", request.form->Text(field.name));
      kept << row;
    }
  }
  data["kept"] = std::move(kept);
  data["secrets"] = std::move(secrets);
  PutFlag(data, "typed", any);
}

}  // namespace

Guard::StepUpPage MakeStepUpPage(Services& services, const Catalog& catalog) {
  return [&services, &catalog](Request& request, const Route& route, std::string_view problem,
                               int status) {
    const PageContext context{services, catalog};
    // Asked by the guard, before the handler chooses the language.
    const Catalog::Speaking speaking(catalog, request.Cookie(kLanguageCookie),
                                     request.Header("accept-language"));
    Data data = Frame(context, request, catalog.Text("step_up.title"), "");
    Put(data, "action", request.PathText());
    Put(data, "field", kStepUpField);
    PutFidoProof(context, request, data, "/api/v1/session/step-up/challenge", kStepUpKeyField);
    PutMaybe(data, "problem", problem.empty() ? std::string() : catalog.Say(problem));
    KeepForm(catalog, request, route, data);
    return Show(context, request, "step_up", data, status);
  };
}

}  // namespace keyferry::server

#include <algorithm>

#include "server/api/once.h"
#include "server/api/problem.h"
#include "server/core/four_eyes.h"
#include "server/pages/frame.h"
#include "server/pages/models.h"

namespace keyferry::server {
namespace {

constexpr std::size_t kReasonBytes = 500;
constexpr std::size_t kMostBoxes = 4;
constexpr std::size_t kSourceBytes = 64;  // of a name

std::string SourceField(std::size_t place) { return "source" + std::to_string(place); }

// Where the form stands: on an employee's page, or on the page of one's own.
struct Place {
  AccountId account;
  bool own = false;
  std::string back;
  std::string action() const { return back + "/password"; }
};
Place PlaceAt(const AccountId& account) { return {account, false, "/employees/" + account.Hex()}; }
Place OwnPlaceOf(const Request& request) { return {request.session->actor.id, true, kOwnPlace}; }

// To whom it is about themselves: what protects an account is for those who administer it.
constexpr const char* kOwnNotHere = "Your password is not changed here; call your help desk.";

// What the form shows again after a mistake. Typed passwords are never shown again.
struct Entered {
  bool typing = false;
  bool at_delivery = false;
  std::string reason;
  std::string problem;         // of the whole form
  std::string typed_problem;   // of the two password fields
  std::string reason_problem;  // of the reason
  std::string proof_problem;   // of the present password
  // The linked sources that were ticked; absent: nobody has chosen yet.
  std::optional<std::vector<std::string>> sources;
};

// The first source, which always takes part, and the others, each with a box unless it cannot.
void PutSources(const Catalog& catalog, Data& data, const std::vector<SourceChoice>& sources,
                const Entered& entered) {
  PutFlag(data, "has_sources", !sources.empty());
  Data list = List();
  for (std::size_t i = 0; i < sources.size() && i < kMostBoxes; ++i) {
    const SourceChoice& source = sources[i];
    const bool possible = source.refusal.empty();
    const bool ticked = entered.sources
                            ? std::find(entered.sources->begin(), entered.sources->end(),
                                        source.name) != entered.sources->end()
                            : source.preset;
    Data row;
    Put(row, "field", SourceField(i));
    Put(row, "name", source.name);
    Put(row, "hint",
        possible ? catalog.Text("password.source_login", {source.login})
                 : catalog.Say(source.refusal));
    PutFlag(row, "possible", possible);
    PutFlag(row, "ticked", possible && ticked);
    list << row;
  }
  data["sources"] = std::move(list);
}

// Who has no second factor proves by the present password that it is them; others by that factor
// (Right::kOwnPassword).
Result<bool> OwesPassword(const PageContext& context, const Place& place) {
  if (!place.own) return false;
  if (!context.services.factors->On()) return true;
  const auto factor = context.services.factors->Of(place.account);
  if (!factor) return tl::unexpected(factor.error());
  return !*factor;
}

Response ShowForm(const PageContext& context, const Request& request, const Place& place,
                  const Entered& entered, int status) {
  const Catalog& catalog = context.catalog;
  const AccountId& id = place.account;
  const auto detail = place.own ? context.services.directory.Get(id)
                                : context.services.people.Get(request.session->actor, id);
  if (!detail) return ShowFailure(context, request, detail.error());
  const auto preflight = context.services.changes.Check(request.session->actor, id);
  if (!preflight) return ShowFailure(context, request, preflight.error());
  const auto owes = OwesPassword(context, place);
  if (!owes) return ShowFailure(context, request, owes.error());
  const Person& person = detail->person;

  Data data =
      Frame(context, request, catalog.Text(place.own ? "me.password_title" : "password.title"),
            place.own ? "me" : "employees");
  Data row = PersonRow(person);
  Put(data, "id", id.Hex());
  Put(data, "back", place.back);
  Put(data, "action", place.action());
  PutFlag(data, "own", place.own);
  PutFlag(data, "owes_password", *owes);
  Put(data, "title", catalog.Text(place.own ? "me.password_title" : "password.title"));
  Put(data, "back_text", place.own ? catalog.Text("me.title") : row["display_name"].string_value());
  Put(data, "intro",
      place.own
          ? catalog.Text("me.password_intro")
          : catalog.Text("password.intro", {row["display_name"].string_value(), person.login}));
  const bool hidden = place.own && detail->state.is_protected;
  PutMaybe(
      data, "refused",
      preflight->allowed ? std::string() : catalog.Say(hidden ? kOwnNotHere : preflight->reason));
  PutMaybe(data, "note", preflight->allowed ? catalog.Say(preflight->note) : std::string());
  PutMaybe(data, "second_person",
           preflight->allowed ? catalog.Say(preflight->second_person) : std::string());
  PutFlag(data, "can_enrol",
          May(request.session->actor.roles, Right::kKeysWrite) && !preflight->device);
  Put(data, "once", RandomToken());
  PutFlag(data, "typing_allowed", preflight->typing_allowed);
  PutFlag(data, "at_delivery", entered.at_delivery);
  PutFlag(data, "typing", entered.typing && preflight->typing_allowed);
  Put(data, "reason", entered.reason);
  PutMaybe(data, "problem", entered.problem);
  PutMaybe(data, "typed_problem", entered.typed_problem);
  PutMaybe(data, "reason_problem", entered.reason_problem);
  PutMaybe(data, "proof_problem", entered.proof_problem);
  PutSources(catalog, data, preflight->sources, entered);
  Data delivery;
  Put(delivery, "tone", preflight->key_seen ? "info" : "warn");
  Put(delivery, "icon", preflight->key_seen ? "key" : "clock");
  Put(delivery, "heading",
      !preflight->key_seen ? catalog.Text("password.key_away")
      : place.own          ? catalog.Text("me.key_here")
                           : catalog.Text("password.key_here", {preflight->seen_at}));
  Put(delivery, "text",
      catalog.Text(preflight->key_seen ? "password.key_here_hint" : "password.key_away_hint"));
  PutMaybe(delivery, "keys",
           preflight->keys > 1 ? catalog.Text("password.keys", {std::to_string(preflight->keys)})
                               : std::string());
  data["delivery"] = std::move(delivery);
  return Show(context, request, "password", data, status);
}

// Which part of the form an error of the service belongs to.
void Explain(const Catalog& catalog, const Error& error, Entered& entered) {
  if (error.code == ErrorCode::kUnavailable || error.code == ErrorCode::kDeadline) {
    entered.problem = catalog.Text("password.down", {catalog.Say(error.message)});
  } else if (entered.typing && (error.code == ErrorCode::kPolicyRefused ||
                                error.code == ErrorCode::kInvalidArgument)) {
    entered.typed_problem = catalog.Say(error.message);
  } else {
    entered.problem = catalog.Say(error.message);
  }
}

Response Save(const PageContext& context, Request& request, const Place& place) {
  const Catalog& catalog = context.catalog;
  const AccountId& id = place.account;
  Form& form = *request.form;
  const SecureBytes present = place.own ? form.TakeSecret("present") : SecureBytes();
  SecureBytes typed = form.TakeSecret("password");
  const SecureBytes again = form.TakeSecret("again");
  Entered entered;
  entered.typing = form.Text("mode") == "type";
  if (!place.own) entered.reason = form.Text("reason");
  const std::string once(form.Text("once"));
  const std::string_view when = form.Text("when");
  if (form.Has("sources")) {
    entered.sources.emplace();
    for (std::size_t i = 0; i < kMostBoxes; ++i) {
      const std::string_view name = form.Text(SourceField(i));
      if (!name.empty()) entered.sources->emplace_back(name);
    }
  }
  entered.at_delivery = when == Name(ChangeMode::kAtDelivery);
  if (!IsIdempotencyKey(once) || (!entered.typing && form.Text("mode") != "generate") ||
      (!when.empty() && !entered.at_delivery && when != Name(ChangeMode::kNow))) {
    return ShowError(context, request, 400,
                     Error{ErrorCode::kInvalidArgument, "The form is damaged.", {}, 0});
  }
  if (entered.reason.size() > kReasonBytes) {
    entered.reason.clear();
    entered.reason_problem = catalog.Text("password.long");
  }
  if (entered.typing && entered.at_delivery) {
    entered.typed_problem = catalog.Text("password.typed_now");
  } else if (entered.typing && typed.empty()) {
    entered.typed_problem = catalog.Text("password.empty");
  } else if (entered.typing && !typed.Equals(again)) {
    entered.typed_problem = catalog.Text("password.differ");
  }
  if (!entered.reason_problem.empty() || !entered.typed_problem.empty()) {
    return ShowForm(context, request, place, entered, 422);
  }
  const auto owes = OwesPassword(context, place);
  if (!owes) return ShowFailure(context, request, owes.error());
  if (*owes) {
    const auto proven = context.services.sessions.ProvePassword(*request.session, present);
    if (!proven) {
      context.services.report(request, proven.error());
      entered.proof_problem = catalog.Say(proven.error().message);
      return ShowForm(context, request, place, entered, HttpStatus(proven.error().code));
    }
  }

  ChangeRequest change;
  change.account = id;
  change.reason = entered.reason;
  change.idempotency_key = once;
  change.generate = !entered.typing;
  if (entered.at_delivery) change.mode = ChangeMode::kAtDelivery;
  if (entered.typing) change.typed = std::move(typed);
  change.sources = entered.sources;
  const auto done = context.services.changes.Start(request.session->actor, std::move(change));
  // An unknown outcome is shown where it will be resolved: on the employee's page.
  if (done || done.error().code == ErrorCode::kOutcomeUnknown) {
    if (!done) context.services.report(request, done.error());
    return Response::SeeOther(place.back);
  }
  context.services.report(request, done.error());
  if (const auto needed = ApprovalNeeded(done.error()); needed && !place.own) {
    return Response::SeeOther("/approvals/" + needed->Hex());
  }
  Explain(catalog, done.error(), entered);
  if (place.own && done.error().code == ErrorCode::kPermissionDenied) {
    entered.problem = catalog.Say(kOwnNotHere);
  }
  return ShowForm(context, request, place, entered, HttpStatus(done.error().code));
}

}  // namespace

void AddPasswordPages(Router& router, const PageContext& context) {
  router.Add({Method::kGet, "/employees/{id}/password", Right::kChangesWrite,
              PageWithId<AccountId>(
                  context, [](const PageContext& page, Request& request, const AccountId& id) {
                    return ShowForm(page, request, PlaceAt(id), Entered{}, 200);
                  })});
  std::vector<FormField> fields = {CsrfField(),
                                   {"once", 64, false, true},
                                   {"mode", 8, false, true},
                                   {"when", 16},
                                   {"password", 1024, true},
                                   {"again", 1024, true},
                                   {"reason", 4 * kReasonBytes},
                                   {"sources", 8}};
  for (std::size_t i = 0; i < kMostBoxes; ++i) fields.push_back({SourceField(i), kSourceBytes});
  router.Add({Method::kPost,
              "/employees/{id}/password",
              Right::kChangesWrite,
              PageWithId<AccountId>(
                  context, [](const PageContext& page, Request& request,
                              const AccountId& id) { return Save(page, request, PlaceAt(id)); }),
              {},
              Body::kForm,
              fields,
              /*slow=*/true});
  if (!context.services.own_passwords) return;
  const std::string own = std::string(kOwnPlace) + "/password";
  router.Add({Method::kGet, own, Right::kOwnPassword, [context](Request& request) {
                return ShowForm(context, request, OwnPlaceOf(request), Entered{}, 200);
              }});
  fields.push_back({"present", 1024, true});
  router.Add({Method::kPost,
              own,
              Right::kOwnPassword,
              [context](Request& request) { return Save(context, request, OwnPlaceOf(request)); },
              {},
              Body::kForm,
              std::move(fields),
              /*slow=*/true});
}

}  // namespace keyferry::server

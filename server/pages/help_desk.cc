// The help desk: who calls, and what for. help_desk_request.cc goes on from there.
#include "server/api/problem.h"
#include "server/http/target.h"
#include "server/pages/frame.h"
#include "server/pages/help_desk_request.h"
#include "server/pages/models.h"

namespace keyferry::server {
namespace {

constexpr std::size_t kCallersOnAPage = 25;
constexpr std::size_t kUserBytes = 256;

struct OpeningEntered {
  std::string reason, ticket;
  std::string problem;  // of the whole form
};

Response ShowIdentify(const PageContext& context, const Request& request,
                      std::string_view problem = {}, int status = 200) {
  const Catalog& catalog = context.catalog;
  Services& services = context.services;
  const std::string query(request.Query("query"));
  const std::string ticket(request.Query("ticket"));
  Data data = Frame(context, request, catalog.Text("help_desk.title"), "help_desk");
  Put(data, "query", query);
  PutMaybe(data, "ticket", ticket);
  std::string trouble(problem);

  Data mine = List();
  const auto open = services.help_desk->Mine(request.session->actor);
  if (!open) return ShowFailure(context, request, open.error());
  for (const HelpDeskRequest& one : *open) {
    Data row;
    Put(row, "id", one.id.Hex());
    Put(row, "display_name", one.display_name.empty() ? one.login : one.display_name);
    Put(row, "ticket_number", one.ticket);
    row["badge"] = HelpDeskBadge(catalog, one);
    mine << row;
  }
  PutFlag(data, "any_mine", !open->empty());
  data["mine"] = std::move(mine);

  Data people = List();
  std::size_t count = 0;
  if (!query.empty()) {
    const auto found = services.people.Search(request.session->actor, query, kCallersOnAPage, {});
    if (found) {
      for (const Person& person : found->people) {
        Data row = PersonRow(person);
        Put(row, "address",
            "/help-desk/new?user=" + person.id.Hex() +
                (ticket.empty() ? "" : "&ticket=" + QueryText(ticket)));
        Put(row, "mail", person.mail);
        people << row;
      }
      count = found->people.size();
    } else {
      services.report(request, found.error());
      trouble = catalog.Say(found.error().message);
      status = HttpStatus(found.error().code);
    }
  }
  PutFlag(data, "searched", !query.empty());
  PutFlag(data, "any", count != 0);
  data["people"] = std::move(people);
  PutMaybe(data, "problem", trouble);
  Put(data, "summary",
      query.empty() ? catalog.Text("help_desk.search_first")
      : count == 1  ? catalog.Text("employees.one")
                    : catalog.Text("employees.many", {std::to_string(count)}));
  return Show(context, request, "help_desk", data, status);
}

Response ShowOpening(const PageContext& context, const Request& request, const Person& person,
                     const OpeningEntered& entered, int status) {
  const Catalog& catalog = context.catalog;
  Data data = Frame(context, request, catalog.Text("help_desk.new"), "help_desk");
  Data row = PersonRow(person);
  for (const char* name : {"id", "display_name", "initials", "tint", "login"}) {
    Put(data, name, row[name].string_value());
  }
  Put(data, "reason", entered.reason);
  Put(data, "ticket", entered.ticket);
  PutMaybe(data, "problem", entered.problem);
  return Show(context, request, "help_desk_new", data, status);
}

// "?user=": an identifier, or the whole of a sign-in name, a mail address or an employee number.
Result<std::optional<Person>> FindCaller(Services& services, const Actor& actor,
                                         std::string_view user) {
  if (const auto id = AccountId::Parse(user)) {
    auto detail = services.people.Get(actor, *id);
    if (detail) return std::move(detail->person);
    if (detail.error().code != ErrorCode::kNotFound) return tl::unexpected(detail.error());
    return std::nullopt;
  }
  for (const PersonKey key : {PersonKey::kLogin, PersonKey::kMail, PersonKey::kEmployeeId}) {
    const auto found = services.directory.FindBy(key, user);
    if (!found && found.error().code == ErrorCode::kUnsupported) return std::nullopt;
    if (!found) return tl::unexpected(found.error());
    if (found->size() != 1) continue;
    const auto seen = services.people.Check(actor, Right::kPeopleRead, found->front().id);
    if (seen) return found->front();
    if (seen.error().code != ErrorCode::kNotFound) return tl::unexpected(seen.error());
  }
  return std::nullopt;
}

// A link out of a ticket system: fills in, and does nothing.
Response ShowNew(const PageContext& context, Request& request) {
  const std::string user(request.Query("user"));
  if (user.empty() || user.size() > kUserBytes) return ShowIdentify(context, request);
  const auto person = FindCaller(context.services, request.session->actor, user);
  if (!person) return ShowFailure(context, request, person.error());
  if (!*person) {
    return ShowIdentify(context, request, context.catalog.Text("help_desk.no_such_user", {user}),
                        404);
  }
  OpeningEntered entered;
  entered.ticket = request.Query("ticket");
  return ShowOpening(context, request, **person, entered, 200);
}

Response OpenRequest(const PageContext& context, Request& request) {
  const Form& form = *request.form;
  const auto account = AccountId::Parse(form.Text("account"));
  if (!account) return ShowNotFound(context, request);
  OpeningEntered entered;
  entered.reason = form.Text("reason");
  entered.ticket = form.Text("ticket");
  const auto opened = context.services.help_desk->Open(request.session->actor,
                                                       {*account, entered.reason, entered.ticket});
  if (opened) return Response::SeeOther("/help-desk/requests/" + opened->id.Hex());
  context.services.report(request, opened.error());
  const auto detail = context.services.people.Get(request.session->actor, *account);
  if (!detail) return ShowFailure(context, request, detail.error());
  entered.problem = context.catalog.Say(opened.error().message);
  const int status = HttpStatus(opened.error().code);
  return ShowOpening(context, request, detail->person, entered, status == 400 ? 422 : status);
}

}  // namespace

void AddHelpDeskPages(Router& router, const PageContext& context) {
  router.Add({Method::kGet,
              "/help-desk",
              Right::kChangesWrite,
              [context](Request& request) { return ShowIdentify(context, request); },
              {"query", "ticket"}});
  router.Add({Method::kGet,
              "/help-desk/new",
              Right::kChangesWrite,
              [context](Request& request) { return ShowNew(context, request); },
              {"user", "ticket"}});
  router.Add({Method::kPost,
              "/help-desk/requests",
              Right::kChangesWrite,
              [context](Request& request) { return OpenRequest(context, request); },
              {},
              Body::kForm,
              {CsrfField(),
               {"account", 32, false, true},
               {"reason", 1200, false, true},
               {"ticket", 160, false, true}}});
  AddHelpDeskRequestPages(router, context);
  AddCallerPages(router, context);
}

}  // namespace keyferry::server

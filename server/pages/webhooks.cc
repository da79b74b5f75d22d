// What other systems are told of the help desk's requests, and whether they took it.
#include "server/api/problem.h"
#include "server/core/webhook.h"
#include "server/pages/frame.h"
#include "server/pages/models.h"

namespace keyferry::server {
namespace {

constexpr std::size_t kWebhooksOnAPage = 50;

Data WebhookBadge(const Catalog& catalog, const WebhookRecord& one) {
  switch (one.state) {
    case WebhookState::kSent:
      return Badge("ok", "check", catalog.Text("webhooks.sent"));
    case WebhookState::kQueued:
      return one.attempts == 0 ? Badge("info", "clock", catalog.Text("webhooks.queued"))
                               : Badge("warn", "clock", catalog.Text("webhooks.again"));
    case WebhookState::kFailed:
      break;
  }
  return Badge("bad", "alert", catalog.Text("webhooks.failed"));
}

Response ShowWebhooks(const PageContext& context, const Request& request,
                      const Error* problem = nullptr) {
  const Catalog& catalog = context.catalog;
  const auto rows = context.services.webhooks->List(kWebhooksOnAPage);
  if (!rows) return ShowFailure(context, request, rows.error());
  Data data = Frame(context, request, catalog.Text("webhooks.title"), "check_up");
  Data list = List();
  for (const WebhookRecord& one : *rows) {
    Data row;
    Put(row, "id", one.id.Hex());
    Put(row, "ticket", one.ticket);
    Put(row, "outcome", catalog.Text("help_desk_state." + one.outcome));
    Put(row, "place", one.place);
    row["badge"] = WebhookBadge(catalog, one);
    row["created"] = Time(one.created);
    const bool waits = one.state == WebhookState::kQueued;
    row["sent"] = one.state == WebhookState::kSent ? Time(one.sent) : Data(false);
    row["next_try"] = waits && one.attempts != 0 ? Time(one.next_try) : Data(false);
    PutMaybe(row, "tried",
             one.attempts == 0 ? std::string()
                               : catalog.Text("webhooks.tried", {std::to_string(one.attempts)}));
    PutMaybe(row, "last_error",
             one.last_error.empty() || one.state == WebhookState::kSent
                 ? std::string()
                 : catalog.Say(one.last_error));
    PutFlag(row, "unsent", one.state != WebhookState::kSent);
    list << row;
  }
  PutMaybe(data, "problem", problem == nullptr ? std::string() : catalog.Say(problem->message));
  PutFlag(data, "any", !rows->empty());
  data["rows"] = std::move(list);
  return Show(context, request, "webhooks", data,
              problem == nullptr ? 200 : HttpStatus(problem->code));
}

Response SendAgain(const PageContext& context, Request& request, const WebhookId& id) {
  const auto done = context.services.webhooks->Retry(request.session->actor, id);
  if (done) return Response::SeeOther("/webhooks");
  context.services.report(request, done.error());
  if (done.error().code == ErrorCode::kNotFound) return ShowNotFound(context, request);
  return ShowWebhooks(context, request, &done.error());
}

}  // namespace

void AddWebhookPages(Router& router, const PageContext& context) {
  router.Add({Method::kGet, "/webhooks", Right::kCheckUpRead,
              [context](Request& request) { return ShowWebhooks(context, request); }});
  router.Add({Method::kPost,
              "/webhooks/{id}/retry",
              Right::kCheckUpWrite,
              PageWithId<WebhookId>(context, SendAgain),
              {},
              Body::kForm,
              {CsrfField()}});
}

}  // namespace keyferry::server

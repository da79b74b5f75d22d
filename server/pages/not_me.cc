// "This was not me": the page that a notice's link leads to, which needs no session; and what
// administrators see of it.
#include "server/api/paging.h"
#include "server/api/problem.h"
#include "server/core/notices.h"
#include "server/pages/frame.h"
#include "server/pages/models.h"

namespace keyferry::server {
namespace {

constexpr std::size_t kTokenBytes = 64;
constexpr std::size_t kNoticesOnAPage = 5;

std::string ActText(const Catalog& catalog, NoticeKind kind) {
  return catalog.Text(std::string("notice_act.") + Name(kind));
}

void PutNoticeFacts(const Catalog& catalog, const NoticeRecord& notice, Data& data) {
  Put(data, "what", ActText(catalog, notice.kind));
  data["when"] = Time(notice.created);
  Put(data, "login", notice.login);
  Put(data, "by", notice.by);
  PutMaybe(data, "address", notice.address);
  PutMaybe(data, "key", notice.device == DeviceId{} ? std::string() : ShortKey(notice.device));
  PutMaybe(data, "reason", notice.reason);
}

// Looks, and changes nothing: mail programs open links before people do.
Response ShowNotMe(const PageContext& context, const Request& request, std::string_view token,
                   const Error* problem) {
  const Catalog& catalog = context.catalog;
  Data data = Frame(context, request, catalog.Text("not_me.title"), "");
  const auto notice =
      problem == nullptr ? context.services.notices->Look(token) : tl::unexpected<Error>(*problem);
  if (!notice && notice.error().code != ErrorCode::kNotFound &&
      notice.error().code != ErrorCode::kRateLimited) {
    return ShowFailure(context, request, notice.error());
  }
  PutFlag(data, "open", notice.has_value());
  PutMaybe(data, "problem", notice ? std::string() : catalog.Say(notice.error().message));
  if (notice) {
    PutNoticeFacts(catalog, *notice, data);
    Put(data, "token", token);
  }
  return Show(context, request, "not_me", data, notice ? 200 : HttpStatus(notice.error().code));
}

Response SayNotMe(const PageContext& context, const Request& request) {
  const std::string_view token = request.form->Text("t");
  const auto done = context.services.notices->Object(token, request.address);
  if (done) return Response::SeeOther("/not-me/done");
  context.services.report(request, done.error());
  return ShowNotMe(context, request, token, &done.error());
}

Response ShowNotMeDone(const PageContext& context, const Request& request) {
  return Show(context, request, "not_me_done",
              Frame(context, request, context.catalog.Text("not_me.done_title"), ""));
}

Response LiftFromPage(const PageContext& context, Request& request) {
  const auto number = ReadNumber(request.captures[0], "number");
  if (!number) return ShowNotFound(context, request);
  const auto lifted = context.services.notices->Lift(request.session->actor, *number);
  // By somebody else meanwhile: it is as it shall be.
  if (!lifted && lifted.error().code != ErrorCode::kConflict) {
    return ShowFailure(context, request, lifted.error());
  }
  return Response::SeeOther("/reports");
}

// `names`: of the texts of the states.
Data ToldBadge(const Catalog& catalog, const char* names, NoticeRecord::Mail state) {
  const std::string text = catalog.Text(names + std::string(Name(state)));
  if (state == NoticeRecord::Mail::kFailed) return Badge("bad", "alert", text);
  if (state == NoticeRecord::Mail::kSent) return Badge("ok", "check", text);
  return Badge("info", "clock", text);
}

}  // namespace

Result<void> PutObjections(const PageContext& context, const Request& request, Data& data) {
  Data list = List();
  if (context.services.notices != nullptr) {
    const auto standing = context.services.notices->Standing(request.session->actor);
    if (!standing) return tl::unexpected(standing.error());
    for (const NoticeRecord& notice : *standing) {
      Data row;
      PutNoticeFacts(context.catalog, notice, row);
      Put(row, "number", std::to_string(notice.number));
      Put(row, "account", notice.account.Hex());
      Put(row, "heading", context.catalog.Text("objection.heading", {notice.login}));
      Put(row, "from", notice.objected_from);
      row["said"] = Time(notice.objected);
      list << row;
    }
  }
  data["objections"] = std::move(list);
  return {};
}

Result<void> PutNotices(const PageContext& context, const AccountId& id, Data& data) {
  PutFlag(data, "frozen", false);
  PutFlag(data, "told_any", false);
  Data list = List();
  if (context.services.notices != nullptr) {
    const auto frozen = context.services.notices->IsFrozen(id);
    if (!frozen) return tl::unexpected(frozen.error());
    PutFlag(data, "frozen", *frozen);
    const auto notices = context.services.notices->OfAccount(id, kNoticesOnAPage);
    if (!notices) return tl::unexpected(notices.error());
    const Catalog& catalog = context.catalog;
    for (const NoticeRecord& notice : *notices) {
      Data row;
      PutNoticeFacts(catalog, notice, row);
      row["badge"] = notice.stands() ? Badge("bad", "alert", catalog.Text("notice_mail.objected"))
                                     : ToldBadge(catalog, "notice_mail.", notice.person);
      row["sms"] = notice.sms == NoticeRecord::Mail::kNone
                       ? Data(false)
                       : ToldBadge(catalog, "notice_sms.", notice.sms);
      list << row;
    }
    PutFlag(data, "told_any", !notices->empty());
  }
  data["told"] = std::move(list);
  return {};
}

void AddNoticePages(Router& router, const PageContext& context) {
  router.Add({Method::kGet,
              "/not-me",
              Access::kPublic,
              [context](Request& request) {
                return ShowNotMe(context, request, request.Query("t"), nullptr);
              },
              {"t"}});
  router.Add({Method::kPost,
              "/not-me",
              Access::kPublic,
              [context](Request& request) { return SayNotMe(context, request); },
              {},
              Body::kForm,
              {{"t", kTokenBytes, false, true}}});
  router.Add({Method::kGet, "/not-me/done", Access::kPublic,
              [context](Request& request) { return ShowNotMeDone(context, request); }});
  Route lift{Method::kPost,
             "/reports/objections/{number}/lift",
             Right::kWarningsWrite,
             [context](Request& request) { return LiftFromPage(context, request); },
             {},
             Body::kForm,
             {CsrfField()}};
  lift.step_up = true;
  router.Add(std::move(lift));
}

}  // namespace keyferry::server

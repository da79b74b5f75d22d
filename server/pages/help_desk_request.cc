#include "server/pages/help_desk_request.h"

#include <algorithm>
#include <charconv>

#include "server/api/problem.h"
#include "server/core/answer_text.h"
#include "server/pages/models.h"

namespace keyferry::server {
namespace {

using State = HelpDeskState;

constexpr std::size_t kMostSaid = 256;  // bytes of a personal datum

std::string Address(const HelpDeskId& id) { return "/help-desk/requests/" + id.Hex(); }

std::string Key(const char* group, const char* name) { return std::string(group) + "." + name; }

// What went wrong with the last step, and beside which method it belongs.
struct StepProblem {
  std::string text;
  std::optional<HelpDeskMethod> method;
};

// 0…4: the step that is next; 5 = none is.
int Next(const HelpDeskRequest& request) {
  switch (request.state) {
    case State::kIdentified:
      return 1;
    case State::kVerifying:
      return 2;
    case State::kVerified:
    case State::kActing:
      return 3;
    case State::kActed:
      return 4;
    default:
      return 5;
  }
}

void PutSteps(const Catalog& catalog, Data& data, const HelpDeskView& view) {
  const HelpDeskRequest& request = view.request;
  const int next = Next(request);
  // How far a closed one came.
  const int reached = request.state == State::kDone                             ? 5
                      : next != 5                                               ? next
                      : request.process == HelpDeskProcess::kNone               ? 1
                      : view.points >= view.needed_points && !view.needs_strong ? 3
                                                                                : 2;
  Data steps = List();
  int number = 0;
  for (const char* step : {"identify", "process", "verify", "carry_out", "confirm"}) {
    const bool done = number < reached, now = number == next;
    Data row;
    Put(row, "text", catalog.Text(Key("help_desk_step", step)));
    Put(row, "done", done ? "true" : "false");
    Put(row, "now", now ? "true" : "false");
    PutFlag(row, "current", now);
    Put(row, "icon", done ? "check" : now ? "clock" : "lock");
    Put(row, "spoken",
        catalog.Text(done  ? "help_desk_step.done"
                     : now ? "help_desk_step.now"
                           : "help_desk_step.later"));
    steps << row;
    ++number;
  }
  data["steps"] = std::move(steps);
}

Data MethodData(const Catalog& catalog, const HelpDeskOffer& offer, const StepProblem& problem) {
  const std::string name = Name(offer.method);
  Data row;
  Put(row, "method", name);
  Put(row, "title", catalog.Text("help_desk_method." + name));
  Put(row, "hint",
      catalog.Text(offer.confirms ? std::string("help_desk.compare_hint")
                                  : "help_desk_method." + name + "_hint"));
  PutFlag(row, "confirms", offer.confirms);
  Put(row, "worth",
      catalog.Text(offer.points == 1 ? "help_desk.point" : "help_desk.points",
                   {std::to_string(offer.points)}));
  PutFlag(row, "passed", offer.passed);
  const bool possible = offer.passed || offer.unavailable.empty();
  row["badge"] = offer.passed ? Badge("ok", "check", catalog.Text("help_desk.passed"))
                 : !possible  ? Badge("", "lock", catalog.Text("help_desk.not_possible"))
                 : offer.wrong != 0
                     ? Badge("warn", "alert",
                             catalog.Text("help_desk.attempts_left", {std::to_string(offer.left)}))
                     : Badge("", "clock", catalog.Text("help_desk.open"));
  PutMaybe(row, "unavailable", possible ? std::string() : catalog.Say(offer.unavailable));
  const bool usable = !offer.passed && offer.unavailable.empty();
  PutFlag(row, "usable", usable);
  PutMaybe(row, "problem",
           problem.method && *problem.method == offer.method ? problem.text : std::string());
  for (int i = 0; i <= static_cast<int>(kLastHelpDeskMethod); ++i) {
    const auto method = static_cast<HelpDeskMethod>(i);
    PutFlag(row, (std::string("is_") + Name(method)).c_str(), offer.method == method && usable);
  }
  // Codes by mail and by SMS look alike.
  const bool by_sms = offer.method == HelpDeskMethod::kSmsCode;
  PutFlag(row, "is_code", usable && (by_sms || offer.method == HelpDeskMethod::kMailCode));
  Put(row, "send_step", by_sms ? "sms" : "code");
  Put(row, "shown", offer.shown);
  PutFlag(row, "sent", offer.sent != 0);
  row["sent_until"] = Time(offer.sent_until);
  PutFlag(row, "can_send", offer.sends_left != 0);
  Put(row, "send_text",
      catalog.Text(offer.sent != 0 ? "help_desk.send_again" : "help_desk.send_code"));
  Put(row, "ask_text", catalog.Text(offer.sent != 0 ? "help_desk.ask_again" : "help_desk.ask"));
  PutMaybe(row, "places", offer.shown);
  Put(row, "number",
      offer.method == HelpDeskMethod::kManager && offer.read_out.size() == 6
          ? offer.read_out.substr(0, 3) + " " + offer.read_out.substr(3)
          : offer.read_out);
  Put(row, "mail_text",
      catalog.Text(offer.sent != 0 ? "help_desk.manager_again" : "help_desk.manager_ask"));
  PutFlag(row, "denied", offer.denied && !offer.passed);
  Data fields = List();
  for (const PersonalField field : offer.fields) {
    Data one;
    Put(one, "field", Name(field));
    Put(one, "label", catalog.Text(Key("help_desk_field", Name(field))));
    fields << one;
  }
  row["fields"] = std::move(fields);
  Data questions = List();
  for (std::size_t i = 0; i < offer.questions.size(); ++i) {
    Data one;
    Put(one, "field", AnswerField(i + 1));
    Put(one, "label", QuestionText(catalog, offer.questions[i]));
    questions << one;
  }
  row["questions"] = std::move(questions);
  Data documents = List();
  for (int i = 0; i <= static_cast<int>(kLastSeenDocument); ++i) {
    Data one;
    const char* document = Name(static_cast<SeenDocument>(i));
    Put(one, "document", document);
    Put(one, "label", catalog.Text(Key("help_desk_document", document)));
    documents << one;
  }
  row["documents"] = std::move(documents);
  return row;
}

// What can be done with the caller now, and apart from it what cannot, with the reason. While the
// directory is away nothing can, and the page says that once.
void PutMethods(const Catalog& catalog, Data& data, const HelpDeskView& view,
                const StepProblem& problem) {
  Data methods = List(), impossible = List();
  bool any_impossible = false;
  if (view.directory_problem.empty()) {
    for (const HelpDeskOffer& offer : view.offers) {
      Data row = MethodData(catalog, offer, problem);
      if (offer.passed || offer.unavailable.empty()) {
        methods << row;
      } else {
        impossible << row;
        any_impossible = true;
      }
    }
  }
  data["methods"] = std::move(methods);
  data["impossible"] = std::move(impossible);
  PutFlag(data, "impossible_any", any_impossible);
}

void PutProcesses(const Catalog& catalog, Data& data, const HelpDeskView& view) {
  Data list = List();
  for (const HelpDeskProcess process : view.processes) {
    Data row;
    Put(row, "process", Name(process));
    Put(row, "label", catalog.Text(Key("help_desk_process", Name(process))));
    Put(row, "hint",
        catalog.Text(Key("help_desk_process", (std::string(Name(process)) + "_hint").c_str())));
    PutFlag(row, "first", process == HelpDeskProcess::kReset);
    list << row;
  }
  data["processes"] = std::move(list);
}

// What a closed request, or one whose outcome is not known, is to be followed by.
void PutClosed(const Catalog& catalog, Data& data, const HelpDeskRequest& request) {
  PutFlag(data, "closed", !IsOpen(request.state));
  const bool good = request.state == State::kDone;
  Put(data, "closed_tone", good ? "ok" : request.state == State::kBlocked ? "bad" : "warn");
  Put(data, "closed_icon", good ? "check" : "alert");
  Put(data, "closed_heading", catalog.Text(Key("help_desk_closed", Name(request.state))));
  PutMaybe(data, "closed_why",
           good || request.error.empty() ? std::string() : catalog.Say(request.error));
  const std::string next = Key("help_desk_closed", Name(request.state)) + "_next";
  PutMaybe(data, "closed_next", catalog.HasText(next) ? catalog.Text(next) : std::string());
}

Response ShowRequest(const PageContext& context, const Request& request, const HelpDeskId& id,
                     StepProblem problem = {}, int status = 200) {
  const Catalog& catalog = context.catalog;
  const auto view = context.services.help_desk->Get(request.session->actor, id);
  if (!view) return ShowFailure(context, request, view.error());
  const HelpDeskRequest& row = view->request;
  // The methods may be gone from the page by now.
  if (row.state != State::kVerifying) problem.method.reset();
  const std::string name = row.display_name.empty() ? row.login : row.display_name;
  Data data = Frame(context, request, catalog.Text("help_desk.request_title", {name}), "help_desk",
                    "/events/accounts/" + row.account.Hex());
  Put(data, "id", row.id.Hex());
  Put(data, "account", row.account.Hex());
  Put(data, "display_name", name);
  Put(data, "initials", Initials(name));
  Put(data, "tint", Tint(row.account));
  Put(data, "subtitle", row.login);
  Put(data, "ticket_number", row.ticket);
  Put(data, "reason_text", row.reason);
  Put(data, "version_now", std::to_string(row.version));
  data["badge"] = HelpDeskBadge(catalog, row);
  PutFlag(data, "privileged", row.privileged);
  PutMaybe(data, "process_text",
           row.process == HelpDeskProcess::kNone
               ? std::string()
               : catalog.Text(Key("help_desk_process", Name(row.process))));
  PutSteps(catalog, data, *view);

  const bool timed = IsOpen(row.state) && row.state < State::kActing;
  data["expires"] = timed ? Time(row.expires) : Data(false);
  const std::int64_t left = std::max<std::int64_t>(
      1, (row.expires - context.services.clock.UnixMillis() + 59'999) / 60'000);
  Put(data, "left",
      catalog.Text(left == 1 ? "help_desk.minute_left" : "help_desk.minutes_left",
                   {std::to_string(left)}));

  PutMaybe(data, "problem", problem.method ? std::string() : problem.text);
  PutMaybe(data, "directory_problem",
           view->directory_problem.empty() ? std::string() : catalog.Say(view->directory_problem));
  PutMaybe(data, "last_error",
           IsOpen(row.state) && problem.text.empty() && !row.error.empty() ? catalog.Say(row.error)
                                                                           : std::string());
  PutFlag(data, "choosing", row.state == State::kIdentified);
  PutProcesses(catalog, data, *view);
  PutFlag(data, "verifying", row.state == State::kVerifying);
  PutFlag(data, "ready", row.state == State::kVerified);
  PutFlag(data, "acting", row.state == State::kActing);
  PutFlag(data, "acted", row.state == State::kActed);
  PutFlag(data, "reset", SetsPassword(row.process));
  PutFlag(data, "hides", row.process != HelpDeskProcess::kReadOut);
  PutFlag(data, "can_mail", view->can_mail);
  data["mailed"] = row.state == State::kActed ? Time(row.mailed) : Data(false);
  PutFlag(data, "can_cancel", timed);
  Put(data, "standing",
      catalog.Text("help_desk.standing",
                   {std::to_string(view->points), std::to_string(view->needed_points),
                    std::to_string(view->methods), std::to_string(view->needed_methods)}));
  PutFlag(data, "needs_strong", view->needs_strong);
  PutMethods(catalog, data, *view, problem);
  if (row.process != HelpDeskProcess::kNone) {
    Put(data, "act_text", catalog.Text(Key("help_desk_act", Name(row.process))));
    Put(data, "acted_text", catalog.Text(Key("help_desk_acted", Name(row.process))));
  }
  PutClosed(catalog, data, row);
  return Show(context, request, "help_desk_request", data, status);
}

// After a step: the page of what is next, or what was wrong with it. A request that has gone on
// meanwhile is shown where it stands; where that is its end, the page says why.
Response After(const PageContext& context, const Request& request, const HelpDeskId& id,
               const Result<void>& done, std::optional<HelpDeskMethod> method = {}) {
  if (done) return Response::SeeOther(Address(id));
  const Error& error = done.error();
  context.services.report(request, error);
  if (error.code == ErrorCode::kNotFound || error.code == ErrorCode::kPermissionDenied) {
    return ShowError(context, request, HttpStatus(error.code), error);
  }
  const int status = HttpStatus(error.code);
  return ShowRequest(context, request, id, {context.catalog.Say(error.message), method},
                     status == 400 ? 422 : status);
}

// The version that the page showed; nothing: the form is damaged.
std::optional<std::uint64_t> VersionOf(const Request& request) {
  const std::string_view text = request.form->Text("version");
  std::uint64_t version = 0;
  const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), version);
  if (text.empty() || failure != std::errc() || end != text.data() + text.size()) {
    return std::nullopt;
  }
  return version;
}

Response Damaged(const PageContext& context, const Request& request) {
  return ShowError(context, request, 400,
                   Error{ErrorCode::kInvalidArgument, "The form is damaged.", {}, 0});
}

// The value among 0 … last with this name.
template <typename T>
std::optional<T> Parse(std::string_view text, T last) {
  for (int i = 0; i <= static_cast<int>(last); ++i) {
    if (text == Name(static_cast<T>(i))) return static_cast<T>(i);
  }
  return std::nullopt;
}

Response ChooseProcess(const PageContext& context, Request& request, const HelpDeskId& id) {
  const auto version = VersionOf(request);
  const auto process = Parse(request.form->Text("process"), kLastHelpDeskProcess);
  if (!version || !process) return Damaged(context, request);
  return After(context, request, id,
               context.services.help_desk->Choose(request.session->actor, id, *version, *process));
}

Response VerifyCaller(const PageContext& context, Request& request, const HelpDeskId& id) {
  Form& form = *request.form;
  const auto version = VersionOf(request);
  const auto method = Parse(form.Text("method"), kLastHelpDeskMethod);
  if (!version || !method) return Damaged(context, request);
  HelpDeskAnswer answer;
  answer.method = *method;
  answer.seen = Parse(form.Text("seen"), kLastSeenDocument);
  answer.reached = form.Text("reached") == "yes";
  if (*method == HelpDeskMethod::kCallBack && !answer.reached && form.Text("reached") != "no") {
    return Damaged(context, request);
  }
  if (form.Text("compared") == "yes" || form.Text("compared") == "no") {
    answer.matches = form.Text("compared") == "yes";
  }
  answer.code = form.TakeSecret("code");
  for (std::size_t i = 1; i <= kMostQuestionsAsked && form.Has(AnswerField(i)); ++i) {
    answer.answers.push_back(form.TakeSecret(AnswerField(i)));
  }
  for (int i = 0; i <= static_cast<int>(kLastPersonalField); ++i) {
    const auto field = static_cast<PersonalField>(i);
    if (form.Has(Name(field))) answer.personal.emplace_back(field, form.Text(Name(field)));
  }
  const auto right =
      context.services.help_desk->Verify(request.session->actor, id, *version, std::move(answer));
  if (!right) {
    return After(context, request, id, tl::unexpected(right.error()), method);
  }
  if (*right) return Response::SeeOther(Address(id));
  return ShowRequest(context, request, id, {context.catalog.Text("help_desk.wrong"), method}, 422);
}

// The password, on this one page: it has no address, and nothing renews it.
Response ShowReadOut(const PageContext& context, const Request& request, const HelpDeskId& id,
                     const SecureBytes& password) {
  const Catalog& catalog = context.catalog;
  Data data = Frame(context, request, catalog.Text("help_desk.read_out_title"), "help_desk");
  Put(data, "id", id.Hex());
  Put(data, "password", password.view());
  return Show(context, request, "help_desk_read_out", data);
}

Response CarryItOut(const PageContext& context, Request& request, const HelpDeskId& id) {
  const auto version = VersionOf(request);
  if (!version) return Damaged(context, request);
  const auto acted = context.services.help_desk->Act(request.session->actor, id, *version);
  if (!acted) return After(context, request, id, tl::unexpected(acted.error()));
  return acted->empty() ? Response::SeeOther(Address(id))
                        : ShowReadOut(context, request, id, *acted);
}

// What the directory has, on this one page: it has no address, and nothing renews it.
Response ShowPersonalData(const PageContext& context, Request& request, const HelpDeskId& id) {
  const auto version = VersionOf(request);
  if (!version) return Damaged(context, request);
  const auto shown =
      context.services.help_desk->ShowPersonalData(request.session->actor, id, *version);
  if (!shown) {
    return After(context, request, id, tl::unexpected(shown.error()),
                 HelpDeskMethod::kPersonalData);
  }
  const Catalog& catalog = context.catalog;
  Data data = Frame(context, request, catalog.Text("help_desk.compare_title"), "help_desk");
  Put(data, "id", id.Hex());
  Put(data, "version_now", std::to_string(shown->version));
  Data fields = List();
  for (const auto& [field, value] : shown->values) {
    Data one;
    Put(one, "label", catalog.Text(Key("help_desk_field", Name(field))));
    Put(one, "value", value);
    fields << one;
  }
  data["fields"] = std::move(fields);
  return Show(context, request, "help_desk_compare", data);
}

using PlainStep = Result<void> (HelpDeskService::*)(const Actor&, const HelpDeskId&, std::uint64_t);

Handler StepHandler(const PageContext& context, PlainStep step,
                    std::optional<HelpDeskMethod> method = {}) {
  return PageWithId<HelpDeskId>(
      context, [step, method](const PageContext& page, Request& request, const HelpDeskId& id) {
        const auto version = VersionOf(request);
        if (!version) return Damaged(page, request);
        HelpDeskService& desk = *page.services.help_desk;
        return After(page, request, id, (desk.*step)(request.session->actor, id, *version), method);
      });
}

}  // namespace

Data HelpDeskBadge(const Catalog& catalog, const HelpDeskRequest& request) {
  const std::string text = catalog.Text(Key("help_desk_state", Name(request.state)));
  switch (request.state) {
    case State::kDone:
    case State::kActed:
      return Badge("ok", "check", text);
    case State::kBlocked:
      return Badge("bad", "alert", text);
    case State::kExpired:
    case State::kCancelled:
      return Badge("warn", "clock", text);
    default:
      return Badge("info", "clock", text);
  }
}

void AddHelpDeskRequestPages(Router& router, const PageContext& context) {
  const FormField version{"version", 20, false, true};
  const auto add = [&](const char* step, Handler handler, std::vector<FormField> more = {}) {
    more.push_back(CsrfField());
    more.push_back(version);
    router.Add({Method::kPost,
                std::string("/help-desk/requests/{id}/") + step,
                Right::kChangesWrite,
                std::move(handler),
                {},
                Body::kForm,
                std::move(more),
                /*slow=*/true});
  };
  router.Add({Method::kGet, "/help-desk/requests/{id}", Right::kChangesWrite,
              PageWithId<HelpDeskId>(
                  context, [](const PageContext& page, Request& request, const HelpDeskId& id) {
                    return ShowRequest(page, request, id);
                  })});
  add("process", PageWithId<HelpDeskId>(context, ChooseProcess), {{"process", 16, false, true}});
  add("code", StepHandler(context, &HelpDeskService::SendCode, HelpDeskMethod::kMailCode));
  add("sms", StepHandler(context, &HelpDeskService::SendSms, HelpDeskMethod::kSmsCode));
  add("touch", StepHandler(context, &HelpDeskService::AskForTouch, HelpDeskMethod::kKeyTouch));
  add("manager", StepHandler(context, &HelpDeskService::AskManager, HelpDeskMethod::kManager));
  add("personal", PageWithId<HelpDeskId>(context, ShowPersonalData));
  std::vector<FormField> proof = {{"method", 16, false, true},
                                  {"seen", 16},
                                  {"reached", 8},
                                  {"compared", 8},
                                  {"code", 32, true}};
  for (int i = 0; i <= static_cast<int>(kLastPersonalField); ++i) {
    proof.push_back({Name(static_cast<PersonalField>(i)), kMostSaid});
  }
  for (std::size_t i = 1; i <= kMostQuestionsAsked; ++i) {
    proof.push_back({AnswerField(i), kMostAnswer, true});
  }
  add("verify", PageWithId<HelpDeskId>(context, VerifyCaller), std::move(proof));
  add("act", PageWithId<HelpDeskId>(context, CarryItOut));
  add("instructions", StepHandler(context, &HelpDeskService::MailInstructions));
  add("confirm", StepHandler(context, &HelpDeskService::Confirm));
  add("cancel", StepHandler(context, &HelpDeskService::Cancel));
}

}  // namespace keyferry::server

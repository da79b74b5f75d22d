#include <algorithm>

#include "server/api/problem.h"
#include "server/api/theirs.h"
#include "server/core/four_eyes.h"
#include "server/http/target.h"
#include "server/pages/frame.h"
#include "server/pages/models.h"

namespace keyferry::server {
namespace {

Data NewKeys(const Catalog& catalog, const std::vector<NewKeyView>& keys) {
  Data list = List();
  for (const NewKeyView& key : keys) list << NewKeyData(catalog, key);
  return list;
}

constexpr std::size_t kKeysOnAPage = 50;
constexpr const char* kAlarmed = "alarm";  // what the filter calls keys under suspicion

struct StateText {
  KeyState state;
  const char* text;
};
constexpr StateText kStateTexts[] = {{KeyState::kActive, "employees.key_active"},
                                     {KeyState::kReserved, "employees.key_reserved"},
                                     {KeyState::kSuspended, "employees.key_suspended"},
                                     {KeyState::kCompromised, "employees.key_compromised"},
                                     {KeyState::kDeactivated, "employees.key_deactivated"},
                                     {KeyState::kRevoked, "employees.key_revoked"}};

Response ListKeys(const PageContext& context, Request& request) {
  const Catalog& catalog = context.catalog;
  const std::string state(request.Query("state"));
  KeyFilter filter;
  filter.alarmed = state == kAlarmed;
  std::vector<FilterChoice> choices = {{catalog.Text("keys.all"), ""}};
  bool known = state.empty() || filter.alarmed;
  for (const auto& [one, text] : kStateTexts) {
    choices.push_back({catalog.Text(text), Name(one)});
    if (state != Name(one)) continue;
    filter.state = one;
    known = true;
  }
  choices.push_back({catalog.Text("employees.key_alarm"), kAlarmed});
  const std::string_view after = request.Query("after");
  const auto last = DeviceId::Parse(after);
  if (!known || (!last && !after.empty())) return ShowNotFound(context, request);
  if (last) filter.after = *last;
  filter.limit = kKeysOnAPage + 1;
  auto page = context.services.keys.Page(filter);
  if (!page) return ShowFailure(context, request, page.error());
  // What is being enrolled stands behind the page's keys, and is not counted. A page of somebody
  // with a scope is shorter by those whom they may not see.
  std::string next;
  DeviceId shown;
  std::size_t enrolled = 0;
  for (auto key = page->begin(); key != page->end() && next.empty(); ++key) {
    if (key->state == KeyState::kReserved) continue;
    if (++enrolled <= kKeysOnAPage) {
      shown = key->device;
      continue;
    }
    next = "/keys?" + (state.empty() ? state : "state=" + state + "&") + "after=" + shown.Hex();
    page->erase(key);
    break;
  }
  const auto keys = AmongTheirs(context.services, request, Right::kKeysRead, std::move(page));
  if (!keys) return ShowFailure(context, request, keys.error());
  Data data = Frame(context, request, catalog.Text("keys.title"), "keys", "/events/keys");
  data["filters"] = FilterLinks(choices, state, "/keys");
  Data list = List();
  for (const KeyView& key : *keys) list << KeyData(catalog, key);
  PutMaybe(data, "next", next);
  PutFlag(data, "any", !keys->empty());
  PutFlag(data, "filtered", !state.empty() || last);
  data["keys"] = std::move(list);
  PutFlag(data, "new_any", false);
  if (May(request.session->actor.roles, Right::kEnrolmentsRead)) {
    const auto fresh = context.services.keys.Unassigned();
    if (!fresh) return ShowFailure(context, request, fresh.error());
    PutFlag(data, "new_any", !fresh->empty());
    data["new_keys"] = NewKeys(catalog, *fresh);
  }
  return Show(context, request, "keys", data);
}

struct StepChoice {
  KeyStep step;
  const char* name;  // in forms
  const char* text;
  const char* hint;
};
constexpr StepChoice kSteps[] = {
    {KeyStep::kSuspend, "suspend", "key.suspend", "key.suspend_hint"},
    {KeyStep::kResume, "resume", "key.resume", "key.resume_hint"},
    {KeyStep::kDeactivate, "deactivate", "key.deactivate", "key.deactivate_hint"},
    {KeyStep::kCompromise, "compromise", "key.compromise", "key.compromise_hint"}};

// A firmware version's bytes are, from the top: zero, major, minor, patch.
std::string FirmwareWords(std::uint32_t version) {
  return std::to_string(version >> 16) + "." + std::to_string((version >> 8) & 0xFF) + "." +
         std::to_string(version & 0xFF);
}

// What the page offers; the service decides.
bool IsOffered(const KeyView& key, Roles roles, KeyStep step) {
  if (IsOutOfUse(key.state) || key.state == KeyState::kReserved) return false;
  if (!May(roles, RightOf(step))) return false;
  if (step == KeyStep::kSuspend) return key.state == KeyState::kActive;
  if (step == KeyStep::kResume) return key.state == KeyState::kSuspended && key.alarm.empty();
  return true;
}

struct EnteredStep {
  std::string name, reason, problem, reason_problem;
};

Response ShowKey(const PageContext& context, const Request& request, const DeviceId& device,
                 const EnteredStep& entered, int status) {
  const Catalog& catalog = context.catalog;
  const auto key =
      OfTheirs(context.services, request, Right::kKeysRead, context.services.keys.Get(device),
               [&] { return context.services.keys.Get(DeviceId{}); });
  if (!key && key.error().code == ErrorCode::kNotFound) return ShowNotFound(context, request);
  if (!key) return ShowFailure(context, request, key.error());
  const std::string title = catalog.Text("key.title", {ShortKey(device)});
  Data data = Frame(context, request, title, "keys", "/events/keys");
  PutKey(catalog, data, *key);
  Put(data, "title", title);
  Put(data, "firmware", FirmwareWords(key->firmware));
  data["enrolled"] = Time(key->enrolled);
  PutMaybe(data, "out_of_use",
           !IsOutOfUse(key->state) ? std::string()
                                   : catalog.Text(key->wiped != 0 ? "key.wiped" : "key.wipe_due"));
  Data steps = List();
  bool any = false;
  for (const StepChoice& choice : kSteps) {
    if (!IsOffered(*key, request.session->actor.roles, choice.step)) continue;
    if (!context.services.people.Check(request.session->actor, RightOf(choice.step),
                                       key->account)) {
      continue;
    }
    Data row;
    Put(row, "name", choice.name);
    Put(row, "text", catalog.Text(choice.text));
    Put(row, "hint", catalog.Text(choice.hint));
    PutFlag(row, "chosen", entered.name == choice.name);
    steps << row;
    any = true;
  }
  PutFlag(data, "steps_any", any);
  data["steps"] = std::move(steps);
  Put(data, "reason", entered.reason);
  PutMaybe(data, "step_problem", entered.problem);
  PutMaybe(data, "reason_problem", entered.reason_problem);
  return Show(context, request, "key", data, status);
}

Response StepKeyPage(const PageContext& context, Request& request, const DeviceId& device) {
  EnteredStep entered;
  entered.name = request.form->Text("step");
  entered.reason = request.form->Text("reason");
  const StepChoice* chosen = nullptr;
  for (const StepChoice& choice : kSteps) {
    if (entered.name == choice.name) chosen = &choice;
  }
  if (chosen == nullptr) entered.problem = context.catalog.Text("key.choose");
  if (entered.reason.empty() || entered.reason.size() > 200) {
    entered.reason_problem = context.catalog.Text("key.reason_missing");
  }
  if (!entered.problem.empty() || !entered.reason_problem.empty()) {
    return ShowKey(context, request, device, entered, 422);
  }
  const auto done =
      context.services.keys.Step(request.session->actor, device, chosen->step, entered.reason);
  if (done) return Response::SeeOther("/keys/" + device.Hex());
  context.services.report(request, done.error());
  if (done.error().code == ErrorCode::kNotFound) return ShowNotFound(context, request);
  if (const auto needed = ApprovalNeeded(done.error())) {
    return Response::SeeOther("/approvals/" + needed->Hex());
  }
  entered.problem = context.catalog.Say(done.error().message);
  return ShowKey(context, request, device, entered, HttpStatus(done.error().code));
}

// Whether the new key is one more of the person, or takes another one's place: where one works
// already it is one more unless somebody says otherwise.
void PutChoices(const Catalog& catalog, Data& data, const std::vector<KeyView>& own) {
  const auto in_use = [](const KeyView& key) {
    return key.state == KeyState::kActive || key.state == KeyState::kSuspended;
  };
  const bool works = std::any_of(own.begin(), own.end(), [](const KeyView& key) {
    return key.state == KeyState::kActive && key.alarm.empty();
  });
  Data choices = List();
  bool any = false, chosen = works;
  const auto add = [&](const std::string& value, const std::string& text, bool is_chosen) {
    Data choice;
    Put(choice, "value", value);
    Put(choice, "text", text);
    PutFlag(choice, "chosen", is_chosen);
    choices << choice;
  };
  add("", catalog.Text("add_key.as_another"), works);
  for (const KeyView& key : own) {
    if (!in_use(key)) continue;
    add(key.device.Hex(), catalog.Text("add_key.as_replacement", {ShortKey(key.device)}), !chosen);
    any = chosen = true;
  }
  PutFlag(data, "has_key", any);
  data["choices"] = std::move(choices);
}

Response ShowPicker(const PageContext& context, const Request& request, const AccountId& id,
                    std::string_view problem, int status) {
  const Catalog& catalog = context.catalog;
  const auto detail = context.services.people.Get(request.session->actor, id);
  if (!detail) return ShowFailure(context, request, detail.error());
  const auto fresh = context.services.keys.Unassigned();
  if (!fresh) return ShowFailure(context, request, fresh.error());
  const auto own = context.services.keys.OfAccount(id);
  if (!own) return ShowFailure(context, request, own.error());
  Data data = Frame(context, request, catalog.Text("add_key.title"), "employees", "/events/keys");
  Data row = PersonRow(detail->person);
  Put(data, "id", id.Hex());
  Put(data, "display_name", row["display_name"].string_value());
  Put(data, "intro", catalog.Text("add_key.intro", {row["display_name"].string_value()}));
  PutChoices(catalog, data, *own);
  PutFlag(data, "by_mail",
          context.services.activation_mail != nullptr && IsMailAddress(detail->person.mail));
  Put(data, "mail_label", catalog.Text("add_key.by_mail", {detail->person.mail}));
  PutFlag(data, "any", !fresh->empty());
  data["new_keys"] = NewKeys(catalog, *fresh);
  PutMaybe(data, "problem", problem);
  return Show(context, request, "add_key", data, status);
}

// `code` is empty but in the one answer that began the enrolment.
Response ShowEnrolment(const PageContext& context, const Request& request, const EnrolmentId& id,
                       std::string_view code, std::string_view mailed = {},
                       std::string_view mail_problem = {}) {
  const Catalog& catalog = context.catalog;
  const auto enrolment = OfTheirs(context.services, request, Right::kEnrolmentsRead,
                                  context.services.keys.Enrolment(id),
                                  [&] { return context.services.keys.Enrolment(EnrolmentId{}); });
  if (!enrolment) return ShowFailure(context, request, enrolment.error());
  const auto detail = context.services.people.Get(request.session->actor, enrolment->account);
  Data data = Frame(context, request, catalog.Text("enrolment.title"), "employees", "/events/keys");
  std::string name = enrolment->account.Hex();
  if (detail) {
    Data row = PersonRow(detail->person);
    name = row["display_name"].string_value();
  }
  Put(data, "refresh", "/enrolments/" + id.Hex());
  Put(data, "account", enrolment->account.Hex());
  Put(data, "display_name", name);
  Put(data, "intro", catalog.Text("enrolment.intro", {name, ShortKey(enrolment->device)}));
  Put(data, "kind",
      enrolment->replaces ? catalog.Text("enrolment.replaces", {ShortKey(*enrolment->replaces)})
                          : catalog.Text("enrolment.another"));
  PutFlag(data, "code", !code.empty());
  PutMaybe(data, "mailed", mailed);
  PutMaybe(data, "mail_problem", mail_problem);
  Data groups = List();
  while (!code.empty()) {
    const std::size_t end = code.find_first_of(" -");
    Data group;
    Put(group, "group", code.substr(0, end));
    groups << group;
    code = end == std::string_view::npos ? std::string_view() : code.substr(end + 1);
  }
  data["groups"] = std::move(groups);
  PutMaybe(data, "problem", enrolment->error);
  PutMaybe(data, "clearable",
           enrolment->state == EnrolmentState::kWaiting &&
                   May(request.session->actor.roles, Right::kKeysWrite)
               ? id.Hex()
               : std::string());
  switch (enrolment->state) {
    case EnrolmentState::kWaiting:
      data["badge"] = Badge("info", "clock", catalog.Text("enrolment.waiting"));
      Put(data, "state_text", catalog.Text("enrolment.waiting_text"));
      break;
    case EnrolmentState::kGranted:
      data["badge"] = Badge("info", "shield", catalog.Text("enrolment.granted"));
      Put(data, "state_text", catalog.Text("enrolment.granted_text"));
      break;
    case EnrolmentState::kDone:
      data["badge"] = Badge("ok", "check", catalog.Text("enrolment.done"));
      Put(data, "state_text", catalog.Text("enrolment.done_text"));
      break;
    case EnrolmentState::kFailed:
      data["badge"] = Badge("bad", "alert", catalog.Text("enrolment.failed"));
      Put(data, "state_text", catalog.Text("enrolment.failed_text"));
      break;
  }
  return Show(context, request, "enrolment", data);
}

Response ShowClear(const PageContext& context, const Request& request, const EnrolmentId& id,
                   std::string_view reason, std::string_view problem,
                   std::string_view reason_problem, int status) {
  const Catalog& catalog = context.catalog;
  const auto enrolment =
      OfTheirs(context.services, request, Right::kKeysWrite, context.services.keys.Enrolment(id),
               [&] { return context.services.keys.Enrolment(EnrolmentId{}); });
  if (!enrolment) return ShowFailure(context, request, enrolment.error());
  const auto detail = context.services.people.Get(request.session->actor, enrolment->account);
  if (!detail) return ShowFailure(context, request, detail.error());
  const std::string name = PersonRow(detail->person)["display_name"].string_value();
  Data data = Frame(context, request, catalog.Text("clear_enrolment.title"), "employees");
  Put(data, "id", id.Hex());
  Put(data, "account", enrolment->account.Hex());
  Put(data, "display_name", name);
  Put(data, "intro", catalog.Text("clear_enrolment.intro", {name, ShortKey(enrolment->device)}));
  Put(data, "effect",
      catalog.Text(enrolment->state == EnrolmentState::kDone ? "clear_enrolment.in_use"
                                                             : "clear_enrolment.waiting"));
  Put(data, "reason", reason);
  PutMaybe(data, "problem", problem);
  PutMaybe(data, "reason_problem", reason_problem);
  const bool may_reset = context.services.factors != nullptr &&
                         May(request.session->actor.roles, Right::kSignInsWrite);
  const auto factor = may_reset ? context.services.factors->Of(enrolment->account)
                                : Result<std::optional<FactorView>>(std::nullopt);
  if (!factor) return ShowFailure(context, request, factor.error());
  PutFlag(data, "has_factor", factor->has_value());
  Put(data, "login_query", QueryText(factor->has_value() ? (*factor)->login : std::string()));
  return Show(context, request, "clear_enrolment", data, status);
}

Response Clear(const PageContext& context, Request& request, const EnrolmentId& id) {
  const std::string reason(request.form->Text("reason"));
  if (reason.empty() || reason.size() > 200) {
    return ShowClear(context, request, id, reason, "", context.catalog.Text("key.reason_missing"),
                     422);
  }
  const auto cleared = context.services.keys.ClearEnrolment(request.session->actor, id, reason);
  if (cleared) return Response::SeeOther("/employees/" + cleared->account.Hex());
  context.services.report(request, cleared.error());
  if (cleared.error().code == ErrorCode::kNotFound) return ShowNotFound(context, request);
  return ShowClear(context, request, id, reason, context.catalog.Say(cleared.error().message), "",
                   HttpStatus(cleared.error().code));
}

Response Enrol(const PageContext& context, Request& request, const AccountId& id) {
  const auto device = DeviceId::Parse(request.form->Text("device"));
  const auto workstation = WorkstationId::Parse(request.form->Text("workstation"));
  const std::string_view replace = request.form->Text("replace");
  const auto replaces = DeviceId::Parse(replace);
  if (!device || !workstation || (!replace.empty() && !replaces)) {
    return ShowNotFound(context, request);
  }
  auto begun = context.services.keys.BeginEnrolment(request.session->actor, id, *device,
                                                    *workstation, replaces);
  if (!begun) {
    context.services.report(request, begun.error());
    if (const auto needed = ApprovalNeeded(begun.error())) {
      return Response::SeeOther("/approvals/" + needed->Hex());
    }
    if (begun.error().code == ErrorCode::kNotFound &&
        !context.services.people.Get(request.session->actor, id)) {
      return ShowNotFound(context, request);
    }
    return ShowPicker(context, request, id, context.catalog.Say(begun.error().message), 409);
  }
  std::string mailed, mail_problem;
  if (request.form->Has("mail") && context.services.activation_mail != nullptr) {
    const auto sent =
        context.services.activation_mail->Send(request.session->actor, id, begun->activation_code);
    if (sent) {
      mailed = context.catalog.Text("enrolment.mailed", {*sent});
    } else {
      context.services.report(request, sent.error());
      mail_problem =
          context.catalog.Text("enrolment.not_mailed", {context.catalog.Say(sent.error().message)});
    }
  }
  Response response =
      ShowEnrolment(context, request, begun->id, begun->activation_code, mailed, mail_problem);
  Wipe(begun->activation_code.data(), begun->activation_code.size());
  return response;
}

}  // namespace

void AddKeyPages(Router& router, const PageContext& context) {
  router.Add({Method::kGet,
              "/keys",
              Right::kKeysRead,
              [context](Request& request) { return ListKeys(context, request); },
              {"state", "after"}});
  router.Add({Method::kGet, "/keys/{id}", Right::kKeysRead,
              PageWithId<DeviceId>(
                  context, [](const PageContext& page, Request& request, const DeviceId& id) {
                    return ShowKey(page, request, id, {}, 200);
                  })});
  router.Add({Method::kPost,
              "/keys/{id}/step",
              Right::kKeysSuspend,
              PageWithId<DeviceId>(context, StepKeyPage),
              {},
              Body::kForm,
              {CsrfField(), {"step", 16}, {"reason", 800}}});
  router.Add({Method::kGet, "/employees/{id}/key", Right::kKeysWrite,
              PageWithId<AccountId>(
                  context, [](const PageContext& page, Request& request, const AccountId& id) {
                    return ShowPicker(page, request, id, "", 200);
                  })});
  router.Add({Method::kPost,
              "/employees/{id}/key",
              Right::kKeysWrite,
              PageWithId<AccountId>(context, Enrol),
              {},
              Body::kForm,
              {CsrfField(),
               {"device", 32, false, true},
               {"workstation", 32, false, true},
               {"replace", 32},
               {"mail", 8}}});
  router.Add({Method::kGet, "/enrolments/{id}/clear", Right::kKeysWrite,
              PageWithId<EnrolmentId>(
                  context, [](const PageContext& page, Request& request, const EnrolmentId& id) {
                    return ShowClear(page, request, id, "", "", "", 200);
                  })});
  router.Add({Method::kPost,
              "/enrolments/{id}/clear",
              Right::kKeysWrite,
              PageWithId<EnrolmentId>(context, Clear),
              {},
              Body::kForm,
              {CsrfField(), {"reason", 800}}});
  router.Add({Method::kGet, "/enrolments/{id}", Right::kEnrolmentsRead,
              PageWithId<EnrolmentId>(
                  context, [](const PageContext& page, Request& request, const EnrolmentId& id) {
                    return ShowEnrolment(page, request, id, "");
                  })});
}

}  // namespace keyferry::server

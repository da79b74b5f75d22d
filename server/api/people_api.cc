// Employees and the changes of their passwords.
#include <algorithm>

#include "server/api/handlers.h"
#include "server/api/json_reader.h"
#include "server/api/once.h"
#include "server/api/theirs.h"
#include "server/core/account_steps.h"
#include "server/core/encoding.h"

namespace keyferry::server {
namespace {

namespace json = boost::json;

constexpr std::size_t kMostPeople = 200;      // what one search of the directory may bring
constexpr std::size_t kMostChanges = 10'000;  // of one person, newest first
constexpr std::size_t kMostSources = 4;
constexpr std::size_t kSourceBytes = 64;  // of a name

// The choice of that name; `fallback` without one.
template <typename Choice>
Result<Choice> ReadChoice(const Request& request, const char* what, Choice last, Choice fallback) {
  const std::string_view text = request.Query(what);
  if (text.empty()) return fallback;
  std::string names;
  for (int i = 0; i <= static_cast<int>(last); ++i) {
    const auto one = static_cast<Choice>(i);
    if (text == Name(one)) return one;
    names += (names.empty() ? "" : ", ") + std::string(Name(one));
  }
  return Fail(ErrorCode::kInvalidArgument, std::string(what) + " must be one of: " + names + ".");
}

Response ListEmployees(Services& services, Request& request) {
  const auto limit = ReadLimit(request, kMostPeople);
  if (!limit) return Problem(request, limit.error());
  const auto state = ReadChoice(request, "state", kLastPeopleState, PeopleState::kAny);
  if (!state) return Problem(request, state.error());
  const auto order = ReadChoice(request, "order", kLastPeopleOrder, PeopleOrder::kName);
  if (!order) return Problem(request, order.error());
  const auto page = services.people.List(
      request.session->actor,
      {request.Query("query"), *state, *order, *limit, request.Query("cursor")});
  if (!page) return Answer(services, request, page.error());
  json::array people;
  for (const Person& person : page->people) people.push_back(ToJson(person));
  return Ok({{"people", std::move(people)}, {"next", page->next}});
}

Response ShowPreflight(Services& services, Request& request, const AccountId& id) {
  if (const auto seen = services.people.Check(request.session->actor, Right::kChangesRead, id);
      !seen) {
    return Answer(services, request, seen.error());
  }
  const auto found = services.changes.Check(request.session->actor, id);
  if (!found) return Answer(services, request, found.error());
  json::array sources;
  for (const SourceChoice& source : found->sources) {
    json::object one = ToJson(source);
    one["login"] = source.login;
    one["refusal"] = source.refusal;
    sources.push_back(std::move(one));
  }
  return Ok({{"allowed", found->allowed},
             {"sources", std::move(sources)},
             {"reason", found->reason},
             {"note", found->note},
             {"second_person", found->second_person},
             {"typing_allowed", found->typing_allowed},
             {"keys", found->keys},
             {"device", found->device ? found->device->Hex() : std::string()},
             {"key_seen", found->key_seen},
             {"seen_at", found->seen_at}});
}

Result<std::vector<KeyView>> KeysOf(Services& services, const Request& request,
                                    const AccountId& id) {
  const auto seen = services.people.Check(request.session->actor, Right::kKeysRead, id);
  if (!seen) return tl::unexpected(seen.error());
  return services.keys.OfAccount(id);
}

Result<std::vector<ChangeView>> HistoryOf(Services& services, const Request& request,
                                          const AccountId& id) {
  const auto seen = services.people.Check(request.session->actor, Right::kChangesRead, id);
  if (!seen) return tl::unexpected(seen.error());
  return services.changes.History(id, kMostChanges);
}

// False for what is no mode; empty = now.
bool ReadMode(std::string_view text, ChangeMode* mode) {
  *mode = text == Name(ChangeMode::kAtDelivery) ? ChangeMode::kAtDelivery : ChangeMode::kNow;
  return text.empty() || text == Name(*mode);
}

Response ListSources(Services& services) {
  json::array sources;
  for (const SourceChoice& source : services.changes.Sources()) sources.push_back(ToJson(source));
  return Ok({{"sources", std::move(sources)}});
}

// Names in a form: one a line, for no name has a line break.
std::vector<std::string> Lines(std::string_view text) {
  std::vector<std::string> out;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    if (end != 0) out.emplace_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return out;
}

// The new password itself can only come in a form: its field is decoded straight into locked
// memory, which JSON cannot be.
Result<ChangeRequest> ReadChange(Request& request) {
  ChangeRequest change;
  std::string mode;
  if (request.form) {
    const std::string_view generate = request.form->Text("generate");
    change.generate = generate != "false";
    mode = request.form->Text("mode");
    change.typed = request.form->TakeSecret("password");
    change.reason = request.form->Text("reason");
    change.must_change = request.form->Text("must_change") == "true";
    if (request.form->Has("sources")) change.sources = Lines(request.form->Text("sources"));
    if ((!generate.empty() && generate != "true" && generate != "false") ||
        change.generate != change.typed.empty()) {
      return Fail(ErrorCode::kInvalidArgument, "Either generate is true or password is given.");
    }
  } else {
    JsonReader in(request.body.span());
    change.generate = in.Bool("generate");
    change.reason = in.OptionalText("reason", 500, true);
    change.must_change = in.OptionalBool("must_change", false);
    change.unlock = in.OptionalBool("unlock", true);
    mode = in.OptionalText("mode", 16, true);
    change.sources = in.OptionalTexts("sources", kMostSources, kSourceBytes);
    if (const auto bad = in.Finish(); !bad) return tl::unexpected(bad.error());
    if (!change.generate) {
      return Fail(ErrorCode::kInvalidArgument,
                  "In JSON generate must be true; send a typed password as a form.");
    }
  }
  if (!ReadMode(mode, &change.mode)) {
    return Fail(ErrorCode::kInvalidArgument, "mode must be now or at_delivery.");
  }
  return change;
}

// The saga keeps the idempotency keys of changes itself, so no journal stands before it.
Response ChangePassword(Services& services, Request& request, const AccountId& account) {
  if (auto refused = RefuseIdempotencyKey(request)) return *std::move(refused);
  auto change = ReadChange(request);
  if (!change) return Problem(request, change.error());
  change->account = account;
  change->idempotency_key = request.Header("idempotency-key");
  if (request.token) {
    // Keys are one person's own; those of a token are the token's.
    change->idempotency_key =
        ToHex(Sha256("token/" + request.token->Hex() + "/" + change->idempotency_key));
  }
  const auto view = services.changes.Start(request.session->actor, *std::move(change));
  if (view) return Ok(ToJson(*view), 201);
  if (view.error().code == ErrorCode::kConflict && view.error().detail == kOtherRequestDetail) {
    return ProblemOf(request, "idempotency_mismatch",
                     "This Idempotency-Key was used for another request; take a new one.");
  }
  return Refusal(services, request, view.error());
}

void AddAccountStep(Router& router, Services& services, AccountStep step, const char* pattern) {
  Route route = Writing(
      pattern, Right::kAccountsWrite, Body::kJson,
      Once(services, WithId<AccountId>(
                         services, [step](Services& all, Request& request, const AccountId& id) {
                           JsonReader in(request.body.span());
                           const std::string reason = in.Text("reason", 1, kMostStepReason);
                           if (const auto bad = in.Finish(); !bad)
                             return Problem(request, bad.error());
                           const Actor& actor = request.session->actor;
                           const auto done = all.account_steps->Do(actor, id, step, reason);
                           if (!done) return Refusal(all, request, done.error());
                           return One(all, request, all.people.Get(actor, id));
                         })));
  route.slow = true;
  router.Add(std::move(route));
}

}  // namespace

void AddPeopleRoutes(Router& router, Services& services) {
  router.Add(Reading("/employees", Right::kPeopleRead,
                     [&services](Request& request) { return ListEmployees(services, request); },
                     {"query", "state", "order", "cursor", "limit"}));
  router.Add(
      Reading("/employees/{id}", Right::kPeopleRead,
              WithId<AccountId>(services, [](Services& all, Request& request, const AccountId& id) {
                return One(all, request, all.people.Get(request.session->actor, id));
              })));
  router.Add(Reading("/employees/{id}/keys", Right::kKeysRead,
                     WithId<AccountId>(services,
                                       [](Services& all, Request& request, const AccountId& id) {
                                         return PageById(
                                             all, request, "keys", KeysOf(all, request, id),
                                             [](const KeyView& key) { return key.device.Hex(); });
                                       }),
                     {"cursor", "limit"}));
  router.Add(Reading("/employees/{id}/preflight", Right::kChangesRead,
                     WithId<AccountId>(services, ShowPreflight)));
  Route change = Writing("/employees/{id}/password", Right::kChangesWrite, Body::kFormOrJson,
                         WithId<AccountId>(services, ChangePassword));
  change.form = {{"generate", 5}, {"password", 1024, true},
                 {"reason", 500}, {"must_change", 5},
                 {"mode", 16},    {"sources", kMostSources * (kSourceBytes + 1)},
                 {"csrf", 128}};
  change.slow = true;
  router.Add(std::move(change));
  if (services.account_steps != nullptr) {
    AddAccountStep(router, services, AccountStep::kUnlock, "/employees/{id}/unlock");
    AddAccountStep(router, services, AccountStep::kMustChange, "/employees/{id}/must-change");
  }
  router.Add(Reading("/employees/{id}/changes", Right::kChangesRead,
                     WithId<AccountId>(services,
                                       [](Services& all, Request& request, const AccountId& id) {
                                         return PageInOrder(all, request, "changes",
                                                            HistoryOf(all, request, id),
                                                            [](const ChangeView& change_view) {
                                                              return change_view.id.Hex();
                                                            });
                                       }),
                     {"cursor", "limit"}));
  router.Add(Reading("/sources", Right::kChangesRead,
                     [&services](Request&) { return ListSources(services); }));
  router.Add(
      Reading("/changes/{id}", Right::kChangesRead,
              WithId<ChangeId>(services, [](Services& all, Request& request, const ChangeId& id) {
                return One(all, request,
                           OfTheirs(all, request, Right::kChangesRead, all.changes.Get(id),
                                    [&] { return all.changes.Get(ChangeId{}); }));
              })));
}

}  // namespace keyferry::server

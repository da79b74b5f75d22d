// Linked sources: the same password, right after the first directory has it.
#include <strings.h>

#include <algorithm>
#include <set>
#include <utility>

#include "protocol/failpoint.h"
#include "server/core/change_view.h"
#include "server/core/dispatch.h"
#include "server/core/password_history.h"
#include "server/core/saga.h"

namespace keyferry::server {
namespace {

constexpr const char* kNextStep =
    " The first directory has the new password, this one has the old: set a new one for both.";
constexpr const char* kUnknownStep =
    "This directory did not answer in time, so it is not known whether it took the password; the "
    "server goes on asking. To have the same one everywhere, set a new one for both.";

const std::string& ValueOf(const Person& person, PersonKey key) {
  switch (key) {
    case PersonKey::kMail:
      return person.mail;
    case PersonKey::kEmployeeId:
      return person.employee_id;
    case PersonKey::kLogin:
      break;
  }
  return person.login;
}

const char* Words(PersonKey key) {
  switch (key) {
    case PersonKey::kMail:
      return "mail address";
    case PersonKey::kEmployeeId:
      return "employee id";
    case PersonKey::kLogin:
      break;
  }
  return "login";
}

Error At(std::string_view source, const Error& error) {
  Error out = error;
  out.message = "Password source \"" + std::string(source) + "\": " + error.message;
  return out;
}

// The change as it is at a source, for what judges attempts.
ChangeRecord AsIn(const ChangeRecord& change, const SourceRecord& source) {
  ChangeRecord there = change;
  there.account = source.account;
  there.server = source.server;
  there.password_last_set = source.password_last_set;
  there.password_version = source.password_version;
  there.server_time = source.server_time;
  return there;
}

// Nobody has asked but the server: the actor's account is one of the first directory.
Directory::SetOptions OptionsOf(const ChangeRecord& change) {
  Directory::SetOptions options;
  options.must_change = change.must_change;
  options.unlock = change.unlock;
  return options;
}

SourceView ViewOf(const SourceRecord& source) {
  return {source.name,   source.login,     source.state,    source.error,
          source.server, source.attempted, source.confirmed};
}

SourceChoice ChoiceOf(const LinkedSource& source) {
  SourceChoice choice;
  choice.name = source.name;
  choice.kind = source.kind;
  choice.match = source.match;
  choice.preset = source.preset;
  return choice;
}

}  // namespace

bool IsOpen(SourceState state) {
  return state == SourceState::kPlanned || state == SourceState::kAttempt ||
         state == SourceState::kUnknown;
}

const LinkedSource* Saga::FindSource(std::string_view name) const {
  const auto found = std::find_if(ports_.sources.begin(), ports_.sources.end(),
                                  [&](const LinkedSource& one) { return one.name == name; });
  return found == ports_.sources.end() ? nullptr : &*found;
}

std::vector<SourceChoice> Saga::Sources() {
  std::vector<SourceChoice> out;
  for (const LinkedSource& source : ports_.sources) out.push_back(ChoiceOf(source));
  return out;
}

std::vector<SourceChoice> Saga::Choices(const Actor& actor, const Person& person) {
  std::vector<SourceChoice> out;
  for (const LinkedSource& source : ports_.sources) {
    SourceChoice choice = ChoiceOf(source);
    const auto chosen = Consider(source, actor, person, {});
    if (!chosen) {
      choice.refusal = chosen.error().message;
    } else if (!*chosen) {
      choice.refusal = "This person has no account there.";
      choice.absent = true;
    } else {
      choice.login = (*chosen)->record.login;
    }
    out.push_back(std::move(choice));
  }
  return out;
}

Result<std::optional<Saga::Chosen>> Saga::Consider(const LinkedSource& source, const Actor& actor,
                                                   const Person& person,
                                                   const Directory::SetOptions& options) {
  const std::string& value = ValueOf(person, source.match);
  if (value.empty()) return std::nullopt;
  const auto found = source.directory->FindBy(source.match, value);
  if (!found) return tl::unexpected(found.error());
  if (found->empty()) return std::nullopt;
  if (found->size() > 1) {
    return Fail(ErrorCode::kConflict,
                "Several accounts have this person's " + std::string(Words(source.match)) +
                    ", so it cannot be told which one is meant; give each its own.");
  }
  const Person& there = found->front();
  if (actor.id != person.id && strcasecmp(there.login.c_str(), actor.login.c_str()) == 0) {
    return Fail(ErrorCode::kPermissionDenied,
                "The account there is your own; ask a colleague to set its password.");
  }
  // Whoever asks has an account in the first directory, if any: here the server alone acts.
  const auto candidate = source.directory->Consider(there.id, AccountId{});
  if (!candidate) return tl::unexpected(candidate.error());
  if (const auto good = CheckState(candidate->detail.state); !good) {
    return tl::unexpected(good.error());
  }
  if (!candidate->target) return tl::unexpected(candidate->target.error());
  const PersonDetail& detail = candidate->detail;
  const std::string young = TooYoung(detail, ports_.clock.UnixSeconds());
  if (!young.empty() &&
      (detail.policy.min_age_holds_resets || config_.respect_min_age || actor.id == person.id)) {
    return Fail(ErrorCode::kPolicyRefused,
                young + (detail.policy.min_age_holds_resets
                             ? kHeldByAge
                             : "; wait, or ask an administrator of that directory."));
  }
  if (const auto may = source.directory->MayWrite(*candidate->target, there.id, options); !may) {
    return tl::unexpected(may.error());
  }
  Chosen chosen;
  chosen.record.name = source.name;
  chosen.record.account = detail.person.id;
  chosen.record.login = detail.person.login;
  chosen.record.dn = detail.person.dn;
  chosen.policy = detail.policy;
  return chosen;
}

Result<std::vector<Saga::Chosen>> Saga::Choose(const Actor& actor, const Person& person,
                                               const std::optional<std::vector<std::string>>& names,
                                               const Directory::SetOptions& options) {
  std::vector<const LinkedSource*> wanted;
  if (!names) {
    for (const LinkedSource& source : ports_.sources) {
      if (source.preset) wanted.push_back(&source);
    }
  } else {
    for (const std::string& name : *names) {
      const LinkedSource* const source = FindSource(name);
      if (source == nullptr) {
        return Fail(ErrorCode::kInvalidArgument,
                    "There is no password source of this name beside the first.");
      }
      if (std::find(wanted.begin(), wanted.end(), source) != wanted.end()) {
        return Fail(ErrorCode::kInvalidArgument, "A password source is named twice.");
      }
      wanted.push_back(source);
    }
  }
  std::vector<Chosen> out;
  for (const LinkedSource* source : wanted) {
    auto chosen = Consider(*source, actor, person, options);
    if (!chosen) {
      Error refusal = At(source->name, chosen.error());
      refusal.message += " Nothing was changed anywhere.";
      return tl::unexpected(std::move(refusal));
    }
    if (*chosen) {
      out.push_back(**std::move(chosen));
    } else if (names) {
      return tl::unexpected(At(
          source->name, {ErrorCode::kNotFound,
                         "No account there has this person's " + std::string(Words(source->match)) +
                             "; leave the source out. Nothing was changed anywhere.",
                         {},
                         0}));
    }
  }
  return out;
}

Result<std::vector<Saga::Chosen>> Saga::ChooseAgain(const Actor& actor, const Person& person,
                                                    const ChangeRecord& change) {
  const auto stored = ports_.store.SourcesOf({&change.id, 1});
  if (!stored) return tl::unexpected(stored.error());
  std::vector<std::string> names;
  for (const SourceRecord& source : *stored) names.push_back(source.name);
  auto chosen = Choose(actor, person, names, OptionsOf(change));
  if (!chosen) return chosen;
  for (std::size_t i = 0; i < stored->size(); ++i) {
    if ((*stored)[i].account != (*chosen)[i].record.account) {
      return tl::unexpected(
          At(names[i], {ErrorCode::kConflict,
                        "The person's account there is another one than when this "
                        "change was asked for. Nothing was changed anywhere.",
                        {},
                        0}));
    }
  }
  return chosen;
}

Result<void> Saga::CheckAgainstSources(const SecureBytes& password,
                                       const std::vector<Chosen>& chosen) {
  for (const Chosen& one : chosen) {
    if (Utf16Length(password) >= one.policy.min_length) continue;
    return tl::unexpected(
        At(one.record.name,
           {ErrorCode::kPolicyRefused,
            "The password is too short: " + one.policy.source + " asks for at least " +
                std::to_string(one.policy.min_length) + " characters. Nothing was changed.",
            {},
            0}));
  }
  return {};
}

PasswordPolicy Saga::Strictest(PasswordPolicy policy, const std::vector<Chosen>& chosen) {
  for (const Chosen& one : chosen) {
    policy.min_length = std::max(policy.min_length, one.policy.min_length);
  }
  return policy;
}

Result<std::vector<ChangeView>> Saga::ViewsOf(const std::vector<ChangeRow>& rows) {
  std::vector<ChangeView> views;
  std::vector<ChangeId> ids;
  for (const ChangeRow& row : rows) {
    views.push_back(server::ViewOf(row));
    ids.push_back(row.change.id);
  }
  const auto sources = ports_.store.SourcesOf(ids);
  if (!sources) return tl::unexpected(sources.error());
  for (const SourceRecord& source : *sources) {
    const auto view = std::find_if(views.begin(), views.end(),
                                   [&](const ChangeView& one) { return one.id == source.change; });
    if (view != views.end()) view->sources.push_back(ViewOf(source));
  }
  return views;
}

ChangeView Saga::View(const ChangeRow& row) {
  auto views = ViewsOf({row});
  if (views) return std::move(views->front());
  // The first directory's part is true all the same.
  Log(ports_, "change " + row.change.id.Hex(), views.error());
  return server::ViewOf(row);
}

bool Saga::EndSource(const ChangeRecord& change, SourceRecord source, SourceState state,
                     const Error* reason, By by, std::string_view how) {
  const SourceState from = source.state;
  source.state = state;
  source.error = reason != nullptr ? reason->message : std::string();
  source.error_code = reason != nullptr ? reason->code : ErrorCode::kInternal;
  if (state == SourceState::kConfirmed) source.confirmed = ports_.clock.UnixMillis();
  const std::string outcome = reason != nullptr ? OutcomeName(reason->code) : "ok";
  std::string detail = "Password source \"" + source.name + "\", account " + source.login + ".";
  if (reason != nullptr) detail += " " + reason->message;
  if (!how.empty()) detail += " " + std::string(how);
  const auto moved = ports_.store.MoveSource(
      source, from,
      by == By::kActor
          ? Audit(change, "password.set", outcome, detail)
          : AuditBySystem(ports_.clock, "password.set", change.login, outcome, detail));
  if (!moved) {
    Log(ports_, "change " + change.id.Hex() + " at " + source.name, moved.error());
    return false;
  }
  if (!IsOpen(state)) {
    const std::lock_guard lock(mutex_);
    sources_seen_.erase({change.id, source.name});
  }
  AnnounceAccount(ports_, change.account);
  return true;
}

void Saga::WriteSources(const ChangeRow& row, const SecureBytes& password) {
  const auto sources = ports_.store.SourcesOf({&row.change.id, 1});
  if (!sources) return Log(ports_, "change " + row.change.id.Hex(), sources.error());
  for (const SourceRecord& source : *sources) {
    if (source.state == SourceState::kPlanned) WriteSource(row.change, source, password);
  }
}

void Saga::WriteSource(const ChangeRecord& change, SourceRecord source,
                       const SecureBytes& password) {
  const auto not_set = [&](const Error& error) {
    Error reason = error;
    reason.message += kNextStep;
    EndSource(change, source, SourceState::kNotSet, &reason, By::kActor);
  };
  const LinkedSource* const linked = FindSource(source.name);
  if (linked == nullptr) {
    return not_set({ErrorCode::kUnavailable, "This source is no longer configured.", {}, 0});
  }
  Directory& directory = *linked->directory;
  const auto target = directory.Pin(source.account, AccountId{});
  if (!target) {
    Log(ports_, "change " + change.id.Hex() + " at " + source.name, target.error());
    return not_set(target.error());
  }
  KEYFERRY_FAILPOINT("server.source.pinned");
  source.state = SourceState::kAttempt;
  source.server = target->server;
  source.password_last_set = target->before.last_set;
  source.password_version = target->before.version;
  source.server_time = target->before.now;
  source.attempted = ports_.clock.UnixMillis();
  const auto attempted =
      ports_.store.MoveSource(source, SourceState::kPlanned,
                              Audit(change, "password.attempt", "ok",
                                    "Password source \"" + source.name + "\", account " +
                                        source.login + ". " + change.reason));
  if (!attempted) {
    source.state = SourceState::kPlanned;  // not asked; the reconciler says so
    return Log(ports_, "change " + change.id.Hex() + " at " + source.name, attempted.error());
  }
  KEYFERRY_FAILPOINT("server.source.attempted");
  {
    const std::lock_guard lock(mutex_);
    sources_seen_.try_emplace({change.id, source.name}, ports_.clock.Now());
  }
  const auto set = directory.SetPassword(*target, source.account, password, OptionsOf(change));
  if (set) {
    KEYFERRY_FAILPOINT("server.source.set");
    EndSource(change, source, SourceState::kConfirmed, nullptr, By::kActor);
    KEYFERRY_FAILPOINT("server.source.confirmed");
    return;
  }
  Log(ports_, "change " + change.id.Hex() + " at " + source.name, set.error());
  if (SurelyUnchanged(set.error().code)) {
    KEYFERRY_FAILPOINT("server.source.refused");
    return not_set(set.error());
  }
  PasswordStamp since = target->before;
  if (Look(directory, AsIn(change, source), *target, password, &since) == Evidence::kApplied) {
    EndSource(change, source, SourceState::kConfirmed, nullptr, By::kActor,
              "The answer was lost; the directory's record shows it.");
    return;
  }
  source.password_last_set = since.last_set;
  source.password_version = since.version;
  source.server_time = since.now;
  const Error unknown{ErrorCode::kOutcomeUnknown, kUnknownStep, {}, 0};
  EndSource(change, source, SourceState::kUnknown, &unknown, By::kActor);
}

void Saga::SettleSources(const ChangeId& id, bool superseding) {
  const Driving driving(*this, id, Driving::kTry);
  if (!driving.mine()) return;
  // As they are now: who drove the change before may have moved them.
  const auto row = ports_.store.FindChange(id);
  const auto sources = ports_.store.SourcesOf({&id, 1});
  if (!row || !sources) {
    return Log(ports_, "change " + id.Hex(), row ? sources.error() : row.error());
  }
  if (!*row) return;
  for (const SourceRecord& source : *sources) {
    if (IsOpen(source.state)) SettleSource((*row)->change, source, superseding);
  }
}

void Saga::SettleSource(const ChangeRecord& change, SourceRecord source, bool superseding) {
  const auto end = [&](SourceState state, ErrorCode code, std::string why) {
    const Error reason{code, std::move(why), {}, 0};
    EndSource(change, source, state, &reason, By::kSystem);
  };
  if (source.state == SourceState::kPlanned) {
    return end(SourceState::kNotSet, ErrorCode::kUnavailable,
               std::string("The server stopped before it asked this directory, and the password is "
                           "gone from its memory.") +
                   kNextStep);
  }
  const LinkedSource* const linked = FindSource(source.name);
  if (linked == nullptr) {
    return end(SourceState::kSuperseded, ErrorCode::kOutcomeUnknown,
               "This source is no longer configured, so it is not known whether it took the "
               "password; set a new one.");
  }
  bool settled = false;
  {
    const std::lock_guard lock(mutex_);
    const auto seen =
        sources_seen_.try_emplace({change.id, source.name}, ports_.clock.Now()).first->second;
    settled = ports_.clock.Now() - seen >= std::chrono::seconds(config_.settle_seconds);
  }
  const ChangeRecord there = AsIn(change, source);
  const auto stamp = linked->directory->Stamp(TargetOf(there), source.account);
  const bool gone = !stamp && stamp.error().code == ErrorCode::kNotFound;
  const Evidence evidence =
      stamp ? Judge(there, *stamp, config_.settle_seconds) : Evidence::kUndecidable;
  if (evidence == Evidence::kApplied) {
    EndSource(change, source, SourceState::kConfirmed, nullptr, By::kSystem,
              "Found in the directory's record after an unknown outcome.");
  } else if (settled && gone) {
    end(SourceState::kNotSet, ErrorCode::kNotFound, "The account is no longer in this directory.");
  } else if (settled && evidence == Evidence::kNotApplied) {
    end(SourceState::kNotSet, ErrorCode::kUnavailable,
        std::string("This directory did not take the password.") + kNextStep);
  } else if (settled && evidence == Evidence::kForeign) {
    end(SourceState::kNotSet, ErrorCode::kConflict, kForeignReason);
  } else if (settled && superseding) {
    end(SourceState::kSuperseded, ErrorCode::kOutcomeUnknown,
        "This directory could not say whether it took the password.");
  } else if (source.state == SourceState::kAttempt) {
    end(SourceState::kUnknown, ErrorCode::kOutcomeUnknown, kUnknownStep);
  }
}

}  // namespace keyferry::server

#include "server/core/saga.h"

#include <algorithm>
#include <new>
#include <utility>

#include "protocol/failpoint.h"
#include "server/core/change_view.h"
#include "server/core/dispatch.h"
#include "server/core/encoding.h"
#include "server/core/four_eyes.h"
#include "server/core/key_choice.h"
#include "server/core/password.h"
#include "server/core/password_history.h"
#include "server/core/sealing.h"

namespace keyferry::server {
namespace {

Result<void> CheckRequest(const ChangeRequest& request, const ChangeConfig& config) {
  const std::string& key = request.idempotency_key;
  const bool printable =
      std::all_of(key.begin(), key.end(), [](char c) { return c > 0x20 && c < 0x7F; });
  if (key.size() < 8 || key.size() > 64 || !printable) {
    return Fail(ErrorCode::kInvalidArgument,
                "The request's idempotency key must have 8 to 64 printable characters.");
  }
  if (request.reason.size() > 500 || !IsPrintableUtf8(request.reason)) {
    return Fail(ErrorCode::kInvalidArgument,
                "The reason must be text of at most 500 bytes on one line.");
  }
  if (request.read_out != nullptr &&
      (!request.generate || !request.must_change || request.mode != ChangeMode::kNow)) {
    return Fail(ErrorCode::kInvalidArgument,
                "Only a generated password that must be changed at the next sign-in is read out.");
  }
  if (request.generate) return {};
  if (request.mode == ChangeMode::kAtDelivery) {
    return Fail(ErrorCode::kInvalidArgument,
                "A password that waits for the key can only be generated: nothing may keep a typed "
                "one until then.");
  }
  if (!config.allow_typing) {
    return Fail(ErrorCode::kPermissionDenied,
                "Typing a password is not allowed here; let the server make one.");
  }
  return CheckTypedPassword(request.typed);
}

// Over all of a request but the password: a stored hash of that could be searched.
Hash32 HashOf(const ChangeRequest& request) {
  const std::array<std::uint8_t, 4> flags = {
      request.generate, request.must_change, request.unlock,
      static_cast<std::uint8_t>(request.mode == ChangeMode::kAtDelivery)};
  const Hash32 hash =
      protocol::Sha256Of(protocol::Label("keyferry/change-request/v1"), request.account.bytes,
                         flags, protocol::AsBytes(request.reason));
  if (!request.sources) return hash;
  std::string names;  // none has a line break
  for (const std::string& name : *request.sources) names += name + "\n";
  return protocol::Sha256Of(protocol::Label("keyferry/change-sources/v1"), hash,
                            protocol::AsBytes(names));
}

}  // namespace

Saga::Saga(const CorePorts& ports, ChangeConfig config) : ports_(ports), config_(config) {
  std::array<std::uint8_t, 16> self{};
  if (ports_.random.Fill(self)) self_ = ToHex(self);
}

Saga::Driving::Driving(Saga& service, const ChangeId& id, Patience patience)
    : service_(service), id_(id) {
  std::unique_lock lock(service_.mutex_);
  if (patience == kWait) {
    service_.ended_.wait(lock, [&] { return service_.driven_.count(id_) == 0; });
  }
  mine_ = service_.driven_.insert(id_).second;
}

Saga::Driving::~Driving() {
  if (!mine_) return;
  {
    const std::lock_guard lock(service_.mutex_);
    service_.driven_.erase(id_);
  }
  service_.ended_.notify_all();
}

Result<Preflight> Saga::Check(const Actor& actor, const AccountId& account) {
  if (const auto may = Authorise(actor, account); !may) {
    if (may.error().code != ErrorCode::kPermissionDenied &&
        may.error().code != ErrorCode::kRateLimited) {
      return tl::unexpected(may.error());
    }
    Preflight refused;
    refused.reason = may.error().message;
    return refused;
  }
  auto clearance = Clear(ports_, actor, account, config_.respect_min_age, Purpose::kLook);
  if (!clearance) return tl::unexpected(std::move(clearance.error()));
  Preflight preflight;
  preflight.allowed = clearance->refusal.empty();
  preflight.reason = clearance->refusal;
  preflight.note = clearance->note;
  if (preflight.allowed && ports_.four_eyes != nullptr) {
    const auto why = ports_.four_eyes->Why(actor, GuardedAction::kPassword, *clearance->person);
    if (!why) return tl::unexpected(why.error());
    preflight.second_person = *why;
  }
  // Nobody can approve a typed password.
  preflight.typing_allowed = config_.allow_typing && preflight.second_person.empty();
  preflight.keys = clearance->keys.size();
  if (!clearance->keys.empty()) {
    const DeviceId& lead = clearance->keys.front().device;
    preflight.device = lead;
    const auto sightings = ports_.presence.Sightings(lead);
    preflight.key_seen = !sightings.empty();
    if (!sightings.empty()) preflight.seen_at = sightings.front().workstation_name;
  }
  if (preflight.allowed) preflight.sources = Choices(actor, clearance->person->person);
  return preflight;
}

Result<ChangeView> Saga::Start(const Actor& actor, ChangeRequest request) {
  try {
    return Run(actor, std::move(request));
  } catch (const std::bad_alloc&) {
    return Fail(ErrorCode::kUnavailable,
                "The server is out of locked memory; try again, and raise its memlock limit.");
  }
}

Result<ChangeView> Saga::Run(const Actor& actor, ChangeRequest request) {
  if (auto checked = CheckRequest(request, config_); !checked) {
    return tl::unexpected(std::move(checked.error()));
  }
  const Hash32 request_hash = HashOf(request);
  auto repeated = ports_.store.FindRepeated(actor.id, request.idempotency_key);
  if (!repeated) return tl::unexpected(std::move(repeated.error()));
  if (*repeated) return Answer(**std::move(repeated), request_hash);

  if (const auto may = Authorise(actor, request.account); !may) {
    const auto person = ports_.directory.Get(request.account);
    auto audited =
        AuditRefusal(actor, person ? person->person.login : request.account.Hex(), may.error());
    return tl::unexpected(audited ? may.error() : std::move(audited.error()));
  }
  auto draft = Draft(actor, request, request_hash);
  if (!draft) return tl::unexpected(std::move(draft.error()));
  std::optional<Sealed> sealed;
  auto clearance =
      Clear(ports_, actor, request.account, config_.respect_min_age,
            request.mode == ChangeMode::kNow ? Purpose::kChange : Purpose::kLook,
            [&](const std::vector<KeyRecord>& keys) { sealed = SealAhead(*draft, request, keys); });
  if (!clearance) return tl::unexpected(std::move(clearance.error()));
  if (!clearance->refusal.empty()) {
    const Error refusal{clearance->code, clearance->refusal, {}, 0};
    const std::string target =
        clearance->person ? clearance->person->person.login : request.account.Hex();
    if (auto audited = AuditRefusal(actor, target, refusal); !audited) {
      return tl::unexpected(std::move(audited.error()));
    }
    return tl::unexpected(refusal);
  }
  Directory::SetOptions options;
  options.must_change = request.must_change;
  options.unlock = request.unlock;
  const auto chosen = Choose(actor, clearance->person->person, request.sources, options);
  if (!chosen) {
    auto audited = AuditRefusal(actor, clearance->person->person.login, chosen.error());
    if (!audited) return tl::unexpected(std::move(audited.error()));
    return tl::unexpected(chosen.error());
  }
  const auto only_if = Guard(actor, request, *clearance->person, *chosen);
  if (!only_if) return tl::unexpected(only_if.error());
  KEYFERRY_FAILPOINT("server.change.cleared");

  draft->login = clearance->person->person.login;
  draft->device = clearance->keys.front().device;
  for (const Chosen& one : *chosen) draft->sources.push_back(one.record);
  if (sealed && sealed->login != draft->login) sealed.reset();
  auto view = request.mode == ChangeMode::kAtDelivery
                  ? RunAtDelivery(actor, *draft, *only_if)
                  : RunNow(actor, std::move(request), *draft, *std::move(clearance),
                           std::move(sealed), *chosen, *only_if);
  if (view || view.error().detail != kAgentLimitDetail) return view;
  if (actor.id == draft->account) {
    auto audited = AuditRefusal(actor, draft->login, OwnLimit());
    return tl::unexpected(audited ? OwnLimit() : std::move(audited.error()));
  }
  ports_.four_eyes->Limited(actor, draft->login);
  return view;
}

Result<ChangeRecord> Saga::Draft(const Actor& actor, const ChangeRequest& request,
                                 const Hash32& request_hash) {
  ChangeRecord draft;
  const bool waits = request.mode == ChangeMode::kAtDelivery;
  if (!ports_.random.Fill(draft.id.bytes) || (!waits && !ports_.random.Fill(draft.job.bytes))) {
    return Fail(ErrorCode::kInternal, "The system gave no random numbers.");
  }
  draft.account = request.account;
  draft.actor = actor.id;
  draft.actor_login = actor.login;
  draft.address = actor.address;
  draft.idempotency_key = request.idempotency_key;
  draft.request_hash = request_hash;
  draft.reason = request.reason;
  draft.generated = request.generate;
  draft.must_change = request.must_change;
  draft.unlock = request.unlock;
  draft.mode = request.mode;
  return draft;
}

std::optional<Saga::Sealed> Saga::SealAhead(ChangeRecord draft, const ChangeRequest& request,
                                            const std::vector<KeyRecord>& keys) {
  Sealed ahead;
  draft.login = ahead.login = keys.front().login;
  auto password = request.generate ? MakePassword({}) : request.typed.Clone();
  if (!password) return std::nullopt;
  ahead.password = *std::move(password);
  auto jobs = SealSets(draft, keys, draft.job, ahead.password);
  if (!jobs) return std::nullopt;  // it fails once more where it is told
  ahead.jobs = *std::move(jobs);
  return ahead;
}

Result<Precondition> Saga::Guard(const Actor& actor, const ChangeRequest& request,
                                 const PersonDetail& person, const std::vector<Chosen>& chosen) {
  Precondition alone;
  if (actor.id == request.account) alone.quota = OwnQuota(actor.id);
  if (ports_.four_eyes == nullptr) return alone;
  GuardedAsk ask;
  ask.action = GuardedAction::kPassword;
  ask.person = person;
  ask.reason = request.reason;
  ask.complete = request.generate;
  const auto flag = [](bool on) { return on ? "true" : "false"; };
  ask.facts = {{"mode", Name(request.mode)},
               {"must_change", flag(request.must_change)},
               {"unlock", flag(request.unlock)}};
  if (request.read_out != nullptr) ask.facts.emplace_back("read_out", "true");
  for (const Chosen& one : chosen) ask.facts.emplace_back("source", one.record.name);
  auto cleared = ports_.four_eyes->Clear(actor, ask);
  if (cleared && alone.quota) cleared->quota = alone.quota;
  if (cleared || ApprovalNeeded(cleared.error()) || cleared.error().detail == kAgentLimitDetail) {
    return cleared;
  }
  auto audited = AuditRefusal(actor, person.person.login, cleared.error());
  return tl::unexpected(audited ? std::move(cleared.error()) : std::move(audited.error()));
}

Result<ChangeView> Saga::RunNow(const Actor& actor, ChangeRequest request, ChangeRecord draft,
                                Clearance clearance, std::optional<Sealed> sealed,
                                const std::vector<Chosen>& chosen, const Precondition& only_if) {
  const PersonDetail& person = *clearance.person;
  const Result<ChangeTarget>& target = clearance.target;
  if (!target) {
    const auto audited = AuditRefusal(actor, draft.login, target.error());
    if (!audited) Log(ports_, "audit", audited.error());
    return tl::unexpected(target.error());
  }
  KEYFERRY_FAILPOINT("server.change.pinned");
  SecureBytes password = std::move(request.typed);
  if (!request.generate) {
    auto fits = CheckAgainstPolicy(password, request.account, person.policy, &draft);
    if (!fits) return tl::unexpected(std::move(fits.error()));
    fits = CheckAgainstSources(password, chosen);
    if (!fits) return tl::unexpected(std::move(fits.error()));
  } else {
    const PasswordPolicy policy = Strictest(person.policy, chosen);
    if (sealed && sealed->password.size() == LengthFor(policy)) {
      password = std::move(sealed->password);
    } else {
      sealed.reset();
      auto made = MakePassword(policy);
      if (!made) return tl::unexpected(std::move(made.error()));
      password = *std::move(made);
    }
  }
  draft.server = target->server;
  draft.password_last_set = target->before.last_set;
  draft.password_version = target->before.version;
  draft.server_time = target->before.now;

  const Driving driving(*this, draft.id, Driving::kTry);
  auto begun = Begin(actor, draft, std::move(clearance.keys), password, only_if,
                     sealed ? std::move(sealed->jobs) : std::vector<JobRecord>());
  if (begun && begun->claim == ChangeStore::Claim::kAccountBusy) {
    MakeWay(begun->row);
    auto fresh = FreshKeys(draft.account, {});
    if (!fresh) return tl::unexpected(std::move(fresh.error()));
    begun = Begin(actor, draft, *std::move(fresh), password, only_if);
  }
  if (!begun) return tl::unexpected(std::move(begun.error()));
  switch (begun->claim) {
    case ChangeStore::Claim::kRepeated:
      password.Clear();
      return Answer(std::move(begun->row), draft.request_hash);
    case ChangeStore::Claim::kAccountBusy:
      return Busy(begun->row);
    case ChangeStore::Claim::kKeyBehind:
      return Fail(
          ErrorCode::kConflict,
          "Two passwords are on their way to the employee's key and it has not answered yet. "
          "Connect the key, so that it can; then set the next one. Nothing was changed.");
    case ChangeStore::Claim::kSeqTaken:
      return Fail(ErrorCode::kConflict, "The employee's key is changing just now; try again.");
    case ChangeStore::Claim::kBegun:
      break;
  }
  SecureBytes copy = request.read_out == nullptr ? SecureBytes() : password.Clone();
  auto view = Attempt(begun->row, std::move(password), target->tenure);
  if (view && request.read_out != nullptr) *request.read_out = std::move(copy);
  return view;
}

// What the open change of the account is may have an open outcome: ask once. One that still waits
// for its key has touched nothing and gives way to the newer one.
void Saga::MakeWay(const ChangeRow& row) {
  const ChangeRecord& change = row.change;
  const bool waiting = change.mode == ChangeMode::kAtDelivery &&
                       (change.state == ChangeState::kIntent || change.state == ChangeState::kHeld);
  const bool over = change.state != ChangeState::kIntent && change.state != ChangeState::kHeld &&
                    change.state != ChangeState::kAttempt && change.state != ChangeState::kUnknown;
  if (!waiting) {
    if (!over) Settle(row, true);
    return SettleSources(change.id, true);
  }
  const Driving driving(*this, change.id, Driving::kWait);
  const Error reason{ErrorCode::kConflict,
                     "A newer change took its place before the key was there; this one changed "
                     "nothing.",
                     {},
                     0};
  const auto closed =
      Close(row, ChangeState::kSuperseded, reason,
            AuditBySystem(ports_.clock, "password.superseded", change.login, "ok", reason.message),
            ChangeStore::From::kWaiting);
  if (!closed) Log(ports_, "change " + change.id.Hex(), closed.error());
}

Result<ChangeView> Saga::Busy(const ChangeRow& row) {
  const ChangeState state = row.change.state;
  const bool at_sources = state == ChangeState::kConfirmed || state == ChangeState::kDone;
  return Fail(ErrorCode::kConflict,
              state == ChangeState::kUnknown || at_sources
                  ? "The outcome of this employee's last change is still being checked; try again "
                    "in a minute."
                  : "Another change for this employee is running; look again in a moment.");
}

std::size_t Saga::LengthFor(const PasswordPolicy& policy) const {
  return std::clamp<std::size_t>(policy.min_length, config_.password_length, kMaxPasswordLength);
}

Result<SecureBytes> Saga::MakePassword(const PasswordPolicy& policy) {
  return GeneratePassword(LengthFor(policy), ports_.random);
}

Result<void> Saga::CheckAgainstPolicy(const SecureBytes& password, const AccountId& account,
                                      const PasswordPolicy& policy, ChangeRecord* draft) {
  if (Utf16Length(password) < policy.min_length) {
    return Fail(ErrorCode::kPolicyRefused,
                "The password is too short: " + policy.source + " asks for at least " +
                    std::to_string(policy.min_length) + " characters. Nothing was changed.");
  }
  // A directory that holds resets to its own history needs no second one here.
  if (config_.history == 0 || policy.history_checked) return {};
  const auto former =
      ports_.store.TypedHistory(account, std::max<std::size_t>(config_.history, policy.history));
  if (!former) return tl::unexpected(former.error());
  if (former->empty()) {
    std::array<std::uint8_t, kSlowHashSaltSize> salt{};
    if (!ports_.random.Fill(salt)) {
      return Fail(ErrorCode::kInternal, "The system gave no random numbers.");
    }
    draft->history_salt = ToHex(salt);
  } else {
    draft->history_salt = former->front().change.history_salt;
  }
  auto hash = SlowHash(password, draft->history_salt, kHistoryCost);
  if (!hash) return tl::unexpected(hash.error());
  for (const ChangeRow& row : *former) {
    if (row.change.history_salt == draft->history_salt && row.change.history_hash == *hash) {
      return Fail(ErrorCode::kPolicyRefused,
                  "This password was used before. Choose another one; nothing was changed.");
    }
  }
  draft->history_hash = *std::move(hash);
  return {};
}

Result<ChangeStore::Begun> Saga::Begin(const Actor& actor, ChangeRecord draft,
                                       std::vector<KeyRecord> keys, const SecureBytes& password,
                                       const Precondition& only_if, std::vector<JobRecord> ahead) {
  constexpr int kTries = 5;
  ChangeStore::Begun begun;
  std::vector<DeviceId> behind;
  for (int i = 0; i < kTries; ++i) {
    if (keys.empty() || keys.front().state != KeyState::kActive) {
      if (begun.claim == ChangeStore::Claim::kKeyBehind) return begun;
      return Fail(ErrorCode::kConflict, "The employee's key is no longer active; look again.");
    }
    draft.device = keys.front().device;
    auto jobs = ahead.empty() ? SealSets(draft, keys, draft.job, password)
                              : Result<std::vector<JobRecord>>(std::exchange(ahead, {}));
    if (!jobs) return tl::unexpected(std::move(jobs.error()));
    KEYFERRY_FAILPOINT("server.change.sealed");
    // Intent, held jobs and attempt become durable together: between them the server does nothing
    // that anybody else could see, and the first byte to the directory leaves after this returns.
    ChangeRecord change = draft;
    change.state = ChangeState::kAttempt;
    change.created = change.attempted = jobs->front().created;
    auto claimed = ports_.store.BeginChange(
        change, *jobs,
        AuditOf(ports_.clock, actor, "password.attempt", draft.login, "ok", draft.reason), only_if);
    KEYFERRY_FAILPOINT("server.change.begun");
    if (!claimed || (claimed->claim != ChangeStore::Claim::kSeqTaken &&
                     claimed->claim != ChangeStore::Claim::kKeyBehind)) {
      return claimed;
    }
    begun = *std::move(claimed);
    if (!LeaveOut(begun.behind, behind)) return begun;
    auto fresh = FreshKeys(draft.account, behind);
    if (!fresh) return tl::unexpected(std::move(fresh.error()));
    keys = *std::move(fresh);
  }
  return begun;
}

Result<std::vector<JobRecord>> Saga::SealSets(const ChangeRecord& change,
                                              const std::vector<KeyRecord>& keys,
                                              const JobId& first, const SecureBytes& password) {
  std::vector<JobRecord> jobs;
  JobId id = first;
  for (const KeyRecord& key : keys) {
    auto job = SealPasswordJob(ports_, key, change, id, JobType::kSet, password);
    if (!job) return tl::unexpected(std::move(job.error()));
    jobs.push_back(*std::move(job));
    if (!ports_.random.Fill(id.bytes)) {
      return Fail(ErrorCode::kInternal, "The system gave no random numbers.");
    }
  }
  return jobs;
}

bool Saga::LeaveOut(const std::vector<ChangeStore::Behind>& behind,
                    std::vector<DeviceId>& without) {
  constexpr std::int64_t kAnswerMillis = 60'000;  // a key that takes longer is not about to answer
  for (const ChangeStore::Behind& key : behind) {
    const bool here = !ports_.presence.Sightings(key.device).empty();
    if (here && ports_.clock.UnixMillis() - key.handed < kAnswerMillis) return false;
    without.push_back(key.device);
  }
  return true;
}

Result<std::vector<KeyRecord>> Saga::FreshKeys(const AccountId& account,
                                               const std::vector<DeviceId>& without) {
  auto keys = ports_.store.KeysOf(account);
  if (!keys) return tl::unexpected(std::move(keys.error()));
  std::erase_if(*keys, [&](const KeyRecord& key) {
    return std::find(without.begin(), without.end(), key.device) != without.end();
  });
  return ChooseKeys(*std::move(keys), ports_.presence).keys;
}

Result<ChangeView> Saga::Answer(ChangeRow row, const Hash32& request_hash) {
  if (row.change.request_hash != request_hash) {
    return Fail(ErrorCode::kConflict,
                "This request was already used for something else; open the page anew.",
                kOtherRequestDetail);
  }
  {
    std::unique_lock lock(mutex_);
    ended_.wait(lock, [&] { return driven_.count(row.change.id) == 0; });
  }
  auto latest = ports_.store.FindChange(row.change.id);
  if (!latest) return tl::unexpected(std::move(latest.error()));
  return Outcome(*latest ? **latest : row);
}

Result<ChangeView> Saga::Outcome(const ChangeRow& row) {
  const bool waiting = row.change.mode == ChangeMode::kAtDelivery;
  switch (row.change.state) {
    case ChangeState::kFailed:
      return Fail(row.change.error_code, row.change.error);
    case ChangeState::kIntent:
    case ChangeState::kHeld:
      if (waiting) return View(row);
      [[fallthrough]];
    case ChangeState::kAttempt:
    case ChangeState::kUnknown:
      return Fail(ErrorCode::kOutcomeUnknown, kUnknownReason);
    default:
      return View(row);
  }
}

void Saga::Reconcile() {
  ForgetOldHeld();
  std::vector<std::pair<ChangeRow, bool>> late;
  {
    const std::lock_guard lock(mutex_);
    late.swap(late_);
  }
  for (const auto& [row, taken] : late) static_cast<void>(SettledMeanwhile(row, taken));
  const auto open = ports_.store.OpenChanges();
  if (!open) {
    Log(ports_, "reconcile", open.error());
    return;
  }
  if (open->damaged != 0) {
    Log(ports_, "reconcile",
        {ErrorCode::kInternal,
         std::to_string(open->damaged) +
             " open changes cannot be read: the database is damaged. The others go on.",
         {},
         0});
  }
  for (const ChangeRow& row : open->rows) {
    const bool waiting =
        row.change.mode == ChangeMode::kAtDelivery &&
        (row.change.state == ChangeState::kIntent || row.change.state == ChangeState::kHeld);
    if (waiting) {
      ProceedWith(row);
    } else {
      Settle(row, false);
    }
  }
  const auto at_sources = ports_.store.OpenSources();
  if (!at_sources) return Log(ports_, "reconcile", at_sources.error());
  for (const ChangeId& id : *at_sources) SettleSources(id, false);
  const auto holding = ports_.store.HoldingKeys();
  if (!holding) return Log(ports_, "reconcile", holding.error());
  for (const KeyRecord& key : *holding) DropHeld(key);
  const auto due = ports_.store.JobsToOffer(ports_.clock.UnixMillis());
  if (!due) return Log(ports_, "reconcile", due.error());
  for (const DeviceId& device : *due) {
    if (auto handed = HandOutReady(ports_, device); !handed) {
      Log(ports_, "hand out to " + device.Hex(), handed.error());
    }
  }
}

Result<std::vector<ChangeView>> Saga::History(const AccountId& account, std::size_t limit) {
  auto rows = ports_.store.History(account, limit);
  if (!rows) return tl::unexpected(std::move(rows.error()));
  return ViewsOf(*rows);
}

Result<ChangeView> Saga::Get(const ChangeId& id) {
  auto row = ports_.store.FindChange(id);
  if (!row) return tl::unexpected(std::move(row.error()));
  if (!*row) return Fail(ErrorCode::kNotFound, "There is no such change.");
  auto views = ViewsOf({**std::move(row)});
  if (!views) return tl::unexpected(std::move(views.error()));
  return std::move(views->front());
}

Result<void> Saga::AuditRefusal(const Actor& actor, const std::string& target, const Error& error) {
  return ports_.store.AppendAudit(AuditOf(ports_.clock, actor, "password.refused", target,
                                          OutcomeName(error.code), error.message));
}

std::unique_ptr<ChangeService> MakeChangeService(const CorePorts& ports, ChangeConfig config) {
  return std::make_unique<Saga>(ports, config);
}

}  // namespace keyferry::server

#include "server/core/rotation.h"

#include <algorithm>
#include <ctime>
#include <utility>

#include "server/core/audit_entry.h"
#include "server/core/dispatch.h"
#include "server/core/encoding.h"
#include "server/core/rotation_service.h"

namespace keyferry::server {
namespace {

constexpr std::int64_t kDaySeconds = 86400;
constexpr std::int64_t kTicksPerSecond = 10'000'000;        // of pwdLastSet in a second
constexpr std::int64_t kSecondsSince1601 = 11'644'473'600;  // 1601 to 1970, seconds
constexpr std::size_t kShown = 500;                         // members of a preview
constexpr std::size_t kMembers = 20'000;                    // of a run
constexpr std::size_t kStarted = 200;                       // changes of one run; the next goes on

constexpr const char* kTwoPeople = " Two people have to set the password; no policy does it.";

Result<void> CheckPolicy(const RotationPolicy& policy) {
  const auto bad = [](const char* what) { return Fail(ErrorCode::kInvalidArgument, what); };
  if (policy.name.empty() || policy.name.size() > 64 || !IsPrintableUtf8(policy.name)) {
    return bad("The policy's name must be text of 1 to 64 bytes.");
  }
  if (policy.group_dn.empty() || policy.group_dn.size() > 1024 ||
      !IsPrintableUtf8(policy.group_dn)) {
    return bad("The group must be a distinguished name of 1 to 1024 bytes.");
  }
  if (policy.max_age_days < 1 || policy.max_age_days > 3650) {
    return bad("The maximum age must be 1 to 3650 days.");
  }
  if (policy.window_from < 0 || policy.window_from > 1439 || policy.window_until < 1 ||
      policy.window_until > 1440) {
    return bad("The window must lie within one day.");
  }
  if (policy.notify_days.size() > 5 ||
      std::any_of(policy.notify_days.begin(), policy.notify_days.end(),
                  [](std::int64_t days) { return days < 1 || days > 90; })) {
    return bad("Mails can go out on at most five days, 1 to 90 days before.");
  }
  return {};
}

bool InWindow(const RotationPolicy& policy, std::int64_t now) {
  const std::time_t seconds = now;
  std::tm local{};
  localtime_r(&seconds, &local);
  const std::int64_t minute = local.tm_hour * 60 + local.tm_min;
  const std::int64_t from = policy.window_from, until = policy.window_until;
  return from < until ? minute >= from && minute < until : minute >= from || minute < until;
}

std::string DateOf(std::int64_t when) {
  const std::time_t seconds = when;
  std::tm local{};
  localtime_r(&seconds, &local);
  char text[16];
  return std::string(text, std::strftime(text, sizeof text, "%Y-%m-%d", &local));
}

// Whoever a policy's changes are made by. Nobody of the directory: the zero identifier is the
// server itself there.
Actor ActorOf(const RotationPolicy& policy) {
  Actor actor;
  actor.login = "policy " + policy.name;
  actor.roles = Role::kAdministrator;
  return actor;
}

class DefaultRotationService final : public RotationService {
 public:
  explicit DefaultRotationService(RotationPorts ports) : ports_(std::move(ports)) {}

  Result<std::vector<RotationPolicy>> List() override { return ports_.core.store.Policies(); }

  Result<RotationPolicy> Put(const Actor& actor, RotationPolicy policy) override {
    if (auto allowed = CheckRight(actor, Right::kPoliciesWrite); !allowed)
      return tl::unexpected(allowed.error());
    if (auto checked = CheckPolicy(policy); !checked) return tl::unexpected(checked.error());
    const auto known = Find(policy.id);
    if (!known) return tl::unexpected(known.error());
    const bool fresh = policy.id == PolicyId{};
    if (!fresh && !*known) return Fail(ErrorCode::kNotFound, "There is no such policy.");
    // A group that does not exist must be found now, not on the first night.
    if (auto group = ports_.groups.Members(policy.group_dn, 1); !group) {
      return tl::unexpected(std::move(group.error()));
    }
    if (fresh) {
      if (!ports_.core.random.Fill(policy.id.bytes)) {
        return Fail(ErrorCode::kInternal, "The system gave no random numbers.");
      }
      policy.created = ports_.core.clock.UnixMillis();
      policy.last_run = 0;
      policy.last_result.clear();
    } else {
      policy.created = (*known)->created;
      policy.last_run = (*known)->last_run;
      policy.last_result = (*known)->last_result;
    }
    std::sort(policy.notify_days.rbegin(), policy.notify_days.rend());
    const std::string detail = std::string(policy.enabled ? "on" : "off") + ", group " +
                               policy.group_dn + ", every " + std::to_string(policy.max_age_days) +
                               " days";
    auto stored = ports_.core.store.PutPolicy(
        policy, AuditOf(ports_.core.clock, actor, fresh ? "policy.create" : "policy.change",
                        policy.name, "ok", detail));
    if (!stored) return tl::unexpected(std::move(stored.error()));
    return policy;
  }

  Result<void> Remove(const Actor& actor, const PolicyId& id) override {
    if (auto allowed = CheckRight(actor, Right::kPoliciesWrite); !allowed) return allowed;
    const auto known = Find(id);
    if (!known) return tl::unexpected(known.error());
    if (!*known) return Fail(ErrorCode::kNotFound, "There is no such policy.");
    return ports_.core.store.RemovePolicy(
        id, AuditOf(ports_.core.clock, actor, "policy.remove", (*known)->name, "ok", ""));
  }

  Result<RotationPreview> Preview(const Actor& actor, const RotationPolicy& policy) override {
    if (auto allowed = CheckRight(actor, Right::kPoliciesRead); !allowed)
      return tl::unexpected(allowed.error());
    if (auto checked = CheckPolicy(policy); !checked) return tl::unexpected(checked.error());
    auto looked = Look(policy, kShown, true);
    PeopleService* const people = ports_.core.people;
    if (!looked || people == nullptr || people->ReachesAll(actor, Right::kPeopleRead))
      return looked;
    std::vector<AccountId> ids;
    for (const RotationCandidate& one : looked->members) ids.push_back(one.account);
    const auto theirs = people->Among(actor, Right::kPeopleRead, ids);
    if (!theirs) return tl::unexpected(theirs.error());
    std::erase_if(looked->members, [&](const RotationCandidate& one) {
      return std::find(theirs->begin(), theirs->end(), one.account) == theirs->end();
    });
    return looked;
  }

  void Tick() override {
    const auto policies = List();
    if (!policies) return Log(ports_.core, "rotation", policies.error());
    for (const RotationPolicy& policy : *policies) {
      if (policy.enabled) Run(policy);
    }
  }

 private:
  Result<void> CheckRight(const Actor& actor, Right right) const {
    if (May(actor.roles, right)) return {};
    return Fail(ErrorCode::kPermissionDenied, "You are not allowed to do this.");
  }

  Result<std::optional<RotationPolicy>> Find(const PolicyId& id) {
    const auto policies = List();
    if (!policies) return tl::unexpected(policies.error());
    for (const RotationPolicy& policy : *policies) {
      if (policy.id == id) return policy;
    }
    return std::nullopt;
  }

  // Everybody's password age; who is due is looked at more closely.
  Result<RotationPreview> Look(const RotationPolicy& policy, std::size_t limit, bool judge) {
    const auto group = ports_.groups.Members(policy.group_dn, limit);
    if (!group) return tl::unexpected(group.error());
    RotationPreview out;
    out.complete = group->complete;
    const std::int64_t now = ports_.core.clock.UnixSeconds();
    for (const GroupMember& member : group->members) {
      RotationCandidate candidate;
      candidate.account = member.person.id;
      candidate.login = member.person.login;
      candidate.display_name = member.person.display_name;
      candidate.mail = member.person.mail;
      if (member.password_last_set != 0) {
        candidate.password_set = member.password_last_set / kTicksPerSecond - kSecondsSince1601;
        candidate.due = candidate.password_set + policy.max_age_days * kDaySeconds;
      } else {
        candidate.due = now;  // never set, or to be changed at once
      }
      if (candidate.due <= now && judge) Judge(policy, candidate);
      out.members.push_back(std::move(candidate));
    }
    return out;
  }

  void Judge(const RotationPolicy& policy, RotationCandidate& candidate) {
    using Verdict = RotationCandidate::Verdict;
    candidate.verdict = Verdict::kSkipped;
    const auto open = ports_.core.store.OpenChangeOf(candidate.account);
    if (!open) {
      candidate.reason = open.error().message;
      return;
    }
    if (*open) {
      candidate.verdict = Verdict::kWaiting;
      return;
    }
    // Without a key the directory need not be asked, every few minutes, for everybody.
    const auto keys = ports_.core.store.KeysOf(candidate.account);
    if (keys && std::none_of(keys->begin(), keys->end(), [](const KeyRecord& key) {
          return key.state == KeyState::kActive || key.state == KeyState::kSuspended;
        })) {
      candidate.reason = "This employee has no active key; enrol one first.";
      return;
    }
    const auto check = ports_.changes.Check(ActorOf(policy), candidate.account);
    if (!check) {
      candidate.reason = check.error().message;
    } else if (!check->allowed) {
      candidate.reason = check->reason;
    } else if (!check->second_person.empty()) {
      candidate.reason = check->second_person + kTwoPeople;
    } else {
      candidate.verdict = Verdict::kDue;
      for (const SourceChoice& source : check->sources) {
        if (!source.preset || source.absent || source.refusal.empty()) continue;
        candidate.verdict = Verdict::kSkipped;
        candidate.reason = "Password source \"" + source.name + "\": " + source.refusal;
        break;
      }
    }
  }

  void Run(RotationPolicy policy) {
    const std::int64_t now = ports_.core.clock.UnixSeconds();
    const bool open = InWindow(policy, now);
    const auto looked = Look(policy, kMembers, open);
    if (!looked) return Log(ports_.core, "policy " + policy.name, looked.error());
    for (const RotationCandidate& candidate : looked->members) Notify(policy, candidate, now);
    if (!open) return;
    std::size_t started = 0, refused = 0, skipped = 0;
    for (const RotationCandidate& candidate : looked->members) {
      if (candidate.verdict == RotationCandidate::Verdict::kSkipped) ++skipped;
      if (candidate.verdict != RotationCandidate::Verdict::kDue || started == kStarted) continue;
      ++(Begin(policy, candidate, now) ? started : refused);
    }
    const std::string result = std::to_string(started) + " begun, " + std::to_string(refused) +
                               " refused, " + std::to_string(skipped) + " skipped.";
    if (started == 0 && refused == 0) return;
    policy.last_run = ports_.core.clock.UnixMillis();
    policy.last_result = result;
    const auto kept = ports_.core.store.PutPolicy(
        policy,
        AuditOf(ports_.core.clock, ActorOf(policy), "policy.run", policy.name, "ok", result));
    if (!kept) Log(ports_.core, "policy " + policy.name, kept.error());
  }

  bool Begin(const RotationPolicy& policy, const RotationCandidate& candidate, std::int64_t now) {
    ChangeRequest request;
    request.account = candidate.account;
    request.mode = ChangeMode::kAtDelivery;
    request.reason = "Automatic rotation by the policy " + policy.name + ".";
    // Once a day at most for a password, also when a run is repeated by another server.
    const Hash32 hash =
        Sha256(policy.id.Hex() + candidate.account.Hex() + std::to_string(candidate.password_set) +
               "/" + std::to_string(now / kDaySeconds));
    request.idempotency_key = "rotation-" + ToHex(hash).substr(0, 40);
    const auto begun = ports_.changes.Start(ActorOf(policy), std::move(request));
    if (!begun) Log(ports_.core, "policy " + policy.name + ", " + candidate.login, begun.error());
    return begun.has_value();
  }

  void Notify(const RotationPolicy& policy, const RotationCandidate& candidate, std::int64_t now) {
    if (!ports_.outbox.on() || candidate.due <= now || candidate.mail.empty()) return;
    const std::int64_t left = (candidate.due - now + kDaySeconds - 1) / kDaySeconds;
    std::int64_t due = 0;  // the latest of the days that have come
    for (const std::int64_t days : policy.notify_days) {
      if (left <= days && (due == 0 || days < due)) due = days;
    }
    if (due == 0) return;
    const std::string days = std::to_string(left), date = DateOf(candidate.due);
    const std::string name = Presentable(candidate.display_name, 128),
                      login = Presentable(candidate.login, 128);
    const MailValues values = {{"name", name}, {"login", login}, {"days", days}, {"date", date}};
    const SecureBytes body = FillBody(ports_.templates.password_expires, values);
    const auto queued = ports_.outbox.Queue(
        "expires/" + candidate.account.Hex() + "/" + std::to_string(candidate.password_set) + "/" +
            std::to_string(due),
        candidate.mail, FillSubject(ports_.templates.password_expires, values),
        std::string_view(reinterpret_cast<const char*>(body.data()), body.size()),
        ActorOf(policy).login);
    if (!queued) Log(ports_.core, "mail to " + candidate.login, queued.error());
  }

  RotationPorts ports_;
};

}  // namespace

std::unique_ptr<RotationService> MakeRotationService(RotationPorts ports) {
  return std::make_unique<DefaultRotationService>(std::move(ports));
}

}  // namespace keyferry::server

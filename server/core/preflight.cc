#include "server/core/preflight.h"

#include <algorithm>
#include <utility>

#include "protocol/limits.h"
#include "server/core/key_choice.h"

namespace keyferry::server {
namespace {

Clearance Refuse(Clearance clearance, ErrorCode code, std::string why) {
  clearance.code = code;
  clearance.refusal = std::move(why);
  return clearance;
}

std::string ProtectedReason(const AccountState& state) {
  std::string why = "This is a protected account";
  if (!state.protected_reason.empty()) why += " (" + state.protected_reason + ")";
  why += ".";
  return state.protected_advice.empty() ? why : why + " " + state.protected_advice;
}

constexpr std::int64_t kTicks = 10'000'000;              // of pwdLastSet in a second
constexpr std::int64_t kFileTimeEpoch = 11'644'473'600;  // 1601 to 1970, seconds

std::string Span(std::int64_t seconds) {
  const auto count = [](std::int64_t number, const char* unit) {
    return std::to_string(number) + " " + unit + (number == 1 ? "" : "s");
  };
  if (seconds >= 2 * 86400) return count(seconds / 86400, "day");
  if (seconds >= 2 * 3600) return count(seconds / 3600, "hour");
  return count(std::max<std::int64_t>(seconds / 60, 1), "minute");
}

}  // namespace

std::string TooYoung(const PersonDetail& person, std::int64_t now) {
  const std::int64_t set = person.state.password_last_set;
  if (set == 0 || person.policy.min_age == 0) return {};
  const std::int64_t age = now - (set / kTicks - kFileTimeEpoch);
  if (age < 0 || age >= person.policy.min_age) return {};
  return "This password was set " + Span(age) + " ago, and " + person.policy.source +
         " keeps a password for " + Span(person.policy.min_age);
}

AccountId AskerOf(const AccountId& actor, const AccountId& account) {
  return actor == account ? AccountId{} : actor;
}

Result<void> CheckState(const AccountState& state) {
  if (state.is_protected) return Fail(ErrorCode::kPermissionDenied, ProtectedReason(state));
  if (state.disabled) {
    return Fail(ErrorCode::kConflict, "This account is disabled; enable it first.");
  }
  if (state.account_expired) {
    return Fail(ErrorCode::kConflict, "This account has expired; extend it first.");
  }
  if (state.smartcard_required) {
    return Fail(ErrorCode::kConflict,
                "This account must log on with a smart card, so a password would be of no use.");
  }
  return {};
}

namespace {

// Whether the newest password reached the keys: where it did not, the next one must not wait for a
// day.
Result<bool> IsDelivered(const CorePorts& ports, const AccountId& account,
                         const std::vector<KeyRecord>& keys) {
  const auto history = ports.store.History(account, 1);
  if (!history) return tl::unexpected(history.error());
  if (history->empty()) return true;
  const ChangeState state = history->front().change.state;
  if (state == ChangeState::kConfirmed || state == ChangeState::kUnknown) return false;
  const auto newest = ports.store.NewestConfirmed(account);
  if (!newest) return tl::unexpected(newest.error());
  return !*newest || std::all_of(keys.begin(), keys.end(), [&](const KeyRecord& key) {
    return IsOutOfUse(key.state) || !key.alarm.empty() ||
           PasswordOn(key, *newest) == KeyPassword::kNewest;
  });
}

// What the store alone says of a change.
struct Local {
  Result<void> quiet;
  Result<bool> frozen;
  Result<std::vector<KeyRecord>> keys;
  KeyChoice choice;
};

Local AskStore(const CorePorts& ports, const AccountId& account) {
  Local local{
      CheckNoAlarm(ports.store), ports.store.IsFrozen(account), ports.store.KeysOf(account), {}};
  if (local.keys) local.choice = ChooseKeys(*local.keys, ports.presence);
  return local;
}

}  // namespace

Result<Clearance> Clear(const CorePorts& ports, const Actor& actor, const AccountId& account,
                        bool respect_min_age, Purpose purpose, const Ahead& ahead) {
  Clearance clearance;
  const bool own = actor.id == account;
  if (!own && !May(actor.roles, Right::kChangesWrite)) {
    return Refuse(std::move(clearance), ErrorCode::kPermissionDenied,
                  "You are not allowed to change other people's passwords.");
  }
  if (own && !May(actor.roles, Right::kOwnPassword)) {
    return Refuse(std::move(clearance), ErrorCode::kPermissionDenied,
                  "You cannot change your own password here; ask a colleague.");
  }
  std::optional<Local> local;
  if (purpose == Purpose::kChange) {
    auto candidate = ports.directory.Consider(account, AskerOf(actor.id, account), [&] {
      local = AskStore(ports, account);
      if (ahead && local->keys && local->choice.refusal.empty()) ahead(local->choice.keys);
    });
    if (!candidate) return tl::unexpected(std::move(candidate.error()));
    clearance.person = std::move(candidate->detail);
    clearance.target = std::move(candidate->target);
  } else {
    auto person = ports.directory.Get(account);
    if (!person) return tl::unexpected(std::move(person.error()));
    clearance.person = *std::move(person);
  }
  if (!local) local = AskStore(ports, account);
  const PersonDetail person = *clearance.person;
  const std::string& login = person.person.login;
  if (const auto good = CheckState(person.state); !good) {
    return Refuse(std::move(clearance), good.error().code, good.error().message);
  }
  if (Result<void>& quiet = local->quiet; !quiet) {
    if (quiet.error().code != ErrorCode::kConflict) return tl::unexpected(std::move(quiet.error()));
    return Refuse(std::move(clearance), ErrorCode::kConflict, std::move(quiet.error().message));
  }
  if (!local->frozen) return tl::unexpected(local->frozen.error());
  if (*local->frozen) return Refuse(std::move(clearance), ErrorCode::kConflict, kFrozenAccount);
  if (login.empty() || login.size() > protocol::kMaxLogin) {
    return Refuse(std::move(clearance), ErrorCode::kConflict,
                  "This account's login name does not fit on a key.");
  }
  if (!local->keys) return tl::unexpected(std::move(local->keys.error()));
  if (const std::string young = TooYoung(person, ports.clock.UnixSeconds()); !young.empty()) {
    if (person.policy.min_age_holds_resets) {
      return Refuse(std::move(clearance), ErrorCode::kPolicyRefused, young + kHeldByAge);
    }
    auto delivered = IsDelivered(ports, account, *local->keys);
    if (!delivered) return tl::unexpected(std::move(delivered.error()));
    if ((respect_min_age || own) && *delivered) {
      return Refuse(std::move(clearance), ErrorCode::kPolicyRefused,
                    young + "; wait, or ask an administrator of the domain.");
    }
    clearance.note = young + "; a new one can be set here all the same.";
  }
  KeyChoice& choice = local->choice;
  if (!choice.refusal.empty()) {
    return Refuse(std::move(clearance), ErrorCode::kConflict, std::move(choice.refusal));
  }
  if (!choice.note.empty()) clearance.note = std::move(choice.note);
  clearance.keys = std::move(choice.keys);
  return clearance;
}

}  // namespace keyferry::server

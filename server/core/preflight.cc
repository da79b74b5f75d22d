#include "server/core/preflight.h"

#include <utility>

#include "protocol/limits.h"

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

}  // namespace

Result<Clearance> Clear(const CorePorts& ports, const Actor& actor, const AccountId& account) {
  Clearance clearance;
  if (actor.role == Role::kNone) {
    return Refuse(std::move(clearance), ErrorCode::kPermissionDenied,
                  "You are not allowed to change other people's passwords.");
  }
  if (actor.id == account) {
    return Refuse(std::move(clearance), ErrorCode::kPermissionDenied,
                  "You cannot change your own password here; ask a colleague.");
  }
  auto person = ports.directory.Get(account);
  if (!person) return tl::unexpected(std::move(person.error()));
  const AccountState& state = person->state;
  const std::string& login = person->person.login;
  clearance.person = *person;
  if (state.is_protected) {
    return Refuse(std::move(clearance), ErrorCode::kPermissionDenied, ProtectedReason(state));
  }
  if (state.disabled) {
    return Refuse(std::move(clearance), ErrorCode::kConflict,
                  "This account is disabled; enable it first.");
  }
  if (state.account_expired) {
    return Refuse(std::move(clearance), ErrorCode::kConflict,
                  "This account has expired; extend it first.");
  }
  if (state.smartcard_required) {
    return Refuse(std::move(clearance), ErrorCode::kConflict,
                  "This account must log on with a smart card, so a password would be of no use.");
  }
  if (login.empty() || login.size() > protocol::kMaxLogin) {
    return Refuse(std::move(clearance), ErrorCode::kConflict,
                  "This account's login name does not fit on a key.");
  }
  auto keys = ports.store.KeysOf(account);
  if (!keys) return tl::unexpected(std::move(keys.error()));
  for (const KeyRecord& key : *keys) {
    if (key.state == KeyState::kActive && key.alarm.empty()) {
      clearance.key = key;
      return clearance;
    }
  }
  for (const KeyRecord& key : *keys) {
    if (key.state == KeyState::kActive) {
      return Refuse(
          std::move(clearance), ErrorCode::kConflict,
          "This employee's key is under suspicion and gets no passwords; enrol another key. " +
              key.alarm);
    }
    if (key.state == KeyState::kSuspended) {
      return Refuse(std::move(clearance), ErrorCode::kConflict,
                    "This employee's key is suspended; activate it first.");
    }
  }
  return Refuse(std::move(clearance), ErrorCode::kConflict,
                "This employee has no active key, so nobody could deliver the password; enrol a "
                "key first.");
}

}  // namespace keyferry::server

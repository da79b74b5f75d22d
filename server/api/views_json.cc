#include "server/api/views_json.h"

#include "server/api/policy_api.h"

namespace keyferry::server {

namespace json = boost::json;

const char* EnrolmentName(EnrolmentState state) {
  switch (state) {
    case EnrolmentState::kWaiting:
      return "waiting";
    case EnrolmentState::kGranted:
      return "granted";
    case EnrolmentState::kDone:
      return "done";
    case EnrolmentState::kFailed:
      return "failed";
  }
  return "failed";
}

json::object ToJson(const Person& person) {
  return {{"id", person.id.Hex()},
          {"login", person.login},
          {"upn", person.upn},
          {"display_name", person.display_name},
          {"mail", person.mail},
          {"phone", person.phone},
          {"title", person.title},
          {"department", person.department},
          {"employee_id", person.employee_id}};
}

json::object ToJson(const PersonDetail& detail) {
  json::object out = ToJson(detail.person);
  const AccountState& state = detail.state;
  out["state"] = {{"disabled", state.disabled},
                  {"locked", state.locked},
                  {"password_expired", state.password_expired},
                  {"must_change", state.must_change},
                  {"password_never_expires", state.password_never_expires},
                  {"account_expired", state.account_expired},
                  {"smartcard_required", state.smartcard_required},
                  {"protected", state.is_protected},
                  {"protected_reason", state.protected_reason},
                  {"protected_advice", state.protected_advice}};
  return out;
}

json::object ToJson(const SourceChoice& source) {
  return {{"name", source.name},
          {"kind", source.kind},
          {"match", Name(source.match)},
          {"default", source.preset}};
}

json::object ToJson(const SourceView& source) {
  return {{"name", source.name},          {"login", source.login},
          {"state", Name(source.state)},  {"error", source.error},
          {"server", source.server},      {"attempted", source.attempted},
          {"confirmed", source.confirmed}};
}

json::object ToJson(const KeyDelivery& key) {
  return {{"device", key.device.Hex()},
          {"in_use", key.in_use},
          {"job", key.job.Hex()},
          {"seq", key.seq},
          {"job_state", Name(key.state)},
          {"last_error", key.last_error},
          {"attempts", key.attempts},
          {"next_try", key.next_try},
          {"queued", key.queued},
          {"spooled", key.spooled},
          {"workstation", key.workstation},
          {"delivered", key.delivered},
          {"receipt_ctr", key.receipt_ctr},
          {"receipt_hash", key.receipt_hash},
          {"used", key.used}};
}

json::object ToJson(const ChangeView& change) {
  json::array sources;
  for (const SourceView& source : change.sources) sources.push_back(ToJson(source));
  json::array keys;
  for (const KeyDelivery& key : change.keys) keys.push_back(ToJson(key));
  return {{"id", change.id.Hex()},
          {"account", change.account.Hex()},
          {"login", change.login},
          {"mode", Name(change.mode)},
          {"state", Name(change.state)},
          {"error", change.error},
          {"incident", change.incident},
          {"actor", change.actor_login},
          {"reason", change.reason},
          {"generated", change.generated},
          {"must_change", change.must_change},
          {"created", change.created},
          {"ad_set", change.ad_set},
          {"server", change.server},
          {"prepared", change.prepared},
          {"expires", change.expires},
          {"device", change.device.Hex()},
          {"job", change.job.Hex()},
          {"seq", change.seq},
          {"job_state", Name(change.job_state)},
          {"last_error", change.last_error},
          {"attempts", change.attempts},
          {"next_try", change.next_try},
          {"queued", change.queued},
          {"spooled", change.spooled},
          {"workstation", change.workstation},
          {"delivered", change.delivered},
          {"receipt_ctr", change.receipt_ctr},
          {"receipt_hash", change.receipt_hash},
          {"used", change.used},
          {"sources", std::move(sources)},
          {"keys", std::move(keys)}};
}

json::object ToJson(const KeyView& key) {
  return {{"device", key.device.Hex()},
          {"state", Name(key.state)},
          {"account", key.account.Hex()},
          {"login", key.login},
          {"display_name", key.display_name},
          {"simulator", key.simulator},
          {"firmware", key.firmware},
          {"pin_set", key.pin_set},
          {"last_seq", key.last_seq},
          {"receipt_ctr", key.receipt_ctr},
          {"enrolled", key.enrolled},
          {"last_seen", key.last_seen},
          {"seen_at", key.seen_at},
          {"alarm", key.alarm},
          {"state_reason", key.state_reason},
          {"wiped", key.wiped},
          {"locked", key.locked},
          {"password", key.password ? Name(*key.password) : ""},
          {"note", key.note},
          {"enrolment", key.enrolment.Hex()}};
}

json::object ToJson(const NewKeyView& key) {
  return {{"device", key.device.Hex()},
          {"workstation", key.workstation.Hex()},
          {"workstation_name", key.workstation_name},
          {"transport", key.transport},
          {"simulator", key.simulator}};
}

json::object ToJson(const EnrolmentView& enrolment) {
  return {{"id", enrolment.id.Hex()},
          {"device", enrolment.device.Hex()},
          {"account", enrolment.account.Hex()},
          {"state", EnrolmentName(enrolment.state)},
          {"error", enrolment.error},
          {"replace", enrolment.replaces ? enrolment.replaces->Hex() : std::string()}};
}

json::object ToJson(const WorkstationView& workstation) {
  return {{"id", workstation.id.Hex()},
          {"name", workstation.name},
          {"os", workstation.os},
          {"version", workstation.version},
          {"fingerprint", workstation.fingerprint},
          {"state", Name(workstation.state)},
          {"address", workstation.address},
          {"created", workstation.created},
          {"last_seen", workstation.last_seen},
          {"connected", workstation.connected},
          {"keys_seen", workstation.keys_seen},
          {"domain", workstation.domain},
          {"computer", workstation.computer},
          {"by_computer", workstation.by_computer},
          {"login_certified", workstation.login_certified},
          {"login_requested", workstation.login_requested}};
}

json::object ToJson(const WorkstationMatch& match) {
  json::object out = ToJson(match.workstation);
  out["computer_dn"] = match.computer_dn;
  out["why_not"] = match.why_not;
  return out;
}

json::object ToJson(const TokenView& token) {
  json::array scopes;
  for (const std::string& scope : token.scopes) scopes.push_back(json::string(scope));
  return {{"id", token.id.Hex()},         {"name", token.name},
          {"scopes", std::move(scopes)},  {"creator", token.creator},
          {"created", token.created},     {"expires", token.expires},
          {"last_used", token.last_used}, {"last_address", token.last_address},
          {"revoked", token.revoked},     {"revoked_by", token.revoked_by}};
}

json::object ToJson(const AlarmView& view) {
  const AlarmRecord& alarm = view.alarm;
  return {{"state", alarm.stands() ? "on" : "off"},
          {"number", alarm.number},
          {"version", alarm.version},
          {"raised", alarm.raised},
          {"raised_by", alarm.raised_login},
          {"reason", alarm.reason},
          {"agreed", view.agreed ? alarm.agreed : 0},
          {"agreed_by", view.agreed ? alarm.agreed_login : std::string()},
          {"ended", alarm.ended},
          {"ended_by", alarm.ended_login}};
}

json::object ToJson(const RotationPolicy& policy) {
  json::array days;
  for (const std::int64_t day : policy.notify_days) days.push_back(day);
  return {{"id", policy.id.Hex()},
          {"name", policy.name},
          {"group_dn", policy.group_dn},
          {"max_age_days", policy.max_age_days},
          {"window_from", DayTime(policy.window_from)},
          {"window_until", DayTime(policy.window_until)},
          {"notify_days", std::move(days)},
          {"enabled", policy.enabled},
          {"created", policy.created},
          {"last_run", policy.last_run},
          {"last_result", policy.last_result}};
}

json::object ToJson(const RotationCandidate& member) {
  return {{"account", member.account.Hex()},
          {"login", member.login},
          {"display_name", member.display_name},
          {"password_set", member.password_set * 1000},
          {"due", member.due * 1000},
          {"verdict", Name(member.verdict)},
          {"reason", member.reason}};
}

json::object ToJson(const AuditView& row) {
  return {{"number", row.number}, {"time", row.time},       {"actor", row.actor},
          {"action", row.action}, {"target", row.target},   {"outcome", row.outcome},
          {"detail", row.detail}, {"address", row.address}, {"hash", row.hash}};
}

}  // namespace keyferry::server

#include "server/pages/models.h"

#include <ctime>
#include <utility>

namespace keyferry::server {
namespace {

std::tm Utc(std::int64_t millis) {
  const std::time_t seconds = static_cast<std::time_t>(millis / 1000);
  std::tm parts{};
  gmtime_r(&seconds, &parts);
  return parts;
}

// The first UTF-8 character of a word; nothing for what is not a letter.
std::string FirstCharacter(std::string_view word) {
  const auto lead = static_cast<unsigned char>(word.front());
  if (lead < 0x80) {
    if (lead >= 'a' && lead <= 'z') return std::string(1, static_cast<char>(lead - 'a' + 'A'));
    const bool shown = (lead >= 'A' && lead <= 'Z') || (lead >= '0' && lead <= '9');
    return shown ? std::string(1, word.front()) : std::string();
  }
  const std::size_t size = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
  return word.size() >= size ? std::string(word.substr(0, size)) : std::string();
}

bool IsDelivered(const ChangeView& change) {
  return change.job_state == JobState::kDelivered || change.job_state == JobState::kUsed;
}

// As Time, but only hours, minutes and seconds when it was on the same day as `begun`.
Data TimeOnDay(std::int64_t millis, std::int64_t begun) {
  constexpr std::int64_t kDay = 86400000;
  Data data = Time(millis);
  if (data.is_false() || millis / kDay != begun / kDay) return data;
  const std::tm parts = Utc(millis);
  char text[32];
  Put(data, "words", std::string(text, std::strftime(text, sizeof text, "%H:%M:%S UTC", &parts)));
  PutFlag(data, "short", true);
  return data;
}

// One stop of the road.
struct Stop {
  const char* step;
  const char* icon;
  const char* text;
  bool done;
  std::int64_t when;
  std::string note;
};

Data StopData(const Catalog& catalog, const Stop& stop, bool now, std::int64_t begun) {
  Data data;
  Put(data, "step", stop.step);
  Put(data, "done", stop.done ? "true" : "false");
  Put(data, "now", now ? "true" : "false");
  Put(data, "icon", stop.done ? "check" : stop.icon);
  Put(data, "text", catalog.Text(stop.text));
  Put(data, "spoken",
      catalog.Text(stop.done ? "employee.spoken_done"
                   : now     ? "employee.spoken_now"
                             : "employee.spoken_open"));
  data["when"] = TimeOnDay(stop.when, begun);
  PutMaybe(data, "note", stop.note);
  return data;
}

Data SourceBadge(const Catalog& catalog, SourceState state) {
  switch (state) {
    case SourceState::kPlanned:
      return Badge("info", "clock", catalog.Text("employee.source_state_planned"));
    case SourceState::kAttempt:
      return Badge("info", "clock", catalog.Text("employee.source_state_attempt"));
    case SourceState::kConfirmed:
      return Badge("ok", "check", catalog.Text("employee.source_state_confirmed"));
    case SourceState::kNotSet:
      return Badge("bad", "alert", catalog.Text("employee.source_state_not_set"));
    case SourceState::kUnknown:
      return Badge("warn", "clock", catalog.Text("employee.source_state_unknown"));
    case SourceState::kSuperseded:
      break;
  }
  return Badge("", "stack", catalog.Text("employee.source_state_superseded"));
}

Data SourceData(const Catalog& catalog, const SourceView& source, std::int64_t begun) {
  Data data;
  Put(data, "name", source.name);
  Put(data, "login", source.login);
  Put(data, "state", Name(source.state));
  data["badge"] = SourceBadge(catalog, source.state);
  data["when"] = TimeOnDay(source.confirmed, begun);
  PutMaybe(data, "error", source.error);
  return data;
}

Data Notice(std::string_view tone, std::string_view icon, const std::string& heading,
            const std::vector<std::string>& lines) {
  Data data;
  Put(data, "tone", tone);
  Put(data, "icon", icon);
  Put(data, "heading", heading);
  Data list = List();
  for (const std::string& line : lines) {
    if (line.empty()) continue;
    Data entry;
    Put(entry, "line", line);
    list << entry;
  }
  data["lines"] = std::move(list);
  return data;
}

void PutSeen(const Catalog& catalog, Data& data, const std::string& seen_at,
             std::int64_t last_seen) {
  data["last_seen"] = Data(false);
  if (!seen_at.empty()) {
    Put(data, "seen", catalog.Text("employee.seen_now", {seen_at}));
  } else if (last_seen == 0) {
    Put(data, "seen", catalog.Text("employee.seen_never"));
  } else {
    Put(data, "seen", catalog.Text("employee.seen_last"));
    data["last_seen"] = Time(last_seen);
  }
}

std::string Where(const Catalog& catalog, const NewKeyView& key) {
  return catalog.Text("add_key.where",
                      {key.workstation_name, catalog.Text("add_key.transport_" + key.transport)});
}

}  // namespace

Data Badge(std::string_view tone, std::string_view icon, std::string_view text) {
  Data data;
  Put(data, "tone", tone);
  Put(data, "icon", icon);
  Put(data, "text", text);
  return data;
}

std::string TimeWords(std::int64_t millis) {
  const std::tm parts = Utc(millis);
  char text[64];
  return std::string(text, std::strftime(text, sizeof text, "%d %b %Y, %H:%M:%S UTC", &parts));
}

Data Time(std::int64_t millis) {
  if (millis <= 0) return Data(false);
  Data data;
  const std::tm parts = Utc(millis);
  char iso[64];
  const std::size_t size = std::strftime(iso, sizeof iso, "%Y-%m-%dT%H:%M:%S", &parts);
  const std::string fraction = std::to_string(1000 + millis % 1000).substr(1);
  Put(data, "iso", std::string(iso, size) + "." + fraction + "Z");
  Put(data, "words", TimeWords(millis));
  PutFlag(data, "short", false);
  return data;
}

std::string Initials(std::string_view display_name) {
  std::string first, last;
  std::string_view rest = display_name;
  while (!rest.empty()) {
    const std::size_t space = rest.find(' ');
    const std::string_view word = rest.substr(0, space);
    rest = space == std::string_view::npos ? std::string_view() : rest.substr(space + 1);
    if (word.empty()) continue;
    const std::string character = FirstCharacter(word);
    if (character.empty()) continue;
    (first.empty() ? first : last) = character;
  }
  return first + last;
}

std::string Tint(const AccountId& id) {
  unsigned sum = 0;
  for (const std::uint8_t byte : id.bytes) sum += byte;
  return std::to_string(sum % 6);
}

std::string ShortKey(const DeviceId& id) {
  const std::string hex = id.Hex();
  return hex.substr(0, 4) + "-" + hex.substr(4, 4);
}

std::string Grouped(std::string_view hex) {
  std::string out;
  for (std::size_t i = 0; i < hex.size(); ++i) {
    if (i != 0 && i % 4 == 0) out += ' ';
    out += hex[i];
  }
  return out;
}

bool IsWaiting(const ChangeView& change) {
  return change.mode == ChangeMode::kAtDelivery &&
         (change.state == ChangeState::kIntent || change.state == ChangeState::kHeld);
}

bool IsAhead(const ChangeView& change) {
  return change.state == ChangeState::kConfirmed &&
         (change.job_state == JobState::kHeld || change.job_state == JobState::kReady ||
          change.job_state == JobState::kSpooled);
}

Data ChangeBadge(const Catalog& catalog, const ChangeView& change) {
  if (IsWaiting(change)) {
    const bool prepared = change.prepared != 0;
    return change.state == ChangeState::kIntent
               ? Badge("info", "clock", catalog.Text("state.waiting_key"))
               : Badge("info", "key",
                       catalog.Text(prepared ? "state.prepared" : "state.preparing"));
  }
  switch (change.state) {
    case ChangeState::kIntent:
    case ChangeState::kHeld:
    case ChangeState::kAttempt:
      return Badge("info", "clock", catalog.Text("state.in_progress"));
    case ChangeState::kUnknown:
      return Badge("warn", "clock", catalog.Text("state.checking"));
    case ChangeState::kFailed:
      return Badge("bad", "alert", catalog.Text("state.failed"));
    case ChangeState::kSuperseded:
      return Badge("", "stack", catalog.Text("state.superseded"));
    case ChangeState::kConfirmed:
    case ChangeState::kDone:
      break;
  }
  switch (change.job_state) {
    case JobState::kDelivered:
      return Badge("ok", "check", catalog.Text("state.delivered"));
    case JobState::kUsed:
      return Badge("ok", "login", catalog.Text("state.used"));
    case JobState::kSpooled:
      return Badge("warn", "screen", catalog.Text("state.on_workstation"));
    case JobState::kSuperseded:
      return Badge("", "stack", catalog.Text("state.superseded"));
    case JobState::kRefused:
      return Badge("bad", "alert", catalog.Text("state.refused"));
    case JobState::kCancelled:
      return Badge("bad", "alert", catalog.Text("state.cancelled"));
    case JobState::kHeld:
    case JobState::kReady:
      break;
  }
  return Badge("warn", "clock", catalog.Text("state.waiting"));
}

Data ChangeData(const Catalog& catalog, const ChangeView& change) {
  Data data;
  data["badge"] = ChangeBadge(catalog, change);
  Put(data, "made",
      catalog.Text(change.generated ? "employee.made_generated" : "employee.made_typed",
                   {change.actor_login}));
  data["created"] = Time(change.created);
  PutMaybe(data, "reason",
           change.reason.empty() ? std::string()
                                 : catalog.Text("employee.reason_line", {change.reason}));
  const bool delivered = IsDelivered(change);
  const bool spooled = change.spooled != 0 || delivered;
  const bool used = change.job_state == JobState::kUsed;
  const bool set = change.ad_set != 0;
  const bool queued = change.queued != 0 || (set && spooled);
  const std::string at = change.workstation.empty()
                             ? std::string()
                             : catalog.Text("employee.step_by", {change.workstation});
  const bool waiting = IsWaiting(change);
  std::vector<Stop> stops;
  if (change.mode == ChangeMode::kAtDelivery) {
    stops.push_back({"prepared", "key", "employee.step_prepared", change.prepared != 0,
                     change.prepared,
                     change.state == ChangeState::kIntent ? catalog.Text("employee.step_waits_key")
                                                          : std::string()});
  }
  stops.push_back({"ad", "server", "employee.step_ad", set, change.ad_set,
                   waiting ? catalog.Text("employee.step_ad_waits") : std::string()});
  // Until the directory has it, what is queued and spooled is the preparation.
  stops.push_back(
      {"queued",
       "stack",
       change.mode == ChangeMode::kAtDelivery ? "employee.step_committed" : "employee.step_queued",
       set && queued,
       set ? change.queued : 0,
       {}});
  stops.push_back({"workstation", "screen", "employee.step_workstation", set && spooled,
                   set ? change.spooled : 0, set && spooled ? at : std::string()});
  stops.push_back(
      {"delivered", "key", "employee.step_delivered", delivered, change.delivered,
       set && queued && !delivered ? catalog.Text("employee.step_waits_key") : std::string()});
  stops.push_back({"used", "login", "employee.step_used", used, change.used, {}});
  const bool open =
      change.state != ChangeState::kFailed && change.state != ChangeState::kSuperseded &&
      change.job_state != JobState::kRefused && change.job_state != JobState::kCancelled;
  Data steps = List();
  bool now_given = !open;
  for (const Stop& stop : stops) {
    const bool now = !stop.done && !now_given && std::string_view(stop.step) != "used";
    now_given = now_given || now;
    steps << StopData(catalog, stop, now, change.created);
  }
  data["steps"] = std::move(steps);
  Data sources = List();
  for (const SourceView& source : change.sources) {
    sources << SourceData(catalog, source, change.created);
  }
  PutFlag(data, "sources_any", !change.sources.empty());
  data["sources"] = std::move(sources);
  data["receipt"] = Data(false);
  if (delivered) {
    Data receipt;
    receipt["delivered"] = Time(change.delivered);
    Put(receipt, "device", Grouped(change.device.Hex()));
    Put(receipt, "seq", std::to_string(change.seq));
    Put(receipt, "counter", std::to_string(change.receipt_ctr));
    Put(receipt, "hash", Grouped(change.receipt_hash));
    data["receipt"] = std::move(receipt);
  }
  return data;
}

Data Notices(const Catalog& catalog, const ChangeView* newest, const std::vector<KeyView>& keys) {
  Data notices = List();
  for (const KeyView& key : keys) {
    if (key.alarm.empty()) continue;
    notices << Notice("bad", "alert", catalog.Text("employee.alarm"), {key.alarm});
  }
  if (newest == nullptr) return notices;
  if (newest->incident) {
    notices << Notice("bad", "alert", catalog.Text("employee.incident"),
                      {catalog.Text("employee.incident_what")});
  }
  if (IsWaiting(*newest)) {
    const auto [text, what] =
        newest->state == ChangeState::kIntent ? std::pair{"employee.waits", "employee.waits_what"}
        : newest->prepared != 0 ? std::pair{"employee.prepared", "employee.prepared_what"}
                                : std::pair{"employee.preparing", "employee.preparing_what"};
    notices << Notice("info", "clock", catalog.Text(text),
                      {catalog.Text(what),
                       newest->state == ChangeState::kIntent && newest->expires != 0
                           ? catalog.Text("employee.waits_until", {TimeWords(newest->expires)})
                           : std::string(),
                       newest->last_error.empty()
                           ? std::string()
                           : catalog.Text("employee.ahead_problem", {newest->last_error})});
  } else if (newest->state == ChangeState::kUnknown || newest->state == ChangeState::kAttempt) {
    notices << Notice("warn", "clock", catalog.Text("employee.checking"),
                      {catalog.Text("employee.checking_what")});
  } else if (newest->state == ChangeState::kFailed) {
    notices << Notice("bad", "alert", catalog.Text("employee.failed"),
                      {newest->error, newest->incident ? std::string()
                                      : newest->mode == ChangeMode::kAtDelivery
                                          ? catalog.Text("employee.failed_both")
                                          : catalog.Text("employee.failed_what")});
  } else if (IsAhead(*newest)) {
    std::string seen_at;
    for (const KeyView& key : keys) {
      if (key.device == newest->device) seen_at = key.seen_at;
    }
    notices << Notice("warn", "clock", catalog.Text("employee.ahead"),
                      {catalog.Text("employee.ahead_what", {TimeWords(newest->ad_set)}),
                       seen_at.empty() ? catalog.Text("employee.ahead_away")
                                       : catalog.Text("employee.ahead_here", {seen_at}),
                       newest->last_error.empty()
                           ? std::string()
                           : catalog.Text("employee.ahead_problem", {newest->last_error})});
  } else if (newest->ad_set != 0 && (newest->job_state == JobState::kRefused ||
                                     newest->job_state == JobState::kCancelled)) {
    notices << Notice("bad", "alert", catalog.Text("employee.refused"),
                      {newest->last_error, catalog.Text("employee.refused_what")});
  }
  // What the first source refused is said above; here only what became different between them.
  const bool first_has_it = newest->ad_set != 0;
  for (const SourceView& source : newest->sources) {
    const bool not_set = source.state == SourceState::kNotSet;
    if (!first_has_it || (!not_set && source.state != SourceState::kUnknown)) continue;
    notices << Notice(not_set ? "bad" : "warn", not_set ? "alert" : "clock",
                      catalog.Text(not_set ? "employee.source_not_set" : "employee.source_unknown",
                                   {source.name}),
                      {source.error});
  }
  return notices;
}

Data HistoryRow(const Catalog& catalog, const ChangeView& change) {
  Data data;
  data["created"] = Time(change.created);
  Put(data, "actor", change.actor_login);
  Put(data, "how", catalog.Text(change.generated ? "employee.generated" : "employee.typed"));
  Put(data, "reason_text", change.reason.empty() ? "–" : change.reason);
  data["badge"] = ChangeBadge(catalog, change);
  Data sources = List();
  for (const SourceView& source : change.sources) {
    Data row;
    Put(row, "line",
        source.name + ": " + SourceBadge(catalog, source.state)["text"].string_value());
    sources << row;
  }
  data["sources"] = std::move(sources);
  return data;
}

Data KeyBadge(const Catalog& catalog, const KeyView& key) {
  if (!key.alarm.empty()) return Badge("bad", "alert", catalog.Text("employees.key_alarm"));
  switch (key.state) {
    case KeyState::kReserved:
      return Badge("info", "clock", catalog.Text("employees.key_reserved"));
    case KeyState::kSuspended:
      return Badge("warn", "lock", catalog.Text("employees.key_suspended"));
    case KeyState::kCompromised:
      return Badge("bad", "alert", catalog.Text("employees.key_compromised"));
    case KeyState::kDeactivated:
      return Badge("bad", "lock", catalog.Text("employees.key_deactivated"));
    case KeyState::kRevoked:
      return Badge("bad", "lock", catalog.Text("employees.key_revoked"));
    case KeyState::kActive:
      break;
  }
  if (key.locked) return Badge("warn", "lock", catalog.Text("employees.key_locked"));
  return key.seen_at.empty() ? Badge("ok", "key", catalog.Text("employees.key_active"))
                             : Badge("ok", "key", catalog.Text("employees.key_here"));
}

void PutKey(const Catalog& catalog, Data& data, const KeyView& key) {
  Put(data, "id", key.device.Hex());
  Put(data, "device", Grouped(key.device.Hex()));
  Put(data, "short", ShortKey(key.device));
  Put(data, "account", key.account.Hex());
  Put(data, "login", key.login);
  Put(data, "display_name", key.display_name.empty() ? key.login : key.display_name);
  Put(data, "initials", Initials(key.display_name));
  Put(data, "tint", Tint(key.account));
  Put(data, "pin", catalog.Text(key.pin_set ? "employee.pin_set" : "employee.pin_missing"));
  Put(data, "last_seq", std::to_string(key.last_seq));
  PutMaybe(data, "alarm", key.alarm);
  PutMaybe(data, "state_reason", key.state_reason);
  PutFlag(data, "simulator", key.simulator);
  PutSeen(catalog, data, key.seen_at, key.last_seen);
  data["badge"] = KeyBadge(catalog, key);
}

Data KeyData(const Catalog& catalog, const KeyView& key) {
  Data data;
  PutKey(catalog, data, key);
  return data;
}

Data NewKeyData(const Catalog& catalog, const NewKeyView& key) {
  Data data;
  Put(data, "device", key.device.Hex());
  Put(data, "workstation", key.workstation.Hex());
  Put(data, "short", ShortKey(key.device));
  Put(data, "where", Where(catalog, key));
  PutFlag(data, "simulator", key.simulator);
  return data;
}

Data AccountBadges(const Catalog& catalog, const AccountState& state) {
  Data badges = List();
  const auto add = [&](bool set, const char* tone, const char* icon, const char* text) {
    if (set) badges << Badge(tone, icon, catalog.Text(text));
  };
  add(state.is_protected, "info", "shield", "employee.protected");
  add(state.disabled, "bad", "lock", "employee.disabled");
  add(state.account_expired, "bad", "clock", "employee.account_expired");
  add(state.locked, "warn", "lock", "employee.locked");
  add(state.password_expired, "warn", "clock", "employee.password_expired");
  add(state.must_change, "warn", "clock", "employee.must_change");
  add(state.password_never_expires, "", "info", "employee.never_expires");
  add(state.smartcard_required, "info", "info", "employee.smartcard");
  if (!state.disabled && !state.account_expired && !state.locked && !state.password_expired &&
      !state.must_change) {
    badges << Badge("ok", "check", catalog.Text("employee.account_ok"));
  }
  return badges;
}

Data PersonRow(const Person& person) {
  Data data;
  Put(data, "id", person.id.Hex());
  Put(data, "display_name", person.display_name.empty() ? person.login : person.display_name);
  Put(data, "login", person.login);
  PutMaybe(data, "job_title", person.title);
  PutMaybe(data, "department", person.department);
  Put(data, "initials", Initials(person.display_name));
  Put(data, "tint", Tint(person.id));
  return data;
}

Data ContactData(const Catalog& catalog, const Person& person) {
  Data list = List();
  const auto add = [&](const char* label, const std::string& value) {
    if (value.empty()) return;
    Data entry;
    Put(entry, "label", catalog.Text(label));
    Put(entry, "value", value);
    list << entry;
  };
  add("employee.upn", person.upn.empty() ? person.login : person.upn);
  add("employee.department", person.department);
  add("employee.mail", person.mail);
  add("employee.phone", person.phone);
  add("employee.employee_id", person.employee_id);
  return list;
}

Data WorkstationData(const Catalog& catalog, const WorkstationView& workstation) {
  Data data;
  Put(data, "id", workstation.id.Hex());
  Put(data, "name", workstation.name);
  Put(data, "system",
      catalog.Text("workstations.system",
                   {workstation.os, workstation.version, workstation.address}));
  PutMaybe(data, "computer",
           workstation.computer.empty()
               ? std::string()
               : catalog.Text("workstations.computer", {workstation.computer, workstation.domain}));
  Put(data, "fingerprint", workstation.fingerprint);
  PutFlag(data, "pending", workstation.state == WorkstationState::kPending);
  PutFlag(data, "login_requested", workstation.login_requested);
  PutFlag(data, "revocable", workstation.state != WorkstationState::kRevoked);
  switch (workstation.state) {
    case WorkstationState::kPending:
      data["badge"] = Badge("warn", "clock", catalog.Text("workstations.pending"));
      break;
    case WorkstationState::kApproved:
      data["badge"] = workstation.connected
                          ? Badge("ok", "check", catalog.Text("workstations.connected"))
                          : Badge("", "screen", catalog.Text("workstations.approved"));
      break;
    case WorkstationState::kRevoked:
      data["badge"] = Badge("bad", "lock", catalog.Text("workstations.revoked"));
      break;
  }
  data["last_seen"] = Data(false);
  if (workstation.connected) {
    Put(data, "seen",
        catalog.Text("workstations.keys_seen", {std::to_string(workstation.keys_seen)}));
  } else if (workstation.last_seen == 0) {
    Put(data, "seen", catalog.Text("employee.seen_never"));
  } else {
    Put(data, "seen", "");
    data["last_seen"] = Time(workstation.last_seen);
  }
  return data;
}

Data AuditData(const AuditView& row) {
  Data data;
  data["time"] = Time(row.time);
  Put(data, "number", std::to_string(row.number));
  Put(data, "actor", row.actor);
  Put(data, "action", row.action);
  Put(data, "target", row.target);
  Put(data, "outcome", row.outcome);
  Put(data, "tone", row.outcome == "ok" ? "ok" : "warn");
  PutMaybe(data, "detail", row.detail);
  PutMaybe(data, "address", row.address);
  Put(data, "hash", row.hash.substr(0, 12));
  return data;
}

}  // namespace keyferry::server

// Changes of passwords and their way to each key → what templates show.
#include <algorithm>
#include <utility>

#include "server/pages/models.h"

namespace keyferry::server {
namespace {

// What each key gets; of a change for which nothing is sealed yet, the one that it waits for.
std::vector<KeyDelivery> Deliveries(const ChangeView& change) {
  if (!change.keys.empty()) return change.keys;
  KeyDelivery lead;
  lead.device = change.device;
  lead.job = change.job;
  lead.seq = change.seq;
  lead.state = change.job_state;
  lead.last_error = change.last_error;
  lead.queued = change.queued;
  lead.spooled = change.spooled;
  lead.workstation = change.workstation;
  lead.delivered = change.delivered;
  lead.receipt_ctr = change.receipt_ctr;
  lead.receipt_hash = change.receipt_hash;
  lead.used = change.used;
  return {lead};
}

bool IsUnderWay(const KeyDelivery& key) {
  return key.in_use && (key.state == JobState::kHeld || key.state == JobState::kReady ||
                        key.state == JobState::kSpooled);
}

bool IsLost(const KeyDelivery& key) {
  return key.state == JobState::kRefused || key.state == JobState::kCancelled;
}

// How many keys have the password, of those that should: the ones in use, and who got it before it
// went out of use.
struct Count {
  std::size_t has = 0, of = 0;
};
Count CountKeys(const std::vector<KeyDelivery>& keys) {
  Count count;
  for (const KeyDelivery& key : keys) {
    if (key.has()) ++count.has;
    if (key.has() || key.in_use) ++count.of;
  }
  return count;
}

Data JobBadge(const Catalog& catalog, JobState state) {
  switch (state) {
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
  PutMaybe(data, "error", catalog.Say(source.error));
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

}  // namespace

bool IsWaiting(const ChangeView& change) {
  return change.mode == ChangeMode::kAtDelivery &&
         (change.state == ChangeState::kIntent || change.state == ChangeState::kHeld);
}

bool IsAhead(const ChangeView& change) {
  const std::vector<KeyDelivery> keys = Deliveries(change);
  return change.state == ChangeState::kConfirmed &&
         std::any_of(keys.begin(), keys.end(), IsUnderWay);
}

std::optional<Data> UnconfirmedBadge(const Catalog& catalog, ChangeState state, ChangeMode mode) {
  switch (state) {
    case ChangeState::kIntent:
      if (mode == ChangeMode::kAtDelivery) {
        return Badge("info", "clock", catalog.Text("state.waiting_key"));
      }
      return Badge("info", "clock", catalog.Text("state.in_progress"));
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
  return std::nullopt;
}

namespace {

bool IsGivenUp(const ChangeView& change) {
  return change.state == ChangeState::kFailed || change.state == ChangeState::kSuperseded;
}

}  // namespace

Data ChangeBadge(const Catalog& catalog, const ChangeView& change) {
  if (IsWaiting(change) && change.state != ChangeState::kIntent) {
    return Badge("info", "key",
                 catalog.Text(change.prepared != 0 ? "state.prepared" : "state.preparing"));
  }
  if (change.incident && IsGivenUp(change)) {
    return Badge("bad", "alert", catalog.Text("state.password_unknown"));
  }
  if (auto badge = UnconfirmedBadge(catalog, change.state, change.mode)) return *std::move(badge);
  const Count count = CountKeys(change.keys);
  if (count.of < 2) {
    const auto only = std::find_if(change.keys.begin(), change.keys.end(),
                                   [](const auto& key) { return key.has() || key.in_use; });
    return JobBadge(catalog, only == change.keys.end() ? change.job_state : only->state);
  }
  const std::string words =
      catalog.Text("state.on_keys", {std::to_string(count.has), std::to_string(count.of)});
  if (count.has == count.of) return Badge("ok", "check", words);
  const bool lost = std::any_of(change.keys.begin(), change.keys.end(),
                                [](const auto& key) { return key.in_use && IsLost(key); });
  return lost ? Badge("bad", "alert", words) : Badge("warn", "clock", words);
}

namespace {

// The way of the password to one key, and its receipt. `named`: it is one of several.
Data RoadData(const Catalog& catalog, const ChangeView& change, const KeyDelivery& key,
              bool named) {
  Data data;
  data["named"] = Data(false);
  if (named) {
    Data name;
    Put(name, "short", ShortKey(key.device));
    name["badge"] = JobBadge(catalog, key.state);
    PutMaybe(name, "problem", key.has() ? std::string() : catalog.Say(key.last_error));
    data["named"] = std::move(name);
  }
  const bool leads = key.device == change.device;
  const bool delivered = key.has();
  const bool spooled = key.spooled != 0 || delivered;
  const bool used = key.state == JobState::kUsed;
  const bool set = change.ad_set != 0;
  const bool queued = key.queued != 0 || (set && spooled);
  const std::string at =
      key.workstation.empty() ? std::string() : catalog.Text("employee.step_by", {key.workstation});
  const bool waiting = IsWaiting(change);
  std::vector<Stop> stops;
  if (change.mode == ChangeMode::kAtDelivery && leads) {
    stops.push_back({"prepared", "key", "employee.step_prepared", change.prepared != 0,
                     change.prepared,
                     change.state == ChangeState::kIntent ? catalog.Text("employee.step_waits_key")
                                                          : std::string()});
  }
  stops.push_back({"ad", "server", "employee.step_ad", set, change.ad_set,
                   waiting ? catalog.Text("employee.step_ad_waits") : std::string()});
  // Until the directory has it, what is queued and spooled is the preparation.
  stops.push_back({"queued",
                   "stack",
                   change.mode == ChangeMode::kAtDelivery && leads ? "employee.step_committed"
                                                                   : "employee.step_queued",
                   set && queued,
                   set ? key.queued : 0,
                   {}});
  stops.push_back({"workstation", "screen", "employee.step_workstation", set && spooled,
                   set ? key.spooled : 0, set && spooled ? at : std::string()});
  stops.push_back(
      {"delivered", "key", "employee.step_delivered", delivered, key.delivered,
       set && queued && IsUnderWay(key) ? catalog.Text("employee.step_waits_key") : std::string()});
  stops.push_back({"used", "login", "employee.step_used", used, key.used, {}});
  const bool open = change.state != ChangeState::kFailed &&
                    change.state != ChangeState::kSuperseded && !IsLost(key);
  Data steps = List();
  bool now_given = !open;
  for (const Stop& stop : stops) {
    const bool now = !stop.done && !now_given && std::string_view(stop.step) != "used";
    now_given = now_given || now;
    steps << StopData(catalog, stop, now, change.created);
  }
  data["steps"] = std::move(steps);
  data["receipt"] = Data(false);
  if (delivered) {
    Data receipt;
    receipt["delivered"] = Time(key.delivered);
    Put(receipt, "device", Grouped(key.device.Hex()));
    Put(receipt, "seq", std::to_string(key.seq));
    Put(receipt, "counter", std::to_string(key.receipt_ctr));
    Put(receipt, "hash", Grouped(key.receipt_hash));
    data["receipt"] = std::move(receipt);
  }
  return data;
}

std::string SeenAt(const std::vector<KeyView>& keys, const DeviceId& device) {
  for (const KeyView& key : keys) {
    if (key.device == device) return key.seen_at;
  }
  return {};
}

// The directory has the password, and not every key does.
Data AheadNotice(const Catalog& catalog, const ChangeView& change,
                 const std::vector<KeyView>& keys) {
  const std::vector<KeyDelivery> deliveries = Deliveries(change);
  const Count count = CountKeys(deliveries);
  std::vector<std::string> lines;
  if (count.of < 2) {
    const auto only = std::find_if(deliveries.begin(), deliveries.end(), IsUnderWay);
    const std::string at = SeenAt(keys, only->device);
    lines = {catalog.Text("employee.ahead_what", {TimeWords(change.ad_set)}),
             at.empty() ? catalog.Text("employee.ahead_away")
                        : catalog.Text("employee.ahead_here", {at}),
             only->last_error.empty()
                 ? std::string()
                 : catalog.Text("employee.ahead_problem", {catalog.Say(only->last_error)})};
    return Notice("warn", "clock", catalog.Text("employee.ahead"), lines);
  }
  lines.push_back(catalog.Text("employee.ahead_keys_what", {TimeWords(change.ad_set)}));
  for (const KeyDelivery& key : deliveries) {
    if (!IsUnderWay(key)) continue;
    const std::string at = SeenAt(keys, key.device), name = ShortKey(key.device);
    lines.push_back(at.empty() ? catalog.Text("employee.ahead_key_away", {name})
                               : catalog.Text("employee.ahead_key_here", {name, at}));
    if (!key.last_error.empty()) {
      lines.push_back(
          catalog.Text("employee.ahead_key_problem", {name, catalog.Say(key.last_error)}));
    }
  }
  return Notice(
      "warn", "clock",
      catalog.Text("employee.ahead_keys", {std::to_string(count.has), std::to_string(count.of)}),
      lines);
}

// Keys that only a new password helps, because the newest one will not come to them.
void AddLeftOut(const Catalog& catalog, const ChangeView& change, const std::vector<KeyView>& keys,
                Data& notices) {
  std::vector<std::string> lines;
  for (const KeyView& key : keys) {
    if (!key.alarm.empty() || !key.password) continue;
    const std::string name = ShortKey(key.device);
    if (*key.password == KeyPassword::kNone) {
      lines.push_back(catalog.Text("employee.left_out_none", {name}));
    } else if (*key.password == KeyPassword::kMissing) {
      lines.push_back(catalog.Text("employee.left_out_missing", {name}));
    }
    for (const KeyDelivery& of : change.keys) {
      if (of.device == key.device && IsLost(of) && !of.last_error.empty() &&
          *key.password != KeyPassword::kNewest) {
        lines.push_back(catalog.Say(of.last_error));
      }
    }
  }
  if (lines.empty()) return;
  lines.push_back(catalog.Text("employee.left_out_next"));
  notices << Notice("warn", "key", catalog.Text("employee.left_out"), lines);
}

}  // namespace

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
  const std::vector<KeyDelivery> deliveries = Deliveries(change);
  Data roads = List();
  for (const KeyDelivery& key : deliveries) {
    roads << RoadData(catalog, change, key, deliveries.size() > 1);
  }
  data["roads"] = std::move(roads);
  Data sources = List();
  for (const SourceView& source : change.sources) {
    sources << SourceData(catalog, source, change.created);
  }
  PutFlag(data, "sources_any", !change.sources.empty());
  data["sources"] = std::move(sources);
  return data;
}

Data Notices(const Catalog& catalog, const ChangeView* newest, const std::vector<KeyView>& keys) {
  Data notices = List();
  for (const KeyView& key : keys) {
    if (key.alarm.empty()) continue;
    notices << Notice("bad", "alert", catalog.Text("employee.alarm"), {catalog.Say(key.alarm)});
  }
  if (newest == nullptr) return notices;
  if (newest->incident) {
    // Its error says what happened; that nothing did may not be said beside it.
    notices << Notice("bad", "alert", catalog.Text("employee.incident"),
                      {IsGivenUp(*newest) ? catalog.Say(newest->error) : std::string(),
                       catalog.Text("employee.incident_what")});
  }
  const Count count = CountKeys(newest->keys);
  bool refused = false;
  if (IsWaiting(*newest)) {
    const auto [text, what] =
        newest->state == ChangeState::kIntent ? std::pair{"employee.waits", "employee.waits_what"}
        : newest->prepared != 0 ? std::pair{"employee.prepared", "employee.prepared_what"}
                                : std::pair{"employee.preparing", "employee.preparing_what"};
    notices << Notice(
        "info", "clock", catalog.Text(text),
        {catalog.Text(what),
         newest->state == ChangeState::kIntent && newest->expires != 0
             ? catalog.Text("employee.waits_until", {TimeWords(newest->expires)})
             : std::string(),
         newest->last_error.empty()
             ? std::string()
             : catalog.Text("employee.ahead_problem", {catalog.Say(newest->last_error)})});
  } else if (newest->state == ChangeState::kUnknown || newest->state == ChangeState::kAttempt) {
    notices << Notice("warn", "clock", catalog.Text("employee.checking"),
                      {catalog.Text("employee.checking_what")});
  } else if (newest->state == ChangeState::kFailed && !newest->incident) {
    const bool both = newest->mode == ChangeMode::kAtDelivery;
    notices << Notice("bad", "alert", catalog.Text("employee.failed"),
                      {catalog.Say(newest->error),
                       catalog.Text(both ? "employee.failed_both" : "employee.failed_what")});
  } else if (IsAhead(*newest)) {
    notices << AheadNotice(catalog, *newest, keys);
  } else if (newest->ad_set != 0 && count.has == 0 &&
             (newest->job_state == JobState::kRefused ||
              newest->job_state == JobState::kCancelled)) {
    notices << Notice("bad", "alert", catalog.Text("employee.refused"),
                      {catalog.Say(newest->last_error), catalog.Text("employee.refused_what")});
    refused = true;
  }
  if (!refused) AddLeftOut(catalog, *newest, keys, notices);
  // What the first source refused is said above; here only what became different between them.
  const bool first_has_it = newest->ad_set != 0;
  for (const SourceView& source : newest->sources) {
    const bool not_set = source.state == SourceState::kNotSet;
    if (!first_has_it || (!not_set && source.state != SourceState::kUnknown)) continue;
    notices << Notice(not_set ? "bad" : "warn", not_set ? "alert" : "clock",
                      catalog.Text(not_set ? "employee.source_not_set" : "employee.source_unknown",
                                   {source.name}),
                      {catalog.Say(source.error)});
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

}  // namespace keyferry::server

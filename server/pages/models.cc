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

std::string DayWords(std::int64_t millis) {
  const std::tm parts = Utc(millis);
  char text[32];
  return std::string(text, std::strftime(text, sizeof text, "%Y-%m-%d", &parts));
}

std::optional<std::int64_t> ReadDay(std::string_view text) {
  // Four digits, two and two; what is no day of the calendar is another one when it is written.
  if (text.size() != 10) return std::nullopt;
  std::tm parts{};
  int numbers[3] = {0, 0, 0};
  for (std::size_t i = 0; i < text.size(); ++i) {
    const bool dash = i == 4 || i == 7;
    if (dash ? text[i] != '-' : text[i] < '0' || text[i] > '9') return std::nullopt;
    int& number = numbers[i < 4 ? 0 : i < 7 ? 1 : 2];
    if (!dash) number = number * 10 + (text[i] - '0');
  }
  parts.tm_year = numbers[0] - 1900;
  parts.tm_mon = numbers[1] - 1;
  parts.tm_mday = numbers[2];
  const std::int64_t millis = static_cast<std::int64_t>(timegm(&parts)) * 1000;
  if (numbers[0] < 1970 || DayWords(millis) != text) return std::nullopt;
  return millis;
}

Data FilterLinks(const std::vector<FilterChoice>& choices, std::string_view chosen,
                 std::string_view address) {
  Data links = List();
  for (const FilterChoice& choice : choices) {
    Data link;
    Put(link, "text", choice.text);
    Put(link, "link",
        std::string(address) + (choice.value.empty() ? "" : "?state=" + choice.value));
    PutFlag(link, "current", choice.value == chosen);
    links << link;
  }
  return links;
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

namespace {

std::string PasswordWords(const Catalog& catalog, KeyPassword password) {
  switch (password) {
    case KeyPassword::kNone:
      return catalog.Text("key_password.none");
    case KeyPassword::kNewest:
      return catalog.Text("key_password.newest");
    case KeyPassword::kWaiting:
      return catalog.Text("key_password.waiting");
    case KeyPassword::kMissing:
      break;
  }
  return catalog.Text("key_password.missing");
}

}  // namespace

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
  PutMaybe(data, "password", key.password ? PasswordWords(catalog, *key.password) : std::string());
  PutMaybe(data, "note", catalog.Say(key.note));
  PutMaybe(data, "alarm", key.alarm);
  PutMaybe(data, "state_reason", key.state_reason);
  PutMaybe(data, "clearable", IsOutOfUse(key.state) ? std::string() : key.enrolment.Hex());
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

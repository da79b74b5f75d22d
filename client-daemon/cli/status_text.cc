#include "client-daemon/cli/status_text.h"

#include <boost/json/array.hpp>
#include <vector>

#include "client-daemon/core/json.h"

namespace keyferry::daemon::cli {
namespace {

namespace json = boost::json;

std::string Text(const json::object& object, std::string_view name) {
  return Printable(GetText(object, name, 1024).value_or(""), 1024);
}

std::uint64_t Number(const json::object& object, std::string_view name) {
  return GetNumber(object, name).value_or(0);
}

bool Flag(const json::object& object, std::string_view name) {
  const json::value* value = object.if_contains(name);
  return value != nullptr && value->is_bool() && value->get_bool();
}

std::string Ago(std::int64_t now, std::uint64_t then) {
  const auto seconds = now - static_cast<std::int64_t>(then);
  if (then == 0) return "never";
  if (seconds < 60) return "just now";
  const auto say = [](std::int64_t count, const char* unit) {
    return std::to_string(count) + " " + unit + (count == 1 ? "" : "s") + " ago";
  };
  if (seconds < 3600) return say(seconds / 60, "minute");
  if (seconds < 86400) return say(seconds / 3600, "hour");
  return say(seconds / 86400, "day");
}

std::string Count(std::uint64_t count, const char* one, const char* many) {
  return count == 0   ? "no " + std::string(many)
         : count == 1 ? "1 " + std::string(one)
                      : std::to_string(count) + " " + many;
}

std::string StatusLine(const char* head, const std::string& text) {
  std::string out = head;
  out.resize(13, ' ');
  return out + text + "\n";
}

struct Advice {
  std::vector<std::string> lines;
  void Add(const std::string& line) { lines.push_back(line); }
};

std::string ServerLine(const json::object& server, std::int64_t now, Advice& advice) {
  const std::string state = Text(server, "state");
  const std::string url = Text(server, "url");
  const std::string error = Text(server, "last_error");
  if (state == "connected") {
    return "connected to " + url + " (since " + Ago(now, Number(server, "since")) + ")";
  }
  if (state == "pending") return url + " knows this workstation; it is not approved yet";
  if (state == "revoked") {
    advice.Add("Ask an administrator to approve this workstation again.");
    return url + " refuses this workstation: " + error;
  }
  if (state == "connecting") return "connecting to " + url + (error.empty() ? "" : ": " + error);
  if (state == "starting") return "not contacted yet (" + url + ")";
  advice.Add("Server: " + error +
             " keyferryd goes on trying; jobs and receipts wait on this disk.");
  return "cannot be reached at " + url;
}

std::string WorkstationLine(const json::object& workstation, Advice& advice) {
  const std::string name = Text(workstation, "name");
  const std::string state = Text(workstation, "state");
  const std::string agent = Text(workstation, "agent");
  if (state == "approved") {
    if (agent == "changed") {
      advice.Add(
          "The login agent has a new key that is not certified: logins with the security key do "
          "not work. Ask an administrator to allow it on the page Workstations.");
    } else if (agent == "waiting") {
      advice.Add(
          "The login agent's key is not certified yet; keyferryd asks the server for it as soon "
          "as it is connected.");
    } else if (agent == "none") {
      advice.Add("The login agent has not been here: start keyferry-agent to log in with the key.");
    }
    return name + ", approved";
  }
  if (state == "pending") {
    advice.Add(
        "Ask an administrator to approve this workstation; its fingerprint must be\n             " +
        Text(workstation, "fingerprint"));
    return name + ", waits for approval";
  }
  return name + ", not registered yet";
}

std::string KeyLine(const json::object& key, std::int64_t now, Advice& advice) {
  const std::string trouble = Text(key, "trouble");
  const std::string id = Text(key, "device_id");
  if (!trouble.empty()) advice.Add("Key: " + trouble);
  if (id.empty()) return "at " + Text(key, "path") + " does not answer";
  std::string out = id + " is " + Text(key, "state_name");
  const std::string login = Text(key, "login");
  if (Flag(key, "known")) {
    out += ", belongs to " + (login.empty() ? "somebody" : login);
  } else {
    out += ", not known to the organisation here";
  }
  if (Flag(key, "simulator")) out += " (simulator)";
  const std::uint64_t waiting = Number(key, "jobs_waiting");
  out += "\n             " + Count(waiting, "job waits", "jobs wait") +
         " for it; last one brought " + Ago(now, Number(key, "last_delivery"));
  if (Text(key, "standing") == "standby") {
    out += "\n             stands by; the same key is in use by another way";
  }
  if (const std::string touch = Text(key, "touch"); !touch.empty()) {
    out += "\n             waiting for touch: " + touch;
  }
  const std::string state = Text(key, "state_name");
  if (state == "enrolled, no PIN yet") {
    advice.Add("Set the key's PIN with the activation code: keyferry pin set");
  } else if (state == "PIN blocked") {
    advice.Add("Three wrong PINs: unplug the key and plug it in again.");
  } else if (state == "locked") {
    advice.Add("The key is locked after too many wrong PINs; ask the help desk.");
  }
  return out;
}

// Ways on which no key can come.
void BrokenWays(const json::object& status, Advice& advice) {
  const json::value* ways = status.if_contains("transports");
  if (ways == nullptr || !ways->is_array()) return;
  for (const json::value& way : ways->get_array()) {
    if (!way.is_object()) continue;
    const std::string trouble = Text(way.get_object(), "trouble");
    if (trouble.empty()) continue;
    advice.Add("No key can come by " + Text(way.get_object(), "name") + ": " + trouble);
  }
}

}  // namespace

Result<std::string> StatusText(std::string_view answer, std::int64_t now) {
  const auto object = ParseObject(answer);
  if (!object) return tl::unexpected(object.error());
  if (!Flag(*object, "ok")) return Fail(ErrorCode::kUnavailable, Text(*object, "message"));
  const auto member = [&](std::string_view name) {
    const json::value* value = object->if_contains(name);
    return value != nullptr && value->is_object() ? value->get_object() : json::object();
  };
  Advice advice;
  std::string out = StatusLine("Daemon", "keyferryd " + Text(*object, "version") + " is running");
  out += StatusLine("Workstation", WorkstationLine(member("workstation"), advice));
  out += StatusLine("Server", ServerLine(member("server"), now, advice));
  const json::object alarm = member("alarm");
  if (Flag(alarm, "stands")) {
    const std::uint64_t since = Number(alarm, "since");
    out +=
        StatusLine("Alarm", "raised" + (since == 0 ? std::string() : " " + Ago(now, since)) +
                                "; security keys are not used until the organisation has ended it");
    advice.Add("Log in with the password until the alarm has ended.");
  }
  const json::value* keys = object->if_contains("keys");
  bool any = false;
  if (keys != nullptr && keys->is_array()) {
    for (const json::value& key : keys->get_array()) {
      if (!key.is_object()) continue;
      out += StatusLine("Key", KeyLine(key.get_object(), now, advice));
      any = true;
    }
  }
  if (!any) out += StatusLine("Key", "none is plugged in");
  BrokenWays(*object, advice);
  const json::object spool = member("spool");
  const std::uint64_t jobs = Number(spool, "jobs");
  const std::uint64_t receipts = Number(spool, "receipts");
  out += StatusLine("Queue", Count(jobs, "job waits", "jobs wait") + " for a key, " +
                                 Count(receipts, "receipt waits", "receipts wait") +
                                 " for the server");
  if (jobs != 0 && !any) advice.Add("Plug in the key: a new password waits for it.");
  if (Number(spool, "damaged") != 0) {
    advice.Add("Damaged files were found on this disk and set aside (spool/bad); check the disk.");
  }
  if (advice.lines.empty()) advice.Add("Nothing; all is well.");
  for (const std::string& line : advice.lines) out += StatusLine("To do", line);
  return out;
}

}  // namespace keyferry::daemon::cli

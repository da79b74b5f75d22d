#include "client-daemon/cli/doctor.h"

#include <algorithm>
#include <boost/json/array.hpp>
#include <boost/json/serialize.hpp>
#include <cstdio>
#include <cstdlib>

#include "client-daemon/core/json.h"

namespace keyferry::daemon::cli {
namespace {

namespace json = boost::json;

constexpr std::int64_t kSkewWarning = 60;  // seconds
constexpr std::int64_t kSkewError = 300;   // Kerberos refuses more
constexpr std::int64_t kSoon = 14 * 86400;

using Findings = std::vector<Finding>;

std::string Octal(unsigned mode) {
  char text[8];
  std::snprintf(text, sizeof text, "%04o", mode & 07777U);
  return text;
}

std::string Text(const json::object& object, std::string_view name) {
  return Printable(GetText(object, name, 1024).value_or(""), 1024);
}

json::object Member(const json::object& object, std::string_view name) {
  const json::value* value = object.if_contains(name);
  return value != nullptr && value->is_object() ? value->get_object() : json::object();
}

void CheckConfig(const DoctorFacts& facts, Findings& out) {
  if (facts.config_hidden) {
    out.push_back({Finding::kWarning, "The configuration was not checked.",
                   "This user may not read " + facts.config_path + ".",
                   "Run: sudo keyferry doctor"});
  } else if (facts.config_error) {
    out.push_back({Finding::kError, "The configuration cannot be used.", *facts.config_error,
                   "Mend " + facts.config_path +
                       " (docs/workstation.md), then: systemctl restart "
                       "keyferryd"});
  } else {
    out.push_back({Finding::kGood, "The configuration " + facts.config_path + " is good.", {}, {}});
  }
}

void CheckDaemon(const DoctorFacts& facts, Findings& out) {
  if (facts.answer) {
    out.push_back({Finding::kGood, "keyferryd runs and answers.", {}, {}});
  } else if (!facts.unit_state.empty() && facts.unit_state != "active") {
    out.push_back({Finding::kError, "keyferryd does not run.",
                   "Its unit is " + facts.unit_state + ".",
                   facts.unit_state == "failed"
                       ? "See why: journalctl -u keyferryd; then: systemctl restart keyferryd"
                       : "Run: systemctl enable --now keyferryd"});
  } else if (!facts.socket.exists) {
    out.push_back({Finding::kError, "keyferryd cannot be reached.",
                   "There is no socket " + facts.socket.path + ".",
                   "Run: systemctl start keyferryd; or name its socket with --socket."});
  } else {
    out.push_back({Finding::kError, "keyferryd cannot be reached.", facts.daemon_error,
                   "Run: systemctl restart keyferryd"});
  }
  if (facts.socket.exists && (!facts.socket.kind_right || (facts.socket.mode & 0666) != 0666)) {
    out.push_back({Finding::kError, "The daemon's socket is not as it must be.",
                   facts.socket.path + (facts.socket.kind_right
                                            ? " has mode " + Octal(facts.socket.mode) + "."
                                            : " is no socket."),
                   "Remove it and run: systemctl restart keyferryd"});
  }
  if (facts.socket_folder.exists && (facts.socket_folder.mode & 0022) != 0 &&
      (facts.socket_folder.mode & 01000) == 0) {
    out.push_back({Finding::kError,
                   "Other users could put a socket of theirs in the daemon's place.",
                   facts.socket_folder.path + " has mode " + Octal(facts.socket_folder.mode) + ".",
                   "Run: chmod 0755 " + facts.socket_folder.path});
  }
  const FileFacts& state = facts.state_folder;
  if (state.path.empty() || !state.looked) return;
  if (!state.exists || !state.kind_right) {
    out.push_back({Finding::kError, "The daemon has no state folder.",
                   state.path + (state.exists ? " is no folder." : " does not exist."),
                   "Start keyferryd by its unit, which makes it; or make it, mode 0700, for the "
                   "daemon's user."});
  } else if ((state.mode & 0077) != 0) {
    out.push_back({Finding::kError, "The state folder is open to other users.",
                   state.path + " has mode " + Octal(state.mode) + ".",
                   "Run: chmod 0700 " + state.path});
  } else if (!facts.daemon_user.empty() && state.owner != facts.daemon_user) {
    out.push_back({Finding::kError, "The state folder belongs to somebody else.",
                   state.path + " belongs to " + state.owner + ", keyferryd runs as " +
                       facts.daemon_user + ".",
                   "Run: chown -R " + facts.daemon_user + " " + state.path});
  } else {
    out.push_back({Finding::kGood, "The state folder is the daemon's alone.", {}, {}});
  }
}

void CheckServer(const DoctorFacts& facts, Findings& out) {
  if (!facts.server_asked) return;
  if (facts.server_error) {
    const bool tls = facts.server_error->code == ErrorCode::kPermissionDenied;
    out.push_back(
        {Finding::kError,
         tls ? "The server's certificate is not trusted." : "The server cannot be reached.",
         facts.server_error->message,
         tls ? "Check `server_ca` and `server_url`; nothing is sent to a server that is "
               "not proven."
             : "Check network, name and port in `server_url`."});
    return;
  }
  out.push_back({Finding::kGood, "The server answers, and its certificate is good.", {}, {}});
  if (facts.server_date == 0) return;
  const std::int64_t skew = std::abs(facts.now - facts.server_date);
  if (skew <= kSkewWarning) {
    out.push_back({Finding::kGood, "The clock agrees with the server's.", {}, {}});
    return;
  }
  out.push_back({skew > kSkewError ? Finding::kError : Finding::kWarning, "The clock is wrong.",
                 "It differs from the server's by " + std::to_string(skew) + " s.",
                 "Synchronise it: timedatectl set-ntp true"});
}

void CheckWorkstation(const DoctorFacts& facts, const json::object& status, Findings& out) {
  const json::object workstation = Member(status, "workstation");
  const std::string state = Text(workstation, "state");
  if (state != "approved") {
    out.push_back({Finding::kError, "This workstation is not approved.",
                   "It is " + state + "; its fingerprint is " + Text(workstation, "fingerprint"),
                   "Ask an administrator to approve it."});
  } else {
    const auto until =
        static_cast<std::int64_t>(GetNumber(workstation, "certified_until").value_or(0));
    if (until != 0 && until < facts.now) {
      out.push_back({Finding::kError, "This workstation's certificate has run out.",
                     "The server did not renew it in time.",
                     "Let keyferryd reach the server; if that does not help, have the workstation "
                     "approved again."});
    } else if (until != 0 && until - facts.now < kSoon) {
      out.push_back({Finding::kWarning, "This workstation's certificate ends soon.",
                     "In " + std::to_string((until - facts.now) / 86400) + " days.",
                     "Let keyferryd reach the server, which renews it."});
    } else {
      out.push_back({Finding::kGood, "This workstation is approved.", {}, {}});
    }
  }
  const std::string uplink = Text(Member(status, "server"), "state");
  if (uplink == "revoked") {
    out.push_back({Finding::kError, "The server refuses this workstation.",
                   Text(Member(status, "server"), "last_error"),
                   "Ask an administrator to approve it again."});
  }
  const std::string version = Text(status, "version");
  if (version != facts.version) {
    out.push_back({Finding::kWarning, "keyferryd is of another version.",
                   "It is " + version + ", this program " + facts.version + ".",
                   "Run: systemctl restart keyferryd keyferry-agent"});
  } else {
    out.push_back({Finding::kGood, "Version " + version + ".", {}, {}});
  }
}

void CheckAgent(const DoctorFacts& facts, const json::object* status, Findings& out) {
  if (!facts.agent_socket.kind_right) {
    const bool down = !facts.agent_unit_state.empty() && facts.agent_unit_state != "active";
    out.push_back({Finding::kWarning, "The login agent does not run: no login with the key.",
                   down ? "Its unit is " + facts.agent_unit_state + "."
                        : facts.agent_socket.path + " does not answer.",
                   "Run: systemctl enable --now keyferry-agent"});
  }
  if (status == nullptr) return;
  const std::string agent = Text(Member(*status, "workstation"), "agent");
  if (agent == "certified") {
    out.push_back({Finding::kGood, "The login agent's key is certified.", {}, {}});
  } else if (agent == "changed") {
    out.push_back({Finding::kError, "The login agent's key is not certified.",
                   "It was made anew after another one was certified.",
                   "Ask an administrator to allow it on the page Workstations."});
  } else if (agent == "waiting" && Text(Member(*status, "workstation"), "state") == "approved") {
    out.push_back({Finding::kWarning, "The login agent's key is not certified yet.",
                   "It came after this workstation was approved, and the server has not answered.",
                   "Let keyferryd reach the server; its log says what it answers: journalctl -u "
                   "keyferryd"});
  } else if (agent == "none") {
    out.push_back(
        {Finding::kWarning, "The login agent never was here.",
         "keyferry-agent has not asked keyferryd yet.",
         "Check its user in `allow_users` of keyferryd.toml, then start keyferry-agent."});
  }
}

bool Allows(const UnitDevices& devices, std::string_view group) {
  for (const auto& [what, rights] : devices.allow) {
    if ((what == group || what == "char-*") && rights.find('r') != std::string::npos &&
        rights.find('w') != std::string::npos) {
      return true;
    }
  }
  // Without a rule "auto" keeps nothing back.
  return devices.policy == "auto" && devices.allow.empty();
}

// Whether the unit lets keyferryd open keys on USB at all: the node's own rights do not help when
// systemd's device rules say no.
void CheckUnitDevices(const DoctorFacts& facts, Findings& out) {
  const UnitDevices& devices = facts.unit_devices;
  if (!facts.usb || !devices.looked) return;
  const std::string group = facts.usb_raw ? "char-hidraw" : "char-usb_device";
  const auto cure = [](const std::string& line) {
    return "Run: systemctl edit keyferryd, add the lines [Service] and " + line +
           ", then: systemctl restart keyferryd";
  };
  if (devices.private_devices) {
    out.push_back({Finding::kError, "systemd hides the keys on USB from keyferryd.",
                   "Its unit says PrivateDevices=yes, so it sees no node of a key.",
                   cure("PrivateDevices=no")});
  } else if (!Allows(devices, group)) {
    out.push_back({Finding::kError, "systemd keeps keyferryd from the keys on USB.",
                   "Its unit says DevicePolicy=" + devices.policy +
                       " and lacks the line "
                       "DeviceAllow=" +
                       group + " rw.",
                   cure("DeviceAllow=" + group + " rw")});
  } else {
    out.push_back({Finding::kGood, "systemd lets keyferryd open keys on USB.", {}, {}});
  }
}

void CheckKeys(const DoctorFacts& facts, const json::object* status, Findings& out) {
  if (facts.usb) {
    out.insert(out.end(), facts.usb_findings.begin(), facts.usb_findings.end());
    if (facts.usb_findings.empty()) {
      out.push_back({Finding::kGood, "Keys on USB can be used: rule, group and nodes.", {}, {}});
    }
  }
  if (facts.bluetooth && facts.bus_policy.looked) {
    if (facts.bus_policy.exists) {
      out.push_back({Finding::kGood, "The bus lets keyferryd talk to BlueZ.", {}, {}});
    } else {
      out.push_back({Finding::kWarning, "The bus may keep keyferryd from BlueZ.",
                     "Its policy " + facts.bus_policy.path + " is missing.",
                     "Install the package again, or packaging/dbus/keyferryd.conf there, then run: "
                     "systemctl reload dbus"});
    }
  }
  if (status == nullptr) return;
  for (const char* list : {"transports", "keys"}) {
    const json::value* entries = status->if_contains(list);
    if (entries == nullptr || !entries->is_array()) continue;
    const bool ways = std::string_view(list) == "transports";
    for (const json::value& entry : entries->get_array()) {
      if (!entry.is_object()) continue;
      const std::string trouble = Text(entry.get_object(), "trouble");
      const std::string name = Text(entry.get_object(), ways ? "name" : "path");
      if (trouble.empty()) continue;
      if (ways && name == "bluetooth") {
        out.push_back({Finding::kWarning, "No key can come by Bluetooth.", trouble,
                       "Install and start bluetoothd, switch the adapter on (bluetoothctl power "
                       "on); where there is none, set bluetooth = false in [keys]."});
        continue;
      }
      out.push_back({ways ? Finding::kError : Finding::kWarning,
                     ways ? "keyferryd cannot use keys by " + name + "."
                          : "The key at " + name + " is in trouble.",
                     trouble, ways ? "See its log: journalctl -u keyferryd" : "keyferry status"});
    }
  }
}

void CheckPam(const DoctorFacts& facts, Findings& out) {
  if (facts.pam_lines.empty()) {
    out.push_back({Finding::kWarning, "No login asks for the key.",
                   "No file of /etc/pam.d names pam_keyferry.so.",
                   "Run: pam-auth-update --enable keyferry; or see docs/login.md section 2."});
    return;
  }
  if (!facts.pam_module.exists) {
    out.push_back(
        {Finding::kError, "PAM is told to load a module that is not there.",
         facts.pam_module.path + " is missing, but " + facts.pam_lines[0].file + " names it.",
         "Install it, or take the line out: logins may fail."});
  }
  bool good = facts.pam_module.exists;
  for (const PamLine& line : facts.pam_lines) {
    const auto has = [&](const char* word) { return line.control.find(word) != std::string::npos; };
    const bool bars = has("required") || has("requisite") ||
                      ((has("default=die") || has("default=bad")) &&
                       !(has("user_unknown=ignore") && has("authinfo_unavail=ignore")));
    if (bars || !line.other_way_behind) {
      good = false;
      out.push_back({Finding::kWarning, line.file + " lets nobody in without a key.",
                     bars ? "pam_keyferry.so is `" + line.control + "` there."
                          : "No other module is asked after pam_keyferry.so there.",
                     "If that is not meant, use [success=… user_unknown=ignore "
                     "authinfo_unavail=ignore default=die] and another module behind it "
                     "(docs/login.md section 2). Keep a root shell open."});
    }
  }
  if (good) out.push_back({Finding::kGood, "PAM asks for the key and bars nobody.", {}, {}});
}

const char* Word(Finding::Status status) {
  switch (status) {
    case Finding::kGood:
      return "good";
    case Finding::kWarning:
      return "warning";
    case Finding::kError:
      return "error";
  }
  return "error";
}

// The next word of a line of PAM's; what is in brackets is one.
std::string TakeWord(std::string_view& line) {
  const auto begin = line.find_first_not_of(" \t");
  if (begin == std::string_view::npos) return {};
  line.remove_prefix(begin);
  auto end = line[0] == '[' ? line.find(']') : line.find_first_of(" \t");
  if (end != std::string_view::npos && line[0] == '[') ++end;
  const std::string word(line.substr(0, end));
  line.remove_prefix(std::min(word.size(), line.size()));
  return word;
}

}  // namespace

std::vector<PamLine> ReadPam(const std::string& file, std::string_view text) {
  std::vector<PamLine> out;
  while (!text.empty()) {
    std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(line.size() + 1, text.size()));
    line = line.substr(0, line.find('#'));
    std::string type = TakeWord(line);
    if (!type.empty() && type[0] == '-') type.erase(0, 1);
    const bool include = type == "@include";
    if (type != "auth" && !include) continue;
    const std::string control = include ? "include" : TakeWord(line);
    const std::string module = TakeWord(line);
    if (module.find("pam_keyferry.so") != std::string::npos) {
      out.push_back({file, Printable(control, 200), false});
    } else if (module.find("pam_deny.so") == std::string::npos &&
               module.find("pam_permit.so") == std::string::npos) {
      for (PamLine& before : out) before.other_way_behind = true;
    }
  }
  return out;
}

std::vector<Finding> Diagnose(const DoctorFacts& facts) {
  Findings out;
  CheckConfig(facts, out);
  CheckDaemon(facts, out);
  std::optional<json::object> status;
  if (facts.answer) {
    if (auto parsed = ParseObject(*facts.answer)) status = *std::move(parsed);
  }
  CheckServer(facts, out);
  if (status) CheckWorkstation(facts, *status, out);
  CheckAgent(facts, status ? &*status : nullptr, out);
  CheckUnitDevices(facts, out);
  CheckKeys(facts, status ? &*status : nullptr, out);
  CheckPam(facts, out);
  return out;
}

int ExitCode(const std::vector<Finding>& findings) {
  int worst = 0;
  for (const Finding& finding : findings) worst = std::max(worst, static_cast<int>(finding.status));
  return worst;
}

std::string DoctorText(const std::vector<Finding>& findings) {
  std::string out;
  for (const Finding& finding : findings) {
    std::string head = Word(finding.status);
    head.resize(9, ' ');
    out += head + finding.what + "\n";
    if (!finding.cause.empty()) out += "         Because: " + finding.cause + "\n";
    if (!finding.cure.empty()) out += "         Do: " + finding.cure + "\n";
  }
  return out;
}

std::string DoctorJson(const std::vector<Finding>& findings) {
  json::array list;
  for (const Finding& finding : findings) {
    list.push_back({{"status", Word(finding.status)},
                    {"what", finding.what},
                    {"cause", finding.cause},
                    {"cure", finding.cure}});
  }
  return json::serialize(
      json::object{{"status", ExitCode(findings)}, {"findings", std::move(list)}});
}

}  // namespace keyferry::daemon::cli

#include "server/core/audit_format.h"

#include <cstdio>
#include <ctime>

#include "server/core/encoding.h"
#include "server/core/json_line.h"

namespace keyferry::server {
namespace {

constexpr int kAuditFacility = 13;

std::string CsvField(std::string_view text) {
  std::string out = "\"";
  if (!text.empty() && std::string_view("=+-@\t\r").find(text[0]) != std::string_view::npos) {
    out += '\'';
  }
  for (const char c : text) {
    if (c == '"') out += '"';
    out += c;
  }
  return out + "\"";
}

std::string Escaped(std::string_view text, std::string_view special) {
  std::string out;
  for (const char c : text) {
    if (c == '\n' || c == '\r') {
      out += ' ';
      continue;
    }
    if (special.find(c) != std::string_view::npos) out += '\\';
    out += c;
  }
  return out;
}

// A CEF extension; empty values are left out.
void Extend(std::string& out, const char* key, std::string_view value) {
  if (value.empty()) return;
  out += out.empty() ? "" : " ";
  out += key;
  out += '=';
  out += Escaped(value, "\\=");
}

std::string Rfc3339(std::int64_t millis) {
  const std::time_t seconds = millis / 1000;
  std::tm utc{};
  gmtime_r(&seconds, &utc);
  char text[40];
  const std::size_t size = std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &utc);
  std::snprintf(text + size, sizeof text - size, ".%03dZ", static_cast<int>(millis % 1000));
  return text;
}

}  // namespace

std::string AuditAsJson(const AuditStore::Row& row) {
  const AuditEntry& entry = row.entry;
  JsonLine line;
  line.Unsigned("number", row.number)
      .Number("time", entry.time)
      .Text("actor", entry.actor)
      .Text("action", entry.action)
      .Text("target", entry.target)
      .Text("outcome", entry.outcome)
      .Text("detail", entry.detail)
      .Text("address", entry.address)
      .Text("previous", ToHex(row.previous))
      .Text("hash", ToHex(row.hash));
  return line.Take();
}

std::string AuditCsvHeader() {
  return "\"number\",\"time\",\"actor\",\"action\",\"target\",\"outcome\",\"detail\",\"address\","
         "\"hash\"\r\n";
}

std::string AuditAsCsv(const AuditStore::Row& row) {
  const AuditEntry& entry = row.entry;
  std::string out = CsvField(std::to_string(row.number)) + "," + CsvField(Rfc3339(entry.time));
  for (const std::string* text : {&entry.actor, &entry.action, &entry.target, &entry.outcome,
                                  &entry.detail, &entry.address}) {
    out += "," + CsvField(*text);
  }
  return out + "," + CsvField(ToHex(row.hash)) + "\r\n";
}

std::string AuditAsCef(const AuditStore::Row& row, std::string_view server_version) {
  const AuditEntry& entry = row.entry;
  const bool good = entry.outcome == "ok";
  const std::string action = Escaped(entry.action, "\\|");
  std::string extension;
  Extend(extension, "rt", std::to_string(entry.time));
  Extend(extension, "externalId", std::to_string(row.number));
  Extend(extension, "suser", entry.actor);
  Extend(extension, "duser", entry.target);
  Extend(extension, "src", entry.address);
  Extend(extension, "act", entry.action);
  Extend(extension, "outcome", entry.outcome);
  Extend(extension, "msg", entry.detail);
  Extend(extension, "cs1Label", "hash");
  Extend(extension, "cs1", ToHex(row.hash));
  Extend(extension, "cs2Label", "previous");
  Extend(extension, "cs2", ToHex(row.previous));
  return "CEF:0|Keyferry|Keyferry Server|" + Escaped(server_version, "\\|") + "|" + action + "|" +
         action + "|" + (good ? "3" : "6") + "|" + extension;
}

std::string SyslogMessage(const SyslogOrigin& origin, std::int64_t time, std::string_view id,
                          bool good, std::string_view text) {
  const int severity = good ? 6 : 4;
  return "<" + std::to_string(kAuditFacility * 8 + severity) + ">1 " + Rfc3339(time) + " " +
         (origin.host.empty() ? "-" : origin.host) + " keyferry-server " +
         (origin.process.empty() ? "-" : origin.process) + " " +
         (id.empty() ? "-" : std::string(id.substr(0, 32))) + " - \xEF\xBB\xBF" + std::string(text);
}

std::string OctetCounted(std::string_view message) {
  return std::to_string(message.size()) + " " + std::string(message);
}

}  // namespace keyferry::server

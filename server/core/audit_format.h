#pragma once

#include <string>
#include <string_view>

#include "server/core/store.h"

// The audit log for other programs. Every function makes one record; texts are UTF-8 and hold no
// control characters (AuditEntry has none).
namespace keyferry::server {

// One JSON object with all that the chain is made of (audit_chain.h), so that who has the export
// can follow it: number, time, actor, action, target, outcome, detail, address, previous, hash.
std::string AuditAsJson(const AuditStore::Row& row);

// RFC 4180 with every field in quotes and CRLF; the first line. A field that a spreadsheet would
// take for a formula begins with an apostrophe.
std::string AuditCsvHeader();
std::string AuditAsCsv(const AuditStore::Row& row);

// ArcSight's Common Event Format, version 0, without a line's end.
std::string AuditAsCef(const AuditStore::Row& row, std::string_view server_version);

// A syslog message (RFC 5424): facility 13 (log audit), severity informational, or warning where
// the outcome is not "ok". `id` is printable ASCII without spaces, at most 32 characters.
struct SyslogOrigin {
  std::string host;
  std::string process;  // its number
};
std::string SyslogMessage(const SyslogOrigin& origin, std::int64_t time, std::string_view id,
                          bool good, std::string_view text);
// RFC 6587 section 3.4.1: the octets counted, for TCP and TLS.
std::string OctetCounted(std::string_view message);

}  // namespace keyferry::server

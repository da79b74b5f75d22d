#pragma once

#include <string>
#include <string_view>

#include "server/core/clock.h"
#include "server/core/records.h"

namespace keyferry::server {

// Stable names of outcomes in the audit log: "ok" or an error's code.
const char* OutcomeName(ErrorCode code);

AuditEntry AuditOf(const Clock& clock, const Actor& actor, std::string_view action,
                   std::string_view target, std::string_view outcome, std::string_view detail);
AuditEntry AuditBySystem(const Clock& clock, std::string_view action, std::string_view target,
                         std::string_view outcome, std::string_view detail);
AuditEntry AuditByWorkstation(const Clock& clock, const WorkstationRecord& workstation,
                              std::string_view action, std::string_view target,
                              std::string_view outcome, std::string_view detail);

}  // namespace keyferry::server

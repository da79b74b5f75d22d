#pragma once

#include <memory>
#include <string>

#include "server/app/config.h"
#include "server/core/finding.h"

namespace keyferry::server {

// Looks at everything that the server stands on and changes nothing but, where no server runs, what
// opening the database does (integrity check, migrations): state folder, database, disk, age of key
// material, and the directory with the service account's eyes.
Findings Examine(const ServerConfig& config);

// The same for a running server's page. `config` outlives it.
std::unique_ptr<CheckUp> MakeCheckUp(const ServerConfig& config);

// For a person: a line a finding, cause and fix indented below, a summary at the end.
std::string InWords(const Findings& findings);
// {"status": "ok" | "warning" | "problem", "findings": [{"status", "what", "cause", "fix"}]}
std::string InJson(const Findings& findings);

// Whether one of them is a problem.
bool Sick(const Findings& findings);

}  // namespace keyferry::server

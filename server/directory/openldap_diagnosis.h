#pragma once

#include <cstdint>

#include "server/directory/diagnosis.h"

namespace keyferry::server {

// Diagnose for OpenLDAP. Rights are tried with the No-Op control: the server answers as it would,
// and does nothing.
Diagnosis DiagnoseOpenLdap(const LdapConfig& config, std::int64_t now);

}  // namespace keyferry::server

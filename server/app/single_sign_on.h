#pragma once

#include <memory>

#include "protocol/result.h"
#include "server/app/config.h"
#include "server/app/state.h"
#include "server/core/finding.h"
#include "server/spnego/ticket_reader.h"

namespace keyferry::server {

// Sign-in by Kerberos tickets as [single_sign_on] has it; null where it is off. Errors name the
// keytab and what is wrong with its file.
Result<std::unique_ptr<KerberosReader>> OpenTickets(const ServerConfig& config);
// Holds clients that bind their ticket to the TLS channel to this server's certificate.
Result<void> BindTickets(KerberosReader& tickets, const ServerIdentity& identity);

// For doctor: the keytab, its principal and key, and whether the directory has the same. Nothing
// where it is off. Blocks for some round trips.
Findings ExamineTickets(const ServerConfig& config);

}  // namespace keyferry::server

#pragma once

#include <soci/soci.h>

#include "server/core/webhook_records.h"

namespace keyferry::server {

// Within the transaction that it belongs to.
void QueueWebhook(soci::session& sql, const WebhookRecord& webhook);

}  // namespace keyferry::server

#pragma once

#include <memory>

#include "server/api/services.h"
#include "server/api/workstation_api.h"
#include "server/http/router.h"

namespace keyferry::server {

// The REST API of administrators and help desk under /api/v1 (docs/api.md; openapi.json beside this
// file describes each route, and a test compares); the same services as the pages, so that the two
// cannot part. `streams` = the workstations' live streams, so that revoking one ends its stream at
// once.
void AddAdminRoutes(Router& router, Services& services,
                    std::shared_ptr<WorkstationStreams> streams);

// openapi.json as it was built in.
std::string_view OpenApiDocument();

}  // namespace keyferry::server

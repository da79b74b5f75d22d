#pragma once

#include "server/core/help_desk.h"
#include "server/pages/frame.h"

namespace keyferry::server {

// Where a request of the help desk stands, in a word.
Data HelpDeskBadge(const Catalog& catalog, const HelpDeskRequest& request);

// One request from the choice of the process to its end.
void AddHelpDeskRequestPages(Router& router, const PageContext& context);

}  // namespace keyferry::server

#pragma once

#include <memory>

#include "server/api/guard.h"
#include "server/api/services.h"
#include "server/api/workstation_api.h"
#include "server/core/security_questions.h"
#include "server/http/router.h"
#include "server/pages/catalog.h"

namespace keyferry::server {

// The pages of administrators and help desk: server-rendered, complete without script, live with
// it. They call the same services as the API. `services` and `catalog` outlive the router.
void AddPageRoutes(Router& router, Services& services, const Catalog& catalog,
                   std::shared_ptr<WorkstationStreams> streams);

// The security questions of the texts, in every language of the pages.
std::vector<SecurityQuestion> ShippedQuestions(const Catalog& catalog);

// The page that asks for the second factor before a form of a guarded route goes on.
Guard::StepUpPage MakeStepUpPage(Services& services, const Catalog& catalog);

// Errors that no handler answered: a page for people, problem+json under /api and /workstation.
Router::ErrorPage MakeErrorPage(Services& services, const Catalog& catalog);

}  // namespace keyferry::server

#pragma once

#include "server/app/config.h"
#include "server/core/security_questions.h"
#include "server/pages/catalog.h"

namespace keyferry::server {

// What employees may answer by this configuration: its own questions, or those of the texts
// ([question]) in every language of the pages. None where [self_service] is off.
QuestionsConfig QuestionsOf(const ServerConfig& config, const Catalog& catalog);

}  // namespace keyferry::server

#pragma once

#include <memory>

#include "server/core/changes.h"
#include "server/core/services.h"

namespace keyferry::server {

// The change service as pages and API get it where agents have to verify callers: who is no
// administrator sets passwords through the help desk's flow alone (help_desk.h), which has the
// service behind this one. A refused request is audited; nothing else differs. All outlives it.
std::unique_ptr<ChangeService> MakeDeskBoundChanges(const CorePorts& ports, ChangeService& changes);

}  // namespace keyferry::server

#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "server/api/services.h"
#include "server/http/router.h"

namespace keyferry::server {

// REST for rotation policies (docs/api.md), where services.rotation is there. `services` outlives
// the router.
void AddPolicyRoutes(Router& router, Services& services);

// "HH:MM", 00:00 … 24:00, as minutes of the day.
std::optional<std::int64_t> ParseDayTime(std::string_view text);
std::string DayTime(std::int64_t minutes);

}  // namespace keyferry::server

#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "protocol/result.h"

namespace keyferry::daemon::cli {

// The daemon's answer to `status`, in words for a person: what daemon, server, keys and queue are
// doing, and what to do next. `now` in Unix seconds. kProtocol for an answer that is none.
Result<std::string> StatusText(std::string_view answer, std::int64_t now);

}  // namespace keyferry::daemon::cli

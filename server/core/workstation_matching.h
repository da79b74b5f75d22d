#pragma once

#include <optional>
#include <string>
#include <vector>

#include "server/core/services.h"

namespace keyferry::server {

// A workstation that waits for approval, and the computer account that it is.
struct ComputerMatch {
  WorkstationRecord record;
  std::optional<Computer> computer;
  std::string why_not;  // a sentence when there is no computer
};

// As WorkstationService::Matches; one look into the directory for all of them.
Result<std::vector<ComputerMatch>> MatchComputers(const CorePorts& ports);

}  // namespace keyferry::server

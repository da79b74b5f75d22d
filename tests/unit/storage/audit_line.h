#pragma once

#include <string>

#include "server/core/services.h"

namespace keyferry::server {

inline AuditEntry Line(int number) {
  return {number, "test", "line", std::to_string(number), "ok", "", ""};
}

}  // namespace keyferry::server

#pragma once

#include <string>

namespace keyferry {

// The user of this process as text (S-1-…), for access lists; empty when Windows does not tell.
std::wstring OwnSid();

}  // namespace keyferry

#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "server/http/message.h"

// What the listener looks at before it has accepted a request.
namespace keyferry::server {

// Whether a Host header names one of `hosts` (lower case); its port, if any, does not matter.
bool IsHostOf(std::string_view host, const std::vector<std::string>& hosts);

// Sets the first segment of the path where it is a program's, so that programs are answered as
// programs also when their request is refused before its target (as sent) is read.
void NoteProgram(std::string_view target, Request& request);

}  // namespace keyferry::server

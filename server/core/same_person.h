#pragma once

#include "protocol/result.h"
#include "server/core/services.h"

namespace keyferry::server {

// Whether two accounts are of one person, where a second person is wanted: what the directory has
// of them is the same, or they lead to the same account of a linked source. True as well when
// `other` is gone. Errors: those of the directories, kNotFound for `one`. Blocks.
Result<bool> SamePerson(const CorePorts& ports, const AccountId& one, const AccountId& other);

}  // namespace keyferry::server

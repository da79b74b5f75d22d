#pragma once

#include "server/app/config.h"

namespace keyferry::server {

class ConfigReader;

// The tables [help_desk], [four_eyes] and [notice]: how the help desk knows a caller, whose second
// person is needed, and who is told. After [sms] and [self_service], which say what there is to
// verify by. What is wrong is complained of at `reader`.
void ReadHelpDesk(ConfigReader& reader, ServerConfig& config);

}  // namespace keyferry::server

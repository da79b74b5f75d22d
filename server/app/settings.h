#pragma once

#include "server/app/config.h"
#include "server/core/four_eyes.h"
#include "server/core/help_desk.h"
#include "server/core/services.h"

namespace keyferry::server {

// The services' settings as the configuration wants them.
ChangeConfig ChangesOf(const ServerConfig& config);
KeyConfig KeysOf(const ServerConfig& config);
WorkstationConfig WorkstationsOf(const ServerConfig& config);
HelpDeskConfig HelpDeskOf(const ServerConfig& config);  // without the security questions
FourEyesConfig FourEyesOf(const ServerConfig& config);
SessionConfig SessionsOf(const ServerConfig& config);
TokenConfig TokensOf(const ServerConfig& config);
PeopleConfig PeopleOf(const ServerConfig& config);

}  // namespace keyferry::server

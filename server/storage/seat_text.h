#pragma once

#include <string>

#include "server/core/presence.h"

namespace keyferry::server {

// A seat as one line, as servers pass it on: KIND SP KEYS SP NAME, where KEYS is "-" or
// DEVICE:STATE:TRANSPORT:FIRMWARE:SIMULATOR, joined by commas.
std::string WriteSeat(const Presence::Seat& seat);
// Throws DamagedRow.
Presence::Seat ReadSeat(const std::string& workstation, const std::string& text);

}  // namespace keyferry::server

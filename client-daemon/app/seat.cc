#include "client-daemon/app/seat.h"

#include <systemd/sd-login.h>

namespace keyferry::daemon {

bool HasActiveSeat(uid_t user) { return sd_uid_get_seats(user, 1, nullptr) > 0; }

}  // namespace keyferry::daemon

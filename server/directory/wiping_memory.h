#pragma once

namespace keyferry::server {

// Makes liblber and libldap wipe every block before it goes back to the heap (requests hold
// passwords). Once a process, before the first handle; later calls do nothing.
void PrepareLdapLibrary();

}  // namespace keyferry::server

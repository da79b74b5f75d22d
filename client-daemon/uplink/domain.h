#pragma once

#include <optional>
#include <string>

namespace keyferry::daemon {

// The domain that this computer is joined to, and its computer account there.
struct JoinedDomain {
  std::string domain;    // DNS name, lower case, at most 255 bytes
  std::string computer;  // sAMAccountName without its $, at most 15 bytes
};

// By what SSSD (the realm that it found controllers for) or Samba's winbind (smb.conf with security
// = ads) left readable for everybody; nothing when neither did, or SSSD serves several realms.
// `root` stands before /etc and /var (tests).
std::optional<JoinedDomain> FindDomain(const std::string& root = {});

}  // namespace keyferry::daemon

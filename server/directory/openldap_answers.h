#pragma once

#include <string>

#include "server/core/directory.h"
#include "server/directory/answers.h"
#include "server/directory/openldap_person.h"

namespace keyferry::server {

// What a bind found, by result code and the password policy's answer.
BindOutcome OpenLdapBindOutcome(const LdapAnswer& answer);

// A write to OpenLDAP that was not answered with success. `service_dn` is who lacks a right;
// `policy` tells the numbers behind a refused password.
Error ExplainOpenLdapWrite(const LdapAnswer& answer, WriteKind kind, const LdapEndpoint& endpoint,
                           const std::string& service_dn, const PasswordPolicy& policy);

}  // namespace keyferry::server

#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "protocol/result.h"
#include "server/core/directory.h"
#include "server/directory/ldap_config.h"

namespace keyferry::server {

// Everything needed to open a connection.
struct LdapEndpoint {
  std::string uri;
  std::string ca_file;
  DirectoryKind kind = DirectoryKind::kActiveDirectory;  // chooses the words of errors
  std::string section = "directory";                     // LdapConfig::section
};

// What a directory server answered to one operation, or why it did not.
struct LdapAnswer {
  enum class Delivery {
    kAnswered,  // `rc` and `diagnostic` are the server's
    kNotSent,   // the request did not leave this machine whole: it had no effect
    kNoAnswer,  // it left, and the deadline passed or the connection ended: it may have had effect
  };
  Delivery delivery = Delivery::kAnswered;
  int rc = 0;              // LDAP result code, or libldap's own (negative) when not answered
  std::string diagnostic;  // raw text of the server or of libldap; for the log only
  bool timed_out = false;
  // What OpenLDAP's password policy says of a bind or a password, where it was asked.
  struct Policy {
    std::optional<int> error;  // LDAPPasswordPolicyError
    int grace_left = -1;       // ≥ 0: the password has expired; binds that still work
  };
  Policy policy{};

  bool ok() const { return delivery == Delivery::kAnswered && rc == 0; }
};

// The Windows error code that AD writes in front of its diagnostics ("0000052D: …"); 0 when there
// is none.
std::uint32_t WindowsCode(std::string_view diagnostic);

// A refused simple bind (result code 49) by the sub-code in its diagnostic ("…, data 773, v1db1").
BindOutcome BindOutcomeOf(int rc, std::string_view diagnostic);

// Why the service account itself could not bind.
Error ExplainServiceBind(const LdapAnswer& answer, const LdapEndpoint& endpoint);

// A read that failed after the connection stood.
Error ExplainRead(const LdapAnswer& answer, const LdapEndpoint& endpoint);

// The detail of an error: where, result code and the raw diagnostic.
std::string AnswerDetail(const LdapAnswer& answer, std::string_view uri);

// Which write was refused; chooses the words.
enum class WriteKind { kSetPassword, kUnlock, kRequireChange };

// A write that was not answered with success. `missing_right` names the right that the service
// account was found to lack (empty = not known).
Error ExplainWrite(const LdapAnswer& answer, WriteKind kind, std::string_view uri,
                   std::string_view missing_right);

}  // namespace keyferry::server

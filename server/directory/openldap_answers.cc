#include "server/directory/openldap_answers.h"

#include <ldap.h>

#include <utility>

namespace keyferry::server {
namespace {

// The sentence for an error of the password policy (draft-behera-ldap-password-policy section 6.2).
std::string PolicySentence(int error, const PasswordPolicy& policy) {
  const auto number = [](std::uint32_t value, const char* before, const char* after) {
    return value == 0 ? std::string() : before + std::to_string(value) + after;
  };
  switch (error) {
    case PP_passwordTooShort:
      return "The directory refused the password: it is too short" +
             number(policy.min_length, "; the policy asks for at least ", " characters") + ".";
    case PP_passwordTooLong:
      return "The directory refused the password: it is too long for its policy. Choose a shorter "
             "one.";
    case PP_insufficientPasswordQuality:
      return "The directory refused the password: its quality check does not accept it. Use more "
             "characters, and mix capital and small letters, digits and other characters.";
    case PP_passwordInHistory:
      return "The directory refused the password: it was used before. Choose another one.";
    case PP_passwordTooYoung:
      return "The directory refused the change: the password was changed too recently (pwdMinAge). "
             "Wait, or ask an administrator of the directory.";
    case PP_mustSupplyOldPassword:
      return "The directory refused the change: its policy wants the old password with every new "
             "one (pwdSafeModify), so nobody else can set it. Turn that off for these people.";
    case PP_passwordModNotAllowed:
      return "The directory refused the change: its policy does not let anybody change this "
             "password (pwdAllowUserChange). Turn that on for these people.";
    default:
      break;
  }
  return "The directory refused the password by its policy: too short, too simple or used before. "
         "Try a longer one of mixed characters that was not used before.";
}

std::string RightsSentence(WriteKind kind, const std::string& service_dn) {
  const char* what = "set this person's password";
  const char* attribute = "userPassword";
  const char* level = "=w";
  if (kind == WriteKind::kUnlock) {
    what = "unlock this account";
    attribute = "pwdAccountLockedTime";
    level = "write";
  } else if (kind == WriteKind::kRequireChange) {
    what = "ask this person for a new password at the next sign-in";
    attribute = "pwdReset";
    level = "write";
  }
  return "Keyferry's service account may not " + std::string(what) +
         ": it lacks write access to the attribute " + attribute +
         ". Nothing was changed; add to the server's access rules: access to attrs=" + attribute +
         " by dn.exact=\"" + service_dn + "\" " + level + ".";
}

}  // namespace

BindOutcome OpenLdapBindOutcome(const LdapAnswer& answer) {
  const int error = answer.policy.error.value_or(PP_noError);
  if (answer.rc == LDAP_SUCCESS) {
    if (error == PP_changeAfterReset || answer.policy.grace_left >= 0)
      return BindOutcome::kMustChange;
    return BindOutcome::kAccepted;
  }
  if (error == PP_accountLocked) return BindOutcome::kLocked;
  // Said only to who knows the password.
  if (error == PP_passwordExpired) return BindOutcome::kMustChange;
  return BindOutcome::kWrong;
}

Error ExplainOpenLdapWrite(const LdapAnswer& answer, WriteKind kind, const LdapEndpoint& endpoint,
                           const std::string& service_dn, const PasswordPolicy& policy) {
  const auto make = [&](ErrorCode code, std::string message) {
    return Error{code, std::move(message), AnswerDetail(answer, endpoint.uri), 0};
  };
  if (answer.delivery == LdapAnswer::Delivery::kNotSent) {
    if (answer.rc == LDAP_USER_CANCELLED) {
      return make(ErrorCode::kUnavailable,
                  "The change was withdrawn before it was sent. Nothing was changed; try again.");
    }
    return make(ErrorCode::kUnavailable,
                "The connection to the directory server broke before the change was sent. Nothing "
                "was changed; try again.");
  }
  if (answer.delivery == LdapAnswer::Delivery::kNoAnswer) {
    return make(ErrorCode::kOutcomeUnknown,
                "The directory server did not confirm the change; it may or may not have been "
                "made. Keyferry is checking; do not repeat it by hand.");
  }
  if (answer.policy.error) {
    return make(ErrorCode::kPolicyRefused, PolicySentence(*answer.policy.error, policy));
  }
  switch (answer.rc) {
    case LDAP_CONSTRAINT_VIOLATION:
      return make(ErrorCode::kPolicyRefused, PolicySentence(PP_noError, policy));
    case LDAP_INSUFFICIENT_ACCESS:
      return make(ErrorCode::kPermissionDenied, RightsSentence(kind, service_dn));
    case LDAP_NO_SUCH_OBJECT:
      return make(ErrorCode::kNotFound, "This account no longer exists in the directory.");
    case LDAP_REFERRAL:
      return make(ErrorCode::kUnavailable,
                  "This directory server is a read-only copy. Nothing was changed; name the one "
                  "that takes writes in " +
                      endpoint.section + ".uris.");
    case LDAP_CONFIDENTIALITY_REQUIRED:
    case LDAP_STRONG_AUTH_REQUIRED:
      return make(ErrorCode::kUnavailable,
                  "The directory server wants stronger protection of the connection than LDAPS "
                  "gives it here. Nothing was changed; check its \"security\" settings.");
    case LDAP_BUSY:
    case LDAP_UNAVAILABLE:
    case LDAP_TIMELIMIT_EXCEEDED:
    case LDAP_ADMINLIMIT_EXCEEDED:
    case LDAP_NO_SUCH_ATTRIBUTE:  // somebody else changed the same password at the same time
      return make(ErrorCode::kUnavailable,
                  "The directory server is busy. Nothing was changed; try again in a moment.");
    case LDAP_UNDEFINED_TYPE:
      return make(ErrorCode::kUnavailable,
                  "The directory server does not know password policies. Nothing was changed; load "
                  "the ppolicy overlay.");
    case LDAP_UNWILLING_TO_PERFORM:
    case LDAP_OBJECT_CLASS_VIOLATION:
      return make(ErrorCode::kPolicyRefused,
                  "The directory refuses this change for this account. Nothing was changed; see "
                  "the server's log.");
    default:
      return make(ErrorCode::kInternal,
                  "The directory refused the change for an unexpected reason. Nothing was changed; "
                  "see the server's log.");
  }
}

}  // namespace keyferry::server

#include "server/directory/answers.h"

#include <ldap.h>

#include <cstddef>
#include <optional>

namespace keyferry::server {
namespace {

// Windows error codes in AD diagnostics ([MS-ERREF] section 2.2).
constexpr std::uint32_t kAccessDenied = 0x5;
constexpr std::uint32_t kGenFailure = 0x1F;
constexpr std::uint32_t kInvalidPassword = 0x56;
constexpr std::uint32_t kPasswordRestriction = 0x52D;
constexpr std::uint32_t kAccountLockedOut = 0x775;
constexpr std::uint32_t kNoSuchObject = 0x2030;

bool Contains(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

std::optional<std::uint32_t> ParseHex(std::string_view digits) {
  if (digits.empty() || digits.size() > 8) return std::nullopt;
  std::uint32_t value = 0;
  for (const char c : digits) {
    std::uint32_t digit = 0;
    if (c >= '0' && c <= '9') {
      digit = static_cast<std::uint32_t>(c - '0');
    } else if (c >= 'a' && c <= 'f') {
      digit = static_cast<std::uint32_t>(c - 'a' + 10);
    } else if (c >= 'A' && c <= 'F') {
      digit = static_cast<std::uint32_t>(c - 'A' + 10);
    } else {
      return std::nullopt;
    }
    value = value << 4 | digit;
  }
  return value;
}

Error Make(ErrorCode code, std::string message, const LdapAnswer& answer, std::string_view uri) {
  return Error{code, std::move(message), AnswerDetail(answer, uri), 0};
}

// The number in "… should be equal or longer than 10 characters!".
std::string LengthIn(std::string_view diagnostic) {
  static constexpr std::string_view kBefore = "equal or longer than ";
  const std::size_t at = diagnostic.find(kBefore);
  if (at == std::string_view::npos) return {};
  std::string digits;
  for (const char c : diagnostic.substr(at + kBefore.size(), 4)) {
    if (c < '0' || c > '9') break;
    digits += c;
  }
  return digits;
}

// Samba says which rule it was; Windows only says that one of them was broken.
std::string PolicySentence(std::string_view diagnostic) {
  if (Contains(diagnostic, "too short")) {
    const std::string length = LengthIn(diagnostic);
    return "Active Directory refused the password: it is too short" +
           (length.empty() ? std::string(".")
                           : "; the policy asks for at least " + length + " characters.");
  }
  if (Contains(diagnostic, "complexity")) {
    return "Active Directory refused the password: it is not complex enough. Use at least three of "
           "capital letters, "
           "small letters, digits and other characters.";
  }
  if (Contains(diagnostic, "in history") || Contains(diagnostic, "previous password")) {
    return "Active Directory refused the password: it was used before. Choose another one.";
  }
  if (Contains(diagnostic, "too young")) {
    return "Active Directory refused the change: the password was changed too recently (minimum "
           "password age). "
           "Wait, or ask a domain administrator.";
  }
  return "Active Directory refused the password by its policy: too short, not complex enough, used "
         "before or changed "
         "too recently. Try a longer one of mixed characters that was not used before.";
}

std::string RightsSentence(WriteKind kind, std::string_view missing_right) {
  std::string what;
  switch (kind) {
    case WriteKind::kSetPassword:
      what = "reset this person's password";
      break;
    case WriteKind::kUnlock:
      what = "unlock this account";
      break;
    case WriteKind::kRequireChange:
      what = "ask this person for a new password at the next sign-in";
      break;
  }
  std::string right(missing_right);
  if (right.empty()) {
    right = kind == WriteKind::kSetPassword ? "\"Reset password\""
            : kind == WriteKind::kUnlock    ? "\"Write lockoutTime\""
                                            : "\"Write pwdLastSet\"";
  }
  return "Keyferry's service account may not " + what + ": it lacks the right " + right +
         " on it. Delegate the right on the OU, or check whether the account is protected. Nothing "
         "was changed.";
}

// How sentences call the whole, and one of its servers.
std::string System(DirectoryKind kind) {
  return kind == DirectoryKind::kOpenLdap ? "The directory" : "Active Directory";
}
std::string Server(DirectoryKind kind) { return "The " + std::string(ServerNoun(kind)); }

}  // namespace

std::string AnswerDetail(const LdapAnswer& answer, std::string_view uri) {
  std::string out = std::string(uri) + ": rc " + std::to_string(answer.rc) + " (" +
                    ldap_err2string(answer.rc) + ")";
  if (!answer.diagnostic.empty()) out += ", diagnostic: " + answer.diagnostic;
  return out;
}

std::uint32_t WindowsCode(std::string_view diagnostic) {
  if (diagnostic.size() < 9 || diagnostic[8] != ':') return 0;
  return ParseHex(diagnostic.substr(0, 8)).value_or(0);
}

BindOutcome BindOutcomeOf(int rc, std::string_view diagnostic) {
  if (rc == LDAP_SUCCESS) return BindOutcome::kAccepted;
  static constexpr std::string_view kBefore = ", data ";
  const std::size_t at = diagnostic.find(kBefore);
  if (at == std::string_view::npos) return BindOutcome::kWrong;
  std::string_view rest = diagnostic.substr(at + kBefore.size());
  switch (ParseHex(rest.substr(0, rest.find(','))).value_or(0)) {
    case 0x775:
      return BindOutcome::kLocked;
    case 0x530:  // not at this hour
    case 0x531:  // not from this workstation
    case 0x533:
      return BindOutcome::kDisabled;
    case 0x701:
      return BindOutcome::kExpired;
    case 0x532:
    case 0x773:
      return BindOutcome::kMustChange;
    default:
      return BindOutcome::kWrong;
  }
}

Error ExplainServiceBind(const LdapAnswer& answer, const LdapEndpoint& endpoint) {
  if (answer.delivery != LdapAnswer::Delivery::kAnswered) return ExplainRead(answer, endpoint);
  if (answer.rc == LDAP_INVALID_CREDENTIALS) {
    std::string why = "its name or password in the configuration is wrong";
    switch (BindOutcomeOf(answer.rc, answer.diagnostic)) {
      case BindOutcome::kLocked:
        why = "the account is locked";
        break;
      case BindOutcome::kDisabled:
        why = "the account is disabled or may not sign in now";
        break;
      case BindOutcome::kExpired:
        why = "the account has expired";
        break;
      case BindOutcome::kMustChange:
        why = "its password has expired or must be changed";
        break;
      case BindOutcome::kAccepted:
      case BindOutcome::kWrong:
        break;
    }
    return Make(ErrorCode::kUnavailable,
                System(endpoint.kind) + " refuses Keyferry's service account: " + why +
                    ". Nothing was changed; an administrator of the server has to put it right.",
                answer, endpoint.uri);
  }
  return Make(ErrorCode::kUnavailable,
              System(endpoint.kind) +
                  " does not let Keyferry's service account sign in. Nothing was "
                  "changed; see the server's log.",
              answer, endpoint.uri);
}

Error ExplainRead(const LdapAnswer& answer, const LdapEndpoint& endpoint) {
  if (answer.delivery != LdapAnswer::Delivery::kAnswered) {
    if (answer.timed_out) {
      return Make(ErrorCode::kDeadline,
                  Server(endpoint.kind) +
                      " did not answer in time. Nothing was changed; try again in "
                      "a moment.",
                  answer, endpoint.uri);
    }
    return Make(ErrorCode::kUnavailable,
                "The connection to the " + std::string(ServerNoun(endpoint.kind)) +
                    " broke. Nothing was changed; try again in "
                    "a moment.",
                answer, endpoint.uri);
  }
  switch (answer.rc) {
    case LDAP_NO_SUCH_OBJECT:
      return Make(ErrorCode::kNotFound, System(endpoint.kind) + " has no such entry.", answer,
                  endpoint.uri);
    case LDAP_INSUFFICIENT_ACCESS:
      return Make(ErrorCode::kPermissionDenied,
                  "Keyferry's service account may not read this in the directory. Grant it read "
                  "access on the OU.",
                  answer, endpoint.uri);
    case LDAP_BUSY:
    case LDAP_UNAVAILABLE:
    case LDAP_TIMELIMIT_EXCEEDED:
      return Make(ErrorCode::kUnavailable,
                  Server(endpoint.kind) + " is busy. Nothing was changed; try again in a moment.",
                  answer, endpoint.uri);
    case LDAP_REFERRAL:
      return Make(ErrorCode::kUnavailable,
                  "This " + std::string(ServerNoun(endpoint.kind)) +
                      " does not hold the configured base DN. Check " + endpoint.section +
                      ".base_dn.",
                  answer, endpoint.uri);
    default:
      return Make(ErrorCode::kUnavailable,
                  Server(endpoint.kind) + " could not answer the question; see the server's log.",
                  answer, endpoint.uri);
  }
}

Error ExplainWrite(const LdapAnswer& answer, WriteKind kind, std::string_view uri,
                   std::string_view missing_right) {
  if (answer.delivery == LdapAnswer::Delivery::kNotSent) {
    if (answer.rc == LDAP_USER_CANCELLED) {
      return Make(ErrorCode::kUnavailable,
                  "The change was withdrawn before it was sent. Nothing was changed; try again.",
                  answer, uri);
    }
    return Make(ErrorCode::kUnavailable,
                "The connection to the domain controller broke before the change was sent. Nothing "
                "was changed; try again.",
                answer, uri);
  }
  if (answer.delivery == LdapAnswer::Delivery::kNoAnswer) {
    return Make(ErrorCode::kOutcomeUnknown,
                "The domain controller did not confirm the change; it may or may not have been "
                "made. Keyferry is checking; do not repeat it by hand.",
                answer, uri);
  }
  switch (WindowsCode(answer.diagnostic)) {
    case kPasswordRestriction:
      return Make(ErrorCode::kPolicyRefused, PolicySentence(answer.diagnostic), answer, uri);
    case kAccountLockedOut:
      return Make(ErrorCode::kConflict,
                  "Active Directory refuses the change because the account is locked. Unlock it "
                  "and try again.",
                  answer, uri);
    case kInvalidPassword:
      return Make(ErrorCode::kUnauthenticated, "The old password is wrong. Nothing was changed.",
                  answer, uri);
    case kAccessDenied:
      return Make(ErrorCode::kPermissionDenied, RightsSentence(kind, missing_right), answer, uri);
    case kNoSuchObject:
      return Make(ErrorCode::kNotFound, "This account no longer exists in Active Directory.",
                  answer, uri);
    case kGenFailure:
      return Make(ErrorCode::kUnavailable,
                  "The domain controller does not take passwords over this connection. Nothing was "
                  "changed; check its certificate and LDAPS.",
                  answer, uri);
    default:
      break;
  }
  switch (answer.rc) {
    case LDAP_CONSTRAINT_VIOLATION:
      return Make(ErrorCode::kPolicyRefused, PolicySentence(answer.diagnostic), answer, uri);
    case LDAP_INSUFFICIENT_ACCESS:
      return Make(ErrorCode::kPermissionDenied, RightsSentence(kind, missing_right), answer, uri);
    case LDAP_NO_SUCH_OBJECT:
      return Make(ErrorCode::kNotFound, "This account no longer exists in Active Directory.",
                  answer, uri);
    case LDAP_REFERRAL:
      return Make(ErrorCode::kUnavailable,
                  "This domain controller is read-only or not responsible for the account. Nothing "
                  "was changed; configure a writable one.",
                  answer, uri);
    case LDAP_BUSY:
    case LDAP_UNAVAILABLE:
    case LDAP_TIMELIMIT_EXCEEDED:
    case LDAP_ADMINLIMIT_EXCEEDED:
      return Make(ErrorCode::kUnavailable,
                  "The domain controller is busy. Nothing was changed; try again in a moment.",
                  answer, uri);
    case LDAP_UNWILLING_TO_PERFORM:
      return Make(ErrorCode::kPolicyRefused,
                  "Active Directory refuses this change for this account. Nothing was changed; see "
                  "the server's log.",
                  answer, uri);
    default:
      return Make(ErrorCode::kInternal,
                  "Active Directory refused the change for an unexpected reason. Nothing was "
                  "changed; see the server's log.",
                  answer, uri);
  }
}

}  // namespace keyferry::server

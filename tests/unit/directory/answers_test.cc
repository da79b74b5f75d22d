#include "server/directory/answers.h"

#include <ldap.h>

#include <catch2/catch.hpp>

namespace keyferry::server {
namespace {

using Delivery = LdapAnswer::Delivery;

std::string BindDiagnostic(const std::string& data) {
  return "80090308: LdapErr: DSID-0C0903A9, comment: AcceptSecurityContext error, data " + data +
         ", v1db1";
}

Error Write(int rc, const std::string& diagnostic, Delivery delivery = Delivery::kAnswered,
            WriteKind kind = WriteKind::kSetPassword) {
  return ExplainWrite({delivery, rc, diagnostic, false}, kind, "ldaps://dc1", "");
}

}  // namespace

TEST_CASE("the code in front of a diagnostic is read, and only there") {
  CHECK(WindowsCode("0000052D: Constraint violation") == 0x52D);
  CHECK(WindowsCode("0000052d: SvcErr: DSID-031A12D2, problem 5003 (WILL_NOT_PERFORM), data 0") ==
        0x52D);
  CHECK(WindowsCode("80090308: LdapErr") == 0x80090308);
  for (const char* none : {"", "0000052D", "000052D: x", "x0000052D: y", "0000052G: z",
                           "error in module acl: insufficient"}) {
    CHECK(WindowsCode(none) == 0);
  }
}

TEST_CASE("bind sub-codes become outcomes") {
  CHECK(BindOutcomeOf(LDAP_SUCCESS, "") == BindOutcome::kAccepted);
  const std::vector<std::pair<const char*, BindOutcome>> codes{
      {"52e", BindOutcome::kWrong},      {"525", BindOutcome::kWrong},
      {"530", BindOutcome::kDisabled},   {"531", BindOutcome::kDisabled},
      {"532", BindOutcome::kMustChange}, {"533", BindOutcome::kDisabled},
      {"701", BindOutcome::kExpired},    {"773", BindOutcome::kMustChange},
      {"775", BindOutcome::kLocked},     {"zzz", BindOutcome::kWrong},
      {"", BindOutcome::kWrong}};
  for (const auto& [code, outcome] : codes) {
    INFO(code);
    CHECK(BindOutcomeOf(LDAP_INVALID_CREDENTIALS, BindDiagnostic(code)) == outcome);
  }
  CHECK(BindOutcomeOf(LDAP_INVALID_CREDENTIALS, "") == BindOutcome::kWrong);
  CHECK(BindOutcomeOf(LDAP_INVALID_CREDENTIALS, "… , data 773") == BindOutcome::kMustChange);
}

TEST_CASE("policy refusals are told apart where the server says which") {
  const std::string samba = "0000052D: Constraint violation - check_password_restrictions: ";
  CHECK_THAT(
      Write(19,
            samba + "the password is too short. It should be equal or longer than 14 characters!")
          .message,
      Catch::Matchers::Contains("at least 14 characters"));
  CHECK_THAT(Write(19, samba + "the password does not meet the complexity criteria!").message,
             Catch::Matchers::Contains("complex"));
  CHECK_THAT(Write(19, samba + "the password was already used (in history)!").message,
             Catch::Matchers::Contains("used before"));
  CHECK_THAT(Write(19, samba + "the password was already used (previous password)!").message,
             Catch::Matchers::Contains("used before"));
  CHECK_THAT(Write(19, samba + "password is too young to change!").message,
             Catch::Matchers::Contains("too recently"));
  for (const auto& [rc, text] : std::vector<std::pair<int, std::string>>{
           {53, "0000052D: SvcErr: DSID-031A12D2, problem 5003 (WILL_NOT_PERFORM), data 0\n"},
           {19,
            "0000052D: AtrErr: DSID-03190F80, #1:\n\t0: 0000052D: DSID-03190F80, problem 1005 "
            "(CONSTRAINT_ATT_TYPE), data 0, Att 9005a (unicodePwd)"},
           {19, ""}}) {
    const Error error = Write(rc, text);
    CHECK(error.code == ErrorCode::kPolicyRefused);
    CHECK_THAT(error.message,
               Catch::Matchers::Contains("too short, not complex enough, used before"));
  }
}

TEST_CASE("each answer to a write has its kind, and only a lost answer is unknown") {
  CHECK(Write(50, "error in module acl: insufficient access rights during LDB_MODIFY (50)").code ==
        ErrorCode::kPermissionDenied);
  CHECK(Write(50, "00002098: Object CN=x has no write property access\n").code ==
        ErrorCode::kPermissionDenied);
  CHECK(Write(50, "00000005: SecErr: DSID-031A1256, problem 4003 (INSUFF_ACCESS_RIGHTS), data 0")
            .code == ErrorCode::kPermissionDenied);
  CHECK(Write(19, "00000775: Password change not permitted, account locked out! at x").code ==
        ErrorCode::kConflict);
  CHECK(Write(19, "00000056: Constraint violation - The old password specified doesn't match!")
            .code == ErrorCode::kUnauthenticated);
  CHECK(Write(32, "00002030: No such Base DN: CN=x").code == ErrorCode::kNotFound);
  CHECK(Write(32, "").code == ErrorCode::kNotFound);
  CHECK(Write(10, "").code == ErrorCode::kUnavailable);
  CHECK(Write(51, "").code == ErrorCode::kUnavailable);
  CHECK(
      Write(53, "0000001F: SvcErr: DSID-031A126C, problem 5003 (WILL_NOT_PERFORM), data 0").code ==
      ErrorCode::kUnavailable);
  CHECK(Write(53, "00002035: setup_io: it's not allowed to set the NT hash password directly'")
            .code == ErrorCode::kPolicyRefused);
  CHECK(Write(80, "").code == ErrorCode::kInternal);
  CHECK(Write(LDAP_SERVER_DOWN, "", Delivery::kNotSent).code == ErrorCode::kUnavailable);
  CHECK(Write(LDAP_SERVER_DOWN, "", Delivery::kNoAnswer).code == ErrorCode::kOutcomeUnknown);
  CHECK(Write(0, "", Delivery::kNoAnswer).code == ErrorCode::kOutcomeUnknown);
}

TEST_CASE("raw words go to the detail, never into the sentence") {
  const Error error = Write(19, "0000052D: CANARY-TEXT too short");
  CHECK(error.message.find("CANARY") == std::string::npos);
  CHECK_THAT(error.detail,
             Catch::Matchers::Contains("CANARY-TEXT") && Catch::Matchers::Contains("ldaps://dc1"));
  CHECK_THAT(ExplainServiceBind({Delivery::kAnswered, 49, BindDiagnostic("775"), false},
                                LdapEndpoint{"u", ""})
                 .message,
             Catch::Matchers::Contains("locked"));
  CHECK_THAT(ExplainServiceBind({Delivery::kAnswered, 49, BindDiagnostic("52e"), false},
                                LdapEndpoint{"u", ""})
                 .message,
             Catch::Matchers::Contains("wrong"));
  CHECK(ExplainRead({Delivery::kNoAnswer, -5, "", true}, LdapEndpoint{"u", ""}).code ==
        ErrorCode::kDeadline);
  CHECK(ExplainRead({Delivery::kNoAnswer, -1, "", false}, LdapEndpoint{"u", ""}).code ==
        ErrorCode::kUnavailable);
}

}  // namespace keyferry::server

// The attributes that agents look at, and the sessions that administrators end.
#include "server/core/attributes.h"

#include <catch2/catch.hpp>

#include "company.h"

using namespace keyferry;
using namespace keyferry::server;
using namespace keyferry::server::testing;

TEST_CASE("each look at attributes is in the audit log, and none is shown without") {
  Company company;
  const CorePorts ports{*company.store,
                        company.directory,
                        company.clock,
                        OsRandom(),
                        *company.bus,
                        *company.issuer,
                        company.ca,
                        *company.attestation,
                        company.waiter,
                        *company.presence,
                        {}};
  const auto attributes = MakeAttributeService(ports);
  company.directory.attributes = {{"mobile", {"+1"}}, {"info", {}}};
  const auto looks = [&] {
    AuditFilter filter;
    filter.action = "person.attributes";
    return company.audit->Search(filter, 0, 10)->rows;
  };
  const auto shown = attributes->Show(company.admin, company.alice);
  REQUIRE(shown);
  CHECK(shown->size() == 2);
  REQUIRE(looks().size() == 1);
  CHECK(looks()[0].detail == "mobile, info");
  CHECK(looks()[0].target == "alice");
  Actor other = company.admin;
  for (const Role role : {Role::kAuditor, Role::kKeyOfficer, Role::kNone}) {
    other.roles = role;
    CHECK(attributes->Show(other, company.alice).error().code == ErrorCode::kPermissionDenied);
  }
  AccountId nobody;
  nobody.bytes.fill(0x5A);
  CHECK(attributes->Show(company.admin, nobody).error().code == ErrorCode::kNotFound);
  company.directory.down = true;
  CHECK_FALSE(attributes->Show(company.admin, company.alice));
  CHECK(looks().size() == 1);
  CHECK(company.audit->Verify());
}

TEST_CASE("what is known to hold a secret is never shown") {
  for (const char* good :
       {"mobile", "physicalDeliveryOfficeName", "extensionAttribute1", "msDS-x"}) {
    CHECK(MayBeShown(good));
  }
  for (const char* bad :
       {"", "unicodePwd", "userPassword", "ms-Mcs-AdmPwd", "msLAPS-EncryptedPassword",
        "supplementalCredentials", "userPKCS12", "krbPrincipalKey", "a b", "1a", "-a", "a)(b=*",
        "a;binary", "*", "+", "client_secret"}) {
    INFO(bad);
    CHECK_FALSE(MayBeShown(bad));
  }
  CHECK_FALSE(MayBeShown(std::string(61, 'a')));
}

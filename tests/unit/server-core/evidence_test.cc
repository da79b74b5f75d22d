// What a directory's own record of an account says about an attempt whose answer was lost, and
// about one that it would refuse.
#include "server/core/evidence.h"

#include <catch2/catch.hpp>

#include "company.h"

namespace keyferry::server {

TEST_CASE("a directory that names the writer of a password: only its own write is evidence") {
  ChangeRecord change;
  change.password_last_set = 1000;
  PasswordStamp stamp;
  stamp.named_writer = true;
  for (const bool must_change : {false, true}) {
    change.must_change = must_change;
    stamp.last_set = 1000;
    stamp.writer = PasswordStamp::Writer::kHere;
    CHECK(Judge(change, stamp, 60) == Evidence::kNotApplied);
    stamp.last_set = 2000;
    CHECK(Judge(change, stamp, 60) == Evidence::kApplied);
    stamp.writer = PasswordStamp::Writer::kUnknown;
    CHECK(Judge(change, stamp, 60) == Evidence::kUndecidable);
    stamp.last_set = 500;  // restored from a backup
    stamp.writer = PasswordStamp::Writer::kHere;
    CHECK(Judge(change, stamp, 60) == Evidence::kUndecidable);
  }
}

TEST_CASE("a minimum age that holds resets too is respected whatever the configuration says") {
  testing::Company company;
  auto& detail = company.directory.At(company.alice).detail;
  detail.policy.source = "the password policy Staff";
  detail.policy.min_age = 86400;
  detail.state.password_last_set =
      (company.clock.UnixSeconds() - 3 * 3600 + 11'644'473'600) * 10'000'000;
  const auto reason = [&] {
    const auto check = company.changes->Check(company.admin, company.alice);
    REQUIRE(check);
    CHECK_FALSE(check->allowed);  // there is no key either
    return check->reason;
  };
  CHECK_THAT(reason(), Catch::Matchers::Contains("no active key"));
  detail.policy.min_age_holds_resets = true;
  CHECK_THAT(reason(), Catch::Matchers::Contains("set 3 hours ago") &&
                           Catch::Matchers::Contains("refuses a new one until then"));
  company.clock.Advance(std::chrono::hours(22));
  CHECK_THAT(reason(), Catch::Matchers::Contains("no active key"));
}

}  // namespace keyferry::server

#pragma once

#include <catch2/catch.hpp>
#include <memory>
#include <string>

#include "server/directory/ldap_directory.h"
#include "tests/support/dc/test_domain.h"

namespace keyferry::testing {

using namespace keyferry::server;  // NOLINT: a test header

// A configuration for the test domain; tests change what they are about.
inline LdapConfig ConfigFor(const TestDomain& domain) {
  LdapConfig config;
  config.uris = {domain.ldaps_uri};
  config.ca_file = domain.ca_file;
  config.base_dn = domain.base_dn;
  config.people_dn = domain.people_dn;
  config.bind_name = domain.service_upn;
  config.bind_password = SecureBytes::CopyOf(domain.service_password);
  return config;
}

inline std::unique_ptr<Directory> Open(LdapConfig config) {
  auto directory = MakeLdapDirectory(std::move(config));
  if (!directory) {
    FAIL(directory.error().message << " | " << directory.error().detail);
  }
  return std::move(*directory);
}

inline AccountId IdOf(const SamplePerson& person) { return AccountId::Parse(person.id).value(); }

inline SecureBytes Secret(const std::string& text) {
  return SecureBytes::CopyOf(std::string_view(text));
}

template <typename T>
std::string Words(const Result<T>& result) {
  return result ? "success" : result.error().message + " | " + result.error().detail;
}

}  // namespace keyferry::testing

// The call succeeds, or the test shows the error in words. Evaluates its argument once.
#define REQUIRE_OK(call)                               \
  do {                                                 \
    const auto& outcome_of_call = (call);              \
    INFO(::keyferry::testing::Words(outcome_of_call)); \
    REQUIRE(outcome_of_call.has_value());              \
  } while (false)

// The call fails with this code and a sentence that holds this text.
#define CHECK_REFUSED(call, expected, text)                                       \
  do {                                                                            \
    const auto& outcome_of_call = (call);                                         \
    INFO(::keyferry::testing::Words(outcome_of_call));                            \
    REQUIRE_FALSE(outcome_of_call.has_value());                                   \
    CHECK(outcome_of_call.error().code == (expected));                            \
    CHECK_THAT(outcome_of_call.error().message, Catch::Matchers::Contains(text)); \
  } while (false)

#include "tests/support/vectors/vectors.h"

#include <catch2/catch.hpp>

// Every file of test vectors, byte for byte; how many checks each holds is fixed so that none can
// vanish.
TEST_CASE("the protocol reproduces the test vectors") {
  const auto [file, checks] = GENERATE(table<const char*, std::size_t>({
      {"hpke_base", 29},
      {"sealed_job", 108},
      {"receipt", 112},
      {"noise_xx_hop", 72},
      {"framing_hid", 42},
      {"negative_jobs", 510},
      {"framing_ble", 56},
      {"hostcert_issuercert_statement_grant_assertion", 84},
  }));
  std::size_t seen = 0;
  keyferry::vectors::RunFile(std::string(KEYFERRY_TEST_DATA "/vectors/") + file + ".json",
                             [&](const std::string& what, bool ok) {
                               ++seen;
                               INFO(what);
                               CHECK(ok);
                             });
  INFO(file);
  CHECK(seen >= checks);
}

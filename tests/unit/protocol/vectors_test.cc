#include "tests/support/vectors/vectors.h"

#include <catch2/catch.hpp>
#include <fstream>
#include <sstream>

namespace {

std::string Read(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

}  // namespace

// The worked example of the specification is made of bytes from the vectors.
TEST_CASE("PROTOCOL.md's example is in the vectors") {
  const std::string vectors = Read(KEYFERRY_TEST_DATA "/vectors/sealed_job.json") +
                              Read(KEYFERRY_TEST_DATA "/vectors/noise_xx_hop.json");
  std::istringstream text(Read(KEYFERRY_TEST_DATA "/../../protocol/PROTOCOL.md"));
  std::size_t found = 0;
  for (std::string line; std::getline(text, line);) {
    if (line.size() < 12 || line.compare(0, 4, "    ") != 0 ||
        line.find_first_not_of("0123456789abcdef", 4) != std::string::npos) {
      continue;
    }
    INFO(line);
    CHECK(vectors.find(line.substr(4)) != std::string::npos);
    ++found;
  }
  CHECK(found >= 35);
}

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

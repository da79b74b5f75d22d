// After a change, the password is nowhere in this process: all of its writable memory is searched.
#include <fcntl.h>
#include <sodium.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>
#include <fstream>

#include "server/directory/openldap_directory.h"
#include "tests/integration/directory/directories.h"
#include "tests/support/dc/test_slapd.h"

namespace keyferry::testing {
namespace {

constexpr std::uint8_t kMask = 0x5A;

// What to look for, kept masked so that the search does not find itself.
struct Pattern {
  const char* name;
  std::vector<std::uint8_t> masked;
};

// Matches in all writable memory of this process.
std::size_t Count(const Pattern& pattern) {
  std::ifstream maps("/proc/self/maps");
  const int memory = open("/proc/self/mem", O_RDONLY | O_CLOEXEC);
  REQUIRE(memory >= 0);
  // The buffer is its own mapping, left out of the search.
  constexpr std::size_t kBuffer = 1 << 20;
  static std::uint8_t* buffer = static_cast<std::uint8_t*>(aligned_alloc(4096, kBuffer + 4096));
  std::size_t hits = 0;
  const std::size_t size = pattern.masked.size();
  for (std::string line; std::getline(maps, line);) {
    unsigned long from = 0, to = 0;
    char mode[5] = {};
    if (std::sscanf(line.c_str(), "%lx-%lx %4s", &from, &to, mode) != 3 || mode[0] != 'r' ||
        mode[1] != 'w')
      continue;
    for (unsigned long at = from; at + size <= to;) {
      const std::size_t want = std::min<std::size_t>(kBuffer, to - at);
      const ssize_t got = pread(memory, buffer, want, static_cast<off_t>(at));
      if (got < static_cast<ssize_t>(size)) break;
      for (std::size_t i = 0; i + size <= static_cast<std::size_t>(got); ++i) {
        const auto* here = reinterpret_cast<const std::uint8_t*>(at + i);
        if (here >= buffer && here < buffer + kBuffer) continue;
        std::size_t match = 0;
        while (match < size &&
               buffer[i + match] == static_cast<std::uint8_t>(pattern.masked[match] ^ kMask))
          ++match;
        if (match == size) ++hits;
      }
      if (at + static_cast<unsigned long>(got) >= to) break;
      at += static_cast<unsigned long>(got) - (size - 1);
    }
  }
  close(memory);
  return hits;
}

// A random password that exists in clear only inside `secret`. It is long and only its end is
// looked for, because the next request overwrites the beginning of a buffer that is used again.
SecureBytes RandomPassword(std::vector<Pattern>* patterns) {
  static constexpr char kDigits[] = "abcdefghijkmnpqrstuvwxyz23456789";
  constexpr std::size_t kLength = 240, kEnd = 20;
  SecureBytes secret(kLength);
  randombytes_buf(secret.data(), secret.size());
  for (std::size_t i = 0; i < secret.size(); ++i) {
    secret.data()[i] = static_cast<std::uint8_t>(kDigits[secret.data()[i] % 32]);
  }
  secret.data()[0] = 'K';
  secret.data()[1] = '-';
  Pattern plain{"UTF-8", {}}, wide{"UTF-16LE", {}};
  for (std::size_t i = kLength - kEnd; i < kLength; ++i) {
    plain.masked.push_back(secret.data()[i] ^ kMask);
    wide.masked.push_back(secret.data()[i] ^ kMask);
    wide.masked.push_back(kMask);
  }
  wide.masked.pop_back();
  *patterns = {plain, wide};
  return secret;
}

}  // namespace

TEST_CASE("the search finds a password that is there") {
  std::vector<Pattern> patterns;
  SecureBytes secret = RandomPassword(&patterns);
  CHECK(Count(patterns[0]) == 1);
  const SecureBytes copy = secret.Clone();
  CHECK(Count(patterns[0]) == 2);
  secret.Clear();
  CHECK(Count(patterns[0]) == 1);
}

TEST_CASE("a freed block is wiped, whatever its size and however it moved") {
  std::vector<Pattern> patterns;
  SecureBytes secret = RandomPassword(&patterns);
  for (const std::size_t size : {240u, 1000u, 1100u, 5000u, 200'000u}) {
    auto* block = static_cast<std::uint8_t*>(std::malloc(size));
    std::memcpy(block + size - secret.size(), secret.data(), secret.size());
    CHECK(Count(patterns[0]) == 2);
    block = static_cast<std::uint8_t*>(std::realloc(block, 8 * size));
    CHECK(Count(patterns[0]) == 2);
    block = static_cast<std::uint8_t*>(std::realloc(block, size - 1));
    CHECK(Count(patterns[0]) == 1);
    std::memcpy(block, secret.data(), secret.size() - 2);
    std::free(block);
    CHECK(Count(patterns[0]) == 1);
  }
  {
    std::string text(secret.view());
    text.append(5000, 'x');  // moves
  }
  CHECK(Count(patterns[0]) == 1);
}

// Sets random passwords and signs in with them, and looks for what is left of them.
void CheckNothingLeft(Directory& directory, const AccountId& id, const std::string& login) {
  std::vector<Pattern> patterns;
  for (int round = 0; round < 3; ++round) {
    SecureBytes secret = RandomPassword(&patterns);
    SecureBytes again = secret.Clone();
    const auto target = directory.Pin(id, {});
    REQUIRE_OK(target);
    const auto set = directory.SetPassword(*target, id, secret, {});
    secret.Clear();
    const std::size_t after_change = Count(patterns[1]) + Count(patterns[0]);
    REQUIRE_OK(set);
    CHECK(after_change == 1);  // `again`
    const auto facts = directory.SignIn(login, again);
    again.Clear();
    const std::size_t after_sign_in = Count(patterns[0]);
    REQUIRE_OK(facts);
    REQUIRE(facts->outcome == BindOutcome::kAccepted);
    CHECK(after_sign_in == 0);
    for (const Pattern& pattern : patterns) CHECK(Count(pattern) == 0);
  }
}

TEST_CASE("no copy of a password is left in memory after change and sign-in") {
  TestDomain& domain = TestDomain::Shared();
  const SamplePerson& person = domain.Person("employee");
  CheckNothingLeft(*Open(ConfigFor(domain)), AccountId::Parse(person.id).value(), person.login);
}

TEST_CASE("no copy of a password is left in memory after change and sign-in in OpenLDAP") {
  TestSlapd& slapd = TestSlapd::Shared();
  LdapConfig config;
  config.uris = {slapd.uri};
  config.ca_file = slapd.ca_file;
  config.base_dn = slapd.base_dn;
  config.people_dn = slapd.people_dn;
  config.bind_name = slapd.service_dn;
  config.bind_password = SecureBytes::CopyOf(slapd.service_password);
  const auto directory = MakeOpenLdapDirectory(std::move(config));
  REQUIRE_OK(directory);
  const auto page = (*directory)->Search("alice", 1, "");
  REQUIRE_OK(page);
  REQUIRE(page->people.size() == 1);
  CheckNothingLeft(**directory, page->people.front().id, "alice");
}

}  // namespace keyferry::testing

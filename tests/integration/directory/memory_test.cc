// After a change, the password is nowhere in this process: the whole of its memory is searched.
#include <fcntl.h>
#include <sodium.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>
#include <fstream>

#include "tests/integration/directory/directories.h"

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

// A random password that exists in clear only inside `secret`.
SecureBytes RandomPassword(std::vector<Pattern>* patterns) {
  static constexpr char kDigits[] = "abcdefghijkmnpqrstuvwxyz23456789";
  SecureBytes secret(24);
  randombytes_buf(secret.data(), secret.size());
  for (std::size_t i = 0; i < secret.size(); ++i)
    secret.data()[i] = static_cast<std::uint8_t>(kDigits[secret.data()[i] % 32]);
  secret.data()[0] = 'K';
  secret.data()[1] = '-';
  Pattern plain{"UTF-8", {}}, wide{"UTF-16LE", {}};
  for (std::size_t i = 2; i < secret.size(); ++i) {
    plain.masked.push_back(secret.data()[i] ^ kMask);
    wide.masked.push_back(secret.data()[i] ^ kMask);
    wide.masked.push_back(kMask);
  }
  // Without its first letters: the heap writes its lists over the beginning of a freed block.
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

TEST_CASE("no copy of a password is left in memory after change and sign-in") {
  TestDomain& domain = TestDomain::Shared();
  const SamplePerson& person = domain.Person("employee");
  const AccountId id = AccountId::Parse(person.id).value();
  const auto directory = Open(ConfigFor(domain));
  std::vector<Pattern> patterns;
  for (int round = 0; round < 3; ++round) {
    SecureBytes secret = RandomPassword(&patterns);
    const auto target = directory->Pin(id);
    REQUIRE_OK(target);
    REQUIRE_OK(directory->SetPassword(*target, id, secret, {}));
    const auto facts = directory->SignIn(person.login, secret);
    REQUIRE_OK(facts);
    REQUIRE(facts->outcome == BindOutcome::kAccepted);
    secret.Clear();
    for (const Pattern& pattern : patterns) {
      INFO(pattern.name << ", round " << round);
      CHECK(Count(pattern) == 0);
    }
  }
}

}  // namespace keyferry::testing

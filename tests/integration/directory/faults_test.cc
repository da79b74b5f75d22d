// Everything that goes wrong between us and a domain controller.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <fstream>
#include <thread>

#include "tests/integration/directory/directories.h"
#include "tests/support/dc/tcp_proxy.h"

namespace keyferry::testing {
namespace {

using std::chrono::milliseconds;

std::string Uri(const TestDomain& domain, std::uint16_t port) {
  return "ldaps://" + domain.ip + ":" + std::to_string(port);
}

// Accepts connections (the kernel does) and never says a word.
class SilentListener {
 public:
  explicit SilentListener(const std::string& ip)
      : fd_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    inet_pton(AF_INET, ip.c_str(), &address.sin_addr);
    socklen_t size = sizeof address;
    REQUIRE(bind(fd_, reinterpret_cast<sockaddr*>(&address), size) == 0);
    REQUIRE(listen(fd_, 64) == 0);
    REQUIRE(getsockname(fd_, reinterpret_cast<sockaddr*>(&address), &size) == 0);
    port = ntohs(address.sin_port);
  }
  ~SilentListener() { close(fd_); }
  std::uint16_t port = 0;

 private:
  int fd_;
};

LdapConfig Impatient(const TestDomain& domain) {
  LdapConfig config = ConfigFor(domain);
  config.timeout = milliseconds(1000);
  config.connect_timeout = milliseconds(600);
  config.silent_pause = milliseconds(0);
  return config;
}

}  // namespace

TEST_CASE("a wrong configuration is refused with the key that is wrong") {
  TestDomain& domain = TestDomain::Shared();
  const auto make = [&](const std::function<void(LdapConfig&)>& spoil) {
    LdapConfig config = ConfigFor(domain);
    spoil(config);
    return MakeLdapDirectory(std::move(config));
  };
  for (const char* uri : {"ldap://dc1", "https://dc1", "dc1", "ldaps://", "ldaps://a ldap://b",
                          "ldaps://a,ldaps://b", "ldaps://dc1/dc=x", "ldapi://x", ""}) {
    INFO(uri);
    CHECK_REFUSED(make([&](LdapConfig& c) { c.uris = {uri}; }), ErrorCode::kInvalidArgument,
                  "directory.uris");
  }
  CHECK_REFUSED(make([](LdapConfig& c) { c.uris.clear(); }), ErrorCode::kInvalidArgument,
                "directory.uris");
  CHECK_REFUSED(make([](LdapConfig& c) { c.ca_file = "/nonexistent.pem"; }),
                ErrorCode::kInvalidArgument, "directory.ca_file");
  CHECK_REFUSED(make([](LdapConfig& c) { c.ca_file = ""; }), ErrorCode::kInvalidArgument,
                "directory.ca_file");
  CHECK_REFUSED(make([](LdapConfig& c) { c.base_dn = "not a dn"; }), ErrorCode::kInvalidArgument,
                "directory.base_dn");
  CHECK_REFUSED(make([](LdapConfig& c) { c.people_dn = "=,="; }), ErrorCode::kInvalidArgument,
                "directory.people_dn");
  CHECK_REFUSED(make([](LdapConfig& c) { c.bind_name.clear(); }), ErrorCode::kInvalidArgument,
                "directory.bind_name");
  CHECK_REFUSED(make([](LdapConfig& c) { c.bind_password.Clear(); }), ErrorCode::kInvalidArgument,
                "password");
  CHECK_REFUSED(make([](LdapConfig& c) { c.connections = 0; }), ErrorCode::kInvalidArgument,
                "directory.connections");
}

TEST_CASE("a controller that another authority vouches for is not spoken to") {
  TestDomain& domain = TestDomain::Shared();
  const std::string other = domain.directory + "/other-ca.pem";
  REQUIRE(RunProcess({"openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                      "ec_paramgen_curve:P-256", "-noenc", "-keyout", "/dev/null", "-out", other,
                      "-days", "30", "-subj", "/CN=Another CA"})
              .status == 0);
  LdapConfig config = ConfigFor(domain);
  config.ca_file = other;
  const auto directory = Open(std::move(config));
  CHECK_REFUSED(directory->Ping(), ErrorCode::kUnavailable, "did not prove who it is");
  CHECK_REFUSED(directory->SignIn("sean.obrien", Secret("x")), ErrorCode::kUnavailable,
                "did not prove who it is");
}

TEST_CASE("a certificate for another name or address is not accepted") {
  TestDomain& domain = TestDomain::Shared();
  LdapConfig config = ConfigFor(domain);
  // The controller binds its own address only, so its certificate is offered at another one by a
  // proxy.
  const std::string elsewhere = "127.0.20.1";
  TcpProxy proxy(elsewhere, 636, domain.ip);
  config.uris = {"ldaps://" + elsewhere + ":" + std::to_string(proxy.port())};
  const auto directory = Open(std::move(config));
  CHECK_REFUSED(directory->Ping(), ErrorCode::kUnavailable, "did not prove who it is");
}

TEST_CASE("a plain LDAP port, a closed port and an unknown host are told apart") {
  TestDomain& domain = TestDomain::Shared();
  const auto ping = [&](const std::string& uri) {
    LdapConfig config = Impatient(domain);
    config.uris = {uri};
    return Open(std::move(config))->Ping();
  };
  CHECK_FALSE(ping(Uri(domain, 389)).has_value());
  CHECK_REFUSED(ping(Uri(domain, 1)), ErrorCode::kUnavailable, "does not accept connections");
  CHECK_REFUSED(ping("ldaps://no-such-host.invalid"), ErrorCode::kUnavailable,
                "cannot be resolved");
}

TEST_CASE(
    "a controller that accepts and says nothing costs one deadline, then nothing for a while") {
  TestDomain& domain = TestDomain::Shared();
  SilentListener silent(domain.ip);
  LdapConfig config = Impatient(domain);
  config.uris = {Uri(domain, silent.port)};
  config.silent_pause = std::chrono::hours(1);
  const auto directory = Open(std::move(config));
  CHECK_REFUSED(directory->Ping(), ErrorCode::kDeadline, "did not answer in time");
  // Had each of these waited, the test's own time limit would end them.
  for (int i = 0; i < 1000; ++i) CHECK_FALSE(directory->Ping().has_value());
}

TEST_CASE("a second controller takes over from a refusing and from a silent one") {
  TestDomain& domain = TestDomain::Shared();
  SilentListener silent(domain.ip);
  for (const std::string& first : {Uri(domain, 1), Uri(domain, silent.port)}) {
    LdapConfig config = Impatient(domain);
    config.timeout = milliseconds(4000);
    config.uris = {first, domain.ldaps_uri};
    const auto directory = Open(std::move(config));
    const AccountId id = IdOf(domain.Person("employee"));
    const auto target = directory->Pin(id, {});
    REQUIRE_OK(target);
    CHECK(target->server == domain.ldaps_uri);
    // A pinned controller is never exchanged for another.
    const auto refused = directory->Stamp({first, 0}, id);
    CHECK_FALSE(refused.has_value());
  }
}

TEST_CASE(
    "no answer to a write is an unknown outcome; the connection is reset and never used again") {
  TestDomain& domain = TestDomain::Shared();
  TcpProxy proxy(domain.ip, 636, domain.ip);
  LdapConfig config = Impatient(domain);
  config.uris = {Uri(domain, proxy.port())};
  config.connections = 1;
  const auto directory = Open(std::move(config));
  const SamplePerson& person = domain.people()[13];
  const AccountId id = IdOf(person);
  const auto target = directory->Pin(id, {});
  REQUIRE_OK(target);
  const auto connections = proxy.accepted();

  proxy.CutAfterRequestOf(570);
  const auto lost =
      directory->SetPassword(*target, id, Secret("Perhaps-Set-1" + std::string(235, 'p')), {});
  CHECK_REFUSED(lost, ErrorCode::kOutcomeUnknown, "may or may not");
  CHECK(proxy.accepted() == connections);  // the write was not repeated elsewhere
  const auto after = directory->Stamp(*target, id);
  REQUIRE_OK(after);
  CHECK(proxy.accepted() == connections + 1);

  proxy.HoldAfterRequestOf(570);
  const auto silent =
      directory->SetPassword(*target, id, Secret("Perhaps-Set-2" + std::string(235, 'p')), {});
  CHECK_REFUSED(silent, ErrorCode::kOutcomeUnknown, "may or may not");
  CHECK(proxy.WaitForReset());
  proxy.Release();
  const auto evidence = directory->Stamp(*target, id);
  REQUIRE_OK(evidence);
  CHECK(evidence->last_set >= after->last_set);
  REQUIRE_OK(directory->SetPassword(*target, id, Secret(person.password), {}));
  CHECK(domain.Binds(person.upn, person.password));
}

TEST_CASE("no answer to a read is a deadline, and nothing is claimed") {
  TestDomain& domain = TestDomain::Shared();
  TcpProxy proxy(domain.ip, 636, domain.ip);
  LdapConfig config = Impatient(domain);
  config.uris = {Uri(domain, proxy.port())};
  const auto directory = Open(std::move(config));
  REQUIRE_OK(directory->Ping());
  proxy.HoldAll();
  CHECK_REFUSED(directory->Get(IdOf(domain.Person("employee"))), ErrorCode::kDeadline,
                "Nothing was changed");
  CHECK_REFUSED(directory->SignIn("sean.obrien", Secret("x")), ErrorCode::kDeadline,
                "Nothing was changed");
  CHECK(proxy.WaitForReset());
  proxy.Release();
  REQUIRE_OK(directory->Get(IdOf(domain.Person("employee"))));
}

TEST_CASE("connections that died while idle are replaced without anybody noticing") {
  TestDomain& domain = TestDomain::Shared();
  TcpProxy proxy(domain.ip, 636, domain.ip);
  LdapConfig config = ConfigFor(domain);
  config.uris = {Uri(domain, proxy.port())};
  const auto directory = Open(std::move(config));
  const SamplePerson& person = domain.Person("employee");
  for (int i = 0; i < 3; ++i) {
    const auto target = directory->Pin(IdOf(person), {});
    REQUIRE_OK(target);
    proxy.CutAll();
    REQUIRE_OK(directory->SetPassword(*target, IdOf(person), Secret(person.password), {}));
  }
}

TEST_CASE("the directory comes back by itself after the controller was restarted") {
  TestDomain& domain = TestDomain::Shared();
  const auto directory = Open(ConfigFor(domain));
  const SamplePerson& person = domain.Person("employee");
  REQUIRE_OK(directory->Ping());
  domain.Stop();
  CHECK_REFUSED(directory->Ping(), ErrorCode::kUnavailable, "does not accept connections");
  CHECK_REFUSED(
      directory->SetPassword({domain.ldaps_uri, 0}, IdOf(person), Secret("Never-Set-1"), {}),
      ErrorCode::kUnavailable, "Nothing was changed");
  CHECK_REFUSED(directory->SignIn(person.login, Secret(person.password)), ErrorCode::kUnavailable,
                "does not accept connections");
  domain.Start();
  REQUIRE_OK(directory->Ping());
  const auto facts = directory->SignIn(person.login, Secret(person.password));
  REQUIRE_OK(facts);
  CHECK(facts->outcome == BindOutcome::kAccepted);
}

TEST_CASE("a wrong service password is tried once, not until the account is locked") {
  TestDomain& domain = TestDomain::Shared();
  LdapConfig config = ConfigFor(domain);
  config.bind_password = Secret("not the password");
  const auto directory = Open(std::move(config));
  for (int i = 0; i < 20; ++i)
    CHECK_REFUSED(directory->Ping(), ErrorCode::kUnavailable, "service account");
  CHECK(domain.Attribute(domain.service_dn, "badPwdCount") == "1");
  REQUIRE_OK(Open(ConfigFor(domain))->Ping());
}

TEST_CASE("eight threads share four connections") {
  TestDomain& domain = TestDomain::Shared();
  const auto directory = Open(ConfigFor(domain));
  std::atomic<int> failures{0};
  std::vector<std::thread> threads;
  for (std::size_t i = 0; i < 8; ++i) {
    threads.emplace_back([&, i] {
      const SamplePerson& person = domain.people()[14 + i % 8];
      const AccountId id = IdOf(person);
      const std::string password = "Thread-" + std::to_string(i) + "-Pass";
      for (int round = 0; round < 2; ++round) {
        const auto target = directory->Pin(id, {});
        if (!target) {
          ++failures;
          continue;
        }
        const std::string next = password + std::to_string(round);
        if (!directory->SetPassword(*target, id, Secret(next), {})) ++failures;
        const auto facts = directory->SignIn(person.login, Secret(next));
        if (!facts || facts->outcome != BindOutcome::kAccepted || facts->person->id != id)
          ++failures;
        const auto page = directory->Search("", 10, "");
        if (!page || page->people.size() != 10) ++failures;
      }
      const auto target = directory->Pin(id, {});
      if (!target || !directory->SetPassword(*target, id, Secret(person.password), {})) ++failures;
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(failures == 0);
}

}  // namespace keyferry::testing

// Everything that goes wrong between us and a domain controller.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <fstream>
#include <future>
#include <mutex>
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

  proxy.CutAfterRequestOf(600);
  const auto lost =
      directory->SetPassword(*target, id, Secret("Perhaps-Set-1" + std::string(235, 'p')), {});
  CHECK_REFUSED(lost, ErrorCode::kOutcomeUnknown, "may or may not");
  CHECK(proxy.accepted() == connections);  // the write was not repeated elsewhere
  const auto after = directory->Stamp(*target, id);
  REQUIRE_OK(after);
  CHECK(proxy.accepted() == connections + 1);

  proxy.HoldAfterRequestOf(600);
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

TEST_CASE("changes leave half of the connections to whoever looks something up") {
  TestDomain& domain = TestDomain::Shared();
  LdapConfig config = ConfigFor(domain);
  const std::size_t writers = GENERATE(as<std::size_t>{}, 1, 2);
  config.connections = 2 * writers;
  config.timeout = std::chrono::seconds(60);
  std::promise<void> writing, go_on;
  std::atomic<std::size_t> at_work{0};
  config.on_write = [&, waited = go_on.get_future().share()](const AccountId&) {
    if (++at_work == writers) writing.set_value();
    waited.wait();
  };
  const auto directory = Open(std::move(config));
  const AccountId other = IdOf(domain.people()[15]);
  std::vector<Result<void>> set(writers);
  std::vector<std::thread> threads;
  for (std::size_t i = 0; i < writers; ++i) {
    threads.emplace_back([&, i] {
      const SamplePerson& person = domain.people()[13 + i];
      const auto target = directory->Pin(IdOf(person), {});
      set[i] = target ? directory->SetPassword(*target, IdOf(person), Secret(person.password), {})
                      : tl::unexpected(target.error());
    });
  }
  writing.get_future().wait();
  std::atomic<bool> pinned{false};
  Result<ChangeTarget> next;
  threads.emplace_back([&] {
    next = directory->Pin(other, {});
    pinned = true;
  });
  // All of them would have taken all there is.
  for (int i = 0; i < 20; ++i) CHECK(directory->Get(other).has_value());
  CHECK(directory->Search("sean", 10, "").has_value());
  CHECK_FALSE(pinned);
  go_on.set_value();
  for (std::thread& thread : threads) thread.join();
  for (const Result<void>& one : set) REQUIRE_OK(one);
  REQUIRE_OK(next);
}

TEST_CASE("eight threads share four connections") {
  TestDomain& domain = TestDomain::Shared();
  LdapConfig config = ConfigFor(domain);
  config.timeout = std::chrono::seconds(60);  // they queue for one another's writes
  config.connect_timeout = std::chrono::seconds(30);
  const auto directory = Open(std::move(config));
  std::mutex mutex;
  std::string failures;
  const auto expect = [&](bool good, const std::string& what) {
    if (good) return;
    const std::lock_guard lock(mutex);
    failures += what + "\n";
  };
  std::vector<std::thread> threads;
  for (std::size_t i = 0; i < 8; ++i) {
    threads.emplace_back([&, i] {
      const SamplePerson& person = domain.people()[14 + i % 8];
      const AccountId id = IdOf(person);
      const auto change = [&](const std::string& password) {
        const auto target = directory->Pin(id, {});
        expect(target.has_value(), Words(target));
        if (!target) return;
        const auto set = directory->SetPassword(*target, id, Secret(password), {});
        expect(set.has_value(), Words(set));
      };
      for (int round = 0; round < 2; ++round) {
        const std::string next = "Thread-" + std::to_string(i) + "-Pass" + std::to_string(round);
        change(next);
        const auto facts = directory->SignIn(person.login, Secret(next));
        expect(facts.has_value(), Words(facts));
        expect(facts && facts->outcome == BindOutcome::kAccepted && facts->person->id == id,
               person.login + " cannot sign in");
        const auto page = directory->Search("", 10, "");
        expect(page.has_value() && page->people.size() == 10, Words(page));
      }
      change(person.password);
    });
  }
  for (std::thread& thread : threads) thread.join();
  INFO(failures);
  CHECK(failures.empty());
}

}  // namespace keyferry::testing

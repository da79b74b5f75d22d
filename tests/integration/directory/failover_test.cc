// Several controllers, and a machine whose resolver says nothing.
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <unistd.h>

#include <fstream>
#include <sstream>
#include <thread>

#include "server/directory/tcp.h"
#include "tests/integration/directory/directories.h"

namespace keyferry::testing {
namespace {

using std::chrono::milliseconds;

std::string ReadFile(const std::string& path) {
  std::ostringstream out;
  out << std::ifstream(path).rdbuf();
  return out.str();
}

// Two real controllers of the same domain, with the same people and identifiers. They come from one
// template and do not replicate, which is what shows who was asked.
struct TwoControllers {
  TwoControllers() {
    ca_file = first.directory + "/both-ca.pem";
    std::ofstream(ca_file) << ReadFile(first.ca_file) << ReadFile(second.ca_file);
  }
  LdapConfig Config() const {
    LdapConfig config = ConfigFor(first);
    config.uris = {first.ldaps_uri, second.ldaps_uri};
    config.ca_file = ca_file;
    config.silent_pause = milliseconds(0);
    return config;
  }
  TestDomain first, second;
  std::string ca_file;
};

// For the calling thread, and the threads that it starts: the machine's only DNS server takes
// every question and answers none.
class SilentResolver {
 public:
  SilentResolver() : fd_(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(53);
    inet_pton(AF_INET, kServer, &address.sin_addr);
    if (bind(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 ||
        unshare(CLONE_NEWNS) != 0 ||
        mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) {
      throw std::runtime_error("no mount namespace of its own; the test needs root");
    }
    std::string name = "/tmp/keyferry-resolv-XXXXXX";
    const int file = mkstemp(name.data());
    close(file);
    file_ = name;
    std::ofstream(file_) << "nameserver " << kServer << "\noptions timeout:30 attempts:5\n";
    if (mount(file_.c_str(), "/etc/resolv.conf", nullptr, MS_BIND, nullptr) != 0) {
      throw std::runtime_error("cannot replace /etc/resolv.conf");
    }
  }
  ~SilentResolver() {
    umount2("/etc/resolv.conf", MNT_DETACH);
    unlink(file_.c_str());
    close(fd_);
  }
  // Whether anybody has asked it.
  bool Asked() const {
    char question[512];
    return recv(fd_, question, sizeof question, MSG_DONTWAIT) > 0;
  }

 private:
  static constexpr const char* kServer = "127.0.20.53";
  int fd_;
  std::string file_;
};

}  // namespace

TEST_CASE("a second controller takes over when the first one ends, and pinned changes stay put") {
  TwoControllers domain;
  const auto directory = Open(domain.Config());
  const SamplePerson& person = domain.first.Person("employee");
  const AccountId id = IdOf(person);
  const auto first = directory->Pin(id, {});
  REQUIRE_OK(first);
  CHECK(first->server == domain.first.ldaps_uri);
  REQUIRE_OK(directory->SetPassword(*first, id, Secret("First-Controller-1"), {}));
  CHECK(domain.first.Binds(person.upn, "First-Controller-1"));
  CHECK(domain.second.Binds(person.upn, person.password));

  domain.first.Stop();
  const auto second = directory->Pin(id, {});
  REQUIRE_OK(second);
  CHECK(second->server == domain.second.ldaps_uri);
  REQUIRE_OK(directory->SetPassword(*second, id, Secret("Second-Controller-2"), {}));
  CHECK(domain.second.Binds(person.upn, "Second-Controller-2"));
  // What was bound to the first one is not written, nor judged, by the second.
  CHECK_REFUSED(directory->SetPassword(*first, id, Secret("Nowhere-At-All-3"), {}),
                ErrorCode::kUnavailable, "does not accept connections");
  CHECK_FALSE(directory->Stamp(*first, id).has_value());
  CHECK(domain.second.Binds(person.upn, "Second-Controller-2"));

  domain.first.Start();
  const auto again = directory->Pin(id, {});
  REQUIRE_OK(again);
  CHECK(again->server == domain.first.ldaps_uri);
}

TEST_CASE("changes go to the PDC emulator while it answers, wherever it stands in the list") {
  TwoControllers domain;
  // The first one hears that the role is another's.
  const std::string elsewhere =
      "CN=NTDS Settings,CN=DC9,CN=Servers,CN=Default-First-Site-Name,CN=Sites,CN=Configuration," +
      domain.first.base_dn;
  domain.first.Offline(
      "dn: " + domain.first.base_dn +
          "\nchangetype: modify\nreplace: fSMORoleOwner\nfSMORoleOwner: " + elsewhere + "\n",
      true);
  const AccountId id = IdOf(domain.first.Person("employee"));
  const auto plain = Open(domain.Config());
  const auto in_order = plain->Pin(id, {});
  REQUIRE_OK(in_order);
  CHECK(in_order->server == domain.first.ldaps_uri);

  LdapConfig config = domain.Config();
  config.prefer_pdc = true;
  const auto directory = Open(std::move(config));
  const auto target = directory->Pin(id, {});
  REQUIRE_OK(target);
  CHECK(target->server == domain.second.ldaps_uri);
  domain.second.Stop();
  const auto fallen_back = directory->Pin(id, {});
  REQUIRE_OK(fallen_back);
  CHECK(fallen_back->server == domain.first.ldaps_uri);
}

TEST_CASE("a resolver that says nothing costs one deadline, and the next controller is asked") {
  TestDomain& domain = TestDomain::Shared();
  LdapConfig config = ConfigFor(domain);
  config.timeout = milliseconds(3000);
  config.connect_timeout = milliseconds(500);
  config.silent_pause = std::chrono::hours(1);
  const AccountId id = IdOf(domain.Person("employee"));
  // A thread of its own: it gets a view of the file system of its own. Checks are made outside.
  std::string alone, server, unresolved;
  bool asked = false;
  std::thread([&] {
    const SilentResolver resolver;
    LdapConfig one = ConfigFor(domain);
    one.uris = {"ldaps://dc1.hanging.test"};
    one.timeout = milliseconds(3000);
    one.connect_timeout = milliseconds(500);
    auto lonely = MakeLdapDirectory(std::move(one));
    alone = lonely ? Words((*lonely)->Ping()) : Words(lonely);
    asked = resolver.Asked();
    config.uris = {"ldaps://dc1.hanging.test", domain.ldaps_uri};
    auto directory = MakeLdapDirectory(std::move(config));
    const auto target = directory ? (*directory)->Pin(id, {}) : Result<ChangeTarget>();
    server = target ? target->server : Words(target);
    const TcpConnection tried =
        ConnectTcp("dc2.hanging.test", 636, std::chrono::steady_clock::now() + milliseconds(100));
    unresolved = tried.state == TcpConnection::State::kUnresolved ? "unresolved" : tried.detail;
  }).join();
  CHECK(asked);  // or the machine's resolver was not the silent one
  CHECK_THAT(alone, Catch::Matchers::Contains("was not resolved in time"));
  CHECK(server == domain.ldaps_uri);
  CHECK(unresolved == "unresolved");
}

}  // namespace keyferry::testing

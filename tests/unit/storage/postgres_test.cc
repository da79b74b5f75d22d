// What only a database server does: it restarts, loses connections at bad moments, is too old, and
// has other servers on it.
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <atomic>
#include <catch2/catch.hpp>
#include <chrono>
#include <cstdlib>
#include <functional>
#include <future>
#include <set>
#include <thread>

#include "company.h"
#include "server/core/audit_verify.h"
#include "server/core/services.h"
#include "server/storage/node_link.h"
#include "server/storage/postgres_store.h"
#include "tests/unit/storage/audit_line.h"

using namespace keyferry;
using namespace keyferry::server;
using namespace keyferry::server::testing;

namespace {

void Script(const std::string& arguments) {
  const std::string command = std::string(KEYFERRY_SCRIPTS) + "/pg " + arguments + " >/dev/null";
  if (std::system(command.c_str()) != 0) throw std::runtime_error(command);
}

std::string ServerFolder() { return std::getenv("KEYFERRY_TEST_POSTGRESQL_DIR"); }

Result<std::unique_ptr<Store>> OpenAt(const std::string& url) {
  const auto parsed = PostgresUrl::Parse(url);
  if (!parsed) return tl::unexpected(parsed.error());
  return OpenPostgresStore(*parsed);
}

sockaddr_un AddressOf(const std::filesystem::path& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  path.string().copy(address.sun_path, sizeof address.sun_path - 1);
  return address;
}

// Stands before the database server and breaks a connection at a chosen message of the client.
class Breaker {
 public:
  enum class When { kNever, kBefore, kAfter };  // the server has, or has not, got the message

  Breaker() : listener_(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    const auto address = AddressOf(folder_.path / ".s.PGSQL.5432");
    if (bind(listener_, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
        listen(listener_, 16) != 0) {
      throw std::runtime_error("listen");
    }
    acceptor_ = std::thread([this] {
      for (;;) {
        const int client = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
        if (client < 0) return;
        threads_.emplace_back([this, client] { Carry(client); });
      }
    });
  }
  ~Breaker() {
    shutdown(listener_, SHUT_RDWR);
    acceptor_.join();
    for (std::thread& thread : threads_) thread.join();
    close(listener_);
  }
  Breaker(const Breaker&) = delete;
  Breaker& operator=(const Breaker&) = delete;

  std::string Url(const TestDatabase& database) const {
    const std::string behind = "host=" + Host();
    std::string url = database.url();
    url.replace(url.find(behind), behind.size(), "host=" + folder_.path.string());
    return url;
  }
  void Break(When when, const std::string& message) {
    message_ = message;
    when_ = when;
  }
  int broken() const { return broken_; }

 private:
  static std::string Host() {
    const std::string url = std::getenv("KEYFERRY_TEST_POSTGRESQL");
    const std::size_t at = url.find("host=") + 5;
    return url.substr(at, url.find('&', at) - at);
  }

  // One pair of sockets, one message at a time: the protocol is question and answer.
  void Carry(int client) {
    const int server = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const auto address = AddressOf(ServerFolder() + "/socket/.s.PGSQL.5432");
    if (connect(server, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0) {
      std::thread back([client, server] {
        char buffer[65536];
        for (ssize_t n = 0; (n = read(server, buffer, sizeof buffer)) > 0;) {
          if (send(client, buffer, static_cast<std::size_t>(n), MSG_NOSIGNAL) != n) break;
        }
        shutdown(client, SHUT_RDWR);
      });
      char buffer[65536];
      for (ssize_t n = 0; (n = read(client, buffer, sizeof buffer)) > 0;) {
        const std::string_view text(buffer, static_cast<std::size_t>(n));
        const When when =
            text.find(message_) == std::string_view::npos ? When::kNever : when_.load();
        if (when != When::kNever) {
          when_ = When::kNever;
          shutdown(client, SHUT_RDWR);  // first, so that no answer comes through
        }
        if (when != When::kBefore) {
          static_cast<void>(send(server, buffer, static_cast<std::size_t>(n), MSG_NOSIGNAL));
        }
        if (when != When::kNever) {
          ++broken_;
          break;
        }
      }
      shutdown(server, SHUT_WR);
      back.join();
    }
    close(server);
    close(client);
  }

  TempFolder folder_;
  int listener_;
  std::thread acceptor_;
  std::vector<std::thread> threads_;
  std::string message_ = "never";
  std::atomic<When> when_{When::kNever};
  std::atomic<int> broken_{0};
};

}  // namespace

TEST_CASE("servers that start at once make one schema, and their writers follow one another") {
  TestDatabase database(TestDatabase::Content::kNone);
  constexpr int kServers = 4, kLines = 40;
  std::atomic<int> bad{0};
  std::vector<std::thread> threads;
  for (int s = 0; s < kServers; ++s) {
    threads.emplace_back([&, s] {
      const auto store = database.Open();
      if (!store) ++bad;
      for (int i = 0; store && i < kLines; ++i) {
        if (!(*store)->AppendAudit(Line(s * 100 + i))) ++bad;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(bad == 0);
  const auto store = database.Open();
  REQUIRE(store);
  CHECK(VerifyAudit(**store, {})->last == kServers * kLines);
}

TEST_CASE(
    "the database restarts: what was acknowledged is there, and the store goes on by itself") {
  TestDatabase database;
  const auto store = database.Open();
  REQUIRE(store);
  const std::string how = GENERATE("fast", "immediate");
  const std::string name = database.Text("SELECT current_database()::text");
  for (int i = 1; i <= 20; ++i) REQUIRE((*store)->AppendAudit(Line(i)));
  Script("stop " + ServerFolder() + " " + how);
  const auto away = (*store)->AppendAudit(Line(21));
  REQUIRE_FALSE(away);
  CHECK(away.error().code == ErrorCode::kUnavailable);
  CHECK_THAT(away.error().message, Catch::Contains(name + " at " + ServerFolder()));
  CHECK((*store)->AuditHead().error().code == ErrorCode::kUnavailable);
  Script("start " + ServerFolder());
  // Within a quarter of a second of a failure nothing is tried again.
  while (!(*store)->AppendAudit(Line(21))) std::this_thread::yield();
  CHECK((*store)->AuditHead()->number == 21);
  CHECK(VerifyAudit(**store, {})->last == 21);
}

TEST_CASE("a connection that died while nobody used it is not noticed by callers") {
  TestDatabase database;
  const auto store = database.Open();
  REQUIRE(store);
  for (int i = 1; i <= 10; ++i) {
    static_cast<void>(database.Text(
        "SELECT COUNT(pg_terminate_backend(pid))::text FROM pg_stat_activity WHERE pid <> "
        "pg_backend_pid() AND backend_type = 'client backend'"));
    CHECK((*store)->AuditHead());
    CHECK((*store)->AppendAudit(Line(i)));
  }
  CHECK((*store)->AuditHead()->number == 10);
}

TEST_CASE("a commit whose answer is lost is asked after, never guessed") {
  TestDatabase database;
  Breaker breaker;
  const auto store = OpenAt(breaker.Url(database));
  REQUIRE(store);
  REQUIRE((*store)->AppendAudit(Line(1)));
  SECTION("it was stored") {
    breaker.Break(Breaker::When::kAfter, "COMMIT");
    CHECK((*store)->AppendAudit(Line(2)));
    CHECK((*store)->AuditHead()->number == 2);
  }
  SECTION("it never arrived") {
    breaker.Break(Breaker::When::kBefore, "COMMIT");
    const auto lost = (*store)->AppendAudit(Line(2));
    REQUIRE_FALSE(lost);
    CHECK(lost.error().code == ErrorCode::kUnavailable);
    CHECK((*store)->AuditHead()->number == 1);
  }
  SECTION("in the middle of the transaction") {
    breaker.Break(Breaker::When::kAfter, "UPDATE audit_head");
    const auto lost = (*store)->AppendAudit(Line(2));
    REQUIRE_FALSE(lost);
    CHECK(lost.error().code == ErrorCode::kUnavailable);
    CHECK((*store)->AuditHead()->number == 1);
  }
  CHECK(breaker.broken() == 1);
  CHECK((*store)->AppendAudit(Line(3)));
  CHECK(VerifyAudit(**store, {}));
}

TEST_CASE("database servers that cannot keep what they acknowledge are refused in words") {
  TestDatabase database;
  const auto refused = [&](const std::string& word) {
    const auto store = database.Open();
    REQUIRE_FALSE(store);
    CHECK_THAT(store.error().message, Catch::Contains(word));
  };
  SECTION("fsync off") {
    database.Run("ALTER SYSTEM SET fsync = off");
    Script("stop " + ServerFolder());
    Script("start " + ServerFolder());
    refused("fsync");
    database.Run("ALTER SYSTEM RESET fsync");
    Script("stop " + ServerFolder());
    Script("start " + ServerFolder());
    CHECK(database.Open());
  }
  SECTION("made by a newer server") {
    { REQUIRE(database.Open()); }
    database.Run("INSERT INTO migrations (number, name) VALUES (999, 'future')");
    refused("newer server");
  }
  SECTION("no such database") {
    std::string url = database.url();
    const std::size_t name = url.rfind('/', url.find('?')) + 1;
    url.replace(name, url.find('?') - name, "nothing");
    const auto store = OpenAt(url);
    REQUIRE_FALSE(store);
    CHECK(store.error().code == ErrorCode::kUnavailable);
    CHECK_THAT(store.error().detail, Catch::Contains("\"nothing\" does not exist"));
  }
  SECTION("no schema to work in") {
    const auto store = OpenAt(std::string(std::getenv("KEYFERRY_TEST_POSTGRESQL")) +
                              "&options=-csearch_path%3Dnowhere");
    REQUIRE_FALSE(store);
    CHECK_THAT(store.error().message, Catch::Contains("schema"));
  }
}

TEST_CASE("a PostgreSQL that is too old is refused") {
  // As much of version 9.6 as its greeting.
  TempFolder folder;
  const int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const auto address = AddressOf(folder.path / ".s.PGSQL.5432");
  REQUIRE(bind(listener, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
  REQUIRE(listen(listener, 4) == 0);
  std::thread old([listener] {
    using namespace std::string_literals;
    const int client = accept4(listener, nullptr, nullptr, SOCK_CLOEXEC);
    char buffer[8192];
    const std::string ready = "Z\0\0\0\5I"s;
    [[maybe_unused]] const ssize_t asked = read(client, buffer, sizeof buffer);
    const std::string version = "server_version\0"s + "9.6.24\0"s;
    std::string status = "S\0\0\0"s;
    status += static_cast<char>(4 + version.size());
    const std::string all = "R\0\0\0\x8\0\0\0\0"s + status + version + ready;
    static_cast<void>(send(client, all.data(), all.size(), MSG_NOSIGNAL));
    // Every question: done.
    const std::string done = "C\0\0\0\x8SET\0"s + ready;
    while (read(client, buffer, sizeof buffer) > 0) {
      if (send(client, done.data(), done.size(), MSG_NOSIGNAL) < 0) break;
    }
    close(client);
  });
  const auto store = OpenAt("postgresql://keyferry@/keyferry?target_session_attrs=any&host=" +
                            folder.path.string());
  close(listener);
  old.join();
  REQUIRE_FALSE(store);
  CHECK(store.error().code == ErrorCode::kUnsupported);
  CHECK_THAT(store.error().message,
             Catch::Contains("PostgreSQL 9") && Catch::Contains("13 or newer"));
}

namespace {

// One server of several, without the rest of it.
struct Node {
  using Offer = std::function<void(const std::vector<DeviceId>&)>;
  Node(
      const TestDatabase& database, char digit, Offer offer = [](const std::vector<DeviceId>&) {}) {
    auto opened =
        OpenNodeLink(*PostgresUrl::Parse(database.url()),
                     {std::string(32, digit), std::string("node ") + digit, {}}, presence);
    REQUIRE(opened);
    link = *std::move(opened);
    link->Start({std::move(offer), [] {}, [](std::string_view) {}});
  }
  // Within the time that a server has to notice anything at all.
  bool Sees(std::size_t keys) const {
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (presence.All().size() != keys) {
      if (std::chrono::steady_clock::now() > end) return false;
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    return true;
  }

  Presence presence;
  std::unique_ptr<NodeLink> link;
};

}  // namespace

TEST_CASE(
    "what happens while a server takes itself for the only one, a new one hears all the same") {
  TestDatabase database;
  REQUIRE(database.Open());
  const WorkstationId desk{{1}};
  const std::vector<SeenKey> one = {{DeviceId{{9}}, 2, "hid", 1, false}}, none;
  Node first(database, 'a');
  for (int round = 0; round < 3; ++round) {
    first.presence.Connected(desk, "desk");
    first.presence.Replace(desk, "desk", one);
    Node second(database, 'b');
    REQUIRE(second.Sees(1));
    first.presence.Replace(desk, "desk", none);
    CHECK(second.Sees(0));
    first.presence.Replace(desk, "desk", one);
    CHECK(second.Sees(1));
    // While nobody can be told, the workstation goes.
    static_cast<void>(database.Text(
        "SELECT COUNT(pg_terminate_backend(pid))::text FROM pg_stat_activity WHERE pid <> "
        "pg_backend_pid() AND backend_type = 'client backend'"));
    first.presence.Disconnected(desk);
    CHECK(second.Sees(0));
  }
}

TEST_CASE("a server that comes looks for the waiting jobs of all keys, however many there are") {
  TestDatabase database;
  REQUIRE(database.Open());
  constexpr std::size_t kKeys = 12'345;
  const std::string enrolment(32, 'e');
  const std::string hex = std::to_string(2 * DeviceId{}.bytes.size());
  database.Run(
      "INSERT INTO enrolments (enrolment_id, device_id, account_id, login, display_name, "
      "workstation_id, state, error, actor_login, enrol_cert, begin_body, activation_hash, "
      "statement, grant_bytes, simulator, created, expires) VALUES ('" +
      enrolment + "', '', '', '', '', '', 'done', '', '', '', '', '', '', '', 1, 1, 1)");
  // Two for each, queued long ago.
  database.Run(
      "INSERT INTO jobs (job_id, device_id, enrolment_id, account_id, seq, base_seq, epoch, "
      "sealed, hash, state, last_error, created, queued, handed, spooled, delivered, used, "
      "workstation_id, receipt_ctr, receipt_hash) SELECT n::text, lpad(to_hex(n % " +
      std::to_string(kKeys) + "), " + hex + ", '0'), '" + enrolment +
      "', '', n, 0, 1, '', n::text, 'ready', '', 1, 1, 0, 0, 0, 0, '', 0, '' FROM "
      "generate_series(1, " +
      std::to_string(2 * kKeys) + ") n");
  std::set<DeviceId> offered;
  std::promise<void> all;
  const Node node(database, 'a', [&](const std::vector<DeviceId>& devices) {
    const bool before = offered.size() == kKeys;
    offered.insert(devices.begin(), devices.end());
    if (!before && offered.size() == kKeys) all.set_value();
  });
  CHECK(all.get_future().wait_for(std::chrono::seconds(60)) == std::future_status::ready);
}

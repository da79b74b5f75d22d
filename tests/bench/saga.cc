// The peers of scripts/bench saga, and the queue.
//   bench_saga ldap URI CA_FILE BIND_NAME PASSWORD_FILE CONNECTIONS ROUNDS <DN lines
//     bare libldap: ROUNDS password replacements (unicodePwd) of each DN of standard input over
//     CONNECTIONS kept LDAPS connections. Prints "<changes a second> <median ms of one>". A line
//     "ask ACCOUNT DN" is asked first, as with alone.
//   bench_saga alone URI CA_FILE BIND_NAME PASSWORD_FILE <lines, each answered at once
//     bare libldap on one kept connection. "write DN": one replacement; prints its ms. "ask ACCOUNT
//     DN" (objectGUID, 32 hex digits): what a change must ask before it may write (the account's
//     state and stamp, the clock), sent at once, and then the replacement; prints "<ms of the
//     questions> <ms of questions and replacement>".
//   bench_saga send HOST PORT CA_FILE <"SIZE" lines, each with a request of that many bytes after
//   it
//     each HTTP/1.1 request over one kept TLS connection, as lean as the bare loop is. Prints a
//     line for each as soon as it is answered: "<ms from its first byte to the answer's last>
//     <status> <Unix ms of its first byte>".
//   bench_saga crowd HOST PORT CA_FILE <"COUNT", then as many requests as with send; and again
//     COUNT kept TLS connections: prints "ready" when all are open. Then one request on each, all
//     at once: prints "<ms from the first one's first byte to the last one's last> <how many were
//     refused>".
//   bench_saga sync DIRECTORY ROUNDS
//     one 4 KiB append and its fdatasync. Prints the median in ms.
//   bench_saga queue DIRECTORY JOBS…
//     a database for each number of waiting jobs, one a key, all open at once; jobs are picked and
//     handed out of each in turns. Prints the median µs for one, a line for each database.
#include <fcntl.h>
#include <ldap.h>
#include <openssl/ssl.h>
#include <sqlite3.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "server/directory/person.h"
#include "server/directory/text.h"
#include "server/storage/sqlite_store.h"

namespace {

using Clock = std::chrono::steady_clock;
using keyferry::server::AccountId;
using keyferry::server::DeviceId;

[[noreturn]] void Give(const std::string& what) {
  std::fprintf(stderr, "bench_saga: %s\n", what.c_str());
  std::exit(1);
}

double MsSince(Clock::time_point start) {
  return std::chrono::duration<double, std::milli>(Clock::now() - start).count();
}

double Median(std::vector<double> values) {
  if (values.empty()) Give("nothing was measured");
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

LDAP* Connect(char** argv) {
  LDAP* ldap = nullptr;
  if (ldap_initialize(&ldap, argv[0]) != LDAP_SUCCESS) Give("no such URI");
  const int version = LDAP_VERSION3;
  const int demand = LDAP_OPT_X_TLS_DEMAND;
  const int client = 0;
  ldap_set_option(ldap, LDAP_OPT_PROTOCOL_VERSION, &version);
  ldap_set_option(ldap, LDAP_OPT_REFERRALS, LDAP_OPT_OFF);
  ldap_set_option(ldap, LDAP_OPT_X_TLS_CACERTFILE, argv[1]);
  ldap_set_option(ldap, LDAP_OPT_X_TLS_REQUIRE_CERT, &demand);
  ldap_set_option(ldap, LDAP_OPT_X_TLS_NEWCTX, &client);
  std::string password;
  std::getline(std::ifstream(argv[3]), password);
  berval secret{password.size(), password.data()};
  const int bound =
      ldap_sasl_bind_s(ldap, argv[2], LDAP_SASL_SIMPLE, &secret, nullptr, nullptr, nullptr);
  if (bound != LDAP_SUCCESS) Give(std::string("bind: ") + ldap_err2string(bound));
  return ldap;
}

void Replace(LDAP* ldap, const std::string& dn, unsigned number) {
  std::string utf16;
  for (const char c : "\"Bare-" + std::to_string(number) + "-loop-Replace\"") {
    utf16.push_back(c);
    utf16.push_back('\0');
  }
  berval value{utf16.size(), utf16.data()};
  berval* values[] = {&value, nullptr};
  std::string name = "unicodePwd";
  LDAPMod mod{};
  mod.mod_op = LDAP_MOD_REPLACE | LDAP_MOD_BVALUES;
  mod.mod_type = name.data();
  mod.mod_bvalues = values;
  LDAPMod* mods[] = {&mod, nullptr};
  const int set = ldap_modify_ext_s(ldap, dn.c_str(), mods, nullptr, nullptr);
  if (set != LDAP_SUCCESS) Give(dn + ": " + ldap_err2string(set));
}

int Ask(LDAP* ldap, const std::string& base, int scope, const std::string& filter,
        const std::vector<std::string>& attributes) {
  std::vector<char*> names;
  for (const std::string& name : attributes) names.push_back(const_cast<char*>(name.c_str()));
  names.push_back(nullptr);
  int id = 0;
  const int sent = ldap_search_ext(ldap, base.c_str(), scope, filter.c_str(), names.data(), 0,
                                   nullptr, nullptr, nullptr, 0, &id);
  if (sent != LDAP_SUCCESS) Give(base + ": " + ldap_err2string(sent));
  return id;
}

void Read(LDAP* ldap, int id) {
  LDAPMessage* answer = nullptr;
  if (ldap_result(ldap, id, LDAP_MSG_ALL, nullptr, &answer) <= 0) {
    Give("a search was not answered");
  }
  int rc = LDAP_SUCCESS;
  ldap_parse_result(ldap, answer, &rc, nullptr, nullptr, nullptr, nullptr, 0);
  ldap_msgfree(answer);
  if (rc != LDAP_SUCCESS) Give(std::string("search: ") + ldap_err2string(rc));
}

// "ask ACCOUNT DN" of standard input.
struct Order {
  std::optional<AccountId> account;
  std::string dn;
};

Order ReadOrder(const std::string& line) {
  constexpr std::size_t kDn = 4 + 32 + 1;
  if (line.rfind("ask ", 0) != 0) return {std::nullopt, line};
  const auto account = line.size() > kDn ? AccountId::Parse(line.substr(4, 32)) : std::nullopt;
  if (!account) Give("no such order: " + line);
  return {account, line.substr(kDn)};
}

// What a change must know before it may write.
void AskFirst(LDAP* ldap, const AccountId& account) {
  static const std::vector<std::string> state = [] {
    std::vector<std::string> names = keyferry::server::ChangeAttributes();
    names.insert(names.end(), {"objectClass", "replPropertyMetaData", "msDS-KeyVersionNumber"});
    return names;
  }();
  const std::string any = "(objectClass=*)";
  const std::array<int, 2> asked{
      Ask(ldap, keyferry::server::GuidDn(account), LDAP_SCOPE_BASE, any, state),
      Ask(ldap, "", LDAP_SCOPE_BASE, any, {"currentTime"})};
  for (const int each : asked) Read(ldap, each);
}

void Ldap(char** argv) {
  std::vector<Order> orders;
  for (std::string line; std::getline(std::cin, line);) orders.push_back(ReadOrder(line));
  const auto connections = static_cast<std::size_t>(std::max(1, std::atoi(argv[4])));
  const auto all = orders.size() * static_cast<std::size_t>(std::max(1, std::atoi(argv[5])));
  std::vector<LDAP*> pool;
  for (std::size_t i = 0; i < connections; ++i) pool.push_back(Connect(argv));
  std::atomic<std::size_t> next{0};
  std::vector<std::vector<double>> took(connections);
  std::vector<std::thread> workers;
  const unsigned salt = static_cast<unsigned>(::getpid());
  const auto start = Clock::now();
  for (std::size_t i = 0; i < connections; ++i) {
    workers.emplace_back([&, i] {
      for (std::size_t at; (at = next.fetch_add(1)) < all;) {
        const auto began = Clock::now();
        const Order& order = orders[at % orders.size()];
        if (order.account) AskFirst(pool[i], *order.account);
        Replace(pool[i], order.dn, salt * 1000 + static_cast<unsigned>(at));
        took[i].push_back(MsSince(began));
      }
    });
  }
  for (auto& worker : workers) worker.join();
  const double seconds = MsSince(start) / 1000;
  std::vector<double> each;
  for (const auto& some : took) each.insert(each.end(), some.begin(), some.end());
  std::printf("%.2f %.3f\n", static_cast<double>(all) / seconds, Median(each));
}

void Alone(char** argv) {
  LDAP* ldap = Connect(argv);
  unsigned number = static_cast<unsigned>(::getpid()) * 1000;
  for (std::string line; std::getline(std::cin, line);) {
    const bool write = line.rfind("write ", 0) == 0;
    const Order order = ReadOrder(write ? line.substr(6) : line);
    if (!write && !order.account) Give("no such order: " + line);
    const auto began = Clock::now();
    double questions = 0;
    if (order.account) {
      AskFirst(ldap, *order.account);
      questions = MsSince(began);
    }
    Replace(ldap, order.dn, ++number);
    if (order.account) std::printf("%.3f ", questions);
    std::printf("%.3f\n", MsSince(began));
    std::fflush(stdout);
  }
}

void Sync(const std::filesystem::path& directory, int rounds) {
  const std::filesystem::path file = directory / "bench-sync";
  const int fd = ::open(file.c_str(), O_CREAT | O_WRONLY | O_TRUNC | O_APPEND, 0600);
  if (fd < 0) Give("cannot write in " + directory.string());
  const std::vector<char> page(4096, 'k');
  std::vector<double> took;
  for (int i = 0; i < rounds; ++i) {
    const auto began = Clock::now();
    if (::write(fd, page.data(), page.size()) < 0 || ::fdatasync(fd) != 0) Give("the disk failed");
    took.push_back(MsSince(began));
  }
  ::close(fd);
  std::filesystem::remove(file);
  std::printf("%.3f\n", Median(took));
}

void Sql(sqlite3* db, const std::string& text) {
  char* error = nullptr;
  if (sqlite3_exec(db, text.c_str(), nullptr, nullptr, &error) != SQLITE_OK) Give(error);
}

// Rows as the server writes them, but for sealed bytes of equal length that no key could open.
void Fill(const std::filesystem::path& file, long jobs) {
  sqlite3* db = nullptr;
  if (sqlite3_open(file.c_str(), &db) != SQLITE_OK) Give("cannot open the database");
  const std::string numbers =
      "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < " +
      std::to_string(jobs) + ") ";
  Sql(db, "PRAGMA synchronous = OFF; PRAGMA foreign_keys = OFF; BEGIN");
  Sql(db,
      "INSERT INTO enrolments (enrolment_id, device_id, account_id, login, display_name, "
      "workstation_id, state, error, actor_login, enrol_cert, begin_body, activation_hash, "
      "statement, grant_bytes, simulator, created, expires) " +
          numbers +
          "SELECT printf('%032x', i), printf('%032x', i), printf('%032x', i), 'u', 'u', '', "
          "'done', '', 'a', '', '', '', '', '', 1, 1, 1 FROM n");
  Sql(db,
      "INSERT INTO device_keys (device_id, enrolment_id, account_id, login, display_name, state, "
      "simulator, sig_pub, record, next_seq, firmware, pin_set, epoch, recipient_pub, last_seq, "
      "receipt_ctr, receipt_hash, enrolled, last_seen, alarm) " +
          numbers +
          "SELECT printf('%032x', i), printf('%032x', i), printf('%032x', i), 'u', 'u', 'active', "
          "1, '', '', 2, 1, 1, 1, '', 0, 1, '', 1, 1, '' FROM n");
  Sql(db,
      "INSERT INTO jobs (job_id, device_id, enrolment_id, account_id, change_id, seq, base_seq, "
      "epoch, sealed, hash, state, last_error, created, queued, handed, spooled, delivered, used, "
      "workstation_id, receipt_ctr, receipt_hash) " +
          numbers +
          "SELECT printf('%032x', i), printf('%032x', i), printf('%032x', i), printf('%032x', i), "
          "NULL, 1, 0, 1, hex(randomblob(458)), printf('%064x', i), 'ready', '', 1, 1, 0, 0, 0, "
          "0, '', 0, '' FROM n");
  Sql(db, "COMMIT; PRAGMA wal_checkpoint(TRUNCATE)");
  sqlite3_close(db);
}

struct Waiting {
  std::filesystem::path file;
  long jobs = 0;
  std::unique_ptr<keyferry::server::Store> store;
  std::vector<double> took;  // µs
};

// In turns: whatever else the machine does meanwhile meets all of them.
void Queue(const std::filesystem::path& directory, const std::vector<long>& sizes) {
  constexpr long kRounds = 9, kPicks = 100;  // the first round opens what a server has open
  std::vector<Waiting> all;
  for (const long jobs : sizes) {
    if (jobs < kRounds * kPicks) Give("too few jobs");
    Waiting one;
    one.jobs = jobs;
    one.file = directory / ("queue-" + std::to_string(jobs) + ".db");
    if (!keyferry::server::OpenSqliteStore(one.file)) Give("cannot make a database");
    Fill(one.file, jobs);
    auto store = keyferry::server::OpenSqliteStore(one.file);
    if (!store) Give(store.error().message);
    one.store = *std::move(store);
    all.push_back(std::move(one));
  }
  for (long round = 0; round < kRounds; ++round) {
    for (Waiting& one : all) {
      for (long i = 0; i < kPicks; ++i) {
        char hex[33];
        // Spread over the whole queue; each key once.
        const long number = 1 + (i * kRounds + round) * (one.jobs / (kRounds * kPicks));
        std::snprintf(hex, sizeof hex, "%032lx", number);
        const auto device = DeviceId::Parse(hex);
        const auto began = Clock::now();
        const auto job = one.store->TakeReady(*device, 1);
        if (round != 0) one.took.push_back(MsSince(began) * 1000);
        if (!job || !*job) Give("no job was handed out");
      }
    }
  }
  for (Waiting& one : all) {
    std::printf("%.1f\n", Median(one.took));
    one.store.reset();
    for (const char* suffix : {"", "-wal", "-shm"}) {
      std::filesystem::remove(one.file.string() + suffix);
    }
  }
}

// The status of one whole answer with a Content-Length; the connection stays.
int ReadAnswer(SSL* tls) {
  std::string text;
  std::size_t end = std::string::npos, whole = 0;
  while (end == std::string::npos || text.size() < whole) {
    std::array<char, 16384> part;
    const int count = SSL_read(tls, part.data(), static_cast<int>(part.size()));
    if (count <= 0) Give("the server closed the connection");
    text.append(part.data(), static_cast<std::size_t>(count));
    if (end != std::string::npos) continue;
    end = text.find("\r\n\r\n");
    if (end == std::string::npos) continue;
    const std::size_t length = text.find("Content-Length: ");
    if (length > end) Give("an answer without a length: " + text.substr(0, end));
    whole = end + 4 + std::strtoul(text.c_str() + length + 16, nullptr, 10);
  }
  return std::atoi(text.c_str() + sizeof "HTTP/1.1 " - 1);
}

SSL_CTX* TrustOnly(const char* ca) {
  SSL_CTX* context = SSL_CTX_new(TLS_client_method());
  if (SSL_CTX_load_verify_locations(context, ca, nullptr) != 1) Give("no CA");
  SSL_CTX_set_verify(context, SSL_VERIFY_PEER, nullptr);
  return context;
}

// One kept connection.
class Line {
 public:
  Line(SSL_CTX* context, const char* host, const char* port) : bio_(BIO_new_ssl_connect(context)) {
    BIO_get_ssl(bio_, &tls_);
    SSL_set_mode(tls_, SSL_MODE_AUTO_RETRY);
    SSL_set1_host(tls_, host);
    SSL_set_tlsext_host_name(tls_, host);
    const std::string where = std::string(host) + ":" + port;
    BIO_set_conn_hostname(bio_, where.c_str());
    if (BIO_do_connect(bio_) != 1 || BIO_do_handshake(bio_) != 1) Give("no connection to " + where);
  }
  ~Line() { BIO_free_all(bio_); }
  Line(const Line&) = delete;
  Line& operator=(const Line&) = delete;

  // The answer's status.
  int Ask(const std::string& request) {
    if (SSL_write(tls_, request.data(), static_cast<int>(request.size())) <= 0) Give("not sent");
    return ReadAnswer(tls_);
  }

 private:
  BIO* bio_;
  SSL* tls_ = nullptr;
};

std::string ReadRequest(const std::string& size) {
  std::string request(std::strtoul(size.c_str(), nullptr, 10), '\0');
  if (!std::cin.read(request.data(), static_cast<std::streamsize>(request.size()))) {
    Give("a request broke off");
  }
  return request;
}

void Send(char** argv) {
  SSL_CTX* context = TrustOnly(argv[2]);
  Line server(context, argv[0], argv[1]);
  for (std::string line; std::getline(std::cin, line);) {
    const std::string request = ReadRequest(line);
    const std::chrono::duration<double, std::milli> at =
        std::chrono::system_clock::now().time_since_epoch();
    const auto began = Clock::now();
    const int status = server.Ask(request);
    std::printf("%.3f %d %.3f\n", MsSince(began), status, at.count());
    std::fflush(stdout);
  }
  SSL_CTX_free(context);
}

void Crowd(char** argv) {
  SSL_CTX* context = TrustOnly(argv[2]);
  for (std::string count; std::getline(std::cin, count);) {
    std::vector<std::unique_ptr<Line>> lines;
    for (long i = std::atol(count.c_str()); i > 0; --i) {
      lines.push_back(std::make_unique<Line>(context, argv[0], argv[1]));
    }
    std::printf("ready\n");
    std::fflush(stdout);
    std::vector<std::string> requests;
    for (std::string size; requests.size() < lines.size() && std::getline(std::cin, size);) {
      requests.push_back(ReadRequest(size));
    }
    std::atomic<int> refused{0};
    std::vector<std::thread> threads;
    const auto began = Clock::now();
    for (std::size_t i = 0; i < requests.size(); ++i) {
      threads.emplace_back([&, i] {
        if (lines[i]->Ask(requests[i]) >= 300) ++refused;
      });
    }
    for (std::thread& thread : threads) thread.join();
    std::printf("%.3f %d\n", MsSince(began), refused.load());
    std::fflush(stdout);
  }
  SSL_CTX_free(context);
}

}  // namespace

int main(int argc, char** argv) {
  const std::string what = argc > 1 ? argv[1] : "";
  if (what == "ldap" && argc == 8) {
    Ldap(argv + 2);
  } else if (what == "alone" && argc == 6) {
    Alone(argv + 2);
  } else if (what == "send" && argc == 5) {
    Send(argv + 2);
  } else if (what == "crowd" && argc == 5) {
    Crowd(argv + 2);
  } else if (what == "sync" && argc == 4) {
    Sync(argv[2], std::atoi(argv[3]));
  } else if (what == "queue" && argc >= 4) {
    std::vector<long> sizes;
    for (int i = 3; i < argc; ++i) sizes.push_back(std::atol(argv[i]));
    Queue(argv[2], sizes);
  } else {
    Give("usage: see the head of tests/bench/saga.cc");
  }
}

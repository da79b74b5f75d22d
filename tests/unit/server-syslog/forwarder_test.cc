// The audit log's way to a syslog receiver: framing, TLS, and what happens when the receiver goes.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <catch2/catch.hpp>
#include <condition_variable>
#include <csignal>
#include <thread>

#include "server/syslog/audit_forwarder.h"
#include "server/tls/ca.h"
#include "tests/unit/server-core/company.h"

using namespace keyferry;
using namespace keyferry::server;
using namespace keyferry::server::testing;

namespace {

constexpr std::int64_t kNow = 1'800'000'000'000;

struct Vouching {
  Vouching() {
    const std::int64_t now = SystemClock().UnixSeconds();
    ca = *MakeCa("Syslog CA", now - 60, now + 3600);
    server =
        *MakeServerCertificate(ca.certificate_pem, ca.key_pem, {"127.0.0.1"}, now - 60, now + 3600);
  }
  CertificateAndKey ca, server;
};

// A syslog receiver on loopback, one connection at a time.
class Receiver {
 public:
  explicit Receiver(const CertificateAndKey* identity = nullptr) {
    std::signal(SIGPIPE, SIG_IGN);
    if (identity != nullptr) {
      context_ = SSL_CTX_new(TLS_server_method());
      BIO* const cert = BIO_new_mem_buf(identity->certificate_pem.data(), -1);
      BIO* const key =
          BIO_new_mem_buf(identity->key_pem.data(), static_cast<int>(identity->key_pem.size()));
      X509* const leaf = PEM_read_bio_X509(cert, nullptr, nullptr, nullptr);
      EVP_PKEY* const priv = PEM_read_bio_PrivateKey(key, nullptr, nullptr, nullptr);
      SSL_CTX_use_certificate(context_, leaf);
      SSL_CTX_use_PrivateKey(context_, priv);
      X509_free(leaf);
      EVP_PKEY_free(priv);
      BIO_free(cert);
      BIO_free(key);
    }
    Open();
  }
  ~Receiver() {
    Close();
    SSL_CTX_free(context_);
  }

  void Open() {
    listen_fd_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const int on = 1;
    setsockopt(listen_fd_, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(port);
    REQUIRE(bind(listen_fd_, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
    REQUIRE(listen(listen_fd_, 4) == 0);
    socklen_t size = sizeof address;
    getsockname(listen_fd_, reinterpret_cast<sockaddr*>(&address), &size);
    port = ntohs(address.sin_port);
    thread_ = std::thread([this] { Run(); });
  }
  void Close() {
    if (listen_fd_ < 0) return;
    shutdown(listen_fd_, SHUT_RDWR);
    if (const int fd = peer_.load(); fd >= 0) shutdown(fd, SHUT_RDWR);
    thread_.join();
    close(listen_fd_);
    listen_fd_ = -1;
  }
  // Ends the connection that is there.
  void Hang() {
    if (const int fd = peer_.load(); fd >= 0) shutdown(fd, SHUT_RDWR);
  }
  // Waits for this many messages in all; false after 20 s.
  bool Wait(std::size_t count) {
    std::unique_lock lock(mutex_);
    return came_.wait_for(lock, std::chrono::seconds(20),
                          [&] { return messages_.size() >= count; });
  }
  std::vector<std::string> messages() {
    const std::lock_guard lock(mutex_);
    return messages_;
  }

  std::uint16_t port = 0;

 private:
  void Run() {
    while (true) {
      const int fd = accept4(listen_fd_, nullptr, nullptr, SOCK_CLOEXEC);
      if (fd < 0) return;
      peer_ = fd;
      SSL* ssl = nullptr;
      if (context_ != nullptr) {
        ssl = SSL_new(context_);
        SSL_set_fd(ssl, fd);
      }
      if (ssl == nullptr || SSL_accept(ssl) == 1) Read(ssl, fd);
      SSL_free(ssl);
      ERR_clear_error();
      peer_ = -1;
      close(fd);
    }
  }
  void Read(SSL* ssl, int fd) {
    std::string text;
    char buffer[4096];
    while (true) {
      const auto got = ssl != nullptr ? SSL_read(ssl, buffer, sizeof buffer)
                                      : static_cast<int>(recv(fd, buffer, sizeof buffer, 0));
      if (got <= 0) return;
      text.append(buffer, static_cast<std::size_t>(got));
      while (true) {
        const std::size_t space = text.find(' ');
        if (space == std::string::npos) break;
        const std::size_t size = std::stoul(text.substr(0, space));
        if (text.size() < space + 1 + size) break;
        const std::lock_guard lock(mutex_);
        messages_.push_back(text.substr(space + 1, size));
        text.erase(0, space + 1 + size);
        came_.notify_all();
      }
    }
  }

  SSL_CTX* context_ = nullptr;
  int listen_fd_ = -1;
  std::atomic<int> peer_{-1};
  std::thread thread_;
  std::mutex mutex_;
  std::condition_variable came_;
  std::vector<std::string> messages_;
};

class Position final : public ForwardPosition {
 public:
  Result<std::uint64_t> Read() override { return number; }
  Result<void> Write(std::uint64_t to) override {
    number = to;
    return {};
  }
  std::uint64_t number = 0;
};

struct Sender {
  explicit Sender(SyslogTarget target) : target_(std::move(target)) { Start(); }
  void Start() {
    forwarder = std::make_unique<AuditForwarder>(
        *company.store, position, target_, SyslogOrigin{"srv1", "42"}, "1.0",
        [this](std::string_view line) { said.emplace_back(line); });
  }
  void Write(int count) {
    for (int i = 0; i < count; ++i) {
      REQUIRE(company.store->AppendAudit({kNow, "boss", "password.set", "alice",
                                          i % 2 == 0 ? "ok" : "policy",
                                          "number " + std::to_string(++written), "192.0.2.1"}));
    }
  }
  void Tick() { forwarder->Tick(kNow); }

  Company company;
  Position position;
  std::vector<std::string> said;
  std::unique_ptr<AuditForwarder> forwarder;
  int written = 0;

 private:
  SyslogTarget target_;
};

// Each entry came; in order, but for those that came twice.
void CheckOrder(const std::vector<std::string>& messages, int count) {
  int next = 1;
  for (const std::string& message : messages) {
    if (message.find("msg=number " + std::to_string(next) + " ") != std::string::npos) ++next;
  }
  CHECK(next == count + 1);
}

}  // namespace

TEST_CASE("every entry goes out once, framed, and a checkpoint after the entry that it names") {
  Receiver receiver;
  Sender sender({"127.0.0.1", receiver.port, false, {}});
  sender.Write(450);
  AuditCheckpoint checkpoint;
  checkpoint.number = 451;
  sender.forwarder->Announce(checkpoint);
  sender.Tick();
  REQUIRE(receiver.Wait(450));
  CHECK(receiver.messages().size() == 450);
  CHECK(sender.forwarder->forwarded() == 450);
  CHECK_THAT(receiver.messages()[0],
             Catch::StartsWith("<110>1 2027-01-15T08:00:00.000Z srv1 keyferry-server 42 "
                               "password.set - \xEF\xBB\xBF"
                               "CEF:0|Keyferry|Keyferry Server|1.0|password.set|"));
  CHECK_THAT(receiver.messages()[1], Catch::StartsWith("<108>1 "));
  sender.Write(1);
  sender.Tick();
  sender.Tick();
  REQUIRE(receiver.Wait(452));
  const auto messages = receiver.messages();
  REQUIRE(messages.size() == 452);
  CheckOrder(messages, 451);
  CHECK(ParseCheckpoint(messages.back()).value() == checkpoint);
  CHECK(sender.said.empty());
  // Another run goes on where this one ended.
  sender.Start();
  sender.Write(1);
  sender.Tick();
  REQUIRE(receiver.Wait(453));
  CHECK(receiver.messages().size() == 453);
}

TEST_CASE("what the receiver did not take is kept and sent when it is back") {
  Receiver receiver;
  Sender sender({"127.0.0.1", receiver.port, false, {}});
  sender.Write(3);
  sender.Tick();
  REQUIRE(receiver.Wait(3));
  SECTION("it was away") {
    receiver.Close();
    sender.Write(3);
    sender.Tick();
    sender.Tick();
    CHECK(sender.forwarder->forwarded() == 3);
    REQUIRE(sender.said.size() == 1);  // told once
    CHECK_THAT(sender.said[0], Catch::Contains("cannot be reached"));
    receiver.Open();
  }
  SECTION("it ended the connection") {
    receiver.Hang();
    sender.Write(3);
  }
  for (int tries = 0; tries < 50 && sender.forwarder->forwarded() < 6; ++tries) sender.Tick();
  REQUIRE(receiver.Wait(6));
  CheckOrder(receiver.messages(), 6);
  CHECK(sender.position.number == 6);
  if (!sender.said.empty()) CHECK_THAT(sender.said.back(), Catch::Contains("again"));
}

TEST_CASE("over TLS only the receiver that its CA vouches for is told") {
  const Vouching authority;
  Receiver receiver(&authority.server);
  SECTION("the right one") {
    Sender sender({"127.0.0.1", receiver.port, true, authority.ca.certificate_pem});
    sender.Write(300);
    sender.Tick();
    REQUIRE(receiver.Wait(300));
    CheckOrder(receiver.messages(), 300);
    CHECK(sender.said.empty());
    receiver.Hang();
    sender.Write(2);
    for (int tries = 0; tries < 50 && sender.forwarder->forwarded() < 302; ++tries) sender.Tick();
    REQUIRE(receiver.Wait(302));
    CheckOrder(receiver.messages(), 302);
  }
  SECTION("of another CA") {
    const Vouching other;
    Sender sender({"127.0.0.1", receiver.port, true, other.ca.certificate_pem});
    sender.Write(1);
    sender.Tick();
    REQUIRE(sender.said.size() == 1);
    CHECK_THAT(sender.said[0], Catch::Contains("audit.syslog_ca"));
  }
  SECTION("with another name") {
    Sender sender({"localhost", receiver.port, true, authority.ca.certificate_pem});
    sender.Write(1);
    sender.Tick();
    REQUIRE(sender.said.size() == 1);
    CHECK_THAT(sender.said[0], Catch::Contains("audit.syslog_ca"));
  }
  SECTION("a CA file that holds none") {
    Sender sender({"127.0.0.1", receiver.port, true, "nothing"});
    sender.Write(1);
    sender.Tick();
    REQUIRE(sender.said.size() == 1);
    CHECK_THAT(sender.said[0], Catch::Contains("holds none"));
  }
  for (const std::string& message : receiver.messages()) CHECK(message.size() > 50);
}

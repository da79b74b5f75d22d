// The listener over real sockets and TLS.
#include "server/http/listener.h"

#include <atomic>
#include <catch2/catch.hpp>
#include <future>
#include <mutex>

#include "raw_client.h"

using namespace keyferry;
using namespace keyferry::server;
using test::RawClient;

namespace {

// A server with a few routes; what its handlers saw is recorded.
struct Site {
  explicit Site(HttpLimits limits = {}, HttpServerOptions http = {}) {
    router->Add({Method::kGet, "/hello", Access::kPublic, [this](Request& request) {
                   ++hits;
                   const std::lock_guard lock(mutex);
                   last = std::move(request);
                   return Response::Html("hello");
                 }});
    router->Add({Method::kPost,
                 "/echo",
                 Access::kPublic,
                 [this](Request& request) {
                   ++hits;
                   return Response::Html("got " + std::to_string(request.body.size()));
                 },
                 {},
                 Body::kForm});
    router->Add({Method::kGet, "/large", Access::kPublic,
                 [](Request&) { return Response::Html(std::string(200000, 'x') + "END"); }});
    router->Add({Method::kGet, "/stream", Access::kPublic, [this](Request&) {
                   return Response::Events([this](std::shared_ptr<EventStream> stream) {
                     stream->OnClosed([this] { closed.set_value(); });
                     stream->Send("hello", "{\"n\":1}");
                     opened.set_value(stream);
                   });
                 }});
    http.log = [this](const AccessRecord& record) {
      const std::lock_guard lock(mutex);
      records.push_back(record);
    };
    server = HttpServer::Create(std::move(http));
    ListenerOptions options;
    options.name = "test";
    options.address = "127.0.0.1";
    options.hosts = {"localhost", "127.0.0.1"};
    options.tls = test::MakeTestIdentity();
    options.limits = limits;
    const auto opened_port = server->Listen(std::move(options), router);
    REQUIRE(opened_port);
    port = *opened_port;
    server->Start();
  }
  ~Site() { server->Stop(std::chrono::seconds(2)); }

  int Status(const std::string& request) {
    RawClient client(port);
    REQUIRE(client.open());
    return client.Status(request);
  }

  std::shared_ptr<Router> router = std::make_shared<Router>();
  std::unique_ptr<HttpServer> server;
  std::uint16_t port = 0;
  std::atomic<int> hits{0};
  std::mutex mutex;
  Request last;
  std::vector<AccessRecord> records;
  std::promise<std::shared_ptr<EventStream>> opened;
  std::promise<void> closed;
};

std::string Get(const std::string& target, const std::string& more = {}) {
  return "GET " + target + " HTTP/1.1\r\nHost: localhost\r\n" + more + "\r\n";
}

}  // namespace

TEST_CASE("requests and answers over one kept connection") {
  Site site;
  RawClient client(site.port);
  REQUIRE(client.open());
  CHECK(std::string(client.version()) == "TLSv1.3");
  for (int i = 0; i < 3; ++i) {
    client.Write(Get("/hello",
                     "Cookie: a=b\r\nKeyferry-Protocol: 2\r\nKeyferry-Version: 1.2.3\r\n"
                     "X-Other: kept out\r\n"));
    const std::string answer = client.ReadUntil("hello");
    CHECK(answer.find("HTTP/1.1 200 OK\r\n") == 0);
    CHECK(answer.find("Content-Security-Policy: ") != std::string::npos);
  }
  {
    const std::lock_guard lock(site.mutex);
    CHECK(site.last.Header("cookie") == "a=b");
    CHECK(site.last.Header("keyferry-protocol") == "2");
    CHECK(site.last.Header("keyferry-version") == "1.2.3");
    CHECK(site.last.Header("x-other").empty());
    CHECK(site.last.address == "127.0.0.1");
    CHECK(site.last.id.size() == 16);
    CHECK_FALSE(site.last.certificate);
  }
  client.Write(Get("/large"));
  CHECK(client.ReadUntil("END").size() > 200000);  // many TLS records
  client.Write("HEAD /hello HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
  const std::string head = client.ReadAll();
  CHECK(head.find("Content-Length: 5\r\n") != std::string::npos);
  CHECK(head.substr(head.size() - 4) == "\r\n\r\n");
}

TEST_CASE("a body arrives whole, in pieces or at once") {
  Site site;
  RawClient client(site.port);
  client.Write("POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\n01234");
  client.Write("56789");
  CHECK(client.ReadUntil("got 10").find("200 OK") != std::string::npos);
  const std::string large(64 * 1024, 'a');
  client.Write("POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: " +
               std::to_string(large.size()) + "\r\n\r\n" + large);
  CHECK(client.ReadUntil("got 65536").find("200 OK") != std::string::npos);
}

TEST_CASE("requests that could be read in two ways are refused, and nothing behind them runs") {
  Site site;
  const std::string behind = Get("/hello");
  const std::vector<std::pair<std::string, int>> requests = {
      {"POST /echo HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
       411},
      {"POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\nTransfer-Encoding: "
       "chunked\r\n\r\n0\r\n\r\n",
       400},
      {"POST /echo HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: gzip\r\n\r\n", 411},
      {"POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
       400},
      {"POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\nContent-Length: 0\r\n\r\n",
       400},
      {"POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: +5\r\n\r\n", 400},
      {"POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0x5\r\n\r\n", 400},
      {"POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n", 400},
      {"POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999999999999\r\n\r\n",
       400},
      {"POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 65537\r\n\r\n", 413},
      {"GET /hello HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\nabc", 400},
      {"GET /hello HTTP/1.0\r\nHost: localhost\r\n\r\n", 505},
      {"GET /hello HTTP/1.1\r\n\r\n", 400},
      {"GET /hello HTTP/1.1\r\nHost: evil.example\r\n\r\n", 421},
      {"GET /hello HTTP/1.1\r\nHost: localhost.evil.example\r\n\r\n", 421},
      {"GET /hello HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n", 400},
      {"GET https://localhost/hello HTTP/1.1\r\nHost: localhost\r\n\r\n", 400},
      {"GET /hello HTTP/1.1\r\nHost: localhost\r\nCookie: a=1\r\nCookie: b=2\r\n\r\n", 400},
      {"GET /hello HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n\r\n", 400},
      {"GET /hello HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\n\r\n", 417},
      {"GET /hello HTTP/1.1\r\nHost : localhost\r\n\r\n", 400},
      {"GET /hello HTTP/1.1\nHost: localhost\n\n", 400},
      {"GET  /hello HTTP/1.1\r\nHost: localhost\r\n\r\n", 400},
      {"GET /hello HTTP/9.9\r\nHost: localhost\r\n\r\n", 400},
      {"TRACE /hello HTTP/1.1\r\nHost: localhost\r\n\r\n", 405},
      {"CONNECT localhost:443 HTTP/1.1\r\nHost: localhost\r\n\r\n", 400},
      {"get /hello HTTP/1.1\r\nHost: localhost\r\n\r\n", 405},
      {"OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n", 400},
      {"GET //hello HTTP/1.1\r\nHost: localhost\r\n\r\n", 400},
      {"GET /%68ello HTTP/1.1\r\nHost: localhost\r\n\r\n", 400},
      {"GET /hello;x HTTP/1.1\r\nHost: localhost\r\n\r\n", 400},
      {std::string("GET /hel") + '\0' + "lo HTTP/1.1\r\nHost: localhost\r\n\r\n", 400},
      {"\x16\x03\x01 rubbish\r\n\r\n", 400},
      {"GET /hello HTTP/1.1\r\nHost: localhost\r\nX: " + std::string(20000, 'a') + "\r\n\r\n", 431},
  };
  for (const auto& [request, status] : requests) {
    INFO(request.substr(0, 120));
    RawClient client(site.port);
    client.Write(request + behind);
    const std::string all = client.ReadAll();
    REQUIRE(all.size() > 12);
    CHECK(std::stoi(all.substr(9, 3)) == status);
    CHECK(all.find("Content-Security-Policy") != std::string::npos);
    CHECK(all.find("HTTP/1.1", 12) == std::string::npos);  // one answer, then the end
  }
  CHECK(site.hits == 0);
  CHECK(site.Status(behind) == 200);
}

TEST_CASE("a program is answered as a program, whatever the listener refuses") {
  Site site;
  site.router->SetErrorPage([](const Request& request, int status, const Error&) {
    const bool program = !request.path.empty() && request.path[0] == "api";
    return program ? Response::Json("{}", status) : Response::Html("page", status);
  });
  const std::string host = "Host: localhost\r\n", end = " HTTP/1.1\r\n" + host;
  for (const std::string path : {"/api/v1/people", "/people"}) {
    for (const std::string& request :
         {"POST " + path + end + "Content-Length: 65537\r\n\r\n",
          "POST " + path + end + "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
          "GET " + path + "//x" + end + "\r\n", "TRACE " + path + end + "\r\n"}) {
      INFO(request);
      RawClient client(site.port);
      client.Write(request);
      const bool problem = client.ReadAll().find("application/problem+json") != std::string::npos;
      CHECK(problem == (path[1] == 'a'));
    }
  }
}

TEST_CASE("slow and idle peers are let go") {
  HttpLimits limits;
  limits.header = std::chrono::seconds(1);
  limits.idle = std::chrono::seconds(1);
  limits.handshake = std::chrono::seconds(1);
  Site site(limits);
  RawClient slow(site.port);
  slow.Write("GET /hello HT");
  CHECK(slow.ReadAll().empty());
  RawClient idle(site.port);
  CHECK(idle.ReadAll().empty());
  CHECK(site.hits == 0);
}

TEST_CASE("connections of one address are bounded") {
  HttpLimits limits;
  limits.connections_per_address = 2;
  Site site(limits);
  auto first = std::make_unique<RawClient>(site.port);
  RawClient second(site.port);
  CHECK(first->Status(Get("/hello")) == 200);
  CHECK(second.Status(Get("/hello")) == 200);
  RawClient third(site.port);
  CHECK_FALSE(third.open());
}

TEST_CASE("TLS below 1.3 is refused") {
  Site site;
  RawClient old(site.port, nullptr, nullptr, TLS1_2_VERSION);
  CHECK_FALSE(old.open());
}

TEST_CASE("an event stream: events in order, end by either side") {
  Site site;
  RawClient client(site.port);
  client.Write(Get("/stream"));
  const std::string head = client.ReadUntil("\r\n\r\n");
  CHECK(head.find("Content-Type: text/event-stream") != std::string::npos);
  CHECK(head.find("Content-Length") == std::string::npos);
  CHECK(client.ReadUntil("\n\n") == "event: hello\ndata: {\"n\":1}\n\n");
  const auto stream = site.opened.get_future().get();
  SECTION("the server ends it after what was sent") {
    CHECK(stream->Send("job", "{}"));
    stream->Close();
    CHECK(client.ReadUntil("\n\n") == "event: job\ndata: {}\n\n");
    CHECK(client.ReadAll().empty());
  }
  SECTION("a peer that speaks is cut off") { client.Write("x"); }
  SECTION("stopping the server ends it") { site.server->Stop(std::chrono::seconds(2)); }
  site.closed.get_future().wait();
  CHECK_FALSE(stream->Send("late", "{}"));
}

TEST_CASE("more requests than the pool takes get 503") {
  HttpServerOptions http;
  http.workers = 1;
  http.backlog = 1;
  std::promise<void> begun, go;
  auto gate = go.get_future().share();
  Site site({}, std::move(http));
  auto slow = std::make_shared<Router>();
  slow->Add({Method::kGet, "/wait", Access::kPublic, [&begun, gate](Request&) {
               begun.set_value();
               gate.wait();
               return Response::Html("done");
             }});
  slow->Add(
      {Method::kGet, "/hello", Access::kPublic, [](Request&) { return Response::Html("hello"); }});
  ListenerOptions options;
  options.address = "127.0.0.1";
  options.hosts = {"localhost"};
  options.tls = test::MakeTestIdentity();
  const auto port = site.server->Listen(std::move(options), slow);
  REQUIRE(port);
  RawClient first(*port);
  first.Write(Get("/wait"));
  begun.get_future().wait();
  RawClient second(*port);
  CHECK(second.Status(Get("/hello")) == 503);
  go.set_value();
  CHECK(first.ReadUntil("done").find("200 OK") != std::string::npos);
}

TEST_CASE("pages do not wait behind slow requests") {
  HttpServerOptions http;
  http.workers = 1;
  std::promise<void> begun, go;
  auto gate = go.get_future().share();
  Site site({}, std::move(http));
  auto router = std::make_shared<Router>();
  const auto wait = [&begun, gate](Request&) {
    begun.set_value();
    gate.wait();
    return Response::Html("done");
  };
  router->Add({Method::kGet, "/wait", Access::kPublic, wait, {}, Body::kNone, {}, /*slow=*/true});
  router->Add(
      {Method::kGet, "/hello", Access::kPublic, [](Request&) { return Response::Html("hello"); }});
  ListenerOptions options;
  options.address = "127.0.0.1";
  options.hosts = {"localhost"};
  options.tls = test::MakeTestIdentity();
  const auto port = site.server->Listen(std::move(options), router);
  REQUIRE(port);
  RawClient first(*port);
  first.Write(Get("/wait"));
  begun.get_future().wait();
  RawClient second(*port);
  CHECK(second.Status(Get("/hello")) == 200);
  go.set_value();
  CHECK(first.ReadUntil("done").find("200 OK") != std::string::npos);
}

TEST_CASE("workstations: only a certificate of the CA gets in, and its hash reaches the handler") {
  const auto ca_key = test::MakeKey();
  const auto ca = test::MakeCertificate(ca_key.get(), "CA", true);
  const auto other_key = test::MakeKey();
  const auto other_ca = test::MakeCertificate(other_key.get(), "CA", true);
  const auto key = test::MakeKey();
  const auto good =
      test::MakeCertificate(key.get(), "w", false, "clientAuth", ca.get(), ca_key.get());
  const auto foreign =
      test::MakeCertificate(key.get(), "w", false, "clientAuth", other_ca.get(), other_key.get());
  const auto wrong_use =
      test::MakeCertificate(key.get(), "w", false, "serverAuth", ca.get(), ca_key.get());
  const auto self_signed = test::MakeCertificate(key.get(), "w", false, "clientAuth");
  Site site;
  ListenerOptions options;
  options.address = "127.0.0.1";
  options.hosts = {"localhost"};
  options.tls = test::MakeTestIdentity();
  options.tls.client_ca_pem = test::CertificatePem(ca.get());
  const auto port = site.server->Listen(std::move(options), site.router);
  REQUIRE(port);
  RawClient member(*port, good.get(), key.get());
  CHECK(member.Status(Get("/hello")) == 200);
  std::array<std::uint8_t, 32> hash{};
  unsigned int size = 0;
  X509_digest(good.get(), EVP_sha256(), hash.data(), &size);
  {
    const std::lock_guard lock(site.mutex);
    REQUIRE(site.last.certificate);
    CHECK(*site.last.certificate == hash);
  }
  site.hits = 0;
  for (X509* certificate : {foreign.get(), wrong_use.get(), self_signed.get()}) {
    RawClient stranger(*port, certificate, key.get());
    CHECK(stranger.Status(Get("/hello")) == 0);
  }
  RawClient nobody(*port);
  CHECK(nobody.Status(Get("/hello")) == 0);
  CHECK(site.hits == 0);
}

TEST_CASE("a key that does not fit its certificate is refused at once") {
  auto server = HttpServer::Create({});
  ListenerOptions options;
  options.address = "127.0.0.1";
  options.tls = test::MakeTestIdentity();
  options.tls.private_key_pem = test::MakeTestIdentity().private_key_pem.Clone();
  const auto port = server->Listen(std::move(options), std::make_shared<Router>());
  REQUIRE_FALSE(port);
  CHECK(port.error().code == ErrorCode::kInvalidArgument);
}

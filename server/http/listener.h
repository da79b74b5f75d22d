#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "protocol/result.h"
#include "server/http/router.h"
#include "server/http/tls_context.h"

namespace keyferry::server {

// Bounds of one listener. The defaults are those of docs/configuration.md.
struct HttpLimits {
  std::size_t header_bytes = 16 * 1024;
  std::size_t body_bytes = 64 * 1024;
  std::size_t connections = 4096;             // in all
  std::size_t connections_per_address = 256;  // of one peer address
  std::chrono::seconds handshake{10};
  std::chrono::seconds header{10};  // from its first byte to its last
  std::chrono::seconds idle{60};    // between two requests of a connection
  std::chrono::seconds write{30};
  std::size_t body_bytes_per_second = 1024;  // slower bodies are dropped (after 5 s of grace)
};

struct ListenerOptions {
  std::string name;     // "pages", "workstations": for the log
  std::string address;  // IP address
  std::uint16_t port = 0;
  TlsIdentity tls;
  std::vector<std::string> hosts;  // names a Host header may carry, without port, lower case
  HttpLimits limits;
};

// One finished request, for the log. Holds nothing secret: no query, no header, no body.
struct AccessRecord {
  std::string listener, id, address, method, path, login, workstation;
  int status = 0;
  std::int64_t millis = 0;
  std::string detail;  // why the listener itself refused, empty otherwise
};

struct HttpServerOptions {
  std::size_t io_threads = 1;
  // Threads that run handlers; as many again run those of slow routes.
  std::size_t workers = 8;
  std::size_t backlog = 256;  // requests that may wait for either; beyond it: 503
  std::function<void(const AccessRecord&)> log;
};

// HTTP/1.1 over TLS 1.3, for pages (no client certificate asked) and workstations (certificate
// demanded in the handshake). Each connection lives on one strand; handlers run on the pool.
class HttpServer {
 public:
  static std::unique_ptr<HttpServer> Create(HttpServerOptions options);
  virtual ~HttpServer() = default;

  // Opens a listener; the port that was taken (for port 0). kIo when the address is in use or not
  // ours, kInvalidArgument when certificate and key do not fit.
  virtual Result<std::uint16_t> Listen(ListenerOptions options,
                                       std::shared_ptr<const Router> router) = 0;
  // Serves on threads of its own until Stop.
  virtual void Start() = 0;
  // Stops accepting, lets running requests finish (up to `grace`), ends streams, joins all threads.
  virtual void Stop(std::chrono::milliseconds grace) = 0;
  // Runs `work` on the pool.
  virtual void Post(std::function<void()> work) = 0;
  virtual std::size_t connections() const = 0;
};

}  // namespace keyferry::server

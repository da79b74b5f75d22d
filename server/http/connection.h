#pragma once

#include <atomic>
#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/thread_pool.hpp>
#include <cstddef>
#include <memory>
#include <string>
#include <utility>

#include "server/http/connection_count.h"
#include "server/http/listener.h"
#include "server/http/router.h"

// What a listener and its connections share.
namespace keyferry::server {

// Threads that run handlers, and how many requests are with them or wait for them.
struct Lane {
  explicit Lane(std::size_t threads) : pool(threads) {}
  boost::asio::thread_pool pool;
  std::atomic<std::size_t> waiting{0};
};

// Shared by all listeners of a server; outlives every connection.
struct Engine {
  explicit Engine(HttpServerOptions given)
      : options(std::move(given)), quick(options.workers), slow(options.workers) {}
  HttpServerOptions options;
  boost::asio::io_context io;
  Lane quick;
  Lane slow;  // for Route::slow
  std::atomic<bool> stopping{false};

  void Log(const AccessRecord& record) const {
    if (options.log) options.log(record);
  }
};

// One place that is listened on.
struct Endpoint {
  Endpoint(Engine& owner, ListenerOptions given, std::shared_ptr<const Router> routes)
      : engine(owner),
        options(std::move(given)),
        router(std::move(routes)),
        tls(boost::asio::ssl::context::tls_server),
        acceptor(boost::asio::make_strand(owner.io)),
        count(std::make_shared<ConnectionCount>(options.limits.connections,
                                                options.limits.connections_per_address)) {}
  Engine& engine;
  ListenerOptions options;
  std::shared_ptr<const Router> router;
  boost::asio::ssl::context tls;
  boost::asio::ip::tcp::acceptor acceptor;
  std::shared_ptr<ConnectionCount> count;
};

// One accepted connection: its handshake, its requests, its event stream.
class Connection {
 public:
  virtual ~Connection() = default;
  virtual boost::asio::any_io_executor executor() = 0;
  // Until the connection has ended; once.
  virtual boost::asio::awaitable<void> Run() = 0;
  // From any thread: ends the connection when it has nothing to do, else after the present request.
  virtual void Shut() = 0;
  virtual void Kill() = 0;  // at once
};
std::shared_ptr<Connection> MakeConnection(std::shared_ptr<Endpoint> endpoint,
                                           boost::asio::ip::tcp::socket socket, std::string address,
                                           std::unique_ptr<ConnectionCount::Place> place);

}  // namespace keyferry::server

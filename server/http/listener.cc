#include "server/http/listener.h"

#include <algorithm>
#include <atomic>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <condition_variable>
#include <mutex>
#include <set>
#include <thread>
#include <vector>

#include "server/http/connection.h"
#include "server/http/tls_context.h"

namespace keyferry::server {
namespace {

namespace asio = boost::asio;
using asio::redirect_error;
using asio::use_awaitable;
using asio::ip::tcp;
using boost::system::error_code;

class TlsServer final : public HttpServer {
 public:
  explicit TlsServer(HttpServerOptions options) : engine_(std::move(options)) {}
  ~TlsServer() override { Stop(std::chrono::milliseconds(0)); }

  Result<std::uint16_t> Listen(ListenerOptions options,
                               std::shared_ptr<const Router> router) override {
    const std::string where = options.address + ":" + std::to_string(options.port);
    auto endpoint = std::make_shared<Endpoint>(engine_, std::move(options), std::move(router));
    if (auto configured = ConfigureTls(endpoint->tls.native_handle(), endpoint->options.tls);
        !configured) {
      return tl::unexpected(configured.error());
    }
    endpoint->options.tls.private_key_pem.Clear();
    error_code ec;
    const auto address = asio::ip::make_address(endpoint->options.address, ec);
    if (ec) {
      return Fail(ErrorCode::kInvalidArgument,
                  "\"" + endpoint->options.address + "\" is not an IP address to listen on.");
    }
    tcp::acceptor& acceptor = endpoint->acceptor;
    const tcp::endpoint place(address, endpoint->options.port);
    acceptor.open(place.protocol(), ec);
    if (!ec) acceptor.set_option(tcp::acceptor::reuse_address(true), ec);
    if (!ec) acceptor.bind(place, ec);
    if (!ec) acceptor.listen(1024, ec);
    if (ec) {
      return Fail(ErrorCode::kIo,
                  "Cannot listen on " + where +
                      ". Is another program using it, or is the address not this machine's?",
                  ec.message());
    }
    const std::uint16_t port = acceptor.local_endpoint().port();
    endpoints_.push_back(endpoint);
    asio::co_spawn(acceptor.get_executor(), AcceptLoop(endpoint), asio::detached);
    return port;
  }

  void Start() override {
    for (std::size_t i = 0; i < std::max<std::size_t>(1, engine_.options.io_threads); ++i) {
      threads_.emplace_back([this] { engine_.io.run(); });
    }
  }

  void Stop(std::chrono::milliseconds grace) override {
    if (stopped_.exchange(true)) return;
    engine_.stopping = true;
    for (const auto& endpoint : endpoints_) {
      asio::post(endpoint->acceptor.get_executor(), [endpoint] {
        error_code ignored;
        endpoint->acceptor.close(ignored);
      });
    }
    ForEach([](Connection& connection) { connection.Shut(); });
    {
      std::unique_lock lock(mutex_);
      empty_.wait_for(lock, grace, [this] { return live_.empty(); });
    }
    ForEach([](Connection& connection) { connection.Kill(); });
    {
      std::unique_lock lock(mutex_);
      empty_.wait_for(lock, std::chrono::seconds(5),
                      [this] { return live_.empty() || threads_.empty(); });
    }
    work_.reset();
    engine_.quick.pool.join();
    engine_.slow.pool.join();
    engine_.io.stop();
    for (std::thread& thread : threads_) thread.join();
    threads_.clear();
  }

  void Post(std::function<void()> work) override {
    asio::post(engine_.quick.pool, std::move(work));
  }

  std::size_t connections() const override {
    const std::lock_guard lock(mutex_);
    return live_.size();
  }

 private:
  void ForEach(const std::function<void(Connection&)>& visit) {
    std::vector<std::shared_ptr<Connection>> connections;
    {
      const std::lock_guard lock(mutex_);
      connections.assign(live_.begin(), live_.end());
    }
    for (const auto& connection : connections) visit(*connection);
  }

  asio::awaitable<void> AcceptLoop(std::shared_ptr<Endpoint> endpoint) {
    error_code ec;
    asio::steady_timer pause(endpoint->acceptor.get_executor());
    while (endpoint->acceptor.is_open()) {
      tcp::socket socket(asio::make_strand(engine_.io));
      co_await endpoint->acceptor.async_accept(socket, redirect_error(use_awaitable, ec));
      if (ec == asio::error::operation_aborted) break;
      if (ec) {  // out of descriptors: waiting is all that helps
        pause.expires_after(std::chrono::milliseconds(100));
        co_await pause.async_wait(redirect_error(use_awaitable, ec));
        continue;
      }
      const auto peer = socket.remote_endpoint(ec);
      if (ec) continue;
      std::string address = peer.address().to_string();
      auto place = endpoint->count->Enter(address);
      if (!place) continue;  // full: closing is the cheapest answer
      socket.set_option(tcp::no_delay(true), ec);
      Spawn(MakeConnection(endpoint, std::move(socket), std::move(address), std::move(place)));
    }
  }

  void Spawn(std::shared_ptr<Connection> connection) {
    {
      const std::lock_guard lock(mutex_);
      live_.insert(connection);
    }
    asio::co_spawn(
        connection->executor(), [connection] { return connection->Run(); },
        [this, connection](std::exception_ptr) {
          const std::lock_guard lock(mutex_);
          live_.erase(connection);
          empty_.notify_all();
        });
  }

  Engine engine_;
  asio::executor_work_guard<asio::io_context::executor_type> work_{engine_.io.get_executor()};
  std::vector<std::shared_ptr<Endpoint>> endpoints_;
  std::vector<std::thread> threads_;
  mutable std::mutex mutex_;
  std::condition_variable empty_;
  std::set<std::shared_ptr<Connection>> live_;
  std::atomic<bool> stopped_{false};
};

}  // namespace

std::unique_ptr<HttpServer> HttpServer::Create(HttpServerOptions options) {
  return std::make_unique<TlsServer>(std::move(options));
}

}  // namespace keyferry::server

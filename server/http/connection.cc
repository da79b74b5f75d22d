// The one translation unit that sees Beast (a build of it takes most of a minute).
#include "server/http/connection.h"

#include <openssl/sha.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <sodium.h>

#include <array>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http/buffer_body.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/ssl/ssl_stream.hpp>
#include <chrono>
#include <optional>

#include "server/http/event_queue.h"
#include "server/http/first_look.h"
#include "server/http/target.h"

namespace keyferry::server {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
using asio::redirect_error;
using asio::use_awaitable;
using asio::ip::tcp;
using boost::system::error_code;
using Clock = std::chrono::steady_clock;

constexpr std::chrono::seconds kPingEvery{15};
constexpr std::chrono::seconds kGraceForBody{5};
// Header and body up to here go out in one TLS record.
constexpr std::size_t kOneRecord = 12 * 1024;

// Request bytes may hold a password, so the read buffer is overwritten before it is given back.
template <typename T>
struct WipingAllocator {
  using value_type = T;
  WipingAllocator() = default;
  template <typename U>
  WipingAllocator(const WipingAllocator<U>&) {}
  T* allocate(std::size_t count) { return std::allocator<T>().allocate(count); }
  void deallocate(T* data, std::size_t count) {
    Wipe(data, count * sizeof(T));
    std::allocator<T>().deallocate(data, count);
  }
  template <typename U>
  bool operator==(const WipingAllocator<U>&) const {
    return true;
  }
};
using Buffer = beast::basic_flat_buffer<WipingAllocator<char>>;
using Parser = http::request_parser<http::buffer_body>;

std::string_view Text(boost::string_view text) { return {text.data(), text.size()}; }

std::string RandomHex() {
  unsigned char bytes[8];
  randombytes_buf(bytes, sizeof bytes);
  char text[2 * sizeof bytes + 1];
  sodium_bin2hex(text, sizeof text, bytes, sizeof bytes);
  return text;
}

// One request's place among those that wait for the pool.
struct Waiting {
  std::atomic<std::size_t>& count;
  ~Waiting() { count.fetch_sub(1); }
};

class TlsConnection final : public Connection, public std::enable_shared_from_this<TlsConnection> {
 public:
  TlsConnection(std::shared_ptr<Endpoint> endpoint, tcp::socket socket, std::string address,
                std::unique_ptr<ConnectionCount::Place> place)
      : endpoint_(std::move(endpoint)),
        engine_(endpoint_->engine),
        limits_(endpoint_->options.limits),
        stream_(std::move(socket), endpoint_->tls),
        wake_(stream_.get_executor()),
        address_(std::move(address)),
        place_(std::move(place)) {}

  asio::any_io_executor executor() override { return stream_.get_executor(); }

  void Shut() override {
    asio::post(executor(), [self = shared_from_this()] {
      if (self->events_) self->events_->Close();
      if (!self->busy_) self->CloseSocket();
    });
  }
  void Kill() override {
    asio::post(executor(), [self = shared_from_this()] { self->CloseSocket(); });
  }

  asio::awaitable<void> Run() override {
    error_code ec;
    Lowest().expires_after(limits_.handshake);
    co_await stream_.async_handshake(asio::ssl::stream_base::server,
                                     redirect_error(use_awaitable, ec));
    if (ec) {
      LogRefusal(0, "handshake: " + ec.message());
      CloseSocket();
      co_return;
    }
    ReadCertificate();
    while (!engine_.stopping && co_await ServeOne()) {
    }
    if (Lowest().socket().is_open()) {
      Lowest().expires_after(std::chrono::seconds(2));
      co_await stream_.async_shutdown(redirect_error(use_awaitable, ec));
      CloseSocket();
    }
  }

 private:
  beast::tcp_stream& Lowest() { return beast::get_lowest_layer(stream_); }

  void CloseSocket() {
    error_code ignored;
    Lowest().socket().close(ignored);
    wake_.cancel();
  }

  void ReadCertificate() {
    X509* const peer = SSL_get1_peer_certificate(stream_.native_handle());
    if (peer == nullptr) return;
    std::array<std::uint8_t, 32> hash{};
    unsigned int size = 0;
    if (X509_digest(peer, EVP_sha256(), hash.data(), &size) == 1 && size == hash.size()) {
      certificate_ = hash;
    }
    X509_free(peer);
  }

  void LogRefusal(int status, std::string detail) {
    AccessRecord record;
    record.listener = endpoint_->options.name;
    record.address = address_;
    record.status = status;
    record.detail = std::move(detail);
    engine_.Log(record);
  }

  // Reads one request, answers it. False: the connection ends.
  asio::awaitable<bool> ServeOne() {
    error_code ec;
    busy_ = false;
    if (buffer_.size() == 0) {
      Lowest().expires_after(limits_.idle);
      const std::size_t got = co_await stream_.async_read_some(buffer_.prepare(4096),
                                                               redirect_error(use_awaitable, ec));
      if (ec) co_return false;
      buffer_.commit(got);
    }
    busy_ = true;
    Parser parser;
    parser.header_limit(static_cast<std::uint32_t>(limits_.header_bytes));
    parser.body_limit(limits_.body_bytes);
    Lowest().expires_after(limits_.header);
    co_await http::async_read_header(stream_, buffer_, parser, redirect_error(use_awaitable, ec));
    if (ec) co_return co_await RefuseUnread(ec, parser);

    Request request;
    request.id = RandomHex();
    request.address = address_;
    request.certificate = certificate_;
    NoteProgram(Text(parser.get().target()), request);
    const int refused = Accept(parser, request);
    if (refused != 0) co_return co_await Refuse(request, refused);

    const std::uint64_t length = parser.content_length().value_or(0);
    if (length > 0) {
      request.body = SecureBytes(static_cast<std::size_t>(length));
      parser.get().body().data = request.body.data();
      parser.get().body().size = request.body.size();
      parser.get().body().more = false;
    }
    Lowest().expires_after(kGraceForBody +
                           std::chrono::seconds(length / limits_.body_bytes_per_second));
    while (!parser.is_done()) {
      co_await http::async_read(stream_, buffer_, parser, redirect_error(use_awaitable, ec));
      if (ec == http::error::need_buffer) ec = {};
      if (ec) co_return co_await RefuseUnread(ec, parser);
    }
    const bool keep = parser.keep_alive();
    if (buffer_.size() == 0) buffer_ = Buffer();  // overwrites what was read
    co_return co_await Answer(std::move(request), keep);
  }

  // Why the listener itself refuses a header that could be read; 0 = it does not.
  int Accept(const Parser& parser, Request& request) {
    const auto& header = parser.get();
    if (header.version() != 11) return 505;
    if (parser.chunked() || header.count(http::field::transfer_encoding) != 0) return 411;
    if (header.count(http::field::content_length) > 1) return 400;
    if (header.count(http::field::expect) != 0) return 417;
    if (header.count(http::field::upgrade) != 0) return 400;
    for (const std::string_view name : kKeptHeaders) {
      const auto count = header.count(boost::string_view(name.data(), name.size()));
      if (count > 1) return 400;
      if (count == 0) continue;
      const auto value = header[boost::string_view(name.data(), name.size())];
      const std::string_view text(value.data(), value.size());
      if (HasControl(text)) return 400;
      request.headers.emplace(name, text);
    }
    const std::string_view host = request.Header("host");
    if (host.empty()) return 400;
    if (!IsHostOf(host, endpoint_->options.hosts)) return 421;
    request.host = host;
    const auto target_text = header.target();
    auto target = ParseTarget(std::string_view(target_text.data(), target_text.size()));
    if (!target) return 400;
    request.path = std::move(target->path);
    request.query = std::move(target->query);
    const auto method_text = header.method_string();
    const auto method = ParseMethod(std::string_view(method_text.data(), method_text.size()));
    if (!method) return 405;
    request.method = *method;
    const std::uint64_t length = parser.content_length().value_or(0);
    if (length > limits_.body_bytes) return 413;
    if (length > 0 && *method != Method::kPost) return 400;
    return 0;
  }

  // A header or body that broke off, broke the rules or a bound.
  asio::awaitable<bool> RefuseUnread(const error_code& ec, const Parser& parser) {
    int status = 0;
    if (ec == http::error::header_limit || ec == http::error::buffer_overflow) {
      status = 431;
    } else if (ec == http::error::body_limit) {
      status = 413;
    } else if (ec == beast::error::timeout) {
      LogRefusal(408, "too slow");
      CloseSocket();
      co_return false;
    } else if (ec == http::error::end_of_stream || ec == http::error::partial_message ||
               ec.category() != http::make_error_code(http::error::bad_method).category()) {
      co_return false;  // the peer went away
    } else {
      status = 400;
    }
    Request request;
    request.id = RandomHex();
    request.address = address_;
    NoteProgram(Text(parser.get().target()), request);
    co_return co_await Refuse(request, status, ec.message());
  }

  asio::awaitable<bool> Refuse(const Request& request, int status, std::string detail = {}) {
    LogRefusal(status, detail.empty() ? std::string("refused by the listener") : detail);
    Response response = endpoint_->router->ErrorResponse(
        request, status,
        Error{ErrorCode::kInvalidArgument, "Keyferry does not understand this request.", {}, 0});
    if (status == 405) response.With("Allow", "GET, HEAD, POST, DELETE");
    co_await Write(response, false, false);
    co_return false;
  }

  asio::awaitable<bool> Answer(Request request, bool keep) {
    const auto begun = Clock::now();
    const bool head = request.method == Method::kHead;
    Response response;
    Lane& lane = endpoint_->router->IsSlow(request) ? engine_.slow : engine_.quick;
    if (lane.waiting.fetch_add(1) >= engine_.options.backlog) {
      lane.waiting.fetch_sub(1);
      response = endpoint_->router->ErrorResponse(
          request, 503,
          Error{
              ErrorCode::kUnavailable, "The server is busy. Please try again in a moment.", {}, 0});
      response.With("Retry-After", "2");
    } else {
      // The coroutine waits on its strand while the pool works; `request` stays in this frame.
      response = co_await asio::co_spawn(
          lane.pool,
          [this, &request, &lane]() -> asio::awaitable<Response> {
            const Waiting place{lane.waiting};
            co_return endpoint_->router->Dispatch(request);
          },
          use_awaitable);
    }
    request.body.Clear();
    LogAnswer(request, response, begun);
    if (response.stream && response.status == 200 && !head) {
      co_await Stream(response);
      co_return false;
    }
    keep = keep && !engine_.stopping;
    co_return co_await Write(response, keep, head) && keep;
  }

  void LogAnswer(const Request& request, const Response& response, Clock::time_point begun) {
    AccessRecord record;
    record.listener = endpoint_->options.name;
    record.id = request.id;
    record.address = address_;
    record.method = Name(request.method);
    record.path = request.PathText();
    if (request.session) record.login = request.session->actor.login;
    if (request.workstation) record.workstation = request.workstation->Hex();
    record.status = response.status;
    record.millis =
        std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - begun).count();
    engine_.Log(record);
  }

  asio::awaitable<bool> Write(Response& response, bool keep, bool head) {
    error_code ec;
    const std::string& body = response.shared_body ? *response.shared_body : response.body;
    std::string first = HeaderBlock(response, body.size(), keep);
    const bool bodyless = head || response.status == 204 || response.status == 304;
    const bool together = !bodyless && body.size() <= kOneRecord;
    if (together) first += body;
    Lowest().expires_after(limits_.write);
    co_await asio::async_write(stream_, asio::buffer(first), redirect_error(use_awaitable, ec));
    if (!ec && !bodyless && !together) {
      co_await asio::async_write(stream_, asio::buffer(body), redirect_error(use_awaitable, ec));
    }
    Wipe(first.data(), first.size());
    Wipe(response.body.data(), response.body.size());
    co_return !ec;
  }

  // Feeds one event stream until the peer leaves, is too slow, or Close.
  asio::awaitable<void> Stream(Response& response) {
    error_code ec;
    const std::string block = HeaderBlock(response, 0, false);
    Lowest().expires_after(limits_.write);
    co_await asio::async_write(stream_, asio::buffer(block), redirect_error(use_awaitable, ec));
    if (ec) co_return;
    std::weak_ptr<TlsConnection> weak = weak_from_this();
    Engine& engine = engine_;
    events_ = std::make_shared<EventQueue>(
        [weak] {
          if (const auto self = weak.lock()) {
            asio::post(self->executor(), [self] { self->wake_.cancel(); });
          }
        },
        [&engine](std::function<void()> work) { asio::post(engine.quick.pool, std::move(work)); });
    asio::post(engine_.quick.pool,
               [open = std::move(response.stream), events = events_] { open(events); });
    Lowest().expires_never();
    asio::co_spawn(executor(), WatchPeer(shared_from_this()), asio::detached);
    bool live = true;
    while (live && Lowest().socket().is_open()) {
      const bool closing = events_->closing() || engine_.stopping;
      std::string text = events_->Take();
      if (text.empty() && closing) break;
      if (text.empty()) {
        wake_.expires_after(kPingEvery);
        co_await wake_.async_wait(redirect_error(use_awaitable, ec));
        if (ec || !Lowest().socket().is_open()) continue;  // woken: there is something to look at
        text = EventQueue::Frame("ping", "{}");
      }
      Lowest().expires_after(limits_.write);
      co_await asio::async_write(stream_, asio::buffer(text), redirect_error(use_awaitable, ec));
      live = !ec;
    }
    if (events_->overrun()) LogRefusal(0, "event stream: the peer is too slow");
    events_->End();
    CloseSocket();
  }

  // A stream's peer has nothing more to say: whatever it sends, or its leaving, ends the stream.
  static asio::awaitable<void> WatchPeer(std::shared_ptr<TlsConnection> self) {
    error_code ec;
    char byte = 0;
    co_await self->stream_.async_read_some(asio::buffer(&byte, 1),
                                           redirect_error(use_awaitable, ec));
    self->CloseSocket();
  }

  std::shared_ptr<Endpoint> endpoint_;
  Engine& engine_;
  const HttpLimits& limits_;
  beast::ssl_stream<beast::tcp_stream> stream_;
  asio::steady_timer wake_;
  const std::string address_;
  std::unique_ptr<ConnectionCount::Place> place_;
  std::optional<std::array<std::uint8_t, 32>> certificate_;
  Buffer buffer_;
  std::shared_ptr<EventQueue> events_;
  bool busy_ = true;
};

}  // namespace

std::shared_ptr<Connection> MakeConnection(std::shared_ptr<Endpoint> endpoint, tcp::socket socket,
                                           std::string address,
                                           std::unique_ptr<ConnectionCount::Place> place) {
  return std::make_shared<TlsConnection>(std::move(endpoint), std::move(socket), std::move(address),
                                         std::move(place));
}

}  // namespace keyferry::server

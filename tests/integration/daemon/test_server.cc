#include "tests/integration/daemon/test_server.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <openssl/err.h>
#include <sys/socket.h>
#include <unistd.h>

#include <boost/json/array.hpp>
#include <boost/json/serialize.hpp>
#include <chrono>
#include <csignal>
#include <stdexcept>

#include "client-daemon/core/json.h"
#include "protocol/messages.h"
#include "protocol/secure/system_random.h"

namespace keyferry::test {

namespace json = boost::json;
using daemon::Base64;
using daemon::Hex;
using daemon::Id;

namespace {

constexpr std::chrono::seconds kPingEvery{15};
constexpr unsigned char kSessions[] = "keyferry test server";

std::string ReadRequest(SSL* ssl) {
  std::string text;
  char buffer[4096];
  while (true) {
    const auto end = text.find("\r\n\r\n");
    if (end != std::string::npos) {
      std::size_t length = 0;
      const auto header = text.find("Content-Length: ");
      if (header != std::string::npos && header < end)
        length = std::stoul(text.substr(header + 16));
      if (text.size() >= end + 4 + length) return text;
    }
    const int n = SSL_read(ssl, buffer, sizeof buffer);
    if (n <= 0) return {};
    text.append(buffer, static_cast<std::size_t>(n));
  }
}

bool WriteAll(SSL* ssl, const std::string& text) {
  return SSL_write(ssl, text.data(), static_cast<int>(text.size())) ==
         static_cast<int>(text.size());
}

}  // namespace

TestServer::TestServer(std::string name) : name_(std::move(name)) {
  std::signal(SIGPIPE, SIG_IGN);
  context_ = SSL_CTX_new(TLS_server_method());
  SSL_CTX_set_min_proto_version(context_, TLS1_3_VERSION);
  const Pkey key(EVP_EC_gen("P-256"));
  const Certificate certificate = pki.IssueServer(key.get(), name_);
  SSL_CTX_use_certificate(context_, certificate.get());
  SSL_CTX_use_PrivateKey(context_, key.get());
  X509_STORE_add_cert(SSL_CTX_get_cert_store(context_), pki.ca());
  SSL_CTX_set_verify(context_, SSL_VERIFY_PEER, nullptr);
  // Without it OpenSSL refuses a client with a certificate that resumes its session.
  SSL_CTX_set_session_id_context(context_, kSessions, sizeof kSessions);
  Start();
}

TestServer::~TestServer() {
  Stop();
  SSL_CTX_free(context_);
}

void TestServer::Start() {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const int on = 1;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(static_cast<std::uint16_t>(port_));
  if (bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 || listen(fd, 16) != 0) {
    throw std::runtime_error("the test server cannot listen");
  }
  socklen_t size = sizeof address;
  getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size);
  port_ = ntohs(address.sin_port);
  stopping_ = false;
  listen_fd_ = fd;
  accept_thread_ = std::thread([this, fd] { AcceptLoop(fd); });
}

void TestServer::Stop() {
  const int fd = listen_fd_.exchange(-1);
  if (fd < 0) return;
  shutdown(fd, SHUT_RDWR);
  accept_thread_.join();
  close(fd);
  std::list<std::thread> threads;
  {
    const auto lock = Lock();
    stopping_ = true;
    for (const int connection : fds_) shutdown(connection, SHUT_RDWR);
    threads.swap(threads_);
    changed_.notify_all();
  }
  for (std::thread& thread : threads) thread.join();
}

void TestServer::AcceptLoop(int listen_fd) {
  while (true) {
    const int fd = accept4(listen_fd, nullptr, nullptr, SOCK_CLOEXEC);
    if (fd < 0) return;
    const auto lock = Lock();
    fds_.insert(fd);
    threads_.emplace_back([this, fd] { Serve(fd); });
  }
}

void TestServer::Serve(int fd) {
  SSL* ssl = SSL_new(context_);
  SSL_set_fd(ssl, fd);
  if (SSL_accept(ssl) == 1) {
    X509* peer = SSL_get1_peer_certificate(ssl);
    const bool authenticated = peer != nullptr;
    X509_free(peer);
    while (true) {
      const std::string text = ReadRequest(ssl);
      if (text.empty()) break;
      Request request;
      request.method = text.substr(0, text.find(' '));
      const auto path = request.method.size() + 1;
      request.path = text.substr(path, text.find(' ', path) - path);
      request.body = text.substr(text.find("\r\n\r\n") + 4);
      request.authenticated = authenticated;
      if (request.path == "/workstation/v1/events" && authenticated) {
        Stream(ssl);
        break;
      }
      Response response;
      {
        const auto lock = Lock();
        response = Answer(request);
        changed_.notify_all();
      }
      if (!WriteAll(ssl, "HTTP/1.1 " + std::to_string(response.status) +
                             " X\r\nContent-Type: application/json\r\nContent-Length: " +
                             std::to_string(response.body.size()) + "\r\n\r\n" + response.body)) {
        break;
      }
    }
  }
  SSL_free(ssl);
  const auto lock = Lock();
  fds_.erase(fd);
  close(fd);
}

bool TestServer::Wait(const std::function<bool()>& done) {
  std::unique_lock lock(mutex_);
  return changed_.wait_for(lock, std::chrono::seconds(30), done);
}

void TestServer::Send(const std::string& name, const std::string& data) {
  events_.push_back("event: " + name + "\ndata: " + data + "\n\n");
  changed_.notify_all();
}

void TestServer::SendRaw(const std::string& text) {
  events_.push_back(text);
  changed_.notify_all();
}

std::string TestServer::Hello() const {
  const Organisation stranger;
  const Organisation& issuer = forge_hello ? stranger : organisation;
  json::object out{{"version", "test"}, {"protocol", 1}, {"now", 0}, {"login_cert", nullptr}};
  out["deliver_cert"] = Base64(issuer.Certify(deliver_pub_, protocol::kRoleDeliver, workstation_));
  if (login_pub_) {
    out["login_cert"] = Base64(issuer.Certify(*login_pub_, protocol::kRoleLogin, workstation_));
  }
  out["issuer_cert"] = Base64(issuer.issuer.Encode());
  return json::serialize(out);
}

void TestServer::Stream(SSL* ssl) {
  std::unique_lock lock(mutex_);
  if (revoked_) {
    const std::string body = R"({"code":"workstation_revoked","detail":"It was revoked."})";
    lock.unlock();
    WriteAll(ssl, "HTTP/1.1 403 X\r\nContent-Type: application/problem+json\r\nContent-Length: " +
                      std::to_string(body.size()) + "\r\n\r\n" + body);
    return;
  }
  const std::uint64_t mine = ++generation_;
  events_.clear();
  events_.push_back("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n");
  Send("hello", Hello());
  ++hellos;
  for (const auto& [device, key] : keys) SendKey(device);
  for (const auto& [id, job] : jobs_) {
    if (!job.result) SendJob(job);
  }
  for (const auto& [device, begin] : enrolments_) SendEnrolment(device);
  connected = true;
  bool good = true;
  while (good && !stopping_ && generation_ == mine) {
    if (events_.empty()) {
      changed_.notify_all();
      // As the server does, or keyferryd would take a stream without news for a dead one.
      if (changed_.wait_for(lock, kPingEvery) == std::cv_status::timeout) Send("ping", "{}");
      continue;
    }
    const std::string text = std::move(events_.front());
    events_.erase(events_.begin());
    lock.unlock();
    good = WriteAll(ssl, text);
    lock.lock();
  }
  if (generation_ == mine) connected = false;
}

TestServer::Response TestServer::Answer(const Request& request) {
  const bool post = request.method == "POST";
  if (post && fail_posts > 0) {
    --fail_posts;
    return {503, R"({"code":"down","detail":"The test server is down."})"};
  }
  const auto ends = [&](const std::string& tail) {
    return request.path.size() > tail.size() &&
           request.path.compare(request.path.size() - tail.size(), tail.size(), tail) == 0;
  };
  if (post && request.path == "/api/v1/workstations") return Register(request);
  if (!post && request.path.rfind("/api/v1/workstations/", 0) == 0) return PollEnrolment(request);
  if (!request.authenticated) return {401, "{}"};
  if (request.path == "/workstation/v1/keys") return TakeKeys(request);
  if (request.path == "/workstation/v1/receipts") return TakeReceipt(request, false);
  if (ends("/receipt")) return TakeReceipt(request, true);
  if (ends("/statement")) return TakeStatement(request);
  if (ends("/spooled") != request.body.empty()) return {400, "{}"};
  const auto body = daemon::ParseObject(request.body.empty() ? "{}" : request.body);
  if (ends("/spooled") || ends("/problem")) {
    const bool of_job = request.path.rfind("/workstation/v1/jobs/", 0) == 0;
    if (!of_job) {
      enrolment_problem = daemon::GetText(*body, "code", 100).value_or("?");
      return {204, ""};
    }
    const auto found = jobs_.find(*daemon::ParseId(request.path.substr(21, 32)));
    if (found == jobs_.end()) return {404, "{}"};
    if (ends("/spooled")) {
      found->second.spooled = true;
    } else {
      found->second.problem = daemon::GetText(*body, "code", 100).value_or("?");
    }
    return {204, ""};
  }
  if (request.path == "/workstation/v1/used") {
    used[*daemon::GetText(*body, "device_id", 32)] = *daemon::GetNumber(*body, "seq");
    return {204, ""};
  }
  return {404, "{}"};
}

TestServer::Response TestServer::Register(const Request& request) {
  const auto body = daemon::ParseObject(request.body);
  const auto csr = body ? daemon::GetText(*body, "csr", 4096) : std::nullopt;
  const auto deliver = body ? daemon::GetArray<32>(*body, "deliver_noise_pub") : std::nullopt;
  if (!csr || !deliver) return {400, "{}"};
  ++registrations;
  csr_ = *csr;
  deliver_pub_ = *deliver;
  login_pub_ = daemon::GetArray<32>(*body, "login_noise_pub");
  const json::object out{
      {"workstation_id", Hex(workstation_)}, {"poll_token", "token-1"}, {"fingerprint", "x"}};
  return {201, json::serialize(out)};
}

TestServer::Response TestServer::PollEnrolment(const Request&) {
  if (revoked_) return {200, R"({"state":"revoked"})"};
  if (!approved_) return {200, R"({"state":"pending"})"};
  json::object out{{"state", "approved"}, {"daemon_url", url()}, {"login_cert", nullptr}};
  out["certificate"] = pki.IssueClient(csr_, Hex(workstation_));
  out["deliver_cert"] =
      Base64(organisation.Certify(deliver_pub_, protocol::kRoleDeliver, workstation_));
  if (login_pub_) {
    out["login_cert"] =
        Base64(organisation.Certify(*login_pub_, protocol::kRoleLogin, workstation_));
  }
  out["issuer_cert"] = Base64(organisation.issuer.Encode());
  out["root_pub"] = Base64(organisation.root);
  return {200, json::serialize(out)};
}

TestServer::Response TestServer::TakeKeys(const Request& request) {
  const auto body = daemon::ParseObject(request.body);
  seen_keys.clear();
  for (const json::value& key : body->at("keys").as_array()) {
    const auto device = daemon::GetText(key.as_object(), "device_id", 32);
    seen_keys.insert(*device);
    seen_states[*device] = static_cast<int>(*daemon::GetNumber(key.as_object(), "state"));
  }
  return {204, ""};
}

TestServer::Response TestServer::TakeStatement(const Request& request) {
  if (refuse_grants)
    return {409, R"({"code":"no","detail":"The administrator changed his mind."})"};
  const auto body = daemon::ParseObject(request.body);
  const auto bytes = daemon::GetArray<protocol::kStatementSize>(*body, "statement");
  const auto statement = protocol::Statement::Parse(*bytes);
  const auto begin = enrolments_.find(statement->device_id);
  if (!statement || begin == enrolments_.end()) return {404, "{}"};
  Key key;
  key.statement = *statement;
  OsRandom().Fill(key.account);
  const auto grant = organisation.Grant(begin->second, *bytes, key.account);
  key.record = organisation.Record(*bytes, grant);
  key.epoch = statement->epoch;
  key.recipient = statement->recipient_pub;
  keys[statement->device_id] = key;
  return {200, json::serialize(json::object{{"grant", Base64(grant.Encode())}})};
}

TestServer::Response TestServer::TakeReceipt(const Request& request, bool enrolment) {
  const auto body = daemon::ParseObject(request.body);
  const auto bytes = daemon::GetArray<protocol::kReceiptSize>(*body, "receipt");
  const auto receipt = protocol::Receipt::Parse(*bytes);
  const auto key = keys.find(receipt->device_id);
  if (!receipt || key == keys.end() || !receipt->VerifySignature(key->second.statement.sig_pub)) {
    ++refused_receipts;
    return {200, R"({"verdict":"refused","reason":"Not this key's signature."})"};
  }
  for (auto& [id, job] : jobs_) {
    if (protocol::JobHash(job.sealed) == receipt->job_hash) job.result = receipt->result;
  }
  for (const protocol::Receipt& known : key->second.receipts) {
    if (known.Encode() == *bytes) {
      ++duplicates;
      return {200, R"({"verdict":"duplicate","reason":""})"};
    }
  }
  if (receipt->positive()) {
    key->second.receipts.push_back(*receipt);
    key->second.epoch = receipt->epoch;
    key->second.recipient = receipt->recipient_pub;
  }
  if (enrolment) {
    enrolments_.erase(receipt->device_id);
    SendKey(receipt->device_id);
  }
  return {200, R"({"verdict":"stored","reason":""})"};
}

void TestServer::SendKey(const Id& device) {
  const Key& key = keys.at(device);
  if (key.receipts.empty()) return;
  Send("key", json::serialize(json::object{{"device_id", Hex(device)},
                                           {"state", "active"},
                                           {"login", login},
                                           {"account_id", Hex(key.account)},
                                           {"record", Base64(key.record)}}));
}

void TestServer::SendJob(const Job& job) {
  Send("job", json::serialize(json::object{{"job_id", Hex(job.id)},
                                           {"device_id", Hex(job.device)},
                                           {"seq", job.seq},
                                           {"sealed", Base64(job.sealed)}}));
}

void TestServer::SendEnrolment(const Id& device) {
  Send("enrol", json::serialize(json::object{
                    {"enrolment_id", Hex(Id{9})},
                    {"device_id", Hex(device)},
                    {"enrol_cert", Base64(organisation.Certify(deliver_pub_, protocol::kRoleEnroll,
                                                               workstation_))},
                    {"begin", Base64(enrolments_.at(device))}}));
}

void TestServer::Enrol(const Id& device) {
  enrolments_[device] = organisation.Begin();
  if (connected) SendEnrolment(device);
}

Id TestServer::QueueJob(const Id& device) {
  Key& key = keys.at(device);
  Job job;
  OsRandom().Fill(job.id);
  job.device = device;
  job.seq = key.next_seq++;
  job.sealed = organisation.Job(device, key.account, key.recipient, key.epoch, job.seq,
                                key.receipts.back().seq, job.id, password(job.seq));
  if (connected) SendJob(job);
  jobs_[job.id] = job;
  return job.id;
}

void TestServer::VoidJob(const Id& job) {
  Send("void", json::serialize(json::object{{"job_id", Hex(job)}}));
}

}  // namespace keyferry::test

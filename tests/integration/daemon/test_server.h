#pragma once

#include <openssl/ssl.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <list>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "client-daemon/core/encoding.h"
#include "protocol/receipt.h"
#include "tests/integration/daemon/pki.h"
#include "tests/unit/device/organisation.h"

namespace keyferry::test {

// The server's side of docs/workstation-api.md, small: TLS 1.3 on loopback, one workstation, an
// organisation that really seals and really checks receipts. Blocking, one thread a connection.
class TestServer {
 public:
  struct Key {
    protocol::Statement statement;
    protocol::Bytes<device::kKeyRecordSize> record{};
    protocol::Id account{};
    std::vector<protocol::Receipt> receipts;  // positive, in order of arrival
    std::uint64_t next_seq = 1;
    std::uint32_t epoch = 1;
    protocol::X25519Public recipient{};
  };
  struct Job {
    daemon::Id id{};
    daemon::Id device{};
    std::uint64_t seq = 0;
    daemon::Bytes sealed;
    bool spooled = false;
    std::string problem;
    std::optional<protocol::Status> result;  // of its receipt
  };

  // `name` is what the daemon calls it by; it listens on 127.0.0.1 whatever the name.
  explicit TestServer(std::string name = "localhost");
  ~TestServer();

  void Start();  // listens again on the same port after Stop
  void Stop();
  int port() const { return port_; }
  std::string url() const { return "https://" + name_ + ":" + std::to_string(port_); }

  // Waits until `done` holds, looked at under the server's lock after every change. False after 30
  // s.
  bool Wait(const std::function<bool()>& done);

  // ---- all below under Lock()
  std::unique_lock<std::mutex> Lock() { return std::unique_lock(mutex_); }

  void Approve() { approved_ = true; }
  void Revoke() { revoked_ = true; }
  // A job for an enrolled key, sent now if the workstation is connected.
  daemon::Id QueueJob(const daemon::Id& device);
  void VoidJob(const daemon::Id& job);
  void Enrol(const daemon::Id& device);
  void SendRaw(const std::string& text);  // as it is into the event stream
  void CutStreams() {
    ++generation_;
    changed_.notify_all();
  }
  Job& job(const daemon::Id& id) { return jobs_.at(id); }

  Organisation organisation;
  Pki pki;
  std::map<daemon::Id, Key> keys;
  std::set<std::string> seen_keys;  // hex, from the last POST /keys
  std::map<std::string, int> seen_states;
  bool connected = false;
  int registrations = 0;
  int hellos = 0;
  int duplicates = 0;        // receipts that were known already
  int refused_receipts = 0;  // that the organisation could not verify
  int fail_posts = 0;        // the next n POSTs are answered with 503
  bool refuse_grants = false;
  bool forge_hello = false;  // certificates of another organisation
  std::string enrolment_problem;
  std::map<std::string, std::uint64_t> used;  // device → seq
  std::string login = "alice";
  // What the jobs bring, by seq.
  std::function<std::string(std::uint64_t)> password = [](std::uint64_t) { return kJobPassword; };

 private:
  struct Request {
    std::string method, path, body;
    bool authenticated = false;
  };
  struct Response {
    int status = 200;
    std::string body;
  };

  void AcceptLoop(int listen_fd);
  void Serve(int fd);
  Response Answer(const Request& request);
  Response Register(const Request& request);
  Response PollEnrolment(const Request& request);
  Response TakeKeys(const Request& request);
  Response TakeReceipt(const Request& request, bool enrolment);
  Response TakeStatement(const Request& request);
  void Stream(SSL* ssl);
  std::string Hello() const;
  void Send(const std::string& name, const std::string& json);
  void SendKey(const daemon::Id& device);
  void SendJob(const Job& job);
  void SendEnrolment(const daemon::Id& device);

  const std::string name_;
  SSL_CTX* context_ = nullptr;
  std::atomic<int> listen_fd_{-1};
  int port_ = 0;
  std::thread accept_thread_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::list<std::thread> threads_;
  std::set<int> fds_;
  bool stopping_ = false;

  bool approved_ = false;
  bool revoked_ = false;
  std::string csr_;
  daemon::Id workstation_{7};
  protocol::X25519Public deliver_pub_{};
  std::optional<protocol::X25519Public> login_pub_;
  std::uint64_t generation_ = 0;
  std::vector<std::string> events_;  // of the present stream, not yet sent
  std::map<daemon::Id, Job> jobs_;
  std::map<daemon::Id, protocol::Bytes<protocol::kEnrollBeginSize>> enrolments_;  // by device
};

}  // namespace keyferry::test

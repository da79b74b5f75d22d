#pragma once

#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace keyferry::testing {

// Stands between a client and a server and misbehaves on command. One thread; the commands may come
// from any other and hold for present and future connections.
class TcpProxy {
 public:
  // Listens on a free port of `listen_ip` and forwards to `target_ip`:`target_port`. With both
  // addresses the same, a certificate for the target fits the proxy too.
  TcpProxy(const std::string& listen_ip, std::uint16_t target_port, const std::string& target_ip);
  ~TcpProxy();
  TcpProxy(const TcpProxy&) = delete;
  TcpProxy& operator=(const TcpProxy&) = delete;

  std::uint16_t port() const { return port_; }
  std::uint64_t accepted() const { return accepted_; }
  // Waits (at most 20 s) until a client has reset one connection more since the last call.
  bool WaitForReset();

  // Nothing goes through either way.
  void HoldAll() { hold_all_ = true; }
  // The next TLS record of at least `bytes` from a client is passed on, and then …
  void CutAfterRequestOf(std::size_t bytes);   // … that connection is reset on both sides
  void HoldAfterRequestOf(std::size_t bytes);  // … no answers come through any more
  // The next such record from a client is lost, with what came beside it, and its connection reset.
  void DropRequestOf(std::size_t bytes);
  void Release();  // ends holding
  // Cuts all present connections, and waits until they are.
  void CutAll();

 private:
  struct Pair {
    int client, server;
    bool dead = false;
  };
  enum class After { kForward, kCut, kHold, kDrop };
  void Run();
  void Accept();
  static std::size_t LongestRecord(std::string_view tls);
  void Forward(Pair* pair, bool from_client);

  const std::string target_ip_;
  const std::uint16_t target_port_;
  std::uint16_t port_ = 0;
  int listener_ = -1;
  std::vector<Pair> pairs_;
  std::atomic<std::uint64_t> accepted_{0};
  std::atomic<bool> hold_answers_{false}, hold_all_{false}, stop_{false};
  std::atomic<std::size_t> armed_bytes_{0};
  std::atomic<After> armed_{After::kForward};
  std::mutex mutex_;
  std::condition_variable changed_;
  std::uint64_t resets_ = 0;
  bool cut_all_ = false;
  std::thread thread_;
};

}  // namespace keyferry::testing

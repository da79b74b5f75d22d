#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

#include "client-daemon/core/identity.h"
#include "client-daemon/core/outbox.h"
#include "client-daemon/core/server_port.h"
#include "client-daemon/core/uplink_status.h"
#include "client-daemon/uplink/backoff.h"
#include "client-daemon/uplink/http_client.h"
#include "client-daemon/uplink/messages.h"

namespace keyferry::daemon {

struct UplinkSettings {
  std::string server_url;
  std::string server_ca;
  std::string name;
  std::optional<JoinedDomain> domain;  // told at the registration
  std::chrono::seconds agent_wait{10};
  std::chrono::milliseconds poll{2000};      // while pending
  std::chrono::milliseconds silence{45000};  // of the event stream
  std::chrono::milliseconds revoked{60000};  // between tries once revoked
  // Between questions for a LOGIN certificate once one was refused.
  std::chrono::milliseconds login_refused{30000};
  // How often the TLS certificate is looked at, and again after a renewal failed.
  std::chrono::milliseconds look_at_certificate{3600000};
  std::chrono::milliseconds renew_again{60000};
};

// The way to the server (docs/workstation-api.md): registers this workstation, waits for approval,
// then keeps the event stream open and posts what the outbox holds, and has the TLS certificate
// renewed, for a new key, before it ends. Three threads, one for each. Reconnects by itself for
// ever, with full jitter.
class Uplink : public GrantSource {
 public:
  Uplink(UplinkSettings settings, IdentityStore& identity, Outbox& outbox, ServerEvents& events);
  ~Uplink() override;  // Stop()

  // Makes the TLS key when there is none and starts the threads.
  Result<void> Start();
  void Stop();

  // The login agent's key is known now (IdentityStore::SetLoginPublic): a pending request is
  // renewed.
  void AgentKeyChanged();

  UplinkStatus Status() const;

  Result<std::array<std::uint8_t, 204>> AskForGrant(
      const Id& enrolment, std::span<const std::uint8_t> statement,
      std::span<const std::uint8_t> attestation) override;
  Result<void> SayNotMe(std::uint64_t number) override;
  Result<NoisePublic> AskForChallenge(const NoisePublic& login_noise_pub) override;
  Result<std::array<std::uint8_t, 144>> AskForLoginCert(
      const NoisePublic& login_noise_pub, const NoisePublic& challenge,
      const std::array<std::uint8_t, 32>& proof) override;
  Result<CallerVerdict> AnswerCaller(
      const Id& request, const std::optional<std::array<std::uint8_t, 172>>& assertion) override;

 private:
  void EventLoop();
  void PostLoop();
  void RenewLoop();
  Result<void> Renew();
  TlsSettings OwnTls() const;

  void WaitForAgent();
  bool RegisterIfNeeded();
  void PollOnce();
  Result<void> TakeApproval(const Registration& registration, std::string_view body);
  void StreamOnce();
  Result<void> Dispatch(const std::string& name, const std::string& data);
  Result<void> OnHello(const std::string& data);

  enum class PostOutcome { kDone, kAgain };
  PostOutcome TryPost(const Post& post);

  void SetState(UplinkState state, const std::string& error = {});
  bool stopped() const;
  // False when stopped. AgentKeyChanged ends the wait early.
  bool Sleep(std::chrono::milliseconds time);

  const UplinkSettings settings_;
  IdentityStore& identity_;
  Outbox& outbox_;
  ServerEvents& events_;
  std::string csr_;

  HttpClient event_client_;
  HttpClient post_client_;
  std::mutex grant_mutex_;
  HttpClient grant_client_;
  HttpClient renew_client_;
  std::mutex caller_mutex_;
  HttpClient caller_client_;
  std::mutex notice_mutex_;
  HttpClient notice_client_;
  std::atomic<int> generation_{0};  // of the TLS key and certificate
  std::mutex login_mutex_;          // the two below and the client
  HttpClient login_client_;
  NoisePublic login_refused_{};                          // this hop key was refused …
  std::chrono::steady_clock::time_point login_again_{};  // … and may be asked for again from here

  Result<HttpResponse> AskAboutLogin(const NoisePublic& login_noise_pub,
                                     const PostRequest& question);

  Backoff stream_backoff_;
  mutable std::mutex mutex_;  // all below
  std::condition_variable changed_;
  UplinkStatus status_;
  bool stopped_ = false;
  bool nudged_ = false;

  std::thread event_thread_;
  std::thread post_thread_;
  std::thread renew_thread_;
};

}  // namespace keyferry::daemon

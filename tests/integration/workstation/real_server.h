#pragma once

#include <atomic>
#include <memory>
#include <string>

#include "server/api/services.h"
#include "server/api/workstation_api.h"
#include "server/core/services.h"
#include "server/http/listener.h"
#include "tests/unit/server-core/company.h"

namespace keyferry::server::testing {

// The system's clock, put forward or back.
class ShiftedClock final : public Clock {
 public:
  std::int64_t UnixMillis() const override { return SystemClock().UnixMillis() + shift_.load(); }
  std::chrono::steady_clock::time_point Now() const override { return SystemClock().Now(); }
  void Shift(std::chrono::hours by) { shift_ = by / std::chrono::milliseconds(1); }

 private:
  std::atomic<std::int64_t> shift_{0};
};

// Finds nothing.
class NoCheckUp final : public CheckUp {
 public:
  Report Latest() override { return {}; }
  void Run() override {}
};

// The server's core, database, CA, API and listeners as keyferry-server has them, in this process
// and on loopback; only the directory is in memory. Administrators' pages are left out: tests call
// the services.
class RealServer {
 public:
  explicit RealServer(std::int64_t certificate_days = 365);
  ~RealServer();

  std::string url() const { return "https://localhost:" + std::to_string(page_port_); }
  const std::string& ca_pem() const { return ca_pem_; }
  // The only workstation there is; waits for it to register.
  WorkstationView TheWorkstation();
  // Waits until `done` holds; false after 60 s.
  bool Until(const std::function<bool()>& done);

  TempFolder folder;
  FakeDirectory directory;
  ShiftedClock clock;
  Presence presence;
  NoCheckUp check_up;
  std::unique_ptr<Store> store;
  std::unique_ptr<EventBus> bus;
  std::unique_ptr<Issuer> issuer;
  std::unique_ptr<CertificateAuthority> ca;
  std::unique_ptr<AttestationVerifier> attestation;
  std::unique_ptr<Waiter> waiter;
  std::unique_ptr<SessionService> sessions;
  std::unique_ptr<ChangeService> changes;
  std::unique_ptr<KeyService> keys;
  std::unique_ptr<WorkstationService> workstations;
  std::unique_ptr<AuditService> audit;
  std::unique_ptr<TokenService> tokens;
  std::unique_ptr<RequestJournal> journal;
  NoGroups groups;
  std::unique_ptr<PeopleService> people;  // no scopes
  Actor admin;

 private:
  std::shared_ptr<Router> MakeRouter();

  std::string ca_pem_;
  std::unique_ptr<Services> services_;
  std::shared_ptr<WorkstationStreams> streams_ = std::make_shared<WorkstationStreams>();
  std::unique_ptr<HttpServer> http_;
  int page_port_ = 0;
};

}  // namespace keyferry::server::testing

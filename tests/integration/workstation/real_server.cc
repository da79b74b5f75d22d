#include "tests/integration/workstation/real_server.h"

#include <chrono>
#include <stdexcept>
#include <thread>

#include "server/api/guard.h"
#include "server/api/problem.h"
#include "server/storage/sqlite_store.h"
#include "server/tls/ca.h"

namespace keyferry::server::testing {
namespace {

template <typename T>
T Must(Result<T> result) {
  if (!result) throw std::runtime_error(result.error().message + " " + result.error().detail);
  return *std::move(result);
}

constexpr std::int64_t kDay = 24 * 3600;

}  // namespace

RealServer::RealServer(std::int64_t certificate_days) {
  const std::int64_t now = clock.UnixSeconds();
  store = Must(OpenSqliteStore(folder.path / "server.db"));
  bus = MakeEventBus();
  waiter = MakeThreadWaiter();
  Authority authority = Must(MakeAuthority(OsRandom(), now - 300, now + 3650 * kDay));
  issuer = Must(Issuer::Load(std::move(authority.issuer_private), authority.issuer_cert,
                             authority.root_pub, now));
  const CertificateAndKey root = Must(MakeCa("Test CA", now - 300, now + 3650 * kDay));
  ca_pem_ = root.certificate_pem;
  ca = Must(LoadCertificateAuthority(ca_pem_, root.key_pem));
  attestation = MakeAttestationVerifier({});
  const CorePorts ports{*store, directory,    clock,   OsRandom(), *bus, *issuer,
                        *ca,    *attestation, *waiter, presence,   {}};
  sessions = MakeSessionService(ports, {});
  changes = MakeChangeService(ports, {});
  keys = MakeKeyService(ports, {});
  workstations = MakeWorkstationService(ports, {"1.0", certificate_days, 200, 200});
  audit = MakeAuditService(*store);
  tokens = MakeTokenService({*store, directory, clock, OsRandom()}, {}, {});
  journal = MakeRequestJournal(*store, clock);
  people = MakePeopleService(directory, groups, clock, {});
  admin.id = directory.Add("boss");
  admin.login = "boss";
  admin.roles = Role::kAdministrator;

  services_ = std::make_unique<Services>(Services{*sessions,
                                                  *changes,
                                                  *keys,
                                                  *workstations,
                                                  *audit,
                                                  directory,
                                                  *bus,
                                                  clock,
                                                  "1.0",
                                                  "",
                                                  [](const Request&, const Error&) {},
                                                  check_up,
                                                  *tokens,
                                                  *journal,
                                                  {},
                                                  *people});
  const auto pages = MakeRouter();
  AddEnrolmentRoutes(*pages, *services_);
  const auto work = MakeRouter();
  AddWorkstationRoutes(*work, *services_, streams_);

  const CertificateAndKey identity = Must(MakeServerCertificate(
      ca_pem_, root.key_pem, {"localhost", "127.0.0.1"}, now - 300, now + 300 * kDay));
  http_ = HttpServer::Create({});
  ListenerOptions options;
  options.address = "127.0.0.1";
  options.tls.certificate_pem = identity.certificate_pem;
  options.hosts = {"localhost"};
  options.name = "pages";
  options.tls.private_key_pem = identity.key_pem.Clone();
  page_port_ = Must(http_->Listen(std::move(options), pages));
  ListenerOptions daemons;
  daemons.address = "127.0.0.1";
  daemons.tls.certificate_pem = identity.certificate_pem;
  daemons.tls.private_key_pem = identity.key_pem.Clone();
  daemons.tls.client_ca_pem = ca_pem_;
  daemons.hosts = {"localhost"};
  daemons.name = "workstations";
  services_->daemon_url =
      "https://localhost:" + std::to_string(Must(http_->Listen(std::move(daemons), work)));
  http_->Start();
}

RealServer::~RealServer() { http_->Stop(std::chrono::seconds(5)); }

std::shared_ptr<Router> RealServer::MakeRouter() {
  auto router = std::make_shared<Router>();
  const auto page = [](const Request& request, int status, const Error& error) {
    return Problem(request, status, CodeName(error.code), error);
  };
  const auto guard = std::make_shared<Guard>(*services_, page, Guard::StepUpPage());
  router->SetErrorPage(page);
  router->SetGuard(
      [guard](Request& request, const Route& route) { return guard->Check(request, route); });
  return router;
}

bool RealServer::Until(const std::function<bool()>& done) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(60);
  while (!done()) {
    if (std::chrono::steady_clock::now() > end) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  return true;
}

WorkstationView RealServer::TheWorkstation() {
  if (!Until([this] { return !Must(workstations->List()).empty(); })) {
    throw std::runtime_error("no workstation registered");
  }
  return Must(workstations->List()).front();
}

}  // namespace keyferry::server::testing

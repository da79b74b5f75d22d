// Shows the pages with sample data, without a directory, a database or a sign-in:
//   server_pages_preview PORT → http pages over TLS on 127.0.0.1:PORT until it is ended.
#include <csignal>
#include <cstdio>
#include <cstdlib>

#include "../server-http/test_certificate.h"
#include "fake_services.h"
#include "server/http/listener.h"

int main(int argc, char** argv) {
  using namespace keyferry;
  using namespace keyferry::server;
  fake::World world(KEYFERRY_WEB_DIR);
  fake::Populate(world);
  // Whoever comes is the administrator.
  const auto guard =
      std::make_shared<Guard>(world.services, MakeErrorPage(world.services, *world.catalog),
                              MakeStepUpPage(world.services, *world.catalog));
  world.browser->SetGuard([guard](Request& request, const Route& route) {
    if (request.path != std::vector<std::string>{"sign-in"}) {
      request.headers["cookie"] = std::string(kSessionCookie) + "=" + fake::World::kToken;
    }
    return guard->Check(request, route);
  });
  auto server = HttpServer::Create({});
  ListenerOptions options;
  options.name = "preview";
  options.address = "127.0.0.1";
  options.port = static_cast<std::uint16_t>(argc > 1 ? std::atoi(argv[1]) : 0);
  options.hosts = {"localhost", "127.0.0.1"};
  options.tls = test::MakeTestIdentity();
  const auto port = server->Listen(std::move(options), world.browser);
  if (!port) {
    std::fprintf(stderr, "%s\n", port.error().message.c_str());
    return 1;
  }
  sigset_t ends;
  sigemptyset(&ends);
  sigaddset(&ends, SIGINT);
  sigaddset(&ends, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &ends, nullptr);
  server->Start();
  std::printf("https://localhost:%d/\n", *port);
  std::fflush(stdout);
  int signal = 0;
  sigwait(&ends, &signal);
  server->Stop(std::chrono::seconds(1));
  return 0;
}

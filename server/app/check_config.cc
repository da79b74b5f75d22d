#include "server/app/check_config.h"

#include <cstdio>

#include "server/app/audit.h"
#include "server/app/log.h"
#include "server/app/open.h"
#include "server/app/single_sign_on.h"
#include "server/app/state.h"
#include "server/app/upkeep.h"
#include "server/core/clock.h"
#include "server/pages/catalog.h"

namespace keyferry::server {

bool CheckConfig(const ServerConfig& config) {
  bool good = true;
  const auto say = [&good](const char* what, const Error* error, const std::string& fine = {}) {
    if (error == nullptr) {
      std::printf("ok       %s%s\n", what, fine.c_str());
    } else {
      std::printf("problem  %s: %s\n", what, OneLine(error->message).c_str());
      good = false;
    }
  };
  const std::int64_t now = SystemClock().UnixSeconds();
  const auto store = OpenStore(config);
  say("database", store ? nullptr : &store.error());
  const auto issuer = LoadIssuer(config, now);
  say("issuer of the keys", issuer ? nullptr : &issuer.error());
  const auto ca = LoadAuthority(config);
  say("TLS authority", ca ? nullptr : &ca.error());
  const auto signer = LoadAuditSigner(config);
  say("audit key", signer ? nullptr : &signer.error());
  const auto attestation = LoadAttestation(config);
  say("CA of the keys' makers", attestation ? nullptr : &attestation.error());
  if (!config.single_sign_on.keytab.empty()) {
    const auto tickets = OpenTickets(config);
    say("keytab of sign-in with Windows", tickets ? nullptr : &tickets.error());
  }
  const auto catalog = LoadCatalog(config);
  const Error* own = catalog && (*catalog)->problem() ? &*(*catalog)->problem() : nullptr;
  say("pages", catalog ? own : &catalog.error());
  const auto mails = LoadMailTexts(config);
  say("mails", !mails ? &mails.error() : mails->problem ? &*mails->problem : nullptr);
  const auto ask = [&say](const ServerConfig::Ldap& settings, const char* section,
                          const std::string& what) {
    auto directory = OpenDirectory(settings, section);
    say((what + " settings").c_str(), directory ? nullptr : &directory.error());
    if (!directory) return;
    const auto ping = (*directory)->Ping();
    say((what + " answers").c_str(), ping ? nullptr : &ping.error());
  };
  ask(config.directory, kFirstSection, "directory");
  for (const ServerConfig::Source& source : config.sources) {
    ask(source, kLinkedSection, "password source \"" + source.name + "\"");
  }
  return good;
}

}  // namespace keyferry::server

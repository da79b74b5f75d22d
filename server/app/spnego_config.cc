#include "server/app/spnego_config.h"

#include <algorithm>
#include <string>

#include "server/app/config_reader.h"
#include "server/app/host_names.h"

namespace keyferry::server {
namespace {

// A DNS name in upper case, as Active Directory has its realms.
bool IsRealm(std::string realm) {
  if (std::any_of(realm.begin(), realm.end(), [](char c) { return c >= 'a' && c <= 'z'; })) {
    return false;
  }
  for (char& c : realm) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return !IsIpAddress(realm) && IsHostName(realm);
}

}  // namespace

void ReadSingleSignOn(ConfigReader& reader, ServerConfig& config) {
  constexpr const char *kKeytab = "single_sign_on.keytab", *kService = "single_sign_on.service";
  constexpr const char* kHttp = "HTTP/";
  auto& single = config.single_sign_on;
  single.service = reader.Text(kService, false);
  if (single.keytab.empty() && single.service.empty()) return;
  if (single.keytab.empty() || single.service.empty()) {
    return reader.Complain(single.keytab.empty() ? kService : kKeytab,
                           "goes together with single_sign_on.keytab and single_sign_on.service: "
                           "give both or none.");
  }
  if (config.directory.kind == "openldap") {
    reader.Complain(kKeytab,
                    "is only for directory.kind = \"active-directory\": a ticket's account "
                    "is found by its SID.");
  }
  const std::size_t at = single.service.find('@');
  if (single.service.rfind(kHttp, 0) != 0 || at == std::string::npos ||
      !IsRealm(single.service.substr(at + 1))) {
    return reader.Complain(
        kService,
        "must be HTTP/, a host name in lower case, @ and the realm in upper case, as "
        "\"HTTP/keyferry.corp.example@CORP.EXAMPLE\".");
  }
  const std::string host = single.service.substr(5, at - 5);
  if (IsIpAddress(host) || !IsHostName(host) ||
      std::find(config.names.begin(), config.names.end(), host) == config.names.end()) {
    reader.Complain(kService,
                    "is for the host \"" + host +
                        "\", which is none of server.names: browsers ask for the ticket of "
                        "the name in their address bar.");
  }
}

}  // namespace keyferry::server

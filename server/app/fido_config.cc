#include "server/app/fido_config.h"

#include <algorithm>
#include <string>

#include "server/app/config_reader.h"
#include "server/app/host_names.h"

namespace keyferry::server {

std::optional<FidoConfig> FidoOf(const ServerConfig& config) {
  const auto& sign_in = config.sign_in;
  if (!sign_in.fido_keys || sign_in.second_factor == "off") return std::nullopt;
  FidoConfig out;
  out.user_verification = sign_in.user_verification;
  out.relying_party = sign_in.relying_party;
  if (out.relying_party.empty()) {
    const auto named = std::find_if_not(config.names.begin(), config.names.end(), IsIpAddress);
    if (named == config.names.end()) return std::nullopt;
    out.relying_party = *named;
  }
  out.origins = sign_in.origins;
  if (!out.origins.empty()) return out;
  const std::string port =
      config.listen.port == 443 ? std::string() : ":" + std::to_string(config.listen.port);
  for (const std::string& name : config.names) {
    if (IsIpAddress(name) || !IsAtOrBelow(name, out.relying_party)) continue;
    out.origins.push_back("https://" + name + port);
  }
  return out;
}

void ReadFido(ConfigReader& reader, ServerConfig& config) {
  constexpr const char *kParty = "sign_in.relying_party", *kOrigins = "sign_in.origins";
  auto& sign_in = config.sign_in;
  sign_in.fido_keys = reader.Flag("sign_in.fido_keys", sign_in.fido_keys);
  sign_in.relying_party = reader.Text(kParty, false);
  sign_in.origins = reader.Texts(kOrigins, false);
  sign_in.user_verification = reader.OneOf("sign_in.user_verification", sign_in.user_verification,
                                           {"required", "preferred", "discouraged"});
  const std::string& party = sign_in.relying_party;
  const auto reached = [&](const std::string& name) {
    return !IsIpAddress(name) && IsAtOrBelow(name, party);
  };
  if (!party.empty() && (IsIpAddress(party) || !IsHostName(party))) {
    reader.Complain(kParty, "must be a host name in lower case, as keyferry.example.");
  } else if (!party.empty() && std::none_of(config.names.begin(), config.names.end(), reached)) {
    reader.Complain(
        kParty,
        "is \"" + party + "\", but no name of server.names is that or ends in \"." + party + "\".");
  }
  for (const std::string& origin : sign_in.origins) {
    if (IsHttpsOrigin(origin)) continue;
    reader.Complain(kOrigins, "holds \"" + origin +
                                  "\", which is no origin, as https://keyferry.example or "
                                  "https://keyferry.example:8443.");
  }
}

}  // namespace keyferry::server

#include "server/app/node.h"

#include <algorithm>
#include <array>

#include "protocol/secure/system_random.h"
#include "server/app/fido_config.h"
#include "server/app/files.h"
#include "server/app/state.h"
#include "server/core/encoding.h"

namespace keyferry::server {
namespace {

std::string DigestOf(std::string_view text) { return ToHex(Sha256(text)).substr(0, 32); }

// The same in whatever order they are written.
std::string DigestOf(std::vector<std::string> list) {
  std::sort(list.begin(), list.end());
  std::string text;
  for (const std::string& item : list) text += item + "\n";
  return DigestOf(text);
}

// The keys of one server have to be good at the others.
std::string RelyingParty(const ServerConfig& config) {
  const auto fido = FidoOf(config);
  return fido ? fido->relying_party : std::string("none");
}

}  // namespace

Result<NodeLink::Self> DescribeNode(const ServerConfig& config) {
  NodeLink::Self self;
  std::array<std::uint8_t, 16> id{};
  if (!OsRandom().Fill(id)) {
    return Fail(ErrorCode::kInternal, "The system gave no random numbers.");
  }
  self.id = ToHex(id);
  const std::string host = HostName();
  self.name = (host.empty() ? "server" : host) + ":" + std::to_string(config.listen.port);

  const StateFiles files(config.state_dir);
  const auto add_file = [&self](const char* name,
                                const std::vector<std::filesystem::path>& paths) -> Result<void> {
    std::vector<std::string> contents;
    for (const std::filesystem::path& path : paths) {
      auto text = ReadTextFile(path, Sharing::kOthersMayRead);
      if (!text) return tl::unexpected(text.error());
      contents.push_back(DigestOf(*text));
    }
    self.shared.emplace_back(name, DigestOf(contents));
    return {};
  };
  const std::pair<const char*, std::vector<std::filesystem::path>> material[] = {
      {"root.pub", {files.root_pub}},
      {"issuer.cert", {files.issuer_cert}},
      {"ca.pem", {files.ca_cert}},
      {"keys.vendor_ca", config.keys.vendor_ca},
      {"keys.simulator_ca", config.keys.simulator_ca},
  };
  for (const auto& [name, paths] : material) {
    if (auto done = add_file(name, paths); !done) return tl::unexpected(done.error());
  }
  const auto& directory = config.directory;
  const auto& sessions = config.sessions;
  const auto& keys = config.keys;
  const auto& workstations = config.workstations;
  std::vector<std::string> scopes;
  for (const PeopleScope& scope : config.scopes) scopes.push_back(Describe(scope));
  const std::pair<const char*, std::string> texts[] = {
      {"scope", DigestOf(scopes)},
      {"directory.base_dn", DigestOf(directory.base_dn)},
      {"directory.people_dn", DigestOf(directory.people_dn)},
      {"directory.administrator_groups", DigestOf(directory.administrator_groups)},
      {"directory.help_desk_groups", DigestOf(directory.help_desk_groups)},
      {"directory.key_officer_groups", DigestOf(directory.key_officer_groups)},
      {"directory.auditor_groups", DigestOf(directory.auditor_groups)},
      {"directory.protected_groups", DigestOf(directory.protected_groups)},
      {"sign_in.second_factor", config.sign_in.second_factor},
      {"sign_in.relying_party", RelyingParty(config)},
      {"sign_in.user_verification", config.sign_in.user_verification},
      {"passwords.minimum_age", config.passwords.minimum_age},
  };
  for (const auto& [name, text] : texts) self.shared.emplace_back(name, text);
  const std::pair<const char*, std::int64_t> numbers[] = {
      {"directory.settle_seconds", directory.settle_seconds},
      {"sessions.idle_minutes", sessions.idle_minutes},
      {"sessions.absolute_hours", sessions.absolute_hours},
      {"sessions.failures_per_account", sessions.failures_per_account},
      {"sessions.failures_per_address", sessions.failures_per_address},
      {"sessions.block_minutes", sessions.block_minutes},
      {"sessions.grace_minutes", sessions.grace_minutes},
      {"sign_in.step_up_minutes", config.sign_in.step_up_minutes},
      {"passwords.length", config.passwords.length},
      {"passwords.allow_typing", config.passwords.allow_typing},
      {"passwords.history", config.passwords.history},
      {"self_service.passwords_per_day", config.self_service.passwords_per_day},
      {"keys.allow_simulator", keys.allow_simulator},
      {"keys.pin_min", keys.pin_min},
      {"keys.pin_tries", keys.pin_tries},
      {"keys.touch_to_store", keys.touch_to_store},
      {"keys.keep_previous", keys.keep_previous},
      {"keys.max_offline_days", keys.max_offline_days},
      {"keys.enrolment_minutes", keys.enrolment_minutes},
      {"keys.per_person", keys.per_person},
      {"notice.enabled", config.notice.enabled},
      {"notice.link_hours", config.notice.link_hours},
      {"workstations.certificate_days", workstations.certificate_days},
      {"workstations.max_pending", workstations.max_pending},
      {"workstations.max_per_address_hour", workstations.max_per_address_hour},
  };
  for (const auto& [name, number] : numbers) self.shared.emplace_back(name, std::to_string(number));
  return self;
}

}  // namespace keyferry::server

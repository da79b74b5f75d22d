#include "server/app/config.h"

#include <algorithm>
#include <sstream>

#include "server/app/config_reader.h"
#include "server/app/directory_config.h"
#include "server/app/fido_config.h"
#include "server/app/files.h"
#include "server/app/help_desk_config.h"
#include "server/app/host_names.h"
#include "server/app/outbound_config.h"
#include "server/app/spnego_config.h"
#include "server/core/mail.h"

namespace keyferry::server {
namespace {

namespace fs = std::filesystem;

// Of all tables but [[source]].
const std::vector<std::string>& FirstKeys() {
  static const std::vector<std::string> keys = WithSelfServiceKeys({
      "server.state_dir",
      "server.storage",
      "server.listen",
      "server.workstation_listen",
      "server.names",
      "server.own_web_dir",
      "server.web_dir",
      "server.workers",
      "server.max_connections",
      "server.max_connections_per_address",
      "directory.kind",
      "directory.uris",
      "directory.ca_file",
      "directory.base_dn",
      "directory.people_dn",
      "directory.shown_attributes",
      "directory.bind_name",
      "directory.password_file",
      "directory.timeout_ms",
      "directory.settle_seconds",
      "directory.connections",
      "directory.administrator_groups",
      "directory.help_desk_groups",
      "directory.key_officer_groups",
      "directory.auditor_groups",
      "directory.protected_groups",
      "directory.prefer_pdc",
      "directory.default_policy",
      "sessions.idle_minutes",
      "sessions.absolute_hours",
      "sessions.failures_per_account",
      "sessions.failures_per_address",
      "sessions.block_minutes",
      "sessions.grace_minutes",
      "sign_in.second_factor",
      "sign_in.step_up_minutes",
      "sign_in.fido_keys",
      "sign_in.relying_party",
      "sign_in.origins",
      "sign_in.user_verification",
      "single_sign_on.keytab",
      "single_sign_on.service",
      "passwords.length",
      "passwords.allow_typing",
      "passwords.wait_days",
      "passwords.history",
      "passwords.minimum_age",
      "keys.vendor_ca",
      "keys.allow_simulator",
      "keys.simulator_ca",
      "keys.pin_min",
      "keys.pin_tries",
      "keys.touch_to_store",
      "keys.keep_previous",
      "keys.max_offline_days",
      "keys.enrolment_minutes",
      "keys.per_person",
      "workstations.certificate_days",
      "workstations.max_pending",
      "workstations.max_per_address_hour",
      "api.max_token_days",
      "api.requests_per_minute",
      "audit.checkpoint_rows",
      "audit.checkpoint_minutes",
      "audit.retention_days",
      "audit.syslog",
      "audit.syslog_transport",
      "audit.syslog_ca",
      "mail.host",
      "mail.port",
      "mail.tls",
      "mail.ca_file",
      "mail.from",
      "mail.user",
      "mail.password_file",
      "mail.administrators",
      "mail.language",
      "help_desk.required",
      "help_desk.request_minutes",
      "help_desk.attempts",
      "help_desk.resets_per_day",
      "help_desk.verification_points",
      "help_desk.verification_methods",
      "help_desk.points_in_person",
      "help_desk.points_call_back",
      "help_desk.points_mail_code",
      "help_desk.points_personal_data",
      "help_desk.points_key_touch",
      "help_desk.points_manager",
      "help_desk.points_sms_code",
      "help_desk.points_totp",
      "help_desk.points_questions",
      "help_desk.personal_data",
      "help_desk.personal_data_mode",
      "help_desk.privileged_groups",
      "help_desk.resets_per_agent_hour",
      "help_desk.read_out",
      "four_eyes.enabled",
      "four_eyes.new_key_hours",
      "four_eyes.approval_minutes",
      "four_eyes.mail",
      "notice.enabled",
      "notice.managers",
      "notice.sms",
      "notice.link_hours",
      "log.level",
      "log.file",
  });
  static const std::vector<std::string> with_outbound = [] {
    std::vector<std::string> all = keys;
    all.insert(std::find(all.begin(), all.end(), "four_eyes.enabled"), OutboundKeys().begin(),
               OutboundKeys().end());
    return all;
  }();
  return with_outbound;
}

class Parser {
 public:
  Parser(toml::table& document, const std::string& file_name, fs::path directory)
      : document_(document),
        reader_(document, file_name),
        file_name_(file_name),
        directory_(std::move(directory)) {}

  Result<ServerConfig> Run() {
    sources_ = TakeBlocks("source");
    scopes_ = TakeBlocks("scope");
    ReadServer();
    ReadDirectory(reader_, directory_, config_);
    ReadRest();
    if (auto done = reader_.Finish(FirstKeys()); !done) return tl::unexpected(done.error());
    if (auto done = ReadBlocks("source", sources_, kMaxSources, ReadSource); !done) {
      return tl::unexpected(done.error());
    }
    if (auto done = ReadBlocks("scope", scopes_, kMaxScopes, ReadScope); !done) {
      return tl::unexpected(done.error());
    }
    return config_;
  }

 private:
  fs::path Path(const char* key, bool required) {
    const std::string text = reader_.Text(key, required);
    return text.empty() ? fs::path() : Absolute(text);
  }
  std::vector<fs::path> Paths(const char* key) {
    std::vector<fs::path> paths;
    for (const std::string& text : reader_.Texts(key, false)) paths.push_back(Absolute(text));
    return paths;
  }
  fs::path Absolute(const std::string& text) const {
    const fs::path path(text);
    return path.is_absolute() ? path : directory_ / path;
  }

  ServerConfig::Endpoint Endpoint(const char* key) {
    const std::string text = reader_.Text(key, true);
    ServerConfig::Endpoint endpoint;
    const std::size_t colon = text.rfind(':');
    int port = -1;
    if (colon != std::string::npos && text.size() - colon - 1 <= 5 && colon + 1 < text.size()) {
      const std::string digits = text.substr(colon + 1);
      if (std::all_of(digits.begin(), digits.end(), [](char c) { return c >= '0' && c <= '9'; })) {
        port = std::stoi(digits);
      }
      endpoint.address = text.substr(0, colon);
      if (endpoint.address.size() > 2 && endpoint.address.front() == '[' &&
          endpoint.address.back() == ']') {
        endpoint.address = endpoint.address.substr(1, endpoint.address.size() - 2);
      }
    }
    if (port < 1 || port > 65535 || !IsIpAddress(endpoint.address)) {
      reader_.Complain(key, "must be an IP address and a port, like \"0.0.0.0:443\".");
      return endpoint;
    }
    endpoint.port = static_cast<std::uint16_t>(port);
    return endpoint;
  }

  void ReadServer() {
    config_.state_dir = Path("server.state_dir", true);
    if (const std::string storage = reader_.Text("server.storage", false);
        !storage.empty() && storage != "sqlite") {
      auto url = PostgresUrl::Parse(storage);
      if (url) {
        config_.postgres = *std::move(url);
      } else {
        reader_.Complain("server.storage", url.error().message);
      }
    }
    config_.listen = Endpoint("server.listen");
    config_.workstation_listen = Endpoint("server.workstation_listen");
    if (config_.listen.port != 0 && config_.listen.port == config_.workstation_listen.port) {
      reader_.Complain("server.workstation_listen",
                       "must have another port than server.listen: browsers are never asked for "
                       "a certificate, workstations always are.");
    }
    config_.names = reader_.Texts("server.names", true);
    for (const std::string& name : config_.names) {
      if (IsIpAddress(name) || IsHostName(name)) continue;
      reader_.Complain("server.names", "holds \"" + name +
                                           "\", which is neither a host name in lower case nor "
                                           "an IP address.");
    }
    config_.web_dir = Path("server.web_dir", false);
    config_.own_web_dir = Path("server.own_web_dir", false);
    config_.workers = reader_.Number("server.workers", config_.workers, 2, 256);
    config_.max_connections =
        reader_.Number("server.max_connections", config_.max_connections, 16, 100000);
    config_.max_connections_per_address = reader_.Number(
        "server.max_connections_per_address", config_.max_connections_per_address, 4, 100000);
  }

  // What begins with [[name]] is read by rules of its own: takes it out of the document.
  toml::array TakeBlocks(const char* name) {
    toml::node* const node = document_.get(name);
    if (node == nullptr) return {};
    toml::array* const blocks = node->as_array();
    if (blocks == nullptr || blocks->empty() || !blocks->is_homogeneous(toml::node_type::table)) {
      reader_.Complain(name,
                       std::string("must be written as blocks that begin with [[") + name + "]].");
      return {};
    }
    toml::array taken = std::move(*blocks);
    document_.erase(name);
    return taken;
  }

  Result<void> ReadBlocks(const char* name, toml::array& blocks, std::size_t most,
                          Result<void> (*read)(ConfigReader&, const fs::path&, ServerConfig&)) {
    if (blocks.size() > most) {
      return Fail(ErrorCode::kInvalidArgument,
                  file_name_ + ":" + std::to_string(blocks.get(most)->source().begin.line) +
                      ": there are more than " + std::to_string(most) + " blocks [[" + name +
                      "]]; that is the limit.");
    }
    for (toml::node& block : blocks) {
      // As a document that has but this one table.
      toml::table document;
      document.insert(name, std::move(*block.as_table()));
      ConfigReader reader(document, file_name_);
      if (auto done = read(reader, directory_, config_); !done) return done;
    }
    return {};
  }

  void ReadRest() {
    auto& sessions = config_.sessions;
    sessions.idle_minutes = reader_.Number("sessions.idle_minutes", sessions.idle_minutes, 1, 720);
    sessions.absolute_hours =
        reader_.Number("sessions.absolute_hours", sessions.absolute_hours, 1, 24);
    sessions.failures_per_account =
        reader_.Number("sessions.failures_per_account", sessions.failures_per_account, 1, 100);
    sessions.failures_per_address =
        reader_.Number("sessions.failures_per_address", sessions.failures_per_address, 1, 10000);
    sessions.block_minutes =
        reader_.Number("sessions.block_minutes", sessions.block_minutes, 1, 1440);
    sessions.grace_minutes =
        reader_.Number("sessions.grace_minutes", sessions.grace_minutes, 1, 720);
    config_.sign_in.second_factor = reader_.OneOf(
        "sign_in.second_factor", config_.sign_in.second_factor, {"required", "optional", "off"});
    config_.sign_in.step_up_minutes =
        reader_.Number("sign_in.step_up_minutes", config_.sign_in.step_up_minutes, 1, 720);
    ReadFido(reader_, config_);
    config_.single_sign_on.keytab = Path("single_sign_on.keytab", false);
    ReadSingleSignOn(reader_, config_);
    config_.self_service = ReadSelfService(reader_);

    config_.passwords.length =
        reader_.Number("passwords.length", config_.passwords.length, 12, 128);
    config_.passwords.wait_days =
        reader_.Number("passwords.wait_days", config_.passwords.wait_days, 1, 3650);
    config_.passwords.allow_typing =
        reader_.Flag("passwords.allow_typing", config_.passwords.allow_typing);
    config_.passwords.history =
        reader_.Number("passwords.history", config_.passwords.history, 0, 200);
    config_.passwords.minimum_age =
        reader_.OneOf("passwords.minimum_age", config_.passwords.minimum_age, {"tell", "respect"});

    auto& keys = config_.keys;
    keys.vendor_ca = Paths("keys.vendor_ca");
    keys.allow_simulator = reader_.Flag("keys.allow_simulator", keys.allow_simulator);
    keys.simulator_ca = Paths("keys.simulator_ca");
    if (keys.allow_simulator && keys.simulator_ca.empty()) {
      reader_.Complain("keys.allow_simulator", "is on, but keys.simulator_ca names no CA file.");
    }
    if (keys.vendor_ca.empty() && !keys.allow_simulator) {
      reader_.Complain("keys.vendor_ca",
                       "is missing: no key could be enrolled. Name the CA file that came with the "
                       "keys.");
    }
    keys.pin_min = reader_.Number("keys.pin_min", keys.pin_min, 6, 63);
    keys.pin_tries = reader_.Number("keys.pin_tries", keys.pin_tries, 1, 8);
    keys.touch_to_store = reader_.Flag("keys.touch_to_store", keys.touch_to_store);
    keys.keep_previous = reader_.Flag("keys.keep_previous", keys.keep_previous);
    keys.max_offline_days = reader_.Number("keys.max_offline_days", keys.max_offline_days, 0, 3650);
    keys.enrolment_minutes =
        reader_.Number("keys.enrolment_minutes", keys.enrolment_minutes, 1, 1440);
    keys.per_person = reader_.Number("keys.per_person", keys.per_person, 1, 8);

    auto& workstations = config_.workstations;
    workstations.certificate_days =
        reader_.Number("workstations.certificate_days", workstations.certificate_days, 1, 1825);
    workstations.max_pending =
        reader_.Number("workstations.max_pending", workstations.max_pending, 1, 100000);
    workstations.max_per_address_hour = reader_.Number(
        "workstations.max_per_address_hour", workstations.max_per_address_hour, 1, 100000);

    config_.api.max_token_days =
        reader_.Number("api.max_token_days", config_.api.max_token_days, 1, 3660);
    config_.api.requests_per_minute =
        reader_.Number("api.requests_per_minute", config_.api.requests_per_minute, 1, 100000);

    ReadAudit();
    ReadMail();
    ReadOutbound(reader_, directory_, config_);
    ReadHelpDesk(reader_, config_);

    config_.log.level = reader_.OneOf("log.level", config_.log.level,
                                      {"trace", "debug", "info", "warning", "error"});
    config_.log.file = Path("log.file", false);
  }

  void ReadMail() {
    auto& mail = config_.mail;
    mail.host = reader_.Text("mail.host", false);
    mail.tls = reader_.OneOf("mail.tls", mail.tls, {"starttls", "tls", "none"});
    const std::int64_t usual = mail.tls == "starttls" ? 587 : mail.tls == "tls" ? 465 : 25;
    mail.port = static_cast<std::uint16_t>(reader_.Number("mail.port", usual, 1, 65535));
    mail.ca_file = Path("mail.ca_file", false);
    mail.from = reader_.Text("mail.from", false);
    mail.user = reader_.Text("mail.user", false);
    mail.password_file = Path("mail.password_file", false);
    mail.administrators = reader_.Texts("mail.administrators", false);
    for (const std::string& address : mail.administrators) {
      if (!IsMailAddress(address)) {
        reader_.Complain("mail.administrators", "holds \"" + address + "\", which is no address.");
      } else if (mail.host.empty()) {
        reader_.Complain("mail.administrators", "needs mail.host.");
        break;
      }
    }
    if (std::string language = reader_.Text("mail.language", false); !language.empty()) {
      const auto is_letter = [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
      };
      if (language.size() > 35 || !std::all_of(language.begin(), language.end(),
                                               [&](char c) { return is_letter(c) || c == '-'; })) {
        reader_.Complain("mail.language", "must be the tag of a language, like \"en\" or \"uk\".");
      }
      mail.language = std::move(language);
    }
    if (mail.host.empty()) return;
    if (!IsIpAddress(mail.host) && !IsHostName(mail.host)) {
      reader_.Complain("mail.host", "must be a host name in lower case or an IP address.");
    }
    const std::size_t at = mail.from.find('@');
    if (at == 0 || at == std::string::npos || !IsHostName(mail.from.substr(at + 1)) ||
        mail.from.find_first_of(" <>\"'(),;:\\\r\n") != std::string::npos) {
      reader_.Complain("mail.host", "needs mail.from, an address like \"keyferry@corp.example\".");
    }
    if (mail.user.empty() != mail.password_file.empty()) {
      reader_.Complain(mail.user.empty() ? "mail.password_file" : "mail.user",
                       "goes together with mail.user and mail.password_file: give both or none.");
    }
    if (mail.tls == "none" && !mail.user.empty()) {
      reader_.Complain("mail.user", "is not sent without TLS: set mail.tls.");
    }
  }

  void ReadAudit() {
    auto& audit = config_.audit;
    audit.checkpoint_rows =
        reader_.Number("audit.checkpoint_rows", audit.checkpoint_rows, 1, 100000);
    audit.checkpoint_minutes =
        reader_.Number("audit.checkpoint_minutes", audit.checkpoint_minutes, 1, 1440);
    audit.retention_days = reader_.Number("audit.retention_days", audit.retention_days, 0, 36500);
    audit.syslog_tls = reader_.OneOf("audit.syslog_transport", "tls", {"tls", "tcp"}) == "tls";
    audit.syslog_ca = Path("audit.syslog_ca", false);
    std::string target = reader_.Text("audit.syslog", false);
    if (target.empty()) return;
    const std::size_t colon = target.rfind(':');
    const std::string digits = colon == std::string::npos ? "" : target.substr(colon + 1);
    const bool number =
        !digits.empty() && digits.size() <= 5 &&
        std::all_of(digits.begin(), digits.end(), [](char c) { return c >= '0' && c <= '9'; });
    const int port = number ? std::stoi(digits) : 0;
    target = target.substr(0, colon);
    if (target.size() > 2 && target.front() == '[' && target.back() == ']') {
      target = target.substr(1, target.size() - 2);
    }
    if (port < 1 || port > 65535 || (!IsIpAddress(target) && !IsHostName(target))) {
      reader_.Complain(
          "audit.syslog",
          "must be a host in lower case and a port, like \"syslog.corp.example:6514\".");
    }
    if (audit.syslog_tls && audit.syslog_ca.empty()) {
      reader_.Complain("audit.syslog",
                       "is spoken to over TLS, but audit.syslog_ca names no CA file. Name it, or "
                       "set audit.syslog_transport = \"tcp\".");
    }
    audit.syslog_host = target;
    audit.syslog_port = static_cast<std::uint16_t>(port);
  }

  toml::table& document_;
  toml::array sources_, scopes_;
  ConfigReader reader_;
  std::string file_name_;
  fs::path directory_;
  ServerConfig config_;
};

}  // namespace

const std::vector<std::string>& ConfigKeys() {
  static const std::vector<std::string> keys = [] {
    std::vector<std::string> all = FirstKeys();
    const auto after = std::find(all.begin(), all.end(), "sessions.idle_minutes");
    all.insert(all.insert(after, SourceKeys().begin(), SourceKeys().end()), ScopeKeys().begin(),
               ScopeKeys().end());
    return all;
  }();
  return keys;
}

Result<ServerConfig> ServerConfig::Parse(std::string_view text, const std::string& file_name,
                                         const fs::path& directory) {
  try {
    toml::table document = toml::parse(text, file_name);
    return Parser(document, file_name, directory).Run();
  } catch (const toml::parse_error& failure) {
    std::ostringstream message;
    message << file_name << ":" << failure.source().begin.line
            << ": not valid TOML: " << failure.description();
    return Fail(ErrorCode::kInvalidArgument, message.str());
  }
}

Result<ServerConfig> ServerConfig::Load(const fs::path& file) {
  auto text = ReadTextFile(file, Sharing::kOthersMayRead);
  if (!text) return tl::unexpected(text.error());
  return Parse(*text, file.string(), fs::absolute(file).parent_path());
}

}  // namespace keyferry::server

// keyferry-server: pages, API, change saga and queue. docs/operations.md is its manual.
#include <signal.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <string>
#include <vector>

#include "protocol/secure/secure_bytes.h"
#include "server/app/alarm_desk.h"
#include "server/app/audit.h"
#include "server/app/backup.h"
#include "server/app/check_config.h"
#include "server/app/config.h"
#include "server/app/doctor.h"
#include "server/app/factor_desk.h"
#include "server/app/log.h"
#include "server/app/serve.h"
#include "server/app/state.h"
#include "server/app/token_desk.h"
#include "server/core/clock.h"

namespace {

using namespace keyferry;
using namespace keyferry::server;

constexpr int kBadConfig = 2;

int Say(const Error& error, int code) {
  std::fprintf(stderr, "keyferry-server: %s\n", OneLine(error.message).c_str());
  if (!error.detail.empty()) std::fprintf(stderr, "  (%s)\n", OneLine(error.detail).c_str());
  return code;
}

int Init(const ServerConfig& config) {
  if (auto done = Initialise(config, SystemClock().UnixSeconds()); !done) {
    return Say(done.error(), 1);
  }
  const StateFiles files(config.state_dir);
  std::printf("Initialised %s.\n", config.state_dir.c_str());
  if (std::error_code ec; !std::filesystem::exists(files.root_key, ec)) {
    std::printf("  It joins the servers on %s.\n", config.postgres->place().c_str());
    return 0;
  }
  std::printf("  Give %s to browsers and workstations: it is this server's CA.\n",
              files.ca_cert.c_str());
  std::printf(
      "  Move %s to a safe place off this machine: it is needed only to replace the\n"
      "  issuer. Back up the rest of the folder; whoever has issuer.key can seal passwords\n"
      "  in this server's name.\n",
      files.root_key.c_str());
  return 0;
}

int Tell(const Result<std::string>& words) {
  if (!words) return Say(words.error(), 1);
  std::printf("%s\n", words->c_str());
  return 0;
}

int Verify(const ServerConfig& config, const std::vector<std::filesystem::path>& more) {
  return Tell(VerifyAuditLog(config, more));
}

int Export(const ServerConfig& config, const AuditExport& wanted) {
  const auto count = ExportAuditLog(config, wanted);
  if (!count) return Say(count.error(), 1);
  std::fprintf(stderr, "%llu entries.\n", static_cast<unsigned long long>(*count));
  return 0;
}

int MakeToken(const ServerConfig& config, const TokenRequest& request) {
  auto desk = TokenDesk::Open(config);
  if (!desk) return Say(desk.error(), 1);
  const auto issued = (*desk)->tokens().Create((*desk)->console(), request);
  if (!issued) return Say(issued.error(), 1);
  std::fprintf(stderr, "Token %s, identifier %s. It is shown this once:\n",
               issued->token.name.c_str(), issued->token.id.Hex().c_str());
  std::printf("%s\n", issued->secret.c_str());
  return 0;
}

int ListTokens(const ServerConfig& config) {
  auto desk = TokenDesk::Open(config);
  if (!desk) return Say(desk.error(), 1);
  const auto tokens = (*desk)->tokens().List();
  if (!tokens) return Say(tokens.error(), 1);
  const std::int64_t now = SystemClock().UnixMillis();
  for (const TokenView& token : *tokens) {
    const char* state = token.revoked != 0 ? "revoked" : now >= token.expires ? "expired" : "good";
    std::string scopes;
    for (const std::string& scope : token.scopes) scopes += " " + scope;
    std::printf("%s %-8s %s by %s:%s\n", token.id.Hex().c_str(), state, token.name.c_str(),
                OneLine(token.creator).c_str(), scopes.c_str());
  }
  return 0;
}

int RevokeToken(const ServerConfig& config, const std::string& id_text) {
  const auto id = TokenId::Parse(id_text);
  if (!id) {
    return Say(Error{ErrorCode::kInvalidArgument,
                     "A token's identifier has 32 hex digits; keyferry-server token list shows it.",
                     {},
                     0},
               kBadConfig);
  }
  auto desk = TokenDesk::Open(config);
  if (!desk) return Say(desk.error(), 1);
  const auto revoked = (*desk)->tokens().Revoke((*desk)->console(), *id);
  if (!revoked) return Say(revoked.error(), 1);
  std::printf("Revoked %s.\n", revoked->name.c_str());
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  HardenProcess();
  sigset_t ends;  // blocked before the first thread starts; Serve waits for them
  sigemptyset(&ends);
  sigaddset(&ends, SIGINT);
  sigaddset(&ends, SIGTERM);
  sigaddset(&ends, SIGHUP);
  pthread_sigmask(SIG_BLOCK, &ends, nullptr);
  signal(SIGPIPE, SIG_IGN);

  CLI::App app{
      "Keyferry server: sets Active Directory passwords and brings them, sealed, to keys."};
  app.require_subcommand(1);
  app.set_version_flag("--version", KEYFERRY_VERSION);
  std::string file;
  const auto add = [&](CLI::App* parent, const char* name, const char* what) {
    CLI::App* const command = parent->add_subcommand(name, what);
    command->add_option("--config", file, "The configuration file (docs/configuration.md)")
        ->required();
    return command;
  };
  CLI::App* const init =
      add(&app, "init", "Make keys, certificates and database in the state folder");
  CLI::App* const run = add(&app, "run", "Run the server until SIGTERM");
  CLI::App* const check = add(&app, "check-config", "Check configuration, files and directory");
  CLI::App* const doctor = add(
      &app, "doctor", "Look for what is wrong: directory, rights, certificates, database, disk");
  bool json = false;
  doctor->add_flag("--json", json, "Print one JSON object");
  CLI::App* const audit = app.add_subcommand("audit", "The audit log");
  audit->require_subcommand(1);
  CLI::App* const verify =
      add(audit, "verify", "Check entries, chain and signed checkpoints for any tampering");
  std::vector<std::filesystem::path> more;
  verify->add_option("--checkpoints", more,
                     "Further checkpoints, e.g. the archive of the syslog receiver");
  AuditExport wanted;
  CLI::App* const exporting = add(audit, "export", "Write the entries for other programs");
  exporting->add_option("--format", wanted.format, "jsonl, csv or cef")
      ->check(CLI::IsMember({"jsonl", "csv", "cef"}))
      ->capture_default_str();
  exporting->add_option("--from", wanted.from, "Number of the first entry");
  exporting->add_option("--to", wanted.to, "Number of the last entry");
  exporting->add_option("--output", wanted.file, "A new file, instead of standard output");
  int days = 0;
  CLI::App* const cutting = add(
      audit, "cut", "Remove old entries now, as the retention rule does; the server is stopped");
  cutting->add_option("--older-than-days", days, "Age of what is removed")
      ->required()
      ->check(CLI::Range(1, 36500));
  std::filesystem::path backup_file;
  CLI::App* const backup = add(&app, "backup", "Back up the database while the server runs");
  backup->add_option("FILE", backup_file, "A new file")->required();
  CLI::App* const restore =
      add(&app, "restore", "Put a backup in the place of the database; the server is stopped");
  auto* const restore_file = restore->add_option("FILE", backup_file, "The backup");
  bool in_place = false;
  restore
      ->add_flag("--in-place", in_place,
                 "Mark the database that is there: something else has put it back")
      ->excludes(restore_file);
  CLI::App* const token = app.add_subcommand(
      "token", "Tokens of the API; on SQLite while the server is stopped, else on the page");
  token->require_subcommand(1);
  TokenRequest token_wanted;
  CLI::App* const token_create = add(token, "create", "Make a token and print it, this once");
  token_create->add_option("--name", token_wanted.name, "Unlike any other's")->required();
  token_create->add_option("--scope", token_wanted.scopes, "What it may (docs/api.md)")
      ->required()
      ->delimiter(',');
  token_create->add_option("--days", token_wanted.days, "Its life")->required();
  CLI::App* const token_list = add(token, "list", "Show all tokens");
  CLI::App* const token_revoke = add(token, "revoke", "End a token's life");
  std::string token_id;
  token_revoke->add_option("id", token_id, "Its identifier")->required();
  CLI::App* const factor = app.add_subcommand(
      "factor", "Second factors; on SQLite while the server is stopped, else on the page");
  factor->require_subcommand(1);
  CLI::App* const factor_reset =
      add(factor, "reset", "Take a person's second factor away; it is set up anew");
  std::string factor_login;
  factor_reset->add_option("LOGIN", factor_login, "The person's login")->required();
  CLI::App* const alarm = app.add_subcommand(
      "alarm", "The alarm; on SQLite while the server is stopped, else on the page");
  alarm->require_subcommand(1);
  CLI::App* const alarm_agree =
      add(alarm, "agree", "Give one of the two words that end it, where only one person may");
  std::string state;
  init->add_option("--state", state, "State folder, instead of server.state_dir");
  CLI11_PARSE(app, argc, argv);

  try {
    auto config = ServerConfig::Load(file);
    if (!config) return Say(config.error(), kBadConfig);
    if (!state.empty()) config->state_dir = std::filesystem::absolute(state);
    if (init->parsed()) return Init(*config);
    if (check->parsed()) return CheckConfig(*config) ? 0 : kBadConfig;
    if (doctor->parsed()) {
      const Findings findings = Examine(*config);
      const std::string text = json ? InJson(findings) : InWords(findings);
      std::fputs(text.c_str(), stdout);
      return Sick(findings) ? 1 : 0;
    }
    if (verify->parsed()) return Verify(*config, more);
    if (cutting->parsed()) return Tell(CutAuditLog(*config, days));
    if (backup->parsed()) return Tell(BackUp(*config, backup_file));
    if (restore->parsed()) {
      if (backup_file.empty() && !in_place) {
        return Say(Error{ErrorCode::kInvalidArgument, "Say which backup, or --in-place.", {}, 0},
                   kBadConfig);
      }
      return Tell(Restore(*config, backup_file));
    }
    if (exporting->parsed()) return Export(*config, wanted);
    if (token_create->parsed()) return MakeToken(*config, token_wanted);
    if (token_list->parsed()) return ListTokens(*config);
    if (factor_reset->parsed()) return Tell(ResetFactorOf(*config, factor_login));
    if (alarm_agree->parsed()) return Tell(AgreeOnConsole(*config));
    if (token_revoke->parsed()) return RevokeToken(*config, token_id);
    if (run->parsed()) {
      const auto done = Serve(*config);
      return done ? 0 : Say(done.error(), 1);
    }
  } catch (const std::exception& failure) {
    return Say(
        Error{ErrorCode::kInternal, "Something went wrong inside Keyferry.", failure.what(), 0}, 1);
  }
  return kBadConfig;
}

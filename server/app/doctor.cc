#include "server/app/doctor.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <boost/json.hpp>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <mutex>
#include <span>

#include "server/app/files.h"
#include "server/app/log.h"
#include "server/app/open.h"
#include "server/app/single_sign_on.h"
#include "server/app/sms.h"
#include "server/app/state.h"
#include "server/app/upkeep.h"
#include "server/core/clock.h"
#include "server/core/encoding.h"
#include "server/directory/diagnosis.h"
#include "server/tls/ca.h"

namespace keyferry::server {
namespace {

namespace fs = std::filesystem;
using Status = Finding::Status;

constexpr std::int64_t kDay = 86400;
constexpr std::int64_t kFreshMillis = 10'000;  // a check-up this young is not repeated
constexpr std::int64_t kSoonDays = 30;
constexpr std::int64_t kNowDays = 7;
constexpr std::int64_t kOldKeyDays = 3 * 365;
constexpr std::uint64_t kLittleSpace = 1ull << 30;  // bytes
constexpr std::uint64_t kTooLittleSpace = 100ull << 20;

class Examination {
 public:
  explicit Examination(const ServerConfig& config)
      : config_(config), files_(config.state_dir), now_(SystemClock().UnixSeconds()) {}

  Findings Run() {
    if (State()) {
      Database();
      Disk("the state folder", config_.state_dir);
      KeyMaterial();
    }
    if (!config_.log.file.empty()) Disk("the log", config_.log.file.parent_path());
    Mail();
    Webhooks();
    Sms();
    DirectoryPart(config_.directory, kFirstSection, {});
    for (Finding& finding : ExamineTickets(config_)) out_.push_back(std::move(finding));
    for (const ServerConfig::Source& source : config_.sources) {
      DirectoryPart(source, kLinkedSection, "password source \"" + source.name + "\", ");
    }
    return std::move(out_);
  }

 private:
  void Add(Status status, std::string what, std::string cause = {}, std::string fix = {}) {
    out_.push_back({status, std::move(what), std::move(cause), std::move(fix)});
  }
  void Problem(std::string what, const Error& error, std::string fix) {
    Add(Status::kProblem, std::move(what), error.message, std::move(fix));
  }

  bool State() {
    if (const auto good = CheckPrivateFolder(config_.state_dir); !good) {
      Problem("state folder", good.error(), "See docs/operations.md, \"Setting up the server\".");
      return false;
    }
    std::error_code ec;
    if (!fs::exists(files_.Last(config_), ec)) {
      Add(Status::kProblem, "state folder", config_.state_dir.string() + " is not initialised.",
          "Run: keyferry-server init");
      return false;
    }
    Add(Status::kOk, "state folder: " + config_.state_dir.string());
    return true;
  }

  // The running server holds this lock; it checked the database when it started.
  bool ServerRuns() const {
    const int fd = ::open((files_.database.string() + ".lock").c_str(), O_RDWR | O_CLOEXEC);
    if (fd < 0) return false;
    const bool held = ::flock(fd, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK;
    ::close(fd);
    return held;
  }

  void Database() {
    if (config_.postgres) {
      const std::string what = "database " + config_.postgres->place();
      if (const auto store = OpenStore(config_); !store) {
        Problem(what, store.error(), "See docs/operations.md, \"PostgreSQL\".");
      } else {
        Add(Status::kOk, what + ": answers, and keeps what it acknowledges");
      }
      return;
    }
    struct stat facts {};
    if (::stat(files_.database.c_str(), &facts) == 0 && (facts.st_mode & 077) != 0) {
      Add(Status::kProblem, "database", "Others may read " + files_.database.string() + ".",
          "chmod 600 " + files_.database.string());
      return;
    }
    if (ServerRuns()) {
      Add(Status::kOk, "database: in use by the running server, which checked it at its start");
      return;
    }
    if (const auto store = OpenStore(config_); !store) {
      Problem("database", store.error(), "Put the last backup in its place.");
    } else {
      Add(Status::kOk, "database: whole");
    }
  }

  void Disk(const std::string& what, const fs::path& folder) {
    struct statvfs facts {};
    if (::statvfs(folder.c_str(), &facts) != 0) {
      Add(Status::kProblem, "disk of " + what,
          folder.string() + " cannot be looked at: " + std::strerror(errno) + ".",
          "Check that it exists and belongs to the server's user.");
      return;
    }
    const std::uint64_t bytes = static_cast<std::uint64_t>(facts.f_bavail) * facts.f_frsize;
    const bool no_inodes = facts.f_files > 0 && facts.f_favail < 1000;
    const std::string left = std::to_string(bytes >> 20) + " MiB free";
    if ((facts.f_flag & ST_RDONLY) != 0) {
      Add(Status::kProblem, "disk of " + what,
          "The volume of " + folder.string() + " is read-only.",
          "Mount it writable: nothing can be stored, so nothing is changed.");
    } else if (bytes < kTooLittleSpace || no_inodes) {
      Add(Status::kProblem, "disk of " + what,
          "The volume of " + folder.string() +
              " is nearly full: " + (no_inodes ? "no inodes are left." : left + "."),
          "Free space there: when it is full, no password can be changed.");
    } else if (bytes < kLittleSpace) {
      Add(Status::kWarning, "disk of " + what,
          "The volume of " + folder.string() + " has only " + left + ".",
          "Free space there, or make it larger.");
    } else {
      Add(Status::kOk, "disk of " + what + ": " + left);
    }
  }

  void Dates(const std::string& what, std::int64_t not_after, const std::string& fix) {
    const std::int64_t days = (not_after - now_) / kDay;
    if (not_after <= now_) {
      Add(Status::kProblem, what, "It has ended.", fix);
    } else if (days < kSoonDays) {
      Add(days < kNowDays ? Status::kProblem : Status::kWarning, what,
          "It ends in " + std::to_string(days) + " days.", fix);
    } else {
      Add(Status::kOk, what + ": good for " + std::to_string(days) + " days");
    }
  }

  void Certificate(const std::string& what, const fs::path& file, const std::string& fix) {
    const auto pem = ReadTextFile(file, Sharing::kOthersMayRead);
    const auto facts = pem ? InspectCertificate(*pem)
                           : Result<CertificateFacts>(tl::unexpected<Error>(pem.error()));
    if (!facts) {
      Problem(what, facts.error(), "Restore " + file.string() + " from a backup.");
      return;
    }
    Dates(what, facts->not_after, fix);
  }

  void Age(const std::string& what, const fs::path& file, const std::string& fix) {
    struct stat facts {};
    if (::stat(file.c_str(), &facts) != 0) return;
    const std::int64_t days = std::max<std::int64_t>(0, (now_ - facts.st_mtime) / kDay);
    if (days > kOldKeyDays) {
      Add(Status::kWarning, what, "It is " + std::to_string(days) + " days old.", fix);
    } else {
      Add(Status::kOk, what + ": " + std::to_string(days) + " days old");
    }
  }

  void KeyMaterial() {
    const std::string renew_issuer =
        "Bring the root key back to this machine and make a new issuer (docs/operations.md).";
    if (const auto issuer = LoadIssuer(config_, now_); !issuer) {
      Problem("issuer of the keys", issuer.error(), renew_issuer);
    } else if (!LoadIssuer(config_, now_ + kSoonDays * kDay)) {
      Add(Status::kWarning, "issuer of the keys",
          "Its certificate ends within " + std::to_string(kSoonDays) + " days.", renew_issuer);
    } else {
      Add(Status::kOk, "issuer of the keys: certificate and key belong together");
    }
    Age("issuer key", files_.issuer_key, renew_issuer);
    Certificate("TLS authority", files_.ca_cert,
                "Plan a new authority: browsers and workstations have to be given it.");
    Certificate("server certificate", files_.server_cert,
                "The server renews it at its start; restart it.");
    if (const auto trust = LoadAttestation(config_); !trust) {
      Problem("CA of the keys' makers", trust.error(), "Correct keys.vendor_ca.");
    } else {
      Add(Status::kOk, "CA of the keys' makers");
    }
    if (config_.keys.allow_simulator) {
      Add(Status::kWarning, "simulated keys",
          "keys.allow_simulator is on, so keys without hardware can be enrolled.",
          "Turn it off where real passwords are set.");
    }
    std::error_code ec;
    if (fs::exists(files_.root_key, ec)) {
      Add(Status::kWarning, "root key",
          files_.root_key.string() +
              " lies on this machine; it is needed only to replace the "
              "issuer.",
          "Move it to a safe place off this machine.");
    } else {
      Add(Status::kOk, "root key: not on this machine");
    }
  }

  void Mail() {
    if (config_.mail.host.empty()) {
      Add(Status::kOk, "mail: no mail server is configured, nothing is mailed");
      return;
    }
    const std::string what =
        "mail server " + config_.mail.host + ":" + std::to_string(config_.mail.port);
    const auto mailer = OpenMailer(config_);
    const auto reached = mailer ? (*mailer)->Probe() : tl::unexpected<Error>(mailer.error());
    if (!reached) {
      Add(Status::kProblem, what, reached.error().message,
          "Mend it or correct the [mail] part; what waits is sent then." +
              (reached.error().detail.empty() ? "" : " (" + reached.error().detail + ")"));
    } else {
      Add(Status::kOk, what + ": answers over " + config_.mail.tls +
                           (config_.mail.user.empty() ? "" : ", takes the sign-in"));
    }
    const auto store = ReadStore(config_);
    const auto counts = store ? (*store)->CountMails((now_ - 7 * kDay) * 1000)
                              : tl::unexpected<Error>(store.error());
    if (!counts) return;  // the database is a finding of its own
    const std::int64_t hours = counts->oldest == 0 ? 0 : (now_ - counts->oldest / 1000) / 3600;
    if (counts->failed != 0 || hours >= 1) {
      Add(Status::kWarning, "mails",
          std::to_string(counts->queued) + " wait, the oldest for " + std::to_string(hours) +
              " hours; " + std::to_string(counts->failed) + " were given up in the last week. " +
              counts->last_error,
          "The audit log (mail.sent) names the recipients.");
    } else {
      Add(Status::kOk, "mails: " + std::to_string(counts->queued) + " wait");
    }
  }

  void Webhooks() {
    if (config_.webhook.targets.empty()) return;
    const auto store = ReadStore(config_);
    const auto counts = store ? (*store)->CountWebhooks((now_ - 7 * kDay) * 1000)
                              : tl::unexpected<Error>(store.error());
    if (!counts) return;  // the database is a finding of its own
    const std::int64_t hours = counts->oldest == 0 ? 0 : (now_ - counts->oldest / 1000) / 3600;
    if (counts->failed != 0 || hours >= 1) {
      Add(Status::kWarning, "webhooks",
          std::to_string(counts->queued) + " wait, the oldest for " + std::to_string(hours) +
              " hours; " + std::to_string(counts->failed) + " were given up in the last week. " +
              counts->last_error,
          "The page Webhooks (/webhooks) names them and sends them once more.");
    } else {
      Add(Status::kOk, "webhooks: " + std::to_string(counts->queued) + " wait");
    }
  }

  void Sms() {
    if (config_.sms.url.empty()) return;
    constexpr const char* kFix = "Correct the [sms] part.";
    if (const auto gateway = OpenSmsGateway(config_); !gateway) {
      return Problem("codes by SMS", gateway.error(), kFix);
    }
    if (const auto& ca = config_.sms.ca_file; !ca.empty()) {
      if (const auto text = ReadTextFile(ca, Sharing::kOthersMayRead); !text) {
        return Problem("codes by SMS", text.error(), kFix);
      }
    }
    if (config_.help_desk.points[static_cast<std::size_t>(HelpDeskMethod::kSmsCode)] == 0 &&
        !(config_.notice.enabled && config_.notice.sms)) {
      return Add(
          Status::kWarning, "codes by SMS",
          "a gateway is configured, but nothing goes by it: help_desk.points_sms_code is 0, and "
          "notice.sms is off.",
          "Give the method points, switch notices on, or remove [sms].");
    }
    if (config_.sms.phone.country_code.empty()) {
      return Add(Status::kWarning, "codes by SMS",
                 "only numbers that the directory has with a country code get one.",
                 "Set sms.country_code where the directory has national numbers as well.");
    }
    Add(Status::kOk, "codes by SMS: gateway at " + WebhookTarget::Parse(config_.sms.url)->place);
  }

  // `what` begins every finding about a linked source; empty for the first.
  void DirectoryPart(const ServerConfig::Ldap& settings, const char* section,
                     const std::string& what) {
    const std::string fix =
        std::string("Correct ") + (what.empty() ? "the [directory] part." : "its [[source]] part.");
    const auto ldap = LdapConfigOf(settings, section);
    if (!ldap) {
      Problem(what + "directory settings", ldap.error(), fix);
      return;
    }
    if (const auto made = OpenDirectory(settings, section); !made) {
      Problem(what + "directory settings", made.error(), fix);
      return;
    }
    Diagnosis diagnosis = Diagnose(*ldap, now_);
    for (Finding& finding : diagnosis.findings) {
      finding.what = what + finding.what;
      out_.push_back(std::move(finding));
    }
    for (const auto& [uri, der] : diagnosis.certificates) {
      const std::string subject = what + "controller " + uri + ": life of its certificate";
      const auto bytes = std::span(reinterpret_cast<const std::uint8_t*>(der.data()), der.size());
      const auto facts = InspectCertificate("-----BEGIN CERTIFICATE-----\n" + ToBase64(bytes) +
                                            "\n-----END CERTIFICATE-----\n");
      if (!facts) {
        Add(Status::kWarning, subject, "It cannot be read.", "Look at it with openssl s_client.");
      } else {
        Dates(subject, facts->not_after, "Renew the controller's certificate.");
      }
    }
  }

  const ServerConfig& config_;
  const StateFiles files_;
  const std::int64_t now_;
  Findings out_;
};

class ServerCheckUp final : public CheckUp {
 public:
  explicit ServerCheckUp(const ServerConfig& config) : config_(config) {}

  Report Latest() override {
    const std::lock_guard lock(mutex_);
    return latest_;
  }

  void Run() override {
    const std::lock_guard alone(running_);
    if (SystemClock().UnixMillis() - Latest().at < kFreshMillis) return;
    Report report{Examine(config_), SystemClock().UnixMillis()};
    const std::lock_guard lock(mutex_);
    latest_ = std::move(report);
  }

 private:
  const ServerConfig& config_;
  std::mutex running_;
  std::mutex mutex_;
  Report latest_;
};

const char* NameOf(Status status) {
  switch (status) {
    case Status::kOk:
      return "ok";
    case Status::kWarning:
      return "warning";
    case Status::kProblem:
      break;
  }
  return "problem";
}

Status Worst(const Findings& findings) {
  Status worst = Status::kOk;
  for (const Finding& finding : findings) worst = std::max(worst, finding.status);
  return worst;
}

// Every line of `text`, made harmless and indented.
std::string Indented(const std::string& text) {
  std::string out;
  for (std::size_t from = 0; from <= text.size();) {
    const std::size_t end = std::min(text.find('\n', from), text.size());
    out += "         " + OneLine(std::string_view(text).substr(from, end - from)) + "\n";
    from = end + 1;
  }
  return out;
}

std::size_t Count(const Findings& findings, Status status) {
  return static_cast<std::size_t>(
      std::count_if(findings.begin(), findings.end(),
                    [&](const Finding& finding) { return finding.status == status; }));
}

}  // namespace

Findings Examine(const ServerConfig& config) { return Examination(config).Run(); }

std::unique_ptr<CheckUp> MakeCheckUp(const ServerConfig& config) {
  return std::make_unique<ServerCheckUp>(config);
}

bool Sick(const Findings& findings) { return Worst(findings) == Status::kProblem; }

std::string InWords(const Findings& findings) {
  std::string out;
  for (const Finding& finding : findings) {
    std::string status = NameOf(finding.status);
    status.resize(9, ' ');
    out += status + OneLine(finding.what) + "\n";
    if (!finding.cause.empty()) out += Indented(finding.cause);
    if (!finding.fix.empty()) out += Indented(finding.fix);
  }
  const std::size_t problems = Count(findings, Status::kProblem);
  const std::size_t warnings = Count(findings, Status::kWarning);
  return out + std::to_string(problems) + (problems == 1 ? " problem, " : " problems, ") +
         std::to_string(warnings) + (warnings == 1 ? " warning\n" : " warnings\n");
}

std::string InJson(const Findings& findings) {
  namespace json = boost::json;
  json::array list;
  for (const Finding& finding : findings) {
    list.push_back(json::object{{"status", NameOf(finding.status)},
                                {"what", finding.what},
                                {"cause", finding.cause},
                                {"fix", finding.fix}});
  }
  return json::serialize(
             json::object{{"status", NameOf(Worst(findings))}, {"findings", std::move(list)}}) +
         "\n";
}

}  // namespace keyferry::server

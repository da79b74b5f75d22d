#include "server/app/upkeep.h"

#include <unistd.h>

#include <array>
#include <chrono>
#include <mutex>
#include <optional>
#include <utility>

#include "protocol/secure/system_random.h"
#include "server/app/background.h"
#include "server/app/files.h"
#include "server/app/open.h"
#include "server/app/settings.h"
#include "server/app/web_folder.h"
#include "server/core/approval_mail.h"
#include "server/core/encoding.h"
#include "server/core/rotation_service.h"
#include "server/directory/group_members.h"
#include "server/mail/smtp.h"

namespace keyferry::server {
namespace {

constexpr std::chrono::seconds kUpkeepEvery{5};
constexpr std::chrono::minutes kRotateEvery{5};
constexpr std::chrono::milliseconds kUpkeepLease{60'000};
constexpr const char* kUpkeepTask = "upkeep";

NoticeConfig NoticesOf(const ServerConfig& config) {
  NoticeConfig out;
  out.on = config.notice.enabled;
  out.managers = config.notice.managers;
  out.link_hours = config.notice.link_hours;
  out.sms_text = config.sms.notice_text;
  out.phone = config.sms.phone;
  out.sms_per_person_day = config.sms.per_person_day;
  out.sms_per_hour = config.sms.per_hour;
  out.administrator_groups = config.directory.administrator_groups;
  out.administrators = config.mail.administrators;
  return out;
}

std::string RandomName() {
  std::array<std::uint8_t, 16> name{};
  return OsRandom().Fill(name) ? ToHex(name) : std::to_string(getpid());
}

class DefaultUpkeep final : public Upkeep {
 public:
  DefaultUpkeep(const ServerConfig& config, const CorePorts& ports, ChangeService& changes,
                Log& log, std::unique_ptr<Mailer> mailer, std::unique_ptr<GroupReader> groups,
                MailTemplates templates, SmsGateway* sms)
      : store_(ports.store),
        shared_(config.postgres.has_value()),
        holder_(RandomName()),
        mailer_(std::move(mailer)),
        groups_(std::move(groups)),
        templates_(std::move(templates)),
        outbox_(ports.store, mailer_.get(), ports.clock,
                [&log](std::string_view line) { log.Warning(line); }),
        activation_(MakeActivationMail(ports, outbox_, templates_)),
        notices_(MakeNoticeService({ports, *groups_, outbox_, templates_, sms}, NoticesOf(config))),
        rotation_(MakeRotationService({ports, changes, *groups_, outbox_, templates_})) {
    if (!config.four_eyes.mail || ports.four_eyes == nullptr) return;
    const PeopleConfig people = PeopleOf(config);
    approvals_.emplace(
        ApprovalMailPorts{ports, *ports.four_eyes, *groups_, outbox_, templates_.approval_waits},
        ApprovalMailConfig{people.role_groups, people.roles_of});
  }

  ~DefaultUpkeep() override {
    rotating_.reset();
    mailing_.reset();
    if (shared_) (void)store_.EndLease(kUpkeepTask, holder_);
  }

  RotationService& rotation() override { return *rotation_; }
  ActivationMail* activation_mail() override { return mailer_ ? activation_.get() : nullptr; }
  MailOutbox& outbox() override { return outbox_; }
  const MailTemplates& templates() override { return templates_; }
  NoticeService& notices() override { return *notices_; }
  void Start(std::string url) override {
    url_ = url;
    notices_->SetUrl(std::move(url));
    mailing_ = std::make_unique<Background>(kUpkeepEvery, [this] { Mail(); });
    // Of its own, so that a long run delays no notice.
    rotating_ = std::make_unique<Background>(kUpkeepEvery, [this] { Rotate(); });
  }

 private:
  bool IsMine() {
    if (!shared_) return true;
    const std::lock_guard lock(mutex_);
    const auto now = std::chrono::steady_clock::now();
    if (now >= renew_) {
      const auto taken = store_.TakeLease(kUpkeepTask, holder_, kUpkeepLease.count());
      mine_ = taken && *taken;
      renew_ = now + kUpkeepLease / 3;
    }
    return mine_;
  }

  void Mail() {
    if (!IsMine()) return;
    notices_->Tick();
    if (approvals_) approvals_->Tick(url_);
    outbox_.Tick();
  }

  void Rotate() {
    const auto now = std::chrono::steady_clock::now();
    if (now < rotate_ || !IsMine()) return;
    rotate_ = now + kRotateEvery;
    rotation_->Tick();
  }

  Store& store_;
  const bool shared_;
  const std::string holder_;
  const std::unique_ptr<Mailer> mailer_;
  const std::unique_ptr<GroupReader> groups_;
  const MailTemplates templates_;
  MailOutbox outbox_;
  const std::unique_ptr<ActivationMail> activation_;
  const std::unique_ptr<NoticeService> notices_;
  const std::unique_ptr<RotationService> rotation_;
  std::optional<ApprovalMail> approvals_;  // where approvers are told
  std::string url_;                        // before the threads begin
  std::chrono::steady_clock::time_point rotate_{};
  std::mutex mutex_;  // the two below
  bool mine_ = false;
  std::chrono::steady_clock::time_point renew_{};
  std::unique_ptr<Background> mailing_, rotating_;
};

}  // namespace

Result<std::unique_ptr<Mailer>> OpenMailer(const ServerConfig& config) {
  const auto& mail = config.mail;
  if (mail.host.empty()) return std::unique_ptr<Mailer>();
  SmtpConfig smtp;
  smtp.host = mail.host;
  smtp.port = mail.port;
  smtp.tls = mail.tls == "tls"    ? SmtpTls::kTls
             : mail.tls == "none" ? SmtpTls::kNone
                                  : SmtpTls::kStartTls;
  smtp.ca_file = mail.ca_file.string();
  smtp.from = mail.from;
  smtp.user = mail.user;
  smtp.helo = config.names.front();
  if (!mail.password_file.empty()) {
    auto password = ReadSecretLine(mail.password_file);
    if (!password) return tl::unexpected(password.error());
    smtp.password = std::move(*password);
  }
  return MakeSmtpMailer(std::move(smtp));
}

Result<MailTexts> LoadMailTexts(const ServerConfig& config) {
  const std::filesystem::path& own = config.own_web_dir;
  return ReadMailTexts(WebFolder(config) / "mail", own.empty() ? own : own / "mail",
                       config.mail.language);
}

Result<std::unique_ptr<Upkeep>> Upkeep::Make(const ServerConfig& config, const CorePorts& ports,
                                             ChangeService& changes, SmsGateway* sms, Log& log) {
  auto mailer = OpenMailer(config);
  if (!mailer) return tl::unexpected(mailer.error());
  auto ldap = LdapConfigOf(config.directory, kFirstSection);
  if (!ldap) return tl::unexpected(ldap.error());
  ldap->connections = 1;
  auto groups = MakeGroupReader(std::move(*ldap));
  if (!groups) return tl::unexpected(groups.error());
  auto texts = LoadMailTexts(config);
  if (!texts) return tl::unexpected(texts.error());
  if (texts->problem) log.Problem("Mails say what is shipped: " + texts->problem->message);
  return std::make_unique<DefaultUpkeep>(config, ports, changes, log, *std::move(mailer),
                                         *std::move(groups), std::move(texts->templates),
                                         config.notice.sms ? sms : nullptr);
}

}  // namespace keyferry::server

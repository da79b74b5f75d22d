#include "server/core/mail.h"

#include <algorithm>
#include <utility>

#include "server/core/audit_entry.h"

namespace keyferry::server {
namespace {

constexpr std::size_t kMailsAtOnce = 50;
constexpr std::size_t kMaxMailText = 64 * 1024;

AuditEntry MailEntry(const Clock& clock, std::string_view actor, std::string_view action,
                     std::string_view target, std::string_view outcome, std::string_view detail) {
  AuditEntry entry = AuditBySystem(clock, action, target, outcome, detail);
  if (!actor.empty()) entry.actor = actor;
  return entry;
}

}  // namespace

bool IsMailAddress(std::string_view text) {
  if (text.size() < 3 || text.size() > 254 || text.front() == '-' ||
      std::count(text.begin(), text.end(), '@') != 1) {
    return false;
  }
  const std::size_t at = text.find('@');
  if (at == 0 || at > 64 || at + 1 == text.size()) return false;
  constexpr std::string_view kLocal = "!#$%&'*+-/=?^_`{|}~.";
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    const bool good = i < at   ? plain || kLocal.find(c) != std::string_view::npos
                      : i > at ? plain || c == '.' || c == '-'
                               : true;
    if (!good) return false;
  }
  return true;
}

MailOutbox::MailOutbox(UpkeepStore& store, Mailer* mailer, const Clock& clock, LogLine log,
                       OutboxLimits limits)
    : store_(store), mailer_(mailer), clock_(clock), log_(std::move(log)), limits_(limits) {}

Result<bool> MailOutbox::Queue(std::string_view mark, std::string_view recipient,
                               std::string_view subject, std::string_view text,
                               std::string_view actor) {
  if (!on()) return Fail(ErrorCode::kUnsupported, "No mail server is configured ([mail]).");
  if (!IsMailAddress(recipient)) {
    return Fail(ErrorCode::kInvalidArgument,
                "The person's mail address in the directory is missing or cannot be used.");
  }
  if (text.size() > kMaxMailText || subject.size() > 200) {
    return Fail(ErrorCode::kInvalidArgument, "The mail is too long.");
  }
  MailRecord mail;
  mail.mark = mark;
  mail.recipient = recipient;
  mail.subject = subject;
  mail.body = text;
  mail.created = mail.next_try = clock_.UnixMillis();
  return store_.QueueMail(mail, limits_.waiting,
                          MailEntry(clock_, actor, "mail.queue", recipient, "ok", subject));
}

Result<void> MailOutbox::SendNow(const MailMessage& message) {
  if (!on()) return Fail(ErrorCode::kUnsupported, "No mail server is configured ([mail]).");
  if (!IsMailAddress(message.recipient)) {
    return Fail(ErrorCode::kInvalidArgument,
                "The person's mail address in the directory is missing or cannot be used.");
  }
  return mailer_->Send(message);
}

void MailOutbox::Tick() {
  if (!on()) return;
  const std::int64_t now = clock_.UnixMillis();
  const auto due = store_.MailsDue(now, kMailsAtOnce);
  if (!due) return log_("mail: " + due.error().message);
  for (MailRecord mail : *due) {
    const auto sent = mailer_->Send(
        {mail.recipient, mail.subject, SecureBytes::CopyOf(std::string_view(mail.body))});
    ++mail.attempts;
    std::optional<AuditEntry> entry;
    const bool never = !sent && sent.error().code == ErrorCode::kInvalidArgument;
    if (sent) {
      mail.state = MailRecord::State::kSent;
      mail.sent = clock_.UnixMillis();
      mail.last_error.clear();
      entry = AuditBySystem(clock_, "mail.sent", mail.recipient, "ok", mail.subject);
    } else {
      mail.last_error = sent.error().message;
      const std::uint32_t doublings = std::min<std::uint32_t>(mail.attempts - 1, 16);
      mail.next_try =
          clock_.UnixMillis() + std::min(limits_.first_pause << doublings, limits_.longest_pause);
      if (never || clock_.UnixMillis() - mail.created >= limits_.give_up_after) {
        mail.state = MailRecord::State::kFailed;
        mail.next_try = clock_.UnixMillis();
        entry = AuditBySystem(clock_, "mail.sent", mail.recipient, OutcomeName(sent.error().code),
                              mail.last_error);
      }
      log_("mail to " + mail.recipient + ": " + sent.error().message +
           (sent.error().detail.empty() ? "" : " [" + sent.error().detail + "]"));
    }
    const auto marked = store_.MarkMail(mail, entry ? &*entry : nullptr);
    if (!marked) return log_("mail: " + marked.error().message);
    if (!sent && !never) return;  // the others would fail as well
  }
  if (auto forgotten = store_.ForgetMails(now - limits_.keep); !forgotten) {
    log_("mail: " + forgotten.error().message);
  }
}

}  // namespace keyferry::server

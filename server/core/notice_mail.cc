#include "server/core/notice_mail.h"

#include <algorithm>
#include <ctime>
#include <utility>

#include "server/core/administrators.h"
#include "server/core/audit_entry.h"
#include "server/core/dispatch.h"
#include "server/core/dn.h"
#include "server/core/encoding.h"
#include "server/core/help_desk.h"
#include "server/core/notice_link.h"

namespace keyferry::server {
namespace {

constexpr std::size_t kNoticesAtOnce = 50;
constexpr const char* kNothing = "–";  // for what is not known, or was not given

std::string UtcOf(std::int64_t millis) {
  const std::time_t seconds = millis / 1000;
  std::tm utc{};
  gmtime_r(&seconds, &utc);
  char text[32];
  return std::string(text, std::strftime(text, sizeof text, "%Y-%m-%d %H:%M UTC", &utc));
}

std::string OrNothing(std::string_view text, std::size_t limit) {
  return text.empty() ? kNothing : Presentable(text, limit);
}

std::string NameOf(const Person& person) { return Presentable(person.display_name, 128); }

// The texts of a notice's act, as all its mails have them.
struct Act {
  std::string login, what, when, by, address, key, reason;
};

void GiveUp(NoticeRecord::Mail& waiting, NoticeRecord::Mail as) {
  if (waiting == NoticeRecord::Mail::kWaiting) waiting = as;
}

}  // namespace

std::string NoticeMails::ActOf(NoticeKind kind) const {
  const auto& acts = ports_.templates.notices.acts;
  const auto found = acts.find(Name(kind));
  return found == acts.end() ? Name(kind) : found->second;
}

void NoticeMails::SendDue(const std::string& url) {
  const CorePorts& core = ports_.core;
  const auto due = core.store.NoticesDue(core.clock.UnixMillis(), kNoticesAtOnce);
  if (!due) return Log(core, "notices", due.error());
  bool gateway = true;  // false: it had no time for one of these; mails do not wait for it again
  for (NoticeRecord notice : *due) {
    std::vector<AuditEntry> audits;
    bool mailed = true, texted = true;
    if (config_.on && notice.attempts == 0) ShowAtWorkstations(notice);
    ++notice.attempts;
    if (!config_.on || !ports_.outbox.on()) {
      GiveUp(notice.person, NoticeRecord::Mail::kNone);
      GiveUp(notice.manager, NoticeRecord::Mail::kNone);
      notice.last_error = config_.on ? "No mail server is configured." : "Notices are off.";
    } else {
      mailed = Send(notice, url, audits);
    }
    if (!config_.on || ports_.sms == nullptr) {
      GiveUp(notice.sms, NoticeRecord::Mail::kNone);
    } else {
      texted = gateway && SendSms(notice, url, audits);
      if (!gateway) notice.last_error = "The SMS waits; others could not be sent.";
      gateway = gateway && texted;
    }
    const std::int64_t now = core.clock.UnixMillis();
    const bool done = mailed && texted;
    if (!done && now - notice.created >= config_.give_up_after) {
      for (auto* one : {&notice.person, &notice.manager, &notice.sms}) {
        GiveUp(*one, NoticeRecord::Mail::kFailed);
      }
      audits.push_back(AuditBySystem(core.clock, mailed ? "notice.sms" : "notice.mail",
                                     notice.login, "failed", "Given up: " + notice.last_error));
    } else if (!done) {
      const std::uint32_t doublings = std::min<std::uint32_t>(notice.attempts - 1, 16);
      notice.next_try = now + std::min(config_.first_pause << doublings, config_.longest_pause);
      if (core.log) core.log("notice for " + notice.login + ": " + notice.last_error);
    }
    if (auto marked = core.store.MarkNotice(notice, audits); !marked) {
      return Log(core, "notices", marked.error());
    }
    if (!mailed) return;  // the others would fail as well
  }
}

void NoticeMails::ShowAtWorkstations(const NoticeRecord& notice) {
  const auto keys = ports_.core.store.KeysOf(notice.account);
  if (!keys) return Log(ports_.core, "notices", keys.error());
  for (const KeyRecord& key : *keys) {
    if (!IsOutOfUse(key.state)) SendToSeers(ports_.core, key.device, NoticeEvent(notice));
  }
}

bool NoticeMails::Settle(const NoticeRecord& notice, const char* whom, const std::string& address,
                         NoticeRecord::Mail& state, const Result<void>& sent,
                         std::string& last_error, std::vector<AuditEntry>& audits) {
  const Clock& clock = ports_.core.clock;
  if (sent) {
    state = NoticeRecord::Mail::kSent;
    last_error.clear();
    audits.push_back(AuditBySystem(
        clock, "notice.mail", notice.login, "ok",
        std::string(Name(notice.kind)) + ", to " + whom + ": " + Presentable(address, 254)));
    return true;
  }
  last_error = sent.error().message;
  if (sent.error().code != ErrorCode::kInvalidArgument) return false;
  state = NoticeRecord::Mail::kNone;  // this address never
  audits.push_back(
      AuditBySystem(clock, "notice.mail", notice.login, OutcomeName(sent.error().code),
                    std::string(Name(notice.kind)) + ", to " + whom + ": " + sent.error().message));
  return true;
}

bool NoticeMails::Send(NoticeRecord& notice, const std::string& url,
                       std::vector<AuditEntry>& audits) {
  if (notice.person != NoticeRecord::Mail::kWaiting &&
      notice.manager != NoticeRecord::Mail::kWaiting) {
    return true;
  }
  const CorePorts& core = ports_.core;
  const auto later = [&](const Error& error) {
    notice.last_error = error.message;
    return false;
  };
  const auto nobody = [&](const char* why) {
    for (auto* mail : {&notice.person, &notice.manager}) {
      if (*mail == NoticeRecord::Mail::kWaiting) *mail = NoticeRecord::Mail::kNone;
    }
    notice.last_error = why;
    audits.push_back(AuditBySystem(core.clock, "notice.mail", notice.login, "not_found", why));
    return true;
  };
  const auto detail = core.directory.Get(notice.account);
  if (!detail && detail.error().code == ErrorCode::kNotFound) {
    return nobody("The person is not in the directory any more.");
  }
  if (!detail) return later(detail.error());
  const Person& person = detail->person;
  const Act act{
      Presentable(person.login, 128), ActOf(notice.kind),
      UtcOf(notice.created),          OrNothing(notice.by, 128),
      OrNothing(notice.address, 64),  notice.device == DeviceId{} ? kNothing : notice.device.Hex(),
      OrNothing(notice.reason, 300)};
  const std::string name = NameOf(person), hours = std::to_string(config_.link_hours);
  if (notice.person == NoticeRecord::Mail::kWaiting) {
    const auto token = NoticeToken(core.issuer, notice);
    if (!token) return later(token.error());
    const std::string link = url + "/not-me?t=" + *token;
    const MailValues values = {{"name", name},     {"login", act.login},   {"what", act.what},
                               {"when", act.when}, {"by", act.by},         {"address", act.address},
                               {"key", act.key},   {"reason", act.reason}, {"hours", hours},
                               {"link", link}};
    const MailTemplate& text = ports_.templates.notices.person;
    const auto sent =
        ports_.outbox.SendNow({person.mail, FillSubject(text, values), FillBody(text, values)});
    if (!Settle(notice, "the person", person.mail, notice.person, sent, notice.last_error,
                audits)) {
      return false;
    }
    if (sent) notice.mailed = core.clock.UnixMillis();
  }
  if (notice.manager != NoticeRecord::Mail::kWaiting) return true;
  const auto manager =
      config_.managers ? core.directory.ManagerOf(notice.account) : std::optional<Person>();
  const bool asked = manager || manager.error().code == ErrorCode::kUnsupported ||
                     manager.error().code == ErrorCode::kNotFound;
  if (!asked) return later(manager.error());
  // Nobody is told twice.
  if (!manager || !*manager || LowerCase((*manager)->mail) == LowerCase(person.mail)) {
    notice.manager = NoticeRecord::Mail::kNone;
    return true;
  }
  const std::string manager_name = NameOf(**manager);
  const MailValues values = {{"name", manager_name},   {"person", name},   {"login", act.login},
                             {"what", act.what},       {"when", act.when}, {"by", act.by},
                             {"address", act.address}, {"key", act.key},   {"reason", act.reason}};
  const MailTemplate& text = ports_.templates.notices.manager;
  const auto sent =
      ports_.outbox.SendNow({(*manager)->mail, FillSubject(text, values), FillBody(text, values)});
  // A person's own mail that could not go out stays in last_error.
  std::string manager_error;
  const bool settled = Settle(notice, "their manager", (*manager)->mail, notice.manager, sent,
                              manager_error, audits);
  if (!manager_error.empty()) notice.last_error = manager_error;
  return settled;
}

Result<bool> NoticeMails::HadEnoughSms(const NoticeRecord& notice) {
  const std::int64_t since = ports_.core.clock.UnixMillis() - 86'400'000;
  const auto latest = ports_.core.store.NoticesOf(notice.account, 1000);
  if (!latest) return tl::unexpected(latest.error());
  return std::count_if(latest->begin(), latest->end(), [&](const NoticeRecord& one) {
           return one.sms == NoticeRecord::Mail::kSent && one.created >= since;
         }) >= config_.sms_per_person_day;
}

bool NoticeMails::SendSms(NoticeRecord& notice, const std::string& url,
                          std::vector<AuditEntry>& audits) {
  if (notice.sms != NoticeRecord::Mail::kWaiting) return true;
  const CorePorts& core = ports_.core;
  const auto later = [&](const std::string& why) {
    notice.last_error = why;
    return false;
  };
  const auto none = [&](const std::string& why) {
    notice.sms = NoticeRecord::Mail::kNone;
    audits.push_back(AuditBySystem(core.clock, "notice.sms", notice.login, "not_found", why));
    return true;
  };
  const std::int64_t now = core.clock.UnixMillis();
  const auto enough = HadEnoughSms(notice);
  if (!enough) return later(enough.error().message);
  if (*enough) return none("This person has had the SMS of a day.");
  const auto place = SmsPlaceOf(core.directory, notice.account, config_.phone);
  if (!place && place.error().code == ErrorCode::kNotFound) {
    return none("The person is not in the directory any more.");
  }
  if (!place) return later(place.error().message);
  if (!place->problem.empty()) {
    notice.sms = NoticeRecord::Mail::kNone;  // most people's case in many directories: no news
    return true;
  }
  while (!texted_.empty() && texted_.front() <= now - 3'600'000) texted_.pop_front();
  if (static_cast<std::int64_t>(texted_.size()) >= config_.sms_per_hour) {
    return later("The SMS of an hour are used up; this one waits.");
  }
  const auto token = NoticeToken(core.issuer, notice);
  if (!token) return later(token.error().message);
  const std::string link = url + "/not-me?t=" + *token, login = Presentable(notice.login, 128),
                    what = ActOf(notice.kind), when = UtcOf(notice.created),
                    by = OrNothing(notice.by, 128);
  const SecureBytes text =
      FillBody({{}, config_.sms_text},
               {{"what", what}, {"login", login}, {"by", by}, {"when", when}, {"link", link}});
  if (const auto sent = ports_.sms->Send(place->number, text); !sent) {
    return later(sent.error().message);
  }
  texted_.push_back(now);
  notice.sms = NoticeRecord::Mail::kSent;
  // What kept it from going out before; a mail that did not go out stays.
  if (notice.person == NoticeRecord::Mail::kSent) notice.last_error.clear();
  audits.push_back(AuditBySystem(
      core.clock, "notice.sms", notice.login, "ok",
      std::string(Name(notice.kind)) + ", to the person: " + MaskedPhone(place->number)));
  return true;
}

Result<void> NoticeMails::TellAdministrators(const NoticeRecord& notice, const std::string& url) {
  if (!ports_.outbox.on()) return {};
  const CorePorts& core = ports_.core;
  const auto addresses =
      AdministratorAddresses(ports_.groups, config_.administrator_groups, config_.administrators,
                             [&core](std::string_view line) {
                               if (core.log) core.log("an objection: " + std::string(line));
                             });
  const auto detail = core.directory.Get(notice.account);
  const std::string person = detail ? NameOf(detail->person) : notice.login;
  const std::string what = ActOf(notice.kind), when = UtcOf(notice.created),
                    by = OrNothing(notice.by, 128), address = OrNothing(notice.address, 64),
                    said = UtcOf(notice.objected), from = OrNothing(notice.objected_from, 128),
                    link = url + "/reports";
  const MailTemplate& text = ports_.templates.notices.objection;
  for (const auto& [to, name] : addresses) {
    const MailValues values = {{"name", name},       {"person", person}, {"login", notice.login},
                               {"what", what},       {"when", when},     {"by", by},
                               {"address", address}, {"said", said},     {"from", from},
                               {"link", link}};
    const SecureBytes body = FillBody(text, values);
    const auto queued = ports_.outbox.Queue("objection/" + std::to_string(notice.number) + "/" + to,
                                            to, FillSubject(text, values), body.view(), "system");
    // An address that cannot be used must not keep the others from being told.
    if (!queued && queued.error().code != ErrorCode::kInvalidArgument) {
      return tl::unexpected(queued.error());
    }
  }
  return {};
}

}  // namespace keyferry::server
